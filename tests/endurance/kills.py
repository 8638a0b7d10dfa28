"""Kill runs, or one of their workers, at random moments; resuming must give the same bytes as an undisturbed run.

Usage: ``python tests/endurance/kills.py [KILLS] [SEED]``

KILLS
    Number of kills (default 200); a quarter more are in runs that are mostly scan.
SEED
    Random seed of the moments (default 0).

Prints two lines at the end, and exits with 1 at the first difference. A finished shard is never computed again; a kill costs
at most the unfinished shard of each worker, and of a scan whose results are stored after each batch, the batch of each worker.
A kill that hits no process, because none has started yet or all have ended, is not counted.
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
from endurance.runs import (
    WORKERS,
    assert_no_orphans,
    family,
    files,
    outcome,
    run_command,
    start,
    undisturbed,
    write_data,
)
from helpers import logged_run

from segprep.runs.scan import SCAN_BATCH

SLOW_LOADS = {"WORKERS": str(WORKERS), "LOAD_SECONDS": "0.005"}
"""Environment of runs that are mostly scan."""
TARGETS = ("labels", "classes", "weights")
TRIES = 10
"""Most runs for each kill."""


class Shards(NamedTuple):
    """Shards of an unfinished store: modification times of the records of finished ones, and number of unfinished ones."""

    records: dict[Path, int]
    begun: int


def shards(root):
    """Shards of a store whose processes are suspended."""
    paths = list(root.glob("*x*/*/records/*.json"))
    finished = {shard for shard in map(shard_of, paths) if is_finished(*shard)}
    objects = [path for path in root.glob("*x*/*/c/*") if path.is_dir()]
    records = {path: path.stat().st_mtime_ns for path in paths if shard_of(path) in finished}
    return Shards(records, len({shard_of(path) for path in objects} - finished))


def shard_of(path):
    """Bucket and number of the shard that an object or a record belongs to."""
    return path.parents[2], path.stem


def is_finished(bucket, number):
    """True if a shard has the records of all its targets."""
    return all((bucket / target / "records" / f"{number}.json").is_file() for target in TARGETS)


def halt(processes):
    """Suspend processes and return those that have not ended."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    while not all(state(process) in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE} for process in processes):
        time.sleep(0.001)  # a process that waits for the disk stops only after that
    return [process for process in processes if state(process) == psutil.STATUS_STOPPED]


def state(process):
    """State of a process."""
    return process.status() if process.is_running() else psutil.STATUS_ZOMBIE


class Kill(NamedTuple):
    """A kill of the main process or of a worker, `after` seconds from the start of the run or of its writing."""

    main: bool
    writing: bool
    after: float

    @classmethod
    def of(cls, number, chance, seconds):
        """Random kill of a run that takes `seconds`; `number` decides its kind."""
        writing = number % 4 >= 2  # without, most kills would come while processes start
        return cls(number % 2 == 0, writing, chance.uniform(0, seconds / 4 if writing else seconds))


def kill_one(data, root, kill, expected, resume):
    """Finished and unfinished shards that had to be computed again after a kill; None if it hit no process."""
    process = start(data, root)
    while kill.writing and process.poll() is None and not (root / "zarr.json").exists():
        time.sleep(0.001)
    time.sleep(kill.after)
    running = halt(family(process))
    before = shards(root)
    workers = [member for member in running if any("spawn_main" in word for word in member.cmdline())]
    victims = [member for member in running if member.pid == process.pid] if kill.main else workers[:1]
    for member in running:
        if member not in victims:  # first, or else the system ends them with a parent that is killed
            member.resume()
    for victim in victims:
        victim.kill()
    status, stderr = outcome(process)
    assert_no_orphans(process)
    assert status == (-9 if kill.main and victims else 0), f"exit code {status} after a kill: {stderr}"
    resume(data, root)
    assert files(root) == expected, "the store differs from that of an undisturbed run"
    repeated = sum(path.stat().st_mtime_ns != moment for path, moment in before.records.items())
    return (repeated, before.begun) if victims else None


def kill_scan(data, root, after, expected):
    """Masks that were loaded twice because of a kill `after` seconds from the first load; None if the run had ended."""
    logged_run.log_of(data).unlink(missing_ok=True)
    process = logged_run.start(data, root, **SLOW_LOADS)
    while process.poll() is None and not logged_run.log_of(data).exists():
        time.sleep(0.001)
    time.sleep(after)
    process.kill()
    status, _ = outcome(process)
    assert_no_orphans(process)
    assert logged_run.run(data, root, **SLOW_LOADS) == (0, "")
    assert files(root) == expected, "the store differs from that of an undisturbed run"
    return None if status == 0 else sum(count > 1 for count in logged_run.loads(data).values())


def kill_scans(folder, chance, kills, masks=200):
    """Kill main processes at random moments from the first load on."""
    data = logged_run.write_masks(folder / "logged", masks)
    started = time.monotonic()
    assert logged_run.run(data, folder / "logged.zarr", **SLOW_LOADS) == (0, "")
    seconds, expected = time.monotonic() - started, files(folder / "logged.zarr")
    costs, tries = [], 0
    while len(costs) < kills:
        cost = kill_scan(data, folder / f"scan{tries}.zarr", chance.uniform(0, seconds / 2), expected)
        costs += [] if cost is None else [cost]
        tries += 1
        assert tries <= TRIES * kills, f"{len(costs)} kills in {tries} tries"
    assert max(costs) <= WORKERS * SCAN_BATCH
    print(
        f"{kills} kills of scans in {tries} runs: every store is byte-identical to that of an undisturbed run; at most "
        f"{max(costs)} of {masks} masks were loaded twice, {sum(costs) / kills:.1f} on average"
    )


def main(kills=200, seed=0, masks=60, resume=run_command):
    """Run the loop; see the module for the arguments."""
    chance = random.Random(seed)  # noqa: S311 - reproducible moments
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, seconds = undisturbed(data, Path(folder) / "undisturbed.zarr")
        costs, tries = [], 0
        while len(costs) < kills:
            kill = Kill.of(len(costs), chance, seconds)
            cost = kill_one(data, Path(folder) / f"{tries}.zarr", kill, expected, resume)
            costs += [] if cost is None else [cost]
            tries += 1
            assert tries <= TRIES * kills, f"{len(costs)} kills in {tries} tries"
        kill_scans(Path(folder), chance, max(1, kills // 4))
    finished, begun = map(max, zip(*costs, strict=True))
    assert finished == 0
    assert begun <= WORKERS
    print(
        f"{kills} kills in {tries} runs: every store is byte-identical to that of an undisturbed run; {finished} finished "
        f"shards and at most {begun} unfinished ones were computed again ({WORKERS} workers)"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
