"""Peak memory of a run over one large mask, by the side of the mask.

``python tests/benchmarks/large_mask.py [--targets NAMES] [SIDE ...]`` prints the table of docs/performance.md: the bytes per
pixel by which the peak of a process exceeds its memory before the run, once it has imported and compiled everything. The mask
is a TIFF of 32 bits with squares on a jittered grid: 100,000 of them for a side of 20,000.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

SIDES = (5_000, 10_000)
CELL = 63
"""Pixels of a side of the grid."""


def squares(side):
    """Labels of squares of half the cell's size or more, which rarely touch."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.uint32)
    corners = [(y, x) for y in range(0, side - CELL + 1, CELL) for x in range(0, side - CELL + 1, CELL)]
    for number, ((y, x), size, shift) in enumerate(
        zip(corners, rng.integers(32, CELL, len(corners)), rng.random((len(corners), 2)), strict=True), start=1
    ):
        top, left = (np.array([y, x]) + shift * (CELL - size)).astype(int)
        labels[top : top + size, left : left + size] = number
    return labels


def status(name):
    """Bytes of an entry of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def measure(file, targets):
    """Bytes per pixel of a run over the mask, CPU seconds, and number of its instances."""
    import segprep  # noqa: PLC0415 - not before the child measures itself

    options = {"targets": targets, "workers": segprep.Workers(processes=1), "max_pixels": 2**31 - 1}
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        small = Path(folder) / "small.tif"
        tifffile.imwrite(small, squares(2 * CELL))
        segprep.preprocess(small, Path(folder) / "small.zarr", **options)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that from now on
        before, start = status("VmRSS"), time.process_time()
        info = segprep.preprocess(file, Path(folder) / "out.zarr", **options)
        seconds, peak = time.process_time() - start, status("VmHWM")
    with tifffile.TiffFile(file) as tiff:
        pixels = tiff.pages[0].size
    print(f"{(peak - before) / pixels:.1f} {seconds:.0f} {info.instances} {peak / 1e6:.0f}")


def measured(side, targets):
    """Result of `measure` in a separate process."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        file = Path(folder) / "large.tif"
        tifffile.imwrite(file, squares(side))
        command = [sys.executable, __file__, "--child", str(file), "--targets", targets]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def main():
    """Print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="*", type=int, metavar="SIDE")
    parser.add_argument("--targets", default="weights,distance")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child, options.targets)
        return
    print(f"| mask | instances | {options.targets}: bytes per pixel | peak of the process, MB | CPU time, s |")
    print("|---|---|---|---|---|")
    for side in options.sides or SIDES:
        ratio, seconds, instances, peak = measured(side, options.targets)
        print(f"| {side:,} x {side:,} | {int(instances):,} | {ratio} | {peak} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
