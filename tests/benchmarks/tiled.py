"""Tiles of one large mask against the complete mask: equal arrays, CPU time and memory."""

from collections.abc import Iterator

import numpy as np
import tifffile
from benchmarks.measure import Comparison, cpu_and_peak, in_new_process

import segprep

CELL = 16
"""Pixels of a side of the grid of instances."""
TARGETS = "weights,border,boundaries,distance"
CASES = {
    "complete mask": {},
    "tiles of 512": {"tile": 512},
    "tiles of 512, overlap 64": {"tile": 512, "tile_overlap": 64},
}


def grid(side):
    """(side, side) labels of squares of 8 to 15 pixels, one at a random place in each cell of a grid, some of which touch."""
    rng = np.random.default_rng(0)
    count = side // CELL
    labels = np.zeros((side, side), np.uint32)
    sizes = rng.integers(8, CELL, (count, count))
    shifts = rng.integers(0, 1 + CELL - sizes[..., np.newaxis], (count, count, 2))
    for row in range(count):
        for column in range(count):
            size = sizes[row, column]
            y, x = (CELL * row, CELL * column) + shifts[row, column]
            labels[y : y + size, x : x + size] = 1 + row * count + column
    return labels


def tiles(settings) -> Iterator[Comparison]:
    """Runs of one worker over a mask of many instances, with all targets; all tiles are compared with the complete mask."""
    side = 8192 if settings.is_large else 2048
    file = settings.folder / "slide.tif"
    tifffile.imwrite(file, grid(side), tile=(512, 512), compression="zlib")
    for clip in (None, 32):
        measured = {}
        for way, options in CASES.items():
            store = settings.folder / f"{clip} {way}.zarr"
            measured[way] = in_new_process(_run, file, store, {**options, "distance_clip": clip})
        for way in [*CASES][1:]:
            whole, parts = (settings.folder / f"{clip} {name}.zarr" for name in ("complete mask", way))
            in_new_process(_require_equal, parts, whole)
        what = f"{side} x {side}, {(side // CELL) ** 2:,} instances, " + (
            f"distances to {clip}" if clip else "all distances"
        )
        for index, (title, unit, factor) in enumerate((("CPU time", "s", 1), ("peak memory", "MB", 1e-6))):
            figures = {way: factor * each[index] for way, each in measured.items()}
            yield Comparison(f"tiles: {title}", what, unit, figures)


def _run(file, store, options):
    """CPU seconds and additional peak memory of a run, after one over a small mask that compiles and imports everything."""
    settings = {"targets": TARGETS, "workers": 1, **options}
    small = store.with_name("small.tif")
    tifffile.imwrite(small, grid(64))
    segprep.preprocess(small, store.with_name(f"small {store.name}"), **settings)
    return cpu_and_peak(lambda: segprep.preprocess(file, store, **settings))


def _require_equal(parts, whole):
    """Raise if an array of a tile is not the part of that of the complete mask."""
    tiled, mask = segprep.open(parts, dtype="stored"), segprep.open(whole, dtype="stored")
    for name in ("labels", "classes", *TARGETS.split(",")):
        joined, expected = tiled.source(tiled.sources[0], [name])[name], mask.array(0, name)
        np.testing.assert_array_equal(joined, expected)
        for index in range(len(tiled)):
            place, values = tiled.tile(index), tiled.array(index, name)
            if name != "labels":  # whose numbers are those of the tile
                y, x = (slice(start, start + side) for start, side in zip(place[:2], values.shape, strict=True))
                np.testing.assert_array_equal(values, expected[y, x], err_msg=tiled.keys[index])
