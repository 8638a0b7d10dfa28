"""Masks at a lower resolution, for networks that predict at one."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.errors import OptionError, check_fields
from segprep.kernels.lookup import lookup, occurring
from segprep.kernels.majority import block_majority
from segprep.masks.mask import InstanceMask, Problem

N = TypeVar("N", bound=np.generic)

DownsampleBy: TypeAlias = Literal["majority", "nearest"]

VANISHED = "instances that downsampling removes"
_NAMED = 20
"""Instances of a mask that are named."""


@dataclass(frozen=True)
class Downsampling:
    """Resolution at which masks are stored; targets are computed at it, so that sigma and distances are in its pixels.

    Attributes
    ----------
    downsample : int or None
        Make one pixel of each block of N x N pixels, before instances are found, separated and cut into tiles; sigma and
        other distances then count pixels of the smaller mask.
    downsample_by : str
        Value of a block: the one that most of its pixels have (``majority``), or that of the pixel in its middle
        (``nearest``).
    """

    downsample: int | None = None
    downsample_by: DownsampleBy = "majority"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.downsample is not None and not 2 <= self.downsample < 2**15:  # noqa: PLR2004
            raise OptionError(f"downsample={self.downsample}: must be from 2 to {2**15 - 1}, or left out")
        if self.downsample is None and self.downsample_by != "majority":
            raise OptionError(f"downsample_by={self.downsample_by!r}: has no effect without downsample=2, or more")

    def shape(self, source: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the result for a mask of this height and width.

        >>> Downsampling(2).shape((4, 5))
        (2, 3)
        """
        height, width = source
        return -(-height // self.factor), -(-width // self.factor)

    @property
    def factor(self) -> int:
        """Side of a block in pixels."""
        return self.downsample or 1


def downsampled(mask: InstanceMask, rule: Downsampling, parts: InstanceMask | None = None) -> InstanceMask:
    """Mask at a lower resolution, with a problem if instances are left without a pixel; these are removed.

    If the instances will be the connected components of each class, `parts` has those of `mask`, and the problem names them.

    In each plane, a block gets the value of most of its pixels: of equals the smallest instance, and background only if it
    has more pixels than any instance. A class without instances counts like an instance, after these. A block is ignored if
    at least half of its pixels are; in any other, the ignored pixels do not count. Blocks at the lower and right edge have
    the pixels that there are.

    Examples
    --------
    >>> mask = InstanceMask(np.array([[[1, 0, 2, 2, 3], [1, 0, 2, 0, 3]]], np.int32), np.array([0, 7, 8, 9], np.int32))
    >>> downsampled(mask, Downsampling(2)).planes
    array([[[1, 2, 3]]], dtype=int32)
    >>> half = downsampled(mask, Downsampling(2, "nearest"))
    >>> half.planes, half.classes
    (array([[[0, 0, 1]]], dtype=int32), array([0, 9], dtype=int32))
    >>> half.problems[0].where
    '2 of 3: 1 (2 pixels at y=0, x=0), 2 (3 pixels at y=0, x=2)'
    """
    if rule.downsample is None:
        return mask
    planes, ignore, stuff = _nearest(mask, rule) if rule.downsample_by == "nearest" else _majority(mask, rule.factor)
    planes, kept = _numbered(planes, len(mask.classes))
    if stuff is not None:
        stuff[(planes > 0).any(axis=0)] = 0
    coarse = replace(
        mask,
        planes=planes,
        classes=mask.classes[kept],
        ignore=ignore if ignore is not None and ignore.any() else None,
        stuff=stuff if stuff is not None and stuff.any() else None,
    )
    if parts is not None:
        kept = _parts_in(coarse, parts, rule.factor)
    named = parts or mask
    lost = np.setdiff1d(np.arange(1, len(named.classes)), kept)
    return replace(coarse, problems=(*mask.problems, _vanished(named, lost))) if lost.size else coarse


class _Arrays(NamedTuple):
    """Arrays of a mask, not yet numbered without gaps."""

    planes: LabelArray
    ignore: BoolArray | None
    stuff: LabelArray | None


def _nearest(mask: InstanceMask, rule: Downsampling) -> _Arrays:
    """Pixels in the middle of each block; of an even number of rows or columns, the second of the two."""
    rows, columns = (_middles(side, rule.factor) for side in mask.shape)
    at = np.ix_(rows, columns)
    planes = np.stack([plane[at] for plane in mask.planes])
    return _Arrays(
        planes,
        None if mask.ignore is None else mask.ignore[at],
        None if mask.stuff is None else mask.stuff[at],
    )


def _middles(side: int, factor: int) -> CountArray:
    """Index of the pixel in the middle of each block of a row or column.

    >>> _middles(7, 3), _middles(7, 4)
    (array([1, 4, 6]), array([2, 5]))
    """
    starts: CountArray = np.arange(0, side, factor)
    starts += np.minimum(factor, side - starts) // 2
    return starts


def _majority(mask: InstanceMask, factor: int) -> _Arrays:
    """Majority of each block."""
    ignore = left_out = None
    if mask.ignore is not None:
        ignore = block_majority(mask.ignore.astype(np.int32), factor) > 0
        left_out = mask.ignore & ~_enlarged(ignore, factor, mask.shape)
    count = len(mask.classes)
    planes, stuff = [], None
    for plane in mask.planes:
        found = block_majority(_with_stuff(mask, plane), factor, left_out)
        planes.append(np.where(found < count, found, 0).astype(np.int32))
    if mask.stuff is not None:
        if len(mask.planes) > 1:
            found = block_majority(_with_stuff(mask, mask.labels), factor, left_out)
        stuff = np.where(found < count, 0, found - (count - 1)).astype(np.int32)
    return _Arrays(np.stack(planes), ignore, stuff)


def _with_stuff(mask: InstanceMask, plane: LabelArray) -> LabelArray:
    """Plane in which classes without instances have numbers after those of the instances."""
    if mask.stuff is None:
        return plane
    return np.where((plane == 0) & (mask.stuff > 0), mask.stuff + np.int32(len(mask.classes) - 1), plane)


def _parts_in(coarse: InstanceMask, parts: InstanceMask, factor: int) -> CountArray:
    """Numbers of the parts of which a pixel lies in a block of their class."""
    codes = coarse.classes[coarse.planes]
    if coarse.stuff is not None:
        codes[0] = np.where(codes[0] > 0, codes[0], coarse.stuff)
    remain = np.zeros(parts.planes.shape, np.bool_)
    for plane in codes:
        remain |= _enlarged(plane, factor, parts.shape) == parts.classes[parts.planes]
    return np.unique(parts.planes[remain])


def _enlarged(blocks: NDArray[N], factor: int, shape: tuple[int, int]) -> NDArray[N]:
    """Value of its block at each pixel of a mask."""
    rows, columns = (np.arange(side) // factor for side in shape)
    return blocks[np.ix_(rows, columns)]


def _numbered(planes: LabelArray, count: int) -> tuple[LabelArray, CountArray]:
    """Planes without empty ones, in which the instances that are left are numbered without gaps; and their numbers before."""
    occurs = np.zeros(count, np.bool_)
    occurs[0] = True
    used = []
    for plane in planes:
        here = occurring(plane)
        occurs[: len(here)] |= here
        used.append(bool(here[1:].any()))
    if occurs.all():
        return planes, np.arange(count)
    number_of = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    chosen = [plane for plane, is_used in zip(planes, used, strict=True) if is_used] or [planes[0]]
    return np.stack([lookup(number_of, plane) for plane in chosen]), np.flatnonzero(occurs)


def _vanished(mask: InstanceMask, numbers: CountArray) -> Problem:
    """Problem that names the instances of these numbers, with their areas and places in the mask."""
    areas, boxes = mask.areas, mask.regions.boxes
    named = [
        f"{n} ({areas[n]:,} {'pixels' if areas[n] > 1 else 'pixel'} at y={boxes[n][0]}, x={boxes[n][1]})"
        for n in numbers[:_NAMED].tolist()
    ]
    more = f", and {len(numbers) - _NAMED:,} more" if len(numbers) > _NAMED else ""
    return Problem(VANISHED, f"{len(numbers):,} of {len(mask.classes) - 1:,}: {', '.join(named)}{more}")
