"""Kill runs, or one of their workers, at random moments, and show that the same command always ends with the same bytes.

``python tests/endurance/kills.py [KILLS] [SEED]`` (default 200 kills). Prints one line at the end, and ends with exit code 1
at the first difference. A finished shard is never computed again; a kill costs those under way, one for each worker. Moments
at which there is no process to kill, because none has started yet or all have ended, count for nothing.
"""

import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import WORKERS, assert_no_orphans, command, family, files, outcome, start, undisturbed, write_data

TARGETS = ("labels", "classes", "weights")
TRIES = 10
"""For each kill, at most."""


class Shards(NamedTuple):
    """Shards of a store that is being written: records of finished ones with their times, and how many are begun alone."""

    records: dict[Path, int]
    begun: int


def shards(root):
    """Shards of a store none of whose processes runs at the moment."""
    paths = list(root.glob("*x*/*/records/*.json"))
    finished = {shard for shard in map(shard_of, paths) if is_finished(*shard)}
    objects = [path for path in root.glob("*x*/*/c/*") if path.is_dir()]
    records = {path: path.stat().st_mtime_ns for path in paths if shard_of(path) in finished}
    return Shards(records, len({shard_of(path) for path in objects} - finished))


def shard_of(path):
    """Bucket and number of the shard that an object or a record belongs to."""
    return path.parents[2], path.stem


def is_finished(bucket, number):
    """Whether a shard has the records of all its targets."""
    return all((bucket / target / "records" / f"{number}.json").is_file() for target in TARGETS)


def halt(processes):
    """Stop processes where they are; those that have not ended meanwhile."""
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.suspend()
    while not all(state(each) in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE} for each in processes):
        time.sleep(0.001)  # a process that waits for the disk stops only after that
    return [each for each in processes if state(each) == psutil.STATUS_STOPPED]


def state(process):
    """What a process does at the moment."""
    return process.status() if process.is_running() else psutil.STATUS_ZOMBIE


class Kill(NamedTuple):
    """A kill of the whole run, or of a worker, so many seconds after it began; or after it began to write."""

    whole: bool
    writing: bool
    after: float

    @classmethod
    def of(cls, number, chance, seconds):
        """Kill with this number, of a run that would take so many seconds."""
        writing = number % 4 >= 2  # without, most kills would come while processes start
        return cls(number % 2 == 0, writing, chance.uniform(0, seconds / 4 if writing else seconds))


def kill_one(data, root, kill, expected, again):
    """One kill; the finished shards, and those under way, that had to be computed again; None where it hit nobody."""
    process = start(data, root)
    while kill.writing and process.poll() is None and not (root / "zarr.json").exists():
        time.sleep(0.001)
    time.sleep(kill.after)
    running = halt(family(process))
    before = shards(root)
    workers = [each for each in running if any("spawn_main" in word for word in each.cmdline())]
    victims = [each for each in running if each.pid == process.pid] if kill.whole else workers[:1]
    for each in running:
        if each not in victims:  # first, or else the system ends them with a parent that is killed
            each.resume()
    for victim in victims:
        victim.kill()
    status, said = outcome(process)
    assert_no_orphans(process)
    assert status == (-9 if kill.whole and victims else 0), f"exit code {status} after a kill: {said}"
    again(data, root)
    assert files(root) == expected, "another store than that of an undisturbed run"
    again_finished = sum(path.stat().st_mtime_ns != moment for path, moment in before.records.items())
    return (again_finished, before.begun) if victims else None


def main(kills=200, seed=0, masks=60, again=command):
    """See the module."""
    chance = random.Random(seed)  # noqa: S311 - the same kills for the same seed
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, seconds = undisturbed(data, Path(folder) / "whole.zarr")
        costs, tries = [], 0
        while len(costs) < kills:
            kill = Kill.of(len(costs), chance, seconds)
            cost = kill_one(data, Path(folder) / f"{tries}.zarr", kill, expected, again)
            costs += [] if cost is None else [cost]
            tries += 1
            assert tries <= TRIES * kills, f"{len(costs)} kills in {tries} tries"
    finished, begun = (max(each) for each in zip(*costs, strict=True))
    assert finished == 0
    assert begun <= WORKERS
    print(
        f"{kills} kills ({tries} tries): every store is the same to the byte; {finished} finished shards were computed again, "
        f"and at most {begun} that were begun, with {WORKERS} workers"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
