"""Shapes that annotation programs draw, as pixels within their bounding box."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.masks.crops import InstanceCrop
from segprep.masks.rle import BadRegionError, runs_crop
from segprep.readers._polygon import FAR, polygon_runs

NO_PIXEL = "no pixel inside the image"
"""Kind of the error of a shape that covers no pixel."""

T = TypeVar("T")
Point = tuple[float, float]


def polygon_crop(points: Sequence[Point], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of a polygon of corners (x, y), by COCO's rule, in an image of this height and width."""
    return runs_crop(polygon_runs([[number for point in points for number in point]], shape), shape)


def holed_crop(outline: Sequence[Point], holes: Iterable[Sequence[Point]], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of a polygon that are in none of its holes; otherwise as `polygon_crop`.

    Examples
    --------
    >>> square, hole = [(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 1), (2, 1), (2, 2), (1, 2)]
    >>> holed_crop(square, [hole], (4, 5)).pixels.sum()
    np.int64(8)
    """
    crop = polygon_crop(outline, shape)
    for hole in covering(polygon_crop, holes, shape):
        crop = without(crop, hole)
    return trimmed(crop, shape)


def covering(
    draw: Callable[[T, tuple[int, int]], InstanceCrop], parts: Iterable[T], shape: tuple[int, int]
) -> Iterator[InstanceCrop]:
    """Pixels of those parts that cover a pixel of the image."""
    for part in parts:
        try:
            yield draw(part, shape)
        except BadRegionError as error:
            if error.kind != NO_PIXEL:
                raise


def box_crop(first: Point, last: Point, shape: tuple[int, int], *, turned: float = 0) -> InstanceCrop:
    """Pixels of a rectangle of two opposite corners (x, y), turned clockwise around its centre by an angle in radians.

    Examples
    --------
    >>> box_crop((1, 1), (4, 2), (4, 5)).pixels.shape
    (1, 3)
    >>> box_crop((1, 1), (4, 2), (4, 5), turned=math.pi / 2).pixels.shape
    (3, 1)
    """
    (x0, y0), (x1, y1) = first, last
    x, y, cos, sin = (x0 + x1) / 2, (y0 + y1) / 2, math.cos(turned), math.sin(turned)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if turned:
        corners = [(x + (a - x) * cos - (b - y) * sin, y + (a - x) * sin + (b - y) * cos) for a, b in corners]
    return polygon_crop(corners, shape)


def circle_crop(centre: Point, edge: Point, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels whose centres lie in a circle around a point (x, y), through another."""
    square = (edge[0] - centre[0]) ** 2 + (edge[1] - centre[1]) ** 2
    top, left, y, x = _offsets(centre, (square**0.5, square**0.5), shape)
    return trimmed(InstanceCrop(top, left, x**2 + y**2 <= square), shape)


def ellipse_crop(centre: Point, radii: Point, shape: tuple[int, int], *, turned: float = 0) -> InstanceCrop:
    """Pixels whose centres lie in an ellipse of two radii (x, y), turned clockwise by an angle in radians.

    Examples
    --------
    >>> ellipse_crop((1.5, 1.5), (1.1, 1.1), (3, 3)).pixels.astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    numbers = (*centre, *radii, turned)
    wrong = [number for number in numbers if not abs(number) <= FAR]
    if wrong:
        raise BadRegionError("ellipse with a number that is not finite or far off", wrong[0])
    if min(radii) <= 0:
        raise BadRegionError("ellipse with a radius that is not positive", min(radii))
    (across, down), cos, sin = radii, math.cos(turned), math.sin(turned)
    reach = math.hypot(across * cos, down * sin), math.hypot(across * sin, down * cos)
    top, left, y, x = _offsets(centre, reach, shape)
    inside = ((x * cos + y * sin) / across) ** 2 + ((y * cos - x * sin) / down) ** 2 <= 1
    return trimmed(InstanceCrop(top, left, inside), shape)


def _offsets(
    centre: Point, reach: Point, shape: tuple[int, int]
) -> tuple[int, int, NDArray[np.float64], NDArray[np.float64]]:
    """First row and column of the pixels within reach of a point, and y and x from the point to their centres."""
    (x0, y0), (wide, high) = centre, reach
    top, below = (min(max(math.floor(y), 0), shape[0]) for y in (y0 - high, y0 + high + 1))
    left, right = (min(max(math.floor(x), 0), shape[1]) for x in (x0 - wide, x0 + wide + 1))
    y, x = np.ogrid[top:below, left:right]
    return top, left, y + 0.5 - y0, x + 0.5 - x0


def trimmed(crop: InstanceCrop, shape: tuple[int, int]) -> InstanceCrop:
    """Return the crop within its bounding box; raise if it is empty."""
    rows, columns = np.flatnonzero(crop.pixels.any(axis=1)), np.flatnonzero(crop.pixels.any(axis=0))
    if rows.size == 0:
        raise BadRegionError(NO_PIXEL, f"{shape[0]} x {shape[1]}")
    own = crop.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return InstanceCrop(crop.y + int(rows[0]), crop.x + int(columns[0]), own)


def union(crops: Sequence[InstanceCrop], *, even_odd: bool = False) -> InstanceCrop:
    """Pixels of all crops, as one; if `even_odd`, only those that are in an odd number of them.

    Examples
    --------
    >>> one = np.ones((1, 1), bool)
    >>> union([InstanceCrop(4, 2, one), InstanceCrop(5, 3, one)])
    InstanceCrop(y=4, x=2, pixels=array([[ True, False],
           [False,  True]]))
    """
    if len(crops) == 1:
        return crops[0]
    top, left = min(crop.y for crop in crops), min(crop.x for crop in crops)
    below = max(crop.y + crop.pixels.shape[0] for crop in crops)
    right = max(crop.x + crop.pixels.shape[1] for crop in crops)
    pixels = np.zeros((below - top, right - left), np.bool_)
    for y, x, own in crops:
        part = pixels[y - top : y - top + own.shape[0], x - left : x - left + own.shape[1]]
        np.logical_xor(part, own, out=part) if even_odd else np.logical_or(part, own, out=part)
    return InstanceCrop(top, left, pixels)


def without(crop: InstanceCrop, hole: InstanceCrop) -> InstanceCrop:
    """Pixels of a crop that are not in another.

    Examples
    --------
    >>> without(InstanceCrop(1, 1, np.ones((1, 3), bool)), InstanceCrop(0, 2, np.ones((2, 1), bool))).pixels.astype(int)
    array([[1, 0, 1]])
    """
    top, left = max(crop.y, hole.y), max(crop.x, hole.x)
    below = min(crop.y + crop.pixels.shape[0], hole.y + hole.pixels.shape[0])
    right = min(crop.x + crop.pixels.shape[1], hole.x + hole.pixels.shape[1])
    pixels = crop.pixels.copy()
    if top < below and left < right:
        removed = hole.pixels[top - hole.y : below - hole.y, left - hole.x : right - hole.x]
        pixels[top - crop.y : below - crop.y, left - crop.x : right - crop.x] &= ~removed
    return InstanceCrop(crop.y, crop.x, pixels)


def erase(crop: InstanceCrop, rank: int, top: LabelArray) -> None:
    """Let a crop erase what has a lower rank: set `top`, the highest rank that erases at each pixel, (H, W), from -1 on."""
    y, x, pixels = crop
    part = top[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    np.maximum(part, np.where(pixels, rank, -1), out=part)


def not_erased(crop: InstanceCrop, rank: int, top: LabelArray) -> InstanceCrop:
    """Pixels of a crop of this rank that nothing erases; raise if there is none.

    Examples
    --------
    >>> top = np.full((1, 3), -1, np.int32)
    >>> erase(InstanceCrop(0, 1, np.ones((1, 1), bool)), 5, top)
    >>> not_erased(InstanceCrop(0, 0, np.ones((1, 3), bool)), 4, top).pixels
    array([[ True, False,  True]])
    """
    y, x, pixels = crop
    kept = pixels & (top[y : y + pixels.shape[0], x : x + pixels.shape[1]] <= rank)
    if not kept.any():
        raise BadRegionError("region that background over it hides", f"{pixels.sum()} pixels")
    return trimmed(InstanceCrop(y, x, kept), (top.shape[0], top.shape[1]))
