"""Make the calls that write to a store fail, one per run; the run must report it, and the same command must then resume.

Usage: ``python tests/endurance/failing_writes.py [COUNT]``

COUNT
    Number of calls, evenly spread over all that create, write, truncate, flush or rename something in the store (default:
    all).

Each call fails once with ENOSPC, once with EIO, once with EDQUOT (a quota), and once with ENOSPC together with all calls after
it. Prints one line for each of these, and exits with 1 at the first unexpected result. The calls fail inside the C library,
through a library that is loaded before it: needs Linux and a C compiler.
"""

import ctypes
import errno
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

import segprep
from segprep.cli import main as cli
from segprep.errors import IntegrityError
from segprep.runs.verify import verify

sys.path.append(str(Path(__file__).parents[1]))
from endurance.runs import assert_none_hidden, files

SOURCE = Path(__file__).with_name("failing_calls.c")
NEVER = 2**31 - 1
FAULTS = (("ENOSPC", False), ("EIO", False), ("EDQUOT", False), ("ENOSPC", True))
"""Error, and True if all calls after the first fail too."""


def hindrance():
    """Reason why the loop cannot run on this machine, or None."""
    if sys.platform != "linux":
        return "needs Linux"
    if compiler() is None:
        return "needs a C compiler"
    tried = subprocess.run([compiler(), "-fsyntax-only", SOURCE], capture_output=True, check=False)
    return "the C compiler does not work" if tried.returncode else None


def compiler():
    """Path of a C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def write_data(folder):
    """Label images of two sizes."""
    data = folder / "cells"
    data.mkdir()
    random = np.random.default_rng(0)
    for number, shape in enumerate([(6, 7), (24, 30), (6, 7)]):
        Image.fromarray(random.integers(0, 5, shape).astype(np.uint8)).save(data / f"{number}.png")
    return data


def run(data, root):
    """Exit code and stderr of the command, run in this process."""
    sys.argv = ["segprep", "weights", str(data), str(root), "--workers", "1"]
    stderr = io.StringIO()
    with redirect_stderr(stderr), redirect_stdout(io.StringIO()):
        try:
            cli.run()
        except SystemExit as end:
            return end.code, stderr.getvalue()


def is_complete(root):
    """True if a store is complete; opening and verifying it must agree."""
    results = []
    for read in (segprep.open, verify):
        try:
            read(root)
        except IntegrityError:
            results.append(False)
        else:
            results.append(True)
    assert results[0] == results[1], f"opens: {results[0]}, verifies: {results[1]}"
    return results[0]


def fail(calls, data, root, number, name, lasts, expected):
    """State of the store after a run in which a call fails; the same command must then complete it."""
    calls.fail_calls(os.fsencode(root), number, NEVER if lasts else number, getattr(errno, name))
    status, stderr = run(data, root)
    assert calls.calls_seen() >= number
    case = f"call {number}, {name}: exit code {status}: {stderr}"
    assert status == 6, case
    line = stderr.splitlines()[-1]
    assert line.startswith(f"segprep: {root}"), case
    assert os.strerror(getattr(errno, name)) in line, case
    complete = is_complete(root)
    assert not complete or files(root) == expected, case
    assert_none_hidden(root, case)
    assert run(data, root)[0] == 0, f"{case}: the same command does not resume"
    assert files(root) == expected, f"{case}: the store differs from that of an undisturbed run"
    shutil.rmtree(root)
    return "complete" if complete else "incomplete"


def loop(count):
    """Run the loop in a process that has loaded the library."""
    calls = ctypes.CDLL(None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        data, root = write_data(folder), folder / "out.zarr"
        calls.fail_calls(os.fsencode(root), NEVER, NEVER, 0)
        assert run(data, root)[0] == 0
        total = calls.calls_seen()
        expected = files(root)
        shutil.rmtree(root)
        count = min(count or total, total)
        numbers = [1 + index * (total - 1) // max(1, count - 1) for index in range(count)]
        for name, lasts in FAULTS:
            ends = Counter(fail(calls, data, root, number, name, lasts, expected) for number in numbers)
            extent = "and all calls after it" if lasts else "alone"
            states = ", ".join(f"{state} {times} times" for state, times in sorted(ends.items()))
            print(
                f"{name}, one of {count} of {total} calls {extent}: exit code 6 (store {states}), then the same bytes as an "
                "undisturbed run"
            )


def main(count=0):
    """Build the library and run the loop; see the module for the arguments."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "failing_calls.so"
        subprocess.run([compiler(), "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        subprocess.run(
            [sys.executable, __file__, str(count)], env=os.environ | {"LD_PRELOAD": str(library)}, check=True
        )


if __name__ == "__main__":
    if reason := hindrance():
        sys.exit(reason)
    (loop if hasattr(ctypes.CDLL(None), "fail_calls") else main)(*map(int, sys.argv[1:] or [0]))
