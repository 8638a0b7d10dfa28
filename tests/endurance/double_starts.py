"""Start a run twice at once, and show that one goes on to the same bytes as ever while the other is refused.

``python tests/endurance/double_starts.py [COUNT]`` (default 50). Prints one line at the end, and ends with exit code 1 at the
first pair that does otherwise. The seconds are those of whole processes, from their start to their end.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import COMMAND, files, outcome, start, undisturbed, write_data


def timed(data, root):
    """Exit code of a run, what it said, and how many seconds it took."""
    begun = time.monotonic()
    status, said = outcome(start(data, root))
    return status, said, time.monotonic() - begun


def start_two(data, root, expected):
    """Seconds until the run that was refused had ended."""
    with ThreadPoolExecutor(2) as both:
        winner, loser = sorted(both.map(timed, [data] * 2, [root] * 2), key=lambda end: end[0])
    assert (winner[0], loser[0]) == (0, 4), f"{winner}, {loser}"
    assert "is being written by process" in loser[1], loser[1]
    assert files(root) == expected, "another store than that of an undisturbed run"
    return loser[2]


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
        seconds = [start_two(data, Path(folder) / f"{number}.zarr", expected) for number in range(count)]
    print(
        f"{count} double starts: one ended whole and the other was refused (exit code 4) "
        f"{max(seconds):.2f} s after its start at most, {median(seconds):.2f} s in the median; "
        f"a command that does nothing takes {bare():.2f} s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
