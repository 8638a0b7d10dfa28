"""Slides that are read tile by tile: time and peak memory of each process, by the side of the slide."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import psutil
import tifffile
from benchmarks.measure import Figures
from helpers.commands import COMMAND

CELL = 40
"""Pixels of a side of the grid of instances: a million of them in 40,000 x 40,000."""
SEGMENT = 512
"""Pixels of a side of the tiles of the TIFF."""
LIMIT = 2**24
"""Pixels that may be in memory, so that every slide is read in tiles."""
OPTIONS = ["--tile", 512, "--distance-clip", 32, "--max-pixels", LIMIT, "--workers", 2]


def write_slide(file, side):
    """TIFF of labels of 32 bits, made tile by tile: squares of 20 to 39 pixels, one at a random place in each cell."""
    rng = np.random.default_rng(0)
    count = side // CELL
    sizes = rng.integers(CELL // 2, CELL, (count, count))
    corners = rng.integers(0, 1 + CELL - sizes[..., np.newaxis], (count, count, 2))
    corners += CELL * np.stack(np.indices((count, count)), axis=-1)

    def segments():
        for top in range(0, side, SEGMENT):
            for left in range(0, side, SEGMENT):
                yield _segment(corners, sizes, top, left)

    options = {"tile": (SEGMENT, SEGMENT), "compression": "zlib", "compressionargs": {"level": 1}, "bigtiff": True}
    tifffile.imwrite(file, segments(), shape=(side, side), dtype=np.uint32, **options)


def _segment(corners, sizes, top, left):
    """Labels of one tile of a slide."""
    labels, count = np.zeros((SEGMENT, SEGMENT), np.uint32), len(sizes)
    for row in range(max(0, top // CELL - 1), min(count, (top + SEGMENT) // CELL + 1)):
        for column in range(max(0, left // CELL - 1), min(count, (left + SEGMENT) // CELL + 1)):
            (y, x), size = corners[row, column] - (top, left), sizes[row, column]
            labels[max(0, y) : max(0, y + size), max(0, x) : max(0, x + size)] = 1 + row * count + column
    return labels


def slides(settings) -> Iterator[Figures]:
    """Runs of two workers with weights and distance; the time of a mask that is loaded completely is in `tiles`."""
    for side in (10_000, 20_000, 40_000) if settings.is_large else (4_000, 8_000):
        file, store = settings.folder / f"{side}.tif", settings.folder / f"{side}.zarr"
        write_slide(file, side)
        command = [COMMAND, "weights", file, store, *OPTIONS]
        start = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        peaks, cpu = _watched(process)
        wall, megapixels = time.perf_counter() - start, side**2 / 1e6
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {process.stdout.read()}")
        parent, *workers = peaks.values()
        yield Figures(
            "slides, two workers",
            f"{side:,} x {side:,}, {(side // CELL) ** 2:,} instances",
            {
                "wall time": f"{wall:.0f} s",
                "CPU time": f"{cpu:.0f} s",
                "CPU time of a megapixel": f"{1000 * cpu / megapixels:.0f} ms",
                "peak of the parent": f"{parent / 1e6:.0f} MB",
                "peak of a worker": f"{max(workers) / 1e6:.0f} MB",
            },
        )
        file.unlink()
        shutil.rmtree(store)


def _watched(process):
    """Peak memory of a process and of those that it starts, by their numbers, the first first; and their CPU time."""
    peaks, cpu = {}, {}
    while process.poll() is None:
        with suppress(psutil.Error):
            parent = psutil.Process(process.pid)
            for each in (parent, *parent.children(recursive=True)):
                peaks[each.pid] = max(peaks.get(each.pid, 0), each.memory_info().rss)
                cpu[each.pid] = sum(each.cpu_times()[:2])
        time.sleep(0.05)
    return peaks, sum(cpu.values())
