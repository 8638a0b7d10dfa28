"""Kill updates, or one of their workers, at random moments; resuming must give the same bytes as an undisturbed update.

Usage: ``python tests/endurance/update_kills.py [KILLS] [SEED]``

KILLS
    Number of kills (default 100).
SEED
    Random seed of the moments (default 0).

In the update, masks of several shards are added, changed, moved to another bucket and removed; every third one also fills the
holes. After each kill, a store that looks complete must be that of before, or the expected one. Prints one line at the end,
and exits with 1 at the first difference. A kill that hits no process is not counted.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import assert_no_orphans, family, files, outcome, start, write_squares

from segprep import Workers, preprocess
from segprep.store.metadata import read_info

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


def kill_one(data, root, options, chance, seconds):
    """True if a kill at a random moment hit a process of an update."""
    process = start(data, root, *options)
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
    return bool(victims) and (status == -9 or not is_main)


def main(kills=100, seed=0, masks=40):
    """Run the loop; see the module for the arguments."""
    chance = random.Random(seed)  # noqa: S311 - reproducible moments
    with tempfile.TemporaryDirectory() as name:
        folder, one = Path(name), Workers(processes=1)
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
            seconds, expected[compact] = time.monotonic() - started, files(root)
        hits = tries = 0
        while hits < kills:
            compact, root = hits % 3 == 2, folder / f"{tries}.zarr"
            options = ("--update", *["--compact"] * compact)
            shutil.copytree(before, root)
            hits += kill_one(data, root, options, chance, seconds)
            if read_info(root).status == "complete":
                visible = {path: body for path, body in files(root).items() if "/." not in path and path[0] != "."}
                known = [
                    {path: body for path, body in of.items() if "/." not in path}
                    for of in (files(before), expected[compact])
                ]
                assert visible in known, "the store looks complete, and is neither that of before nor that of after"
            preprocess(data, root, update=True, compact=compact, workers=one)
            assert files(root) == expected[compact], "the store differs from that of an undisturbed update"
            shutil.rmtree(root)
            tries += 1
            assert tries <= TRIES * kills, f"{hits} kills in {tries} tries"
    print(f"{kills} kills in {tries} updates: every store is byte-identical to that of an undisturbed update")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
