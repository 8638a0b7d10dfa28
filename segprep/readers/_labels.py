"""Numbers of instances from the values of a label image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.kernels.lookup import lookup, occurring
from segprep.masks.mask import InstanceMask
from segprep.readers._reader import ReadOptions, check_instances

_TABLE = 2**16
"""Values up to which a table finds the distinct ones; sorting takes less memory for larger ones."""


def ranked(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Distinct values in ascending order, and for each pixel the index of its value, shape (H, W)."""
    if int(values.max()) >= _TABLE:
        distinct, ranks = np.unique(values, return_inverse=True)
        return distinct, ranks.reshape(values.shape)
    present = occurring(values)
    return np.flatnonzero(present), lookup(np.cumsum(present) - 1, values)


def numbered(values: NDArray[Any]) -> tuple[LabelArray, NDArray[Any]]:
    """Labels without gaps, and the values that they stand for.

    The distinct values other than 0, in ascending order, become ``1..N``, int32.

    Examples
    --------
    >>> numbered(np.array([[0, 70000, 3, 70000]]))
    (array([[0, 2, 1, 2]], dtype=int32), array([    3, 70000]))
    """
    codes = values.astype(np.uint8) if values.dtype == np.bool_ else values
    peak = int(codes.max())
    if peak >= codes.size + 2**16:  # too large for a table, which is ten times faster than sorting
        distinct, codes = np.unique(codes, return_inverse=True)
        offset = int(distinct[0] != 0)
        return np.asarray(codes.reshape(values.shape) + offset, np.int32), distinct[1 - offset :]
    present = occurring(codes)
    present[0] = False
    return lookup(np.cumsum(present, dtype=np.int32), codes), np.flatnonzero(present)


def mask_of_labels(where: str, values: NDArray[Any], options: ReadOptions) -> InstanceMask:
    """Mask in which each value other than 0 is an instance of the only class; `where` is the file, for messages."""
    labels, distinct = numbered(values)
    check_instances(where, len(distinct), options.max_instances)
    return InstanceMask(labels[np.newaxis], np.array([0] + [1] * len(distinct), np.int32))
