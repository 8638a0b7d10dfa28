"""Majority of the values in each block of an image, for label images at a lower resolution."""

import numpy as np

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.kernels.compiled import compiled


def block_majority(labels: LabelArray, factor: int, left_out: BoolArray | None = None) -> LabelArray:
    """Value with the most pixels in each block of `factor` x `factor` pixels.

    Parameters
    ----------
    labels : (H, W) int32 array
        Values from 0 on; 0 is background.
    factor : int
        Side of a block in pixels, at least 1. Blocks at the lower and right edge have the pixels that there are.
    left_out : (H, W) bool array or None
        True on pixels that do not count. A block of such pixels alone is 0.

    Returns
    -------
    (ceil(H / factor), ceil(W / factor)) int32 array
        Of several values with the most pixels the smallest, but 0 only if there is no other.

    Examples
    --------
    >>> block_majority(np.array([[0, 1, 0, 0, 3], [2, 2, 4, 4, 0], [5, 0, 0, 0, 6]], np.int32), 2)
    array([[2, 4, 3],
           [5, 0, 6]], dtype=int32)
    """
    labels = np.ascontiguousarray(labels)
    votes = np.zeros(int(labels.max()) + 1, np.int64)
    if left_out is None:
        left_out = np.zeros((0, 0), np.bool_)
    return _majority(labels, factor, np.ascontiguousarray(left_out), votes)


@compiled
def _majority(labels: LabelArray, factor: int, left_out: BoolArray, votes: CountArray) -> LabelArray:
    """Result of `block_majority`; `votes` has a 0 for each value, and `left_out` no pixel if all count."""
    height, width = labels.shape
    found = np.zeros((-(-height // factor), -(-width // factor)), np.int32)
    counts_all = left_out.size == 0
    for row in range(found.shape[0]):
        top, bottom = row * factor, min(height, (row + 1) * factor)
        for column in range(found.shape[1]):
            left, right = column * factor, min(width, (column + 1) * factor)
            for y in range(top, bottom):
                for x in range(left, right):
                    if counts_all or not left_out[y, x]:
                        votes[labels[y, x]] += 1
            best, most = 0, 0
            for y in range(top, bottom):
                for x in range(left, right):
                    value = labels[y, x]
                    count = votes[value]
                    votes[value] = 0
                    if count > most or (0 < count == most and (best == 0 or 0 < value < best)):
                        best, most = value, count
            found[row, column] = best
    return found
