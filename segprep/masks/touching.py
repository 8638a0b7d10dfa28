"""Pairs of instances that touch."""

import numpy as np

from segprep.arrays import CountArray, LabelArray


def touching_pairs(planes: LabelArray) -> int:
    """Number of pairs of instances of one plane that have neighbouring pixels, also diagonally; `planes` is (K, H, W).

    Examples
    --------
    >>> touching_pairs(np.array([[[1, 1, 0, 3], [2, 0, 0, 3], [0, 3, 3, 3]]], np.int32))
    2
    """
    return len(list_touching(planes))


def list_touching(planes: LabelArray) -> CountArray:
    """Pairs of instances that `touching_pairs` counts, shape (T, 2), int64: the smaller label first, in ascending order.

    Examples
    --------
    >>> list_touching(np.array([[[1, 1, 0, 3], [2, 0, 0, 3], [0, 3, 3, 3]]], np.int32))
    array([[1, 2],
           [2, 3]])
    """
    pairs = []
    for plane in planes:
        shifted = (
            (plane[:, :-1], plane[:, 1:]),
            (plane[:-1], plane[1:]),
            (plane[:-1, :-1], plane[1:, 1:]),
            (plane[:-1, 1:], plane[1:, :-1]),
        )
        for here, there in shifted:
            touch = (here != there) & (here > 0) & (there > 0)
            low, high = np.minimum(here[touch], there[touch]), np.maximum(here[touch], there[touch])
            pairs.append(low.astype(np.int64) << 32 | high)
    found = np.unique(np.concatenate(pairs))
    return np.stack([found >> 32, found & 0xFFFFFFFF], axis=1)
