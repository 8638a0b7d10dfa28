"""Kill runs, or one of their workers, at random moments, and show that the same command always ends with the same bytes.

``python tests/endurance/kills.py [KILLS] [SEED]`` (default 200 kills). Prints one line at the end, and ends with exit code 1
at the first difference. A finished shard is never computed again; a kill costs those under way, one for each worker.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

COMMAND = Path(sys.executable).parent / "segprep"
WORKERS = 2


def write_data(folder):
    """COCO file of 60 masks in a dozen shards, each of which takes a moment."""
    sides = [(900, 900 + 100 * (number % 6)) for number in range(60)]
    images = [{"id": n, "file_name": f"{n}.jpg", "height": h, "width": w} for n, (h, w) in enumerate(sides)]
    annotations = [
        {"image_id": n, "category_id": 1, "segmentation": [[x, 8, x + 300, 8, x + 300, h - 8, x, h - 8]]}
        for n, (h, _) in enumerate(sides)
        for x in (20, 330)
    ]
    file = folder / "squares.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]})
    )
    return file


def start(data, root):
    """Run in the background."""
    return subprocess.Popen(
        [COMMAND, "weights", data, root, "--workers", str(WORKERS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def files(root):
    """Every file of a store, by its relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def times(root):
    """When each shard's record was written."""
    return {path: path.stat().st_mtime_ns for path in root.glob("*/weights/records/*.json")}


def workers_of(process):
    """Worker processes of a run."""
    return [
        each for each in psutil.Process(process.pid).children() if any("spawn_main" in word for word in each.cmdline())
    ]


def kill_one(data, root, after, whole, expected):
    """One kill after so many seconds; the shards that had to be computed again."""
    process = start(data, root)
    time.sleep(after)
    before = times(root)
    victims = [psutil.Process(process.pid)] if whole else []
    family = []
    if process.poll() is None:
        family = workers_of(process)
        for victim in victims or family[:1]:
            victim.kill()
    if whole:
        process.wait(60)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, f"orphans: {alive}"
    status = process.wait(120)
    assert whole or status == 0, f"exit code {status} after a worker was killed"
    assert start(data, root).wait(120) == 0, "the same command does not go on"
    assert files(root) == expected, "another store than that of an undisturbed run"
    return sum(times(root)[path] != moment for path, moment in before.items())


def main(kills=200, seed=0):
    """See the module."""
    chance = random.Random(seed)  # noqa: S311 - the same kills for the same seed
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder))
        begun = time.monotonic()
        assert start(data, Path(folder) / "whole.zarr").wait(120) == 0
        seconds = time.monotonic() - begun
        expected = files(Path(folder) / "whole.zarr")
        again = [
            kill_one(data, Path(folder) / f"{number}.zarr", chance.uniform(0, seconds), number % 2 == 0, expected)
            for number in range(kills)
        ]
    assert max(again) == 0
    print(f"{kills} kills: every store is the same to the byte; {sum(again)} finished shards were computed again")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
