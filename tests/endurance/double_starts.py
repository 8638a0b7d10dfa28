"""Start a run twice at the same time: one must complete with the same bytes as ever, the other must be refused.

Usage: ``python tests/endurance/double_starts.py [COUNT]``

COUNT
    Number of pairs (default 50).

Prints one line at the end, and exits with 1 at the first pair that behaves otherwise. Most of the time from the start of a
refused process to its end is spent on imports.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import COMMAND, files, outcome, start, undisturbed, write_data

LIMIT = 2
"""Seconds from its first line on within which a refused run must end."""


class End(NamedTuple):
    """Exit code, stderr and duration of a run, and the seconds from its first line of stderr to its end."""

    status: int
    stderr: str
    seconds: float
    after_first_line: float


def run(data, root):
    """Run the command to its end."""
    started = time.monotonic()
    process = start(data, root)
    first_line = process.stderr.readline()
    reported = time.monotonic()
    status, stderr = outcome(process)
    ended = time.monotonic()
    return End(status, first_line + stderr, ended - started, ended - reported)


def start_two(data, root, expected):
    """End of the refused run of two that start at the same time."""
    with ThreadPoolExecutor(2) as both:
        winner, loser = sorted(both.map(run, [data] * 2, [root] * 2))
    assert (winner.status, loser.status) == (0, 4), f"{winner}, {loser}"
    assert "is being written by process" in loser.stderr.splitlines()[0], loser
    assert loser.after_first_line < LIMIT, loser
    assert files(root) == expected, "the store differs from that of an undisturbed run"
    return loser


def bare():
    """Seconds that the command takes to start and end."""
    started = time.monotonic()
    subprocess.run([COMMAND, "--version"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def main(count=50, masks=24):
    """Run the loop; see the module for the arguments."""
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, _ = undisturbed(data, Path(folder) / "undisturbed.zarr")
        losers = [start_two(data, Path(folder) / f"{number}.zarr", expected) for number in range(count)]
    seconds = [loser.seconds for loser in losers]
    latest = max(loser.after_first_line for loser in losers)
    print(
        f"{count} double starts: one run completed, the other was refused with exit code 4, at most {latest:.2f} s after its "
        f"first line and {max(seconds):.2f} s after its start (median {median(seconds):.2f} s; a "
        f"command that does nothing takes {bare():.2f} s)"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
