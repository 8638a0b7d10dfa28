"""Recognising images of grey levels among label images: photographs, probability maps, and masks with soft edges.

The values of a label image lie in areas. In a mask that was resized with interpolation or was once a JPEG, most values occur
only along edges, between a smaller and a larger value; in a photograph this holds for nearly every pixel.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray, LabelArray
from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing

FULL_SCALE = (255, 65535)
"""Values of white: with it, a few greys are enough to recognise soft edges."""
MIN_GREYS = 16
"""Values other than 0 of an image without white that may be greys; real labels of fewer may all be thin by chance."""
MIN_SCATTERED = 8
"""Pixels of a grey in a photograph, on average: labels so thin that each lies on the edge of others are smaller."""
MIN_DISPERSED = 256
"""Values other than 0 of an image without background, from which they are greys if many occur in two places or more."""
MIN_PIECES = 4
"""Pieces of a value that has no area, from which it is noise and not an instance."""
MIN_SMOOTH = 32
"""Values other than 0 of an image that may be a smooth photograph."""
_BAND = 2**20
"""Pixels that are looked at together."""
SMOOTH_STEP = 2
"""Largest difference of neighbours in a smooth photograph, except for a twentieth of them."""


class _Values(NamedTuple):
    """For each value, 0 included: its pixels, its pieces, and two flags.

    `is_thin` is True if it has no area of 3 x 3 pixels; `is_grey` if it is thin and lies between smaller and larger values,
    or in several pieces.
    """

    pixels: CountArray
    pieces: CountArray
    is_thin: NDArray[np.bool_]
    is_grey: NDArray[np.bool_]


def check_labels(file: AnyPath, labels: LabelArray, values: NDArray[Any]) -> None:
    """Raise an InputError if an image holds grey levels.

    Parameters
    ----------
    file : AnyPath
        File of the image.
    labels : (H, W) int32 array
        Labels ``1..N``, 0 is background.
    values : (N,) array
        Value of each label, in ascending order.
    """
    count = len(values)
    is_white = count > 0 and int(values[-1]) in FULL_SCALE
    if not (3 if is_white else MIN_GREYS) <= count < 2**16:
        return
    ranks = labels.astype(np.uint16)
    is_thin = _is_thin(ranks, count)
    is_mostly_thin = 2 * np.count_nonzero(is_thin) >= count
    if is_mostly_thin:  # rarely so: only then count
        pixels, pieces = np.bincount(ranks.ravel(), minlength=count + 1), _pieces(ranks, count)
        low, high = _neighbours(ranks)
        grey_pixels = np.bincount(ranks[(low < ranks) & (ranks < high)], minlength=count + 1)
        is_grey = is_thin & ((2 * grey_pixels >= pixels) | (pieces >= MIN_PIECES))
        found = _Values(pixels, pieces, is_thin, is_grey)
        if _is_soft_edge(found):
            raise InputError(
                f"{file}: not a label image: {count} values, most of them on edges, as in a mask that was resized with "
                "interpolation or saved as JPEG; threshold it (at 128), or make it again with nearest neighbour resizing"
            )
    if (is_mostly_thin and _is_textured(found)) or (count >= MIN_SMOOTH and _is_smooth(labels, values)):
        raise InputError(
            f"{file}: not a label image: {count} values, which change from pixel to pixel as in a photograph or a "
            f"probability map; threshold it, or give the folder of the masks{_masks_beside(file)}"
        )


def _is_thin(ranks: NDArray[np.uint16], count: int) -> NDArray[np.bool_]:
    """True for each rank without an area of 3 x 3 pixels."""
    is_thin = np.ones(count + 1, np.bool_)
    for start, stop in _bands(ranks.shape):
        above = max(0, start - 1)
        low, high = _neighbours(ranks[above : stop + 1])
        inside = slice(start - above, stop - above)
        is_thin[ranks[start:stop][low[inside] == high[inside]]] = False
    is_thin[0] = False
    return is_thin


def _neighbours(ranks: NDArray[np.uint16]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smallest and largest rank among the 3 x 3 pixels around each one."""
    import cv2  # noqa: PLC0415 - slow to import

    window = np.ones((3, 3), np.uint8)
    return cv2.erode(ranks, window), cv2.dilate(ranks, window)


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First row of each band of an image, and the one after its last: scratch memory does not grow with the image."""
    height, width = shape
    rows = max(1, _BAND // width)
    for start in range(0, height, rows):
        yield start, min(height, start + rows)


def _pieces(ranks: NDArray[np.uint16], count: int) -> CountArray:
    """Number of pieces of each rank: pixels that differ from their left, upper left, upper and upper right neighbours."""
    framed = np.pad(ranks.astype(np.int32), ((1, 0), (1, 1)), constant_values=-1)
    height, width = ranks.shape
    is_first = np.ones(ranks.shape, np.bool_)
    for dy, dx in ((1, 0), (0, 0), (0, 1), (0, 2)):
        is_first &= framed[dy : dy + height, dx : dx + width] != ranks
    return np.bincount(ranks[is_first], minlength=count + 1)


def _is_soft_edge(found: _Values) -> bool:
    """True if most values are greys, and two others, such as 0 and 255, fill most of the image."""
    foreground = found.pixels[1:]
    has_areas = 10 * foreground[~found.is_thin[1:]].sum() >= foreground.sum()
    has_two = 2 * np.sort(found.pixels[~found.is_grey])[-2:].sum() >= found.pixels.sum()
    is_clear = len(foreground) >= MIN_GREYS or foreground.argmax() == len(foreground) - 1
    return bool(2 * found.is_grey.sum() >= len(foreground) and has_areas and has_two and is_clear)


def _is_textured(found: _Values) -> bool:
    """True if the values of most pixels are scattered over the image."""
    count, greys = len(found.pixels) - 1, int(found.is_grey.sum())
    if 2 * greys >= count >= MIN_GREYS and found.pixels[found.is_grey].sum() >= MIN_SCATTERED * greys:
        return True
    pieces, is_full = found.pieces[found.is_thin].sum(), 10 * found.pixels[0] < found.pixels.sum()
    return bool(count >= MIN_DISPERSED and is_full and 4 * pieces >= 5 * count)


def _is_smooth(labels: LabelArray, values: NDArray[Any]) -> bool:
    """True if values change in small steps, and each lies in several pieces."""
    table = np.concatenate([np.zeros(1, np.int64), values.astype(np.int64)])
    changes = large = corners = 0
    for start, stop in _bands(labels.shape):
        grey = table[labels[max(0, start - 1) : stop]]
        down, right = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1))
        own = right[min(1, start) :]
        changes += int(np.count_nonzero(down) + np.count_nonzero(own))
        large += int(np.count_nonzero(down > SMOOTH_STEP) + np.count_nonzero(own > SMOOTH_STEP))
        corners += int(np.count_nonzero((down[:, 1:] > 0) & (right[1:] > 0)))  # every piece has one at its upper left
    return 20 * large < changes and corners >= 3 * len(values)


def _masks_beside(file: AnyPath) -> str:
    """Folder of masks beside that of the file, for the message."""
    folders = [folder for folder in listing(file.parent.parent).named("labels", "masks") if folder != file.parent]
    return f", {folders[0]}" if folders else ""
