"""Kill updates, or one of their workers, at random moments; resuming must give the same bytes as an undisturbed update.

Usage: ``python tests/endurance/update_kills.py [KILLS] [SEED] [KIND]...``

KILLS
    Number of kills (default 100).
SEED
    Random seed of the moments (default 0).
KIND
    Updates, which take turns: ``folder``, of a store on this disk; ``parts``, of one in two parts side by side; ``bucket``, of
    one in an object store (default: all).

In the update, masks of several shards are added, changed, moved to another bucket and removed; every third one also fills the
holes. After each kill, a store that looks complete must be that of before, or the expected one. Prints one line at the end,
and exits with 1 at the first difference. A kill that hits no process is not counted.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import psutil

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import assert_no_orphans, family, files, outcome, start, write_squares
from helpers.buckets import make_bucket, objects_in, serving, upload

from segprep import Workers, preprocess
from segprep.paths.bucket import BucketPath
from segprep.store.metadata import INPUT_STAMP, read_info

KINDS = ("folder", "parts", "bucket")
TRIES = 10
"""Most runs for each kill."""


def write_data(folder, masks):
    """COCO file of large masks, eight to a shard."""
    return write_squares(folder, [(900, 900 + 100 * (number % 3)) for number in range(masks)], 300)


def change(data):
    """Remove a mask of each 20, change another, give a third another size, and add one."""
    document = json.loads(data.read_text())
    images, annotations = document["images"], document["annotations"]
    for number in range(0, len(images), 20):
        gone, changed, moved = (images[(number + step) % len(images)] for step in (3, 7, 11))
        for annotation in annotations:
            if annotation["image_id"] == changed["id"]:
                annotation["segmentation"][0][0] += 4
        moved["width"] += 300
        new = {**images[number], "id": 1000 + number, "file_name": f"{1000 + number}.jpg"}
        annotations += [
            {**item, "image_id": new["id"]} for item in annotations if item["image_id"] == images[number]["id"]
        ]
        images.append(new)
        gone["is_gone"] = True
    document["images"] = [image for image in images if not image.pop("is_gone", False)]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [item for item in annotations if item["image_id"] in kept]
    data.write_text(json.dumps(document))


def kill_one(runs, chance, seconds):
    """True if a kill at a random moment hit a process of an update, which is one run, or two parts."""
    process = chance.choice(runs)
    time.sleep(chance.uniform(0, seconds))
    running = [member for member in family(process) if member.is_running()]
    workers = [member for member in running if member.pid != process.pid]
    is_main = chance.random() < 2 / 3 or not workers
    victims = [member for member in running if member.pid == process.pid] if is_main else workers[:1]
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    status, stderr = outcome(process)
    assert_no_orphans(process)
    assert status in ((-9, 0) if is_main else (0,)), f"exit code {status} after a kill: {stderr}"
    for other in (run for run in runs if run is not process):
        other_status, stderr = outcome(other)
        assert other_status == 0, f"exit code {other_status} of another part: {stderr}"
    return bool(victims) and (status == -9 or not is_main)


def contents(root):
    """Contents of every file of a store, hidden ones too, without the stamp of the input."""
    found = objects_in(root) if isinstance(root, BucketPath) else files(root)
    return {path: body for path, body in found.items() if path != INPUT_STAMP}


def visible(found):
    """Contents without hidden files."""
    return {path: body for path, body in found.items() if "/." not in path and path[0] != "."}


def copied(before, folder, kind, number, bucket):
    """Copy of a store in a folder, or in a bucket."""
    if kind == "bucket":
        return upload(before, bucket / f"{number}.zarr")
    return Path(shutil.copytree(before, folder / f"{number}.zarr"))


def main(kills=100, seed=0, *kinds, masks=40):
    """Run the loop; see the module for the arguments."""
    kinds, chance, hits = kinds or KINDS, random.Random(seed), Counter()  # noqa: S311 - reproducible moments
    with tempfile.TemporaryDirectory() as name, serving() as variables, patch.dict(os.environ, variables):
        folder, one, bucket = Path(name), Workers(processes=1), make_bucket("updates")
        data, before = write_data(folder, masks), folder / "before.zarr"
        preprocess(data, before, workers=one)
        change(data)
        expected, seconds = {}, 0
        for compact in (False, True):
            root = folder / f"expected-{compact}.zarr"
            shutil.copytree(before, root)
            started = time.monotonic()
            status, stderr = outcome(start(data, root, "--update", *["--compact"] * compact))
            assert status == 0, stderr
            seconds, expected[compact] = time.monotonic() - started, contents(root)
        tries = 0
        while hits.total() < kills:
            kind, compact = kinds[hits.total() % len(kinds)], hits.total() // len(kinds) % 3 == 2
            root = copied(before, folder, kind, tries, bucket)
            options = ("--update", *["--compact"] * compact)
            parts = [("--part", f"{number}/2") for number in (1, 2)] if kind == "parts" else [()]
            runs = [start(data, root, *options, *part) for part in parts]
            hits[kind] += kill_one(runs, chance, seconds * (2 if kind == "bucket" else 1))
            if read_info(root).status == "complete":
                known = [visible(contents(before)), visible(expected[compact])]
                assert visible(contents(root)) in known, "looks complete, and is neither the store before nor after"
            preprocess(data, root, update=True, compact=compact, workers=one)
            assert contents(root) == expected[compact], f"{kind}: differs from the store of an undisturbed update"
            if kind != "bucket":
                shutil.rmtree(root)
            tries += 1
            assert tries <= TRIES * kills, f"{hits} kills in {tries} tries"
    counts = ", ".join(f"{kind} {count}" for kind, count in hits.items())
    print(
        f"{kills} kills in {tries} updates ({counts}): every store is byte-identical to that of an undisturbed update"
    )


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))
