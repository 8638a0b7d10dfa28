"""Send signals to runs at random moments, from their start to their end, and show that they end soon and go on as ever.

``python tests/endurance/signals.py [COUNT] [SEED]`` (default 50 of SIGINT and 50 of SIGTERM). Every other one is sent to all
processes of the run, as terminals and schedulers of clusters do. Prints one line for each signal, and ends with exit code 1 at
the first run that ends otherwise, late, or leaves a process. The exit code is 128 and the signal's number; or 0, where the run
had ended; or, where Python had not yet come to the command, what it makes of the signal: an end by that signal, which shells
show as the same number, or 1 for SIGINT while it reads its own settings.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import (
    assert_no_orphans,
    assert_none_hidden,
    command,
    files,
    outcome,
    start,
    undisturbed,
    write_data,
)

LIMIT = 10
"""Seconds within which a run has ended."""


def send(process, number, to_all):
    """Send a signal to a run, if there still is one."""
    with suppress(ProcessLookupError):
        (os.killpg if to_all else os.kill)(process.pid, number)


def is_early(number, status, said):
    """Whether a run ended before Python had come to the command."""
    return status == -number or (status == 1 and said.split()[-1:] == ["KeyboardInterrupt"])


def disturb(data, root, number, after, to_all, expected, again):
    """Exit code of a run that got a signal after so many seconds, and how many seconds later it had ended."""
    process = start(data, root)
    time.sleep(after)
    begun = time.monotonic()
    send(process, number, to_all)
    status, said = outcome(process)
    seconds = time.monotonic() - begun
    assert_no_orphans(process)
    case = f"{number.name} after {after:.3f} s: exit code {status} after {seconds:.2f} s: {said}"
    assert status in (0, 128 + number) or is_early(number, status, said), case
    assert "Traceback" not in said or is_early(number, status, said), case
    assert "ignored" not in said, case
    if status == 128 + number:
        assert said.splitlines()[-1].endswith("; the same command again goes on"), case
        assert_none_hidden(root, case)
    assert seconds < LIMIT, case
    again(data, root)
    assert files(root) == expected, f"{case}: another store than that of an undisturbed run"
    return status, seconds


def main(count=50, seed=0, masks=60, again=command):
    """See the module."""
    chance = random.Random(seed)  # noqa: S311 - the same moments for the same seed
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, whole = undisturbed(data, Path(folder) / "whole.zarr")
        for number in (signal.SIGINT, signal.SIGTERM):
            ends = [
                disturb(
                    data,
                    Path(folder) / f"{number.name}-{index}.zarr",
                    number,
                    chance.uniform(0, whole),
                    index % 2 == 0,
                    expected,
                    again,
                )
                for index in range(count)
            ]
            statuses, seconds = zip(*ends, strict=True)
            told = ", ".join(f"{times} with {status}" for status, times in sorted(Counter(statuses).items()))
            print(f"{count} of {number.name}: ended {told}; after {max(seconds):.2f} s at most; none left a process")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
