"""Run over masks whose loads are logged: ``python -m helpers.logged_run DATA STORE [PART]``.

Environment: KILLED_AT, the key of a mask whose load kills the process; MET_AT, a folder in which two parts wait for each other
before each loads its first mask; LOAD_SECONDS, the least time of a load; WORKERS (1).
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from segprep import MaskSet, Reader, preprocess
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.paths.anypath import parse_path
from segprep.runs import journal

TESTS = Path(__file__).parents[1]
SECONDS = 120
"""Timeout of a run; far more than it needs."""


@dataclass(frozen=True)
class LoggedRef:
    """Mask of one ``.npy`` file, whose loads are logged beside the data."""

    key: str
    folder: Path
    split: None = None

    def load(self):
        """Load the mask, unless this is where the process is to be killed."""
        if met := os.environ.get("MET_AT"):
            wait_for_other(Path(met))
        if self.key == os.environ.get("KILLED_AT"):
            os.kill(os.getpid(), signal.SIGKILL)
        with log_of(self.folder).open("a") as log:
            log.write(f"{self.key}\n")
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
        return InstanceMask(np.load(self.folder / self.key)[None], np.array([0, 1, 1], np.int32))


@cache
def wait_for_other(folder):
    """Wait until another process does."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.001)


def log_of(folder):
    """File with a line for each load."""
    return folder.with_name(f"{folder.name}.log")


def loads(folder):
    """Number of loads of each mask so far."""
    return Counter(log_of(folder).read_text().split() if log_of(folder).exists() else [])


def find_logged(path, _options):
    """Find ``.npy`` files."""
    keys = sorted(file.name for file in path.glob("*.npy"))
    return MaskSet("logged", class_table([(None, "square")]), tuple(LoggedRef(key, path) for key in keys))


def write_masks(folder, count, side=16):
    """Folder of masks of two instances, all different."""
    folder.mkdir()
    for number in range(count):
        labels = np.zeros((side, side + number % 7), np.int32)
        labels[1:5, 1 : 3 + number % 11] = 1
        labels[7:9, 2:9] = 2
        np.save(folder / f"{number:04}.npy", labels)
    return folder


def start(data, store, *part, **environment):
    """Start a run, in a new session, which identifies its processes."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.logged_run", str(data), str(store), *part],
        env=os.environ | {"PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(data, store, *part, **environment):
    """Exit code and stderr of a run, once it has ended."""
    process = start(data, store, *part, **environment)
    stderr = process.communicate(timeout=SECONDS)[1]
    return process.returncode, stderr


def main(data, store, part=None):
    """Run with a journal that is written after each batch."""
    journal.INTERVAL = journal.SHARE = 0
    reader = Reader("logged", find_logged)
    workers = int(os.environ.get("WORKERS", "1"))
    preprocess(Path(data), parse_path(store), format=reader, workers=workers, part=part, targets="weights")


if __name__ == "__main__":
    from helpers import logged_run  # so that workers know the refs by this module

    logged_run.main(*sys.argv[1:])
