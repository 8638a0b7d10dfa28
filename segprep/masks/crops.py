"""Instances as cropped bitmaps, and the mask that is made of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from segprep.arrays import BoolArray, LabelArray
from segprep.errors import InputError
from segprep.kernels.regions import paste_if_free
from segprep.masks.mask import InstanceMask, Problem, first_problems

MAX_PLANES = 1024
"""Planes of one mask: each further instance is compared with all of them, so that more would take minutes."""


MAX_PLANE_BYTES = 2**31
"""Memory of the planes of one mask, 2 GiB. Real masks need a handful of planes; this is 512 of 1024 x 1024 pixels, or two of
16384 x 16384, the largest image that is read unless told otherwise."""


_FEW = 4
"""Planes that any image may have, however large, since its size was allowed."""


class InstanceCrop(NamedTuple):
    """Pixels of one instance: a bitmap and where its upper left corner lies.

    Attributes
    ----------
    y, x : int
        Row and column of the bitmap's first pixel in the image.
    pixels : (h, w) bool array
        The instance; it lies wholly inside the image.
    """

    y: int
    x: int
    pixels: BoolArray


def mask_from_crops(
    shape: tuple[int, int],
    crops: Iterable[InstanceCrop],
    classes: Sequence[int],
    *,
    ignore: BoolArray | None = None,
    problems: Iterable[Problem] = (),
    where: str = "mask",
) -> InstanceMask:
    """Mask of instances that may overlap: each goes to the first plane that is free under it.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    crops : iterable of InstanceCrop
        Pixels of the instances ``1..N``, in this order.
    classes : sequence of int
        Class codes of the instances ``1..N``; read after the crops, and so may grow with them.
    ignore
        As in `InstanceMask`.
    problems : iterable of Problem
        What was left out; read after the crops too.
    where : str
        File, or file and image, for the message of an error.

    Raises
    ------
    InputError
        Where so many instances lie over each other that the planes would take more than `MAX_PLANES` or
        `MAX_PLANE_BYTES`. The planes are copied once, so that at most twice that memory is taken.

    Examples
    --------
    >>> both = [InstanceCrop(0, 0, np.ones((1, 2), bool)), InstanceCrop(0, 1, np.ones((1, 2), bool))]
    >>> mask_from_crops((1, 3), both, [1, 1]).planes
    array([[[1, 1, 0]],
    <BLANKLINE>
           [[0, 2, 2]]], dtype=int32)
    """
    planes = np.zeros((1, *shape), np.int32)
    used = 1
    most = min(MAX_PLANES, max(_FEW, MAX_PLANE_BYTES // planes.nbytes))
    for number, (y, x, pixels) in enumerate(crops, start=1):
        if not any(paste_if_free(plane, pixels, y, x, number) for plane in planes[:used]):
            if used == most:
                raise InputError(
                    f"{where}: instance {number} lies over {most} others, more than fit {shape[0]} x {shape[1]} pixels "
                    "in memory; drop repeated instances"
                )
            if used == len(planes):
                planes = _with_room(planes, min(2 * used, most))
            paste_if_free(planes[used], pixels, y, x, number)
            used += 1
    return InstanceMask(planes[:used], np.array([0, *classes], np.int32), ignore, first_problems(problems))


def _with_room(planes: LabelArray, count: int) -> LabelArray:
    """As many planes, of which the first are given; the system gives memory only to those that are written to."""
    roomy = np.zeros((count, *planes.shape[1:]), np.int32)
    roomy[: len(planes)] = planes
    return roomy
