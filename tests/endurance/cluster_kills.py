"""Kill a worker of a cluster every two seconds, and show that the store is still the same to the byte.

``python tests/endurance/cluster_kills.py [SECONDS] [bucket]`` (default 60: about how long the run takes if nobody disturbs
it). The cluster is a scheduler and two workers with nannies, which start another for each that is killed. With ``bucket`` data
and store lie in an object store. Prints one line at the end, and ends with exit code 1 where the command fails or the stores
differ. It wants two cores for itself: elsewhere workers are killed before they have begun.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import files, write_squares
from helpers.buckets import make_bucket, objects_in, upload
from helpers.buckets import serving as object_store
from helpers.clusters import scheduler, wait_for_workers, workers_of
from helpers.commands import COMMAND

from segprep.store.metadata import INPUT_STAMP

BETWEEN_SECONDS = 2
END_SECONDS = 3600
"""After so many seconds a run is given up."""
MASKS_PER_SECOND = 15
"""On two cores."""
SIDES = (256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792)
"""Every two of them are a canvas with a shard of its own, of a few masks: a worker does some between its start and its end."""


def write_data(folder, masks):
    """COCO file of so many masks of two instances, on many canvases."""
    sizes = [(SIDES[number % len(SIDES)], SIDES[number // len(SIDES) % len(SIDES)]) for number in range(masks)]
    return write_squares(folder, sizes, 100)


def start(data, root, *options):
    """Run in the background."""
    return subprocess.Popen([COMMAND, "weights", data, root, *options], stdout=subprocess.DEVNULL)


def serving(nannies):
    """Worker processes that have come so far as to listen to the scheduler; those that have not are lost for good."""
    found = []
    for each in psutil.Process(nannies.pid).children():
        try:
            if any(place.status == psutil.CONN_ESTABLISHED for place in each.net_connections("inet")):
                found.append(each)
        except psutil.Error:
            continue
    return found


def kill_one(nannies, chance):
    """Kill one of the workers, if there is any; how many were killed."""
    victims = serving(nannies)
    for victim in chance.sample(victims, min(1, len(victims))):
        victim.kill()
    return min(1, len(victims))


def kill_by_the_clock(process, nannies, _root):
    """Kill a worker every so often until the command ends; how many were killed."""
    chance = random.Random(0)  # noqa: S311 - which of the workers
    kills = 0
    deadline = time.monotonic() + END_SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, f"no end after {kills} kills"
        try:
            process.wait(BETWEEN_SECONDS)
        except subprocess.TimeoutExpired:
            kills += kill_one(nannies, chance)
    return kills


def outlived(folder, masks, kill, bucket=None):
    """Kills that a run on a cluster outlived, whose store is then the same."""
    data = write_data(folder, masks)
    assert start(data, folder / "whole.zarr").wait(END_SECONDS) == 0
    root = folder / "killed.zarr"
    if bucket is not None:
        data, root = upload(data, bucket / data.name), bucket / root.name
    with scheduler(folder) as (_, file), workers_of(file, folder) as nannies:
        wait_for_workers(file, 2)
        process = start(str(data), str(root), "--scheduler", file)
        kills = kill(process, nannies, root)
        assert process.wait(END_SECONDS) == 0, f"exit code {process.returncode} after {kills} kills"
    found = shards_and_tables(files(root) if bucket is None else objects_in(root))
    assert found == shards_and_tables(files(folder / "whole.zarr")), "another store than that of an undisturbed run"
    return kills


def shards_and_tables(found):
    """Without the note about the input's files, which have other times in a bucket."""
    return {name: content for name, content in found.items() if name != INPUT_STAMP}


def main(seconds=60, where="here"):
    """See the module."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, object_store() as variables:
        os.environ.update(variables)
        bucket = make_bucket("kills") if where == "bucket" else None
        kills = outlived(Path(folder), seconds * MASKS_PER_SECOND, kill_by_the_clock, bucket)
    assert kills > seconds / BETWEEN_SECONDS / 2
    print(f"{where}: {kills} workers killed in {time.monotonic() - begun:.0f} s: the store is the same to the byte")


if __name__ == "__main__":
    main(*(int(each) if each.isdigit() else each for each in sys.argv[1:]))
