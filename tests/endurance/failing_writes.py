"""Let calls fail that write to a store, each once, and show that no failure passes unseen and the same command then goes on.

``python tests/endurance/failing_writes.py [COUNT]``: the calls of a run that create, write, cut, flush or rename something in
the store, all of them or COUNT evenly spread ones. Each fails once with ENOSPC, once with EIO, once with EDQUOT (a quota), and
once with ENOSPC as do all that follow it. Prints one line for each, and ends with exit code 1 at the first thing that is not
as it must be. The calls fail in the system's own library, by one that is loaded before it: needs Linux and a C compiler.
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
"""Reason, and whether all calls that follow fail too."""


def hindrance():
    """Why this cannot run here, if it cannot."""
    if sys.platform != "linux":
        return "calls are made to fail on Linux alone"
    if compiler() is None:
        return "there is no C compiler"
    tried = subprocess.run([compiler(), "-fsyntax-only", SOURCE], capture_output=True, check=False)
    return "the C compiler lacks what it needs" if tried.returncode else None


def compiler():
    """Path of a C compiler, if there is one."""
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
    """Exit code of the command in this process, and what it said on stderr."""
    sys.argv = ["segprep", "weights", str(data), str(root), "--workers", "1"]
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            cli.run()
        except SystemExit as end:
            return end.code, said.getvalue()


def is_complete(root):
    """Whether a store says so; opening and verifying it must agree."""
    found = []
    for read in (segprep.open, verify):
        try:
            read(root)
        except IntegrityError:
            found.append(False)
        else:
            found.append(True)
    assert found[0] == found[1], f"opens: {found[0]}, verifies: {found[1]}"
    return found[0]


def fail(calls, data, root, number, name, lasts, whole):
    """Run while a call fails, then again while none does; what the first came to."""
    calls.fail_calls(os.fsencode(root), number, NEVER if lasts else number, getattr(errno, name))
    status, said = run(data, root)
    assert calls.calls_seen() >= number
    case = f"call {number}, {name}: exit code {status}: {said}"
    assert status == 6, case
    line = said.splitlines()[-1]
    assert line.startswith(f"segprep: {root}"), case
    assert os.strerror(getattr(errno, name)) in line, case
    complete = is_complete(root)
    assert not complete or files(root) == whole, case
    assert_none_hidden(root, case)
    assert run(data, root)[0] == 0, f"{case}: the same command does not go on"
    assert files(root) == whole, f"{case}: another store than that of an undisturbed run"
    shutil.rmtree(root)
    return "the store was whole already" if complete else "the store was incomplete"


def loop(count):
    """What `main` does, where the library is loaded."""
    calls = ctypes.CDLL(None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        data, root = write_data(folder), folder / "out.zarr"
        calls.fail_calls(os.fsencode(root), NEVER, NEVER, 0)
        assert run(data, root)[0] == 0
        total = calls.calls_seen()
        whole = files(root)
        shutil.rmtree(root)
        count = min(count or total, total)
        numbers = [1 + index * (total - 1) // max(1, count - 1) for index in range(count)]
        for name, lasts in FAULTS:
            ends = Counter(fail(calls, data, root, number, name, lasts, whole) for number in numbers)
            what = "and all that follow it" if lasts else "alone"
            told = ", ".join(f"{end}: {times}" for end, times in sorted(ends.items()))
            print(f"{count} of {total} calls failed, each {what}, {name}: exit code 6, then the same bytes; {told}")


def main(count=0):
    """See the module."""
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
