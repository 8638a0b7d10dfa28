"""A long loop of random faults: each must be found, and repaired to the byte.

    python tests/endurance/faults.py [COUNT] [SEED]

Prints counts and ends with 1 if any fault was missed.
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from segprep import Distance, Rules, SplitRule, Weights, Workers, preprocess
from segprep.runs.repair import repair
from segprep.runs.verify import verify

sys.path.append(str(Path(__file__).parents[1]))
from helpers.damage import any_fault

ONE = Workers(processes=1)
FAST_FINDS = ("delete", "cut", "append")
"""Faults that change the size of an object."""


def make(folder):
    """Label images of two sizes, and their store."""
    data, root = folder / "cells", folder / "whole.zarr"
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
        targets=[Weights(), Distance("class")],
        rules=Rules(split=SplitRule((0.5, 0.5, 0.0), stratify=True)),
        workers=ONE,
    )


def contents(root):
    """Every file by its relative name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def missed(root, data, whole, random):
    """What was done, and what went wrong then, if anything."""
    what = any_fault(root, random)
    if what.startswith(FAST_FINDS) and not verify(root, workers=ONE).findings:
        return what, "not found by a fast pass"
    report = repair(root, data, workers=ONE)
    if not report.repaired:
        return what, "not found by a deep pass"
    if report.findings:
        return what, "not repaired"
    return what, None if contents(root) == whole else "repaired to other bytes"


def run(count, seed):
    """Damage a store so many times; returns whether all was found and repaired."""
    random = Random(seed)  # noqa: S311 - the same faults each time
    done, failed = Counter(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, root = make(folder)
        whole = contents(root)
        for number in range(count):
            what, wrong = missed(root, data, whole, random)
            done[what.partition(" ")[0]] += 1
            if wrong is not None:
                failed.append(f"fault {number}: {what}: {wrong}")
                shutil.rmtree(root)
                write(data, root)
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(done.items()))
    print(f"{count} faults (seed {seed}): {kinds}; {len(whole)} objects; missed: {len(failed)}", *failed, sep="\n")
    return not failed


if __name__ == "__main__":
    said = [int(each) for each in sys.argv[1:]]
    sys.exit(not run(*(said + [1000, 0][len(said) :])))
