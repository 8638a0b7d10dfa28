"""Pairs of instances that touch."""

import numpy as np

from segprep.arrays import LabelArray


def touching_pairs(planes: LabelArray) -> int:
    """Number of pairs of instances of one plane that have neighbouring pixels, also diagonally; `planes` is (K, H, W).

    Examples
    --------
    >>> touching_pairs(np.array([[[1, 1, 0, 3], [2, 0, 0, 3], [0, 3, 3, 3]]], np.int32))
    2
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
    return len(np.unique(np.concatenate(pairs)))
