"""Kill a worker of a cluster every two seconds; the store must be byte-identical to that of an undisturbed run.

Usage: ``python tests/endurance/cluster_kills.py [SECONDS] [bucket]``

SECONDS
    Approximate duration of the run without kills (default 60).
bucket
    Keep data and store in an object store.

The cluster is a scheduler and two workers whose nannies replace each killed worker. Prints one line at the end, and exits with
1 if the command fails or the stores differ. Needs two idle cores: on a busy machine workers are killed before they start.
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
"""Timeout of a run."""
MASKS_PER_SECOND = 15
"""Speed on two cores."""
SIDES = (256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792)
"""Each pair is a canvas with its own small shard, so that a worker finishes some between its start and its end."""


def write_data(folder, masks):
    """COCO file of masks of two instances on many canvases."""
    sizes = [(SIDES[number % len(SIDES)], SIDES[number // len(SIDES) % len(SIDES)]) for number in range(masks)]
    return write_squares(folder, sizes, 100)


def start(data, root, *options):
    """Start the command."""
    return subprocess.Popen([COMMAND, "weights", data, root, *options], stdout=subprocess.DEVNULL)


def serving(nannies):
    """Worker processes that are connected to the scheduler; a nanny does not replace one that is killed before that."""
    connected = []
    for worker in psutil.Process(nannies.pid).children():
        try:
            if any(socket.status == psutil.CONN_ESTABLISHED for socket in worker.net_connections("inet")):
                connected.append(worker)
        except psutil.Error:
            continue
    return connected


def kill_one(nannies, chance):
    """Kill one of the workers, if there is any; number of killed ones."""
    victims = serving(nannies)
    for victim in chance.sample(victims, min(1, len(victims))):
        victim.kill()
    return min(1, len(victims))


def kill_by_the_clock(process, nannies, _root):
    """Kill a worker every `BETWEEN_SECONDS` until the command ends; number of kills."""
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
    """Number of kills that a run on a cluster survives; its store must equal that of a local run."""
    data = write_data(folder, masks)
    assert start(data, folder / "undisturbed.zarr").wait(END_SECONDS) == 0
    root = folder / "killed.zarr"
    if bucket is not None:
        data, root = upload(data, bucket / data.name), bucket / root.name
    with scheduler(folder) as (_, file), workers_of(file, folder) as nannies:
        wait_for_workers(file, 2)
        process = start(str(data), str(root), "--scheduler", file)
        kills = kill(process, nannies, root)
        assert process.wait(END_SECONDS) == 0, f"exit code {process.returncode} after {kills} kills"
    written = shards_and_tables(files(root) if bucket is None else objects_in(root))
    expected = shards_and_tables(files(folder / "undisturbed.zarr"))
    assert written == expected, "the store differs from that of an undisturbed run"
    return kills


def shards_and_tables(contents):
    """Contents without the stamp of the input, whose files have other times in a bucket."""
    return {name: content for name, content in contents.items() if name != INPUT_STAMP}


def main(seconds=60, where="here"):
    """Run the loop; see the module for the arguments."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, object_store() as variables:
        os.environ.update(variables)
        bucket = make_bucket("kills") if where == "bucket" else None
        kills = outlived(Path(folder), seconds * MASKS_PER_SECOND, kill_by_the_clock, bucket)
    assert kills > seconds / BETWEEN_SECONDS / 2
    print(
        f"{where}: {kills} workers killed in {time.monotonic() - started:.0f} s: the store is byte-identical to that of an "
        "undisturbed run"
    )


if __name__ == "__main__":
    main(*(int(word) if word.isdigit() else word for word in sys.argv[1:]))
