"""Images at a lower resolution."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIRECT = frozenset({"uint8", "uint16", "int16", "float32", "float64"})
"""Types that OpenCV averages; others are averaged as float64."""


def area_means(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Mean of each block of `factor` x `factor` pixels, of each channel.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) array
        Of any type of integers or floats.
    factor : int
        Side of a block in pixels. Blocks at the lower and right edge have the pixels that there are.

    Returns
    -------
    (ceil(H / factor), ceil(W / factor)) or (ceil(H / factor), ceil(W / factor), C) array
        Of the same type, rounded if it has integers.

    Examples
    --------
    >>> area_means(np.array([[0, 2, 10], [4, 6, 20], [8, 10, 30]], np.uint8), 2)
    array([[ 3, 15],
           [ 9, 30]], dtype=uint8)
    """
    import cv2  # noqa: PLC0415 - slow to import

    source = pixels if pixels.dtype.name in _DIRECT else pixels.astype(np.float64)
    height, width = (-(-side // factor) for side in pixels.shape[:2])
    means = np.empty((height, width, *pixels.shape[2:]), source.dtype)
    rows, columns = (_parts(side, factor) for side in pixels.shape[:2])
    for (of_y, y), (of_x, x) in product(rows, columns):  # apart, so that every block is averaged by itself
        means[y, x] = cv2.resize(
            source[of_y, of_x], (x.stop - x.start, y.stop - y.start), interpolation=cv2.INTER_AREA
        ).reshape(means[y, x].shape)
    return means if means.dtype == pixels.dtype else np.rint(means).astype(pixels.dtype)


def _parts(side: int, factor: int) -> list[tuple[slice, slice]]:
    """Pixels of the complete blocks of a row or column, and those of the last one if it is not complete; and of the result."""
    count, rest = divmod(side, factor)
    complete = [(slice(0, count * factor), slice(0, count))] * (count > 0)
    return complete + [(slice(count * factor, side), slice(count, count + 1))] * (rest > 0)
