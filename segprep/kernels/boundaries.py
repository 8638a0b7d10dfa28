"""Interior, border and shared border of instances."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from segprep.arrays import BoolArray, LabelArray

BACKGROUND, INTERIOR, BORDER, SHARED = range(4)


IGNORE = 255


def boundaries(labels: LabelArray, *, width: int = 1) -> NDArray[np.uint8]:
    """Part of its instance that each pixel belongs to.

    Parameters
    ----------
    labels : (H, W) int32 array
        0 is background, positive numbers are instances.
    width : int
        Width of a border in pixels, at least 1.

    Returns
    -------
    (H, W) uint8 array
        0 background; 3 where another instance lies within `width` (chessboard distance); 2 where something else that is not
        the instance does; 1 elsewhere on instances. The image's edge is no border.

    Examples
    --------
    >>> boundaries(np.array([[0, 1, 1, 1, 2, 2, 2]], np.int32))
    array([[0, 2, 1, 3, 3, 1, 1]], dtype=uint8)
    """
    inside = labels > 0
    shared = near_others(labels[None], width)[0]
    # As an instance of its own the background is 'another one' too.
    everything = np.where(inside, labels, labels.max(initial=0) + 1)
    border = near_others(everything[None], width)[0]
    return np.select([~inside, shared, border], [BACKGROUND, SHARED, BORDER], INTERIOR).astype(np.uint8)


FARTHEST = 10_000
"""Largest distance between two centres that can be asked for, in pixels."""


NO_LABEL = np.iinfo(np.int32).max


def near_others(planes: LabelArray, distance: int) -> BoolArray:
    """Whether another instance lies within `distance` of each pixel of an instance.

    Parameters
    ----------
    planes : (K, H, W) int32 array
        0 is background, positive numbers are instances.
    distance : int
        Chessboard distance in pixels, at least 1.

    Returns
    -------
    (K, H, W) bool array
        False on the background.

    Examples
    --------
    >>> near_others(np.array([[[1, 1, 1, 2, 2]]], np.int32), 1)
    array([[[False, False,  True,  True, False]]])
    """
    size = 2 * distance + 1
    largest = np.max([maximum_filter(plane, size, mode="nearest") for plane in planes], axis=0)
    filled = np.where(planes > 0, planes, NO_LABEL)
    smallest = np.min([minimum_filter(plane, size, mode="nearest") for plane in filled], axis=0)
    near: BoolArray = (planes > 0) & ((planes != largest) | (planes != smallest))
    return near
