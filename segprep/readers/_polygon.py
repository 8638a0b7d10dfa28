"""COCO's rule for the pixels of a polygon.

The rule draws the outline at five times the resolution, in the coordinates of the full image; an outline that is moved by
full pixels rounds differently (x = 10.7 becomes 54 fifths, but 10.7 - 10 becomes 3). So nothing is moved: the native code
returns runs, whose memory follows the outline, not the image, and `segprep.masks.rle` turns them into a bitmap within
its bounding box.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segprep.kernels.compiled import compiled
from segprep.masks.rle import BadRegionError, Runs, string_runs, union

TRIANGLE = 6
"""Numbers of the smallest polygon."""
FAR = 2**20
"""Largest coordinate, in pixels; larger ones are mistakes, and far larger ones overflow the native code."""
_LONGEST = 2**21
"""Longest outline, in pixels; the native code takes about 100 bytes for each."""


def polygon_runs(parts: Sequence[Sequence[float]], shape: tuple[int, int]) -> Runs:
    """Rasterise the union of polygons to runs by COCO's rule, cut at the image's edges.

    A polygon is ``x0, y0, x1, y1, ...`` in pixels; the first pixel spans from 0 to 1.

    Examples
    --------
    >>> polygon_runs([[1, 1, 3, 1, 3, 3, 1, 3]], (4, 5))
    array([5, 2, 2, 2, 9])
    """
    from faster_coco_eval.mask_api_new_cpp import frPoly  # noqa: PLC0415 - takes 0.2 s

    for part in parts:
        checked(part)
    # Every number has been checked: native code crashes on unexpected ones, or allocates memory without limit.
    drawn = frPoly([list(map(float, part)) for part in parts], *shape)
    return union([string_runs(each["counts"].decode("ascii")) for each in drawn])


def box_polygon(left: float, top: float, width: float, height: float) -> list[float]:
    """Corners of a box as a polygon.

    Examples
    --------
    >>> box_polygon(1, 2, 3, 4)
    [1, 2, 4, 2, 4, 6, 1, 6]
    """
    if not (width > 0 and height > 0):
        raise BadRegionError("box without area", f"{width} x {height}")
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def checked(part: Sequence[float]) -> NDArray[np.float64]:
    """Numbers of a polygon; raise if they are too few, odd, or not fit for native code."""
    if len(part) < TRIANGLE:
        raise BadRegionError("polygon of fewer than 6 numbers", len(part))
    if len(part) % 2:
        raise BadRegionError("polygon of an odd number of numbers", len(part))
    numbers = np.asarray(part, np.float64)
    length, wrong = _outline(numbers)
    if wrong >= 0:
        raise BadRegionError("polygon with a coordinate that is not finite or far off", numbers[wrong])
    if length > _LONGEST:
        raise BadRegionError("polygon with an outline that is too long", f"{length:.0f} pixels")
    return numbers


@compiled
def _outline(numbers: NDArray[np.float64]) -> tuple[float, int]:
    """Length of a closed outline in pixels, and the index of the first number that is not finite or far off, or -1."""
    length = 0.0
    for index in range(len(numbers)):
        if not abs(numbers[index]) <= FAR:  # so written, NaN is wrong too
            return length, index
    for index in range(0, len(numbers), 2):
        across = abs(numbers[index] - numbers[index - 2])
        down = abs(numbers[index + 1] - numbers[index - 1])
        length += max(across, down)
    return length, -1
