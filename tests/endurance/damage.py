"""Damage a store at random; each damage must be found, and repaired byte for byte.

Usage: ``python tests/endurance/damage.py [COUNT] [SEED]``

COUNT
    Number of damages (default 1000).
SEED
    Random seed of the damages (default 0).

Prints the number of each kind, and exits with 1 if any was missed.
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from segprep import Distance, SplitRule, Weights, Workers, preprocess
from segprep.runs.repair import repair
from segprep.runs.verify import verify

sys.path.append(str(Path(__file__).parents[1]))
from helpers.damage import any_fault

ONE = Workers(processes=1)
FAST_FINDS = ("delete", "cut", "append")
"""Damages that change the size of an object."""


def make(folder):
    """Label images of two sizes, and their store."""
    data, root = folder / "cells", folder / "cells.zarr"
    data.mkdir()
    random = np.random.default_rng(0)
    for number, shape in enumerate([(6, 7), (24, 30), (6, 7), (24, 31)]):
        Image.fromarray(random.integers(0, 5, shape).astype(np.uint8)).save(data / f"{number}.png")
    write(data, root)
    return data, root


def write(data, root):
    """Write the store."""
    preprocess(
        data,
        root,
        targets=[Weights(class_weights="inverse"), Distance("class")],
        split=SplitRule((0.5, 0.5, 0.0), stratify=True),
        workers=ONE,
    )


def contents(root):
    """Contents of every file by relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def missed(root, data, expected, random):
    """Damage, and how it was missed, or None."""
    what = any_fault(root, random)
    if what.startswith(FAST_FINDS) and not verify(root, workers=ONE).findings:
        return what, "not found by a fast pass"
    report = repair(root, data, workers=ONE)
    if not report.repaired:
        return what, "not found by a deep pass"
    if report.findings:
        return what, "not repaired"
    return what, None if contents(root) == expected else "repaired to other bytes"


def run(count=1000, seed=0):
    """Damage a store `count` times; True if all damages were found and repaired."""
    random = Random(seed)  # noqa: S311 - reproducible damages
    done, failed = Counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, root = make(folder)
        expected = contents(root)
        for number in range(count):
            what, miss = missed(root, data, expected, random)
            done[what.partition(" ")[0]] += 1
            if miss is not None:
                failed.append(f"damage {number}: {what}: {miss}")
                shutil.rmtree(root)
                write(data, root)
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(done.items()))
    print(
        f"{count} damages of a store of {len(expected)} objects (seed {seed}): {kinds}; missed: {len(failed)}",
        *failed,
        sep="\n",
    )
    return not failed


if __name__ == "__main__":
    sys.exit(not run(*map(int, sys.argv[1:])))
