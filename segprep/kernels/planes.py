"""The one check of the labels that a caller hands to a kernel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.errors import OptionError

_LARGEST = np.iinfo(np.int32).max


def as_planes(labels: NDArray[Any]) -> LabelArray:
    """Labels of any integer type or bool, (H, W) or (K, H, W), as planes: shape (K, H, W), C-contiguous int32.

    OptionError if the array has another dimension or type, no pixel, or a label that is negative or above 2^31 - 1.

    Examples
    --------
    >>> as_planes(np.array([[0, 1, 1]], np.uint8))
    array([[[0, 1, 1]]], dtype=int32)
    """
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3) or labels.size == 0:
        raise OptionError(
            f"labels.shape={labels.shape}: must be (H, W), or (K, H, W) for planes, with at least one pixel"
        )
    if labels.dtype.kind not in "biu":
        raise OptionError(
            f"labels.dtype={str(labels.dtype)!r}: must be an integer type; use labels=labels.astype('int32')"
        )
    smallest, largest = (0, 1) if labels.dtype.kind == "b" else (labels.min(), labels.max())
    if smallest < 0 or largest > _LARGEST:
        wrong = smallest if smallest < 0 else largest
        raise OptionError(f"labels: contain {wrong}; must be 0 for background, and 1 to {_LARGEST} for instances")
    return np.ascontiguousarray(labels if labels.ndim == 3 else labels[np.newaxis], np.int32)  # noqa: PLR2004
