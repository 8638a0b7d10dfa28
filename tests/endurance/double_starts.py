"""Start a run twice at once, and show that one goes on to the same bytes as ever while the other is refused.

``python tests/endurance/double_starts.py [COUNT]`` (default 50). Prints one line at the end, and ends with exit code 1 at the
first pair that does otherwise. Most of the seconds from the start of a process to its end are for what it imports.
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
"""Seconds within which a run has ended that was refused."""


class End(NamedTuple):
    """How a run ended: its exit code, what it said, and the seconds in all and from its first word on."""

    status: int
    said: str
    seconds: float
    after_word: float


def run(data, root):
    """Run the command to its end."""
    begun = time.monotonic()
    process = start(data, root)
    word = process.stderr.readline()
    spoken = time.monotonic()
    status, said = outcome(process)
    ended = time.monotonic()
    return End(status, word + said, ended - begun, ended - spoken)


def start_two(data, root, expected):
    """End of the run that was refused."""
    with ThreadPoolExecutor(2) as both:
        winner, loser = sorted(both.map(run, [data] * 2, [root] * 2))
    assert (winner.status, loser.status) == (0, 4), f"{winner}, {loser}"
    assert "is being written by process" in loser.said.splitlines()[0], loser
    assert loser.after_word < LIMIT, loser
    assert files(root) == expected, "another store than that of an undisturbed run"
    return loser


def bare():
    """Seconds that the command takes to begin and end."""
    begun = time.monotonic()
    subprocess.run([COMMAND, "--version"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def main(count=50, masks=24):
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, _ = undisturbed(data, Path(folder) / "whole.zarr")
        losers = [start_two(data, Path(folder) / f"{number}.zarr", expected) for number in range(count)]
    seconds = [each.seconds for each in losers]
    print(
        f"{count} double starts: one ended whole, and the other was refused (exit code 4) and ended "
        f"{max(each.after_word for each in losers):.2f} s later at most, {max(seconds):.2f} s after its start at most "
        f"({median(seconds):.2f} s in the median; a command that does nothing takes {bare():.2f} s)"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
