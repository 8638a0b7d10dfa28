"""Boxes of an image outside of which no pixel has two instances within reach.

Where instances are far apart, most of an image needs no search for the two nearest ones.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.kernels.compiled import compiled

Box: TypeAlias = tuple[int, int, int, int]
"""First row and column, and the row and column after the last."""

_TILE = 16  # rows and columns of the image that are judged together


def active_boxes(planes: LabelArray, reach: int) -> Iterator[Box]:
    """Boxes that together hold all pixels with two instances within reach: a few small ones, or the image."""
    height, width = planes.shape[1:]
    lowest, highest = np.empty((2, -(-height // _TILE), -(-width // _TILE)), np.int32)
    _tile_numbers(planes, lowest, highest)
    away = -(-reach // _TILE)
    if 2 * away + 1 < min(lowest.shape):
        active = _extreme(np.minimum, lowest, away) < _extreme(np.maximum, highest, away)
        boxes = [(y * _TILE, x * _TILE, min(height, v * _TILE), min(width, w * _TILE)) for y, x, v, w in _boxes(active)]
        swept = sum((v - y + 2 * reach) * (w - x + 2 * reach) for y, x, v, w in boxes)
        searched = sum((v - y) * (w - x) for y, x, v, w in boxes)
        if swept + searched < 1.5 * height * width:
            yield from boxes
            return
    if highest.max() > 0 and lowest.min() < highest.max():
        yield 0, 0, height, width


@compiled
def _tile_numbers(planes: LabelArray, lowest: LabelArray, highest: LabelArray) -> None:
    """Lowest and highest number of an instance in each tile of the image; without an instance the lowest is the higher."""
    count, height, width = planes.shape
    lowest[:] = np.iinfo(np.int32).max
    highest[:] = 0
    for k in range(count):
        for y in range(height):
            for tile in range(lowest.shape[1]):
                row = planes[k, y, tile * _TILE : min(width, (tile + 1) * _TILE)]
                least, most = np.uint32(np.iinfo(np.int32).max), np.int32(0)
                for i in range(np.uint64(row.size)):
                    least = min(least, np.uint32(row[i] - 1))  # the background, 0, becomes the largest number
                    most = max(most, row[i])
                if most > 0:
                    lowest[y // _TILE, tile] = min(lowest[y // _TILE, tile], np.int32(least) + 1)
                    highest[y // _TILE, tile] = max(highest[y // _TILE, tile], most)


def _extreme(of: np.ufunc, tiles: LabelArray, away: int) -> LabelArray:
    """Minimum or maximum over the tiles that are at most `away` rows and columns away."""
    for axis in (0, 1):
        padded = np.pad(tiles, [(away, away) if axis == other else (0, 0) for other in (0, 1)], mode="edge")
        tiles = of.reduce(np.lib.stride_tricks.sliding_window_view(padded, 2 * away + 1, axis=axis), axis=-1)
    return tiles


def _boxes(active: NDArray[np.bool_], y: int = 0, x: int = 0) -> Iterator[Box]:
    """Boxes around groups of tiles that straight cuts separate; the first tile is at row `y` and column `x`."""
    for top, bottom in _runs(np.asarray(active.any(axis=1))):
        for left, right in _runs(np.asarray(active[top:bottom].any(axis=0))):
            part = active[top:bottom, left:right]
            if part.shape == active.shape:
                yield y, x, y + bottom, x + right
            else:
                yield from _boxes(part, y + top, x + left)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and stop of each run of true flags.

    >>> _runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    return [*zip(edges[::2], edges[1::2], strict=True)]
