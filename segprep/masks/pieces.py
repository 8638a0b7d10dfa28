"""Pieces of instances: a value that lies far apart in several of them is rarely one object."""

import numpy as np

from segprep.masks.mask import InstanceMask

MOST_INSTANCES = 16
"""Instances of a mask that are looked at, those with the largest boxes."""
MOST_PIECES = 16
"""Pieces of an instance that are looked at, the largest."""
MIN_GAP = 4
"""Pixels between pieces that are far apart; they also exceed the longer side of the smaller piece."""


def has_scattered_instance(mask: InstanceMask) -> bool:
    """True if an instance lies in several pieces far apart.

    Pieces count if they have at least a tenth of the pixels of the largest one: real objects may lose crumbs, and an object
    behind another one may lie in two large pieces with a small gap between.

    Examples
    --------
    >>> apart = np.array([[[1, 1, 0, 0, 0, 0, 0, 0, 1, 1]]], np.int32)
    >>> has_scattered_instance(InstanceMask(apart, np.array([0, 1], np.int32)))
    True
    """
    boxes = mask.regions.boxes[1:]
    is_sparse = mask.areas[1:] < boxes[:, 2] * boxes[:, 3]  # a full box is one piece
    order = np.argsort(-(boxes[:, 2] * boxes[:, 3]), kind="stable")
    for index in order[is_sparse[order]][:MOST_INSTANCES]:
        y, x, height, width = boxes[index]
        window = mask.planes[mask.regions.planes[index + 1], y : y + height, x : x + width]
        if _is_scattered(window == index + 1):
            return True
    return False


def _is_scattered(pixels: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> bool:
    """True if two of the larger pieces are far apart."""
    import cv2  # noqa: PLC0415 - slow to import

    _, _, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(pixels).view(np.uint8), connectivity=8)
    pieces = stats[1:][np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")][:MOST_PIECES]
    pieces = pieces[10 * pieces[:, cv2.CC_STAT_AREA] >= pieces[0, cv2.CC_STAT_AREA]]
    starts, sizes = pieces[:, :2], pieces[:, 2:4]
    gaps = np.maximum(starts[:, None], starts) - np.minimum((starts + sizes)[:, None], starts + sizes)
    longer = np.minimum(sizes.max(axis=1)[:, None], sizes.max(axis=1))
    return bool((gaps.max(axis=2) > np.maximum(longer, MIN_GAP - 1)).any())
