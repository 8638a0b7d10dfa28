"""Recognising images of grey levels among label images: photographs, probability maps, and masks with soft edges.

The values of a label image lie in areas. In a mask that was resized with interpolation or was once a JPEG, most values occur
only along edges, between a smaller and a larger value; in a photograph this holds for nearly every pixel.
"""

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
MIN_SMOOTH = 32
"""Values other than 0 of an image that may be a smooth photograph."""
SMOOTH_STEP = 2
"""Largest difference of neighbours in a smooth photograph, except for a twentieth of them."""


class _Values(NamedTuple):
    """For each value, 0 included: its pixels, and True if it has no area but lies between smaller and larger ones."""

    pixels: CountArray
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
    found = _thin_values(labels.astype(np.uint16), count)
    greys = int(found.is_grey.sum())
    pixels = int(found.pixels[found.is_grey].sum())
    if 2 * greys >= count and _is_soft_edge(found, pixels, count):
        raise InputError(
            f"{file}: not a label image: {count} values, most of them on edges, as in a mask that was resized with "
            "interpolation or saved as JPEG; threshold it (at 128), or make it again with nearest neighbour resizing"
        )
    is_textured = 2 * greys >= count >= MIN_GREYS and pixels >= MIN_SCATTERED * greys
    if is_textured or (count >= MIN_SMOOTH and _is_smooth(labels, values)):
        raise InputError(
            f"{file}: not a label image: {count} values, which change from pixel to pixel as in a photograph or a "
            f"probability map; threshold it, or give the folder of the masks{_masks_beside(file)}"
        )


def _thin_values(ranks: NDArray[np.uint16], count: int) -> _Values:
    """Pixels of each rank, and the ranks that are grey levels."""
    import cv2  # noqa: PLC0415 - slow to import

    pixels = np.zeros(count + 1, np.int64)
    window = np.ones((3, 3), np.uint8)
    low, high = cv2.erode(ranks, window), cv2.dilate(ranks, window)
    is_thin = np.ones(count + 1, np.bool_)
    is_thin[ranks[low == high]] = False
    is_thin[0] = False
    if 2 * np.count_nonzero(is_thin) < count:  # the usual case: no need to count
        return _Values(pixels, np.zeros_like(is_thin))
    pixels += np.bincount(ranks.ravel(), minlength=count + 1)
    between = np.bincount(ranks[(low < ranks) & (ranks < high)], minlength=count + 1)
    return _Values(pixels, is_thin & (2 * between >= pixels))


def _is_soft_edge(found: _Values, grey_pixels: int, count: int) -> bool:
    """True if greys take less than half of the image, and of a few values most of the foreground is white."""
    is_mostly_white = 2 * found.pixels[-1] >= found.pixels[1:].sum()
    return bool(2 * grey_pixels < found.pixels.sum() and (count >= MIN_GREYS or is_mostly_white))


def _is_smooth(labels: LabelArray, values: NDArray[Any]) -> bool:
    """True if values change in small steps, and each lies in several pieces."""
    grey = np.concatenate([np.zeros(1, np.int64), values.astype(np.int64)])[labels]
    down, right = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(grey, axis=1))
    changes = np.count_nonzero(down) + np.count_nonzero(right)
    large = np.count_nonzero(down > SMOOTH_STEP) + np.count_nonzero(right > SMOOTH_STEP)
    corners = np.count_nonzero((down[:, 1:] > 0) & (right[1:] > 0))  # every piece has one at its upper left
    return 20 * large < changes and corners >= 3 * len(values)


def _masks_beside(file: AnyPath) -> str:
    """Folder of masks beside that of the file, for the message."""
    folders = [folder for folder in listing(file.parent.parent).named("labels", "masks") if folder != file.parent]
    return f", {folders[0]}" if folders else ""
