"""Slides that are read tile by tile: time and peak memory of each process, by the side of the slide."""

import json
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
CORNERS = 24
"""Corners of a polygon."""
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


def write_polygons(folder, side):
    """QuPath's GeoJSON of polygons of 24 corners, one in each cell, and a TIFF of that size that has no pixels on the disk."""
    folder.mkdir()
    tifffile.imwrite(folder / "slide.tif", shape=(side, side), dtype=np.uint8, bigtiff=True)
    rng, count = np.random.default_rng(0), side // CELL
    angles = np.linspace(0, 2 * np.pi, CORNERS + 1)
    with (folder / "slide.geojson").open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for row in range(count):
            radii = rng.uniform(CELL / 4, CELL / 2, (count, CORNERS))
            radii = np.concatenate([radii, radii[:, :1]], axis=1)
            x = CELL * (np.arange(count)[:, np.newaxis] + 0.5) + radii * np.cos(angles)
            y = CELL * (row + 0.5) + radii * np.sin(angles)
            outlines = np.stack([x, y], axis=-1).round(2).tolist()
            file.write(",\n" * (row > 0) + ",\n".join(map(_feature, outlines)))
        file.write("]}")


def _feature(outline):
    """Text of one object."""
    geometry, classification = {"type": "Polygon", "coordinates": [outline]}, {"name": "Tumor"}
    return json.dumps({"type": "Feature", "geometry": geometry, "properties": {"classification": classification}})


def slides(settings) -> Iterator[Figures]:
    """Runs of two workers with weights and distance; the time of a mask that is loaded completely is in `tiles`."""
    for side in (10_000, 20_000, 40_000) if settings.is_large else (4_000, 8_000):
        for kind, write in (("TIFF", write_slide), ("polygons", write_polygons)):
            data = settings.folder / f"{side}{'.tif' if kind == 'TIFF' else ''}"
            write(data, side)
            yield _measured(kind, data, settings.folder / f"{side}.zarr", side)
            shutil.rmtree(data) if data.is_dir() else data.unlink()


def _measured(kind, data, store, side):
    """Time and memory of a run, whose store is removed."""
    command = [COMMAND, "weights", data, store, *OPTIONS]
    start = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peaks, cpu = _watched(process)
    wall, megapixels = time.perf_counter() - start, side**2 / 1e6
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {process.stdout.read()}")
    shutil.rmtree(store)
    parent, *workers = peaks.values()
    return Figures(
        f"slides in {kind}, two workers",
        f"{side:,} x {side:,}, {(side // CELL) ** 2:,} instances",
        {
            "wall time": f"{wall:.0f} s",
            "CPU time": f"{cpu:.0f} s",
            "CPU time of a megapixel": f"{1000 * cpu / megapixels:.0f} ms",
            "peak of the parent": f"{parent / 1e6:.0f} MB",
            "peak of a worker": f"{max(workers) / 1e6:.0f} MB",
        },
    )


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
