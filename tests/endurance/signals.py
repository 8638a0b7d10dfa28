"""Send signals to runs at random moments; they must exit soon, and resuming must give the same bytes as an undisturbed run.

Usage: ``python tests/endurance/signals.py [COUNT] [SEED]``

COUNT
    Number of SIGINTs, and of SIGTERMs (default 50). Every other one is sent to all processes of the run, as terminals and
    cluster schedulers do.
SEED
    Random seed of the moments (default 0).

Prints one line for each signal, and exits with 1 at the first run that ends with another exit code, too late, or leaves a
process. The exit code is 128 plus the signal's number; 0 if the run had already ended; or, if Python had not yet started the
command, Python's own: killed by the signal, or 1 for SIGINT while Python initialises.
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
    files,
    outcome,
    run_command,
    start,
    undisturbed,
    write_data,
)

LIMIT = 10
"""Seconds within which a run must end."""


def send(process, number, to_all):
    """Send a signal to a run unless it has ended."""
    with suppress(ProcessLookupError):
        (os.killpg if to_all else os.kill)(process.pid, number)


def is_early(number, status, stderr):
    """True if a run ended before Python had started the command."""
    return status == -number or (status == 1 and stderr.split()[-1:] == ["KeyboardInterrupt"])


def disturb(data, root, number, after, to_all, expected, resume):
    """Exit code of a run that gets a signal `after` seconds, and the seconds from the signal to its end."""
    process = start(data, root)
    time.sleep(after)
    sent = time.monotonic()
    send(process, number, to_all)
    status, stderr = outcome(process)
    seconds = time.monotonic() - sent
    assert_no_orphans(process)
    case = f"{number.name} after {after:.3f} s: exit code {status} after {seconds:.2f} s: {stderr}"
    assert status in (0, 128 + number) or is_early(number, status, stderr), case
    assert "Traceback" not in stderr or is_early(number, status, stderr), case
    assert "ignored" not in stderr, case
    if status == 128 + number:
        assert stderr.splitlines()[-1].endswith("; run the same command again to resume"), case
        assert_none_hidden(root, case)
    assert seconds < LIMIT, case
    resume(data, root)
    assert files(root) == expected, f"{case}: the store differs from that of an undisturbed run"
    return status, seconds


def main(count=50, seed=0, masks=60, resume=run_command):
    """Run the loop; see the module for the arguments."""
    chance = random.Random(seed)  # noqa: S311 - reproducible moments
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), masks)
        expected, duration = undisturbed(data, Path(folder) / "undisturbed.zarr")
        for number in (signal.SIGINT, signal.SIGTERM):
            ends = [
                disturb(
                    data,
                    Path(folder) / f"{number.name}-{index}.zarr",
                    number,
                    chance.uniform(0, duration),
                    index % 2 == 0,
                    expected,
                    resume,
                )
                for index in range(count)
            ]
            statuses, seconds = zip(*ends, strict=True)
            codes = ", ".join(f"{status} ({times} times)" for status, times in sorted(Counter(statuses).items()))
            print(
                f"{count} x {number.name}: exit codes {codes}; ended within {max(seconds):.2f} s; no process was left"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
