"""Instances as cropped bitmaps, and the mask made from them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from segprep.arrays import BoolArray
from segprep.errors import InputError
from segprep.kernels.regions import paste_if_free
from segprep.masks.mask import InstanceMask, Problem, first_problems

MAX_PLANES = 1024
"""Largest number of planes of a mask: each further instance is compared with all of them; more would take minutes."""

MAX_PLANE_BYTES = 2**31
"""Largest memory of the planes of a mask, 2 GiB. Real masks need a handful of planes; this is 512 of 1024 x 1024 pixels, or
two of 16384 x 16384, the largest image that is read by default."""

_FEW = 4
"""Planes that every image may have, since its size was allowed."""


class InstanceCrop(NamedTuple):
    """Pixels of one instance: a (h, w) bitmap, which lies inside the image, and the row and column of its first pixel."""

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

    `crops` and `classes` have the instances ``1..N``; `classes` and `problems` are read after the crops, so an iterator of
    crops may extend them. `where` is the file, or file and image, for the message of an error: InputError if too many
    instances lie over each other, so that the planes would exceed `MAX_PLANES` or `MAX_PLANE_BYTES`. Growing copies the
    planes, so that they take at most twice that memory.

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
        if not paste_if_free(planes[:used], pixels, y, x, number):
            if used == most:
                raise InputError(
                    f"{where}: instance {number} lies over {most} others, the limit for {shape[0]} x {shape[1]} pixels; "
                    "remove repeated instances"
                )
            if used == len(planes):
                # The system allocates only the memory that is written.
                roomy = np.zeros((min(2 * used, most), *shape), np.int32)
                roomy[:used] = planes
                planes = roomy
            used += 1
            paste_if_free(planes[used - 1 : used], pixels, y, x, number)
    return InstanceMask(planes[:used], np.array([0, *classes], np.int32), ignore, first_problems(problems))
