"""Annotated regions: pixels outside of them are ignored, because nobody has looked for instances there.

They are applied to a mask as it is read, before instances are found or separated. An instance with a pixel in a region is
kept complete, so the border term and the distances of the pixels in the region are those of its true outline; its pixels
outside are ignored. An instance without one is left out: what is not in a region counts as not annotated.
"""

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from segprep.arrays import BoolArray
from segprep.errors import InputError, OptionError, check_fields
from segprep.kernels.lookup import lookup, occurring
from segprep.masks.instances import read_mask
from segprep.masks.mask import InstanceMask, MaskRef, Problem, first_problems
from segprep.masks.tiles import Slide, slide_of

WithoutRoi: TypeAlias = Literal["error", "ignored", "annotated"]

OUTSIDE = "instance outside the annotated regions"
"""Kind of the problem of an instance that is left out."""
NO_REGION = "mask without an annotated region"
"""Kind of the notice about a mask that is used nevertheless."""


@dataclass(frozen=True)
class RegionRule:
    """Regions of the images that are annotated; all other pixels are ignored.

    Attributes
    ----------
    roi : str or None
        Ignore the pixels outside the annotated regions: the instances of the class of this name, which is removed from
        the classes; or any instance in the file or folder of this path, which has regions by the names of the masks.
    without_roi : str
        Meaning of a mask without a region: an ``error``, or completely ``ignored`` or ``annotated``.
    code : int or None
        Code of the class in the data; None for a path.
    """

    roi: str | None = None
    without_roi: WithoutRoi = "error"
    code: int | None = field(default=None, metadata={"bound": True})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.roi is not None and not self.roi.strip():
            raise OptionError(f"roi={self.roi!r}: must be the name of a class, or a path")
        if self.roi is None and self.without_roi != "error":
            raise OptionError(f"without_roi={self.without_roi!r}: needs regions, as roi='annotated'")

    @property
    def is_path(self) -> bool:
        """True for regions in a file or folder of their own, of a rule that was bound to the data."""
        return self.roi is not None and self.code is None

    @property
    def named(self) -> "RegionRule":
        """Rule with the name of a path alone, which is the same from every working directory.

        >>> RegionRule("../data/regions").named.roi, RegionRule("my cells", code=1).named.roi
        ('regions', 'my cells')
        """
        name = self.roi.rstrip("/").rpartition("/")[2] if self.roi is not None and self.is_path else None
        return replace(self, roi=name) if name else self

    def without(self, key: str, sought: str | None = None) -> Problem:
        """Notice about a mask without a region; InputError if the rule does not say what that means.

        `sought` is where the region was looked for, by default the class.
        """
        if self.without_roi == "error":
            raise InputError(
                f"{key}: has no annotated region ({sought or f'no pixel of the class {self.roi!r}'}); draw one, or say what "
                "it means with without_roi='ignored' or without_roi='annotated'"
            )
        return Problem(NO_REGION, f"completely {self.without_roi}", left_out=False)


@dataclass(frozen=True)
class RegionRef:
    """A mask of which regions are annotated.

    Attributes
    ----------
    source : MaskRef
        The mask without regions; other attributes are those of this ref.
    rule : RegionRule
        Rule with the code of the class of the regions.
    n_classes : int
        Number of class codes of the source.
    is_flat : bool
        True if each pixel of the source has one class, so that a region ends where an instance lies on it.
    region : MaskRef or None
        Mask whose instances are the regions; None if they are instances of a class, or if there is none.
    region_format : str
        Format of the files of regions.
    """

    source: MaskRef
    rule: RegionRule
    n_classes: int
    is_flat: bool = False
    region: MaskRef | None = None
    region_format: str = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":  # unpickled
            raise AttributeError(name)
        return getattr(self.source, name)

    @property
    def key(self) -> str:
        """Key of the source."""
        return self.source.key

    @property
    def split(self) -> str | None:
        """Split of the source."""
        return self.source.split

    def load(self) -> InstanceMask:
        """Read the mask and its regions; InputError if it has none and the rule does not say what that means."""
        mask = read_mask(self.source, self.n_classes)
        if self.rule.code is not None:
            mask, region = split_off(mask, self.rule.code, is_flat=self.is_flat)
        else:
            mask, region = self._with_region_of_file(mask)
        if region.any():
            return within(mask, region)
        notice = self.rule.without(self.key, self._sought())
        mask = replace(mask, problems=(*mask.problems, notice))
        return mask if self.rule.without_roi == "annotated" else within(mask, region)

    def slide(self) -> Slide | None:
        """Slide of the source with the regions of a class, open; None if the source is small enough to be loaded.

        OptionError if its format or regions in other files need the complete mask.
        """
        opened = slide_of(self.source)
        if opened is None:
            return None
        limited = getattr(opened, "limited", None)
        if limited is not None and self.rule.code is not None:
            found: Slide = limited(self.rule)
            return found
        with closing(opened):
            height, width = opened.shape
        raise OptionError(
            f"roi={self.rule.roi!r}: needs the complete mask, but {self.key}, of {height} x {width} pixels, is larger than "
            "max_pixels and read in tiles, where only a class of QuPath's GeoJSON can give the regions; raise max_pixels"
        )

    def _sought(self) -> str | None:
        """Place where the regions of the mask were looked for; None for the class."""
        if self.rule.code is not None:
            return None
        return (
            f"no mask of this name in {self.rule.roi}"
            if self.region is None
            else f"{self.region.key} of {self.rule.roi} is empty"
        )

    def _with_region_of_file(self, mask: InstanceMask) -> tuple[InstanceMask, BoolArray]:
        """Mask with the problems of the regions, and their pixels."""
        if self.region is None:
            return mask, np.zeros(mask.shape, np.bool_)
        load_as = getattr(self.region, "load_as", None)  # a format without sizes
        regions = read_mask(self.region) if load_as is None else load_as(mask.shape)
        if regions.shape != mask.shape:
            sizes = [f"{height} x {width} pixels" for height, width in (regions.shape, mask.shape)]
            raise InputError(
                f"{self.key}: its regions, {self.region.key} of {self.rule.roi}, have {sizes[0]}, but the mask has {sizes[1]}"
            )
        problems = [problem._replace(where=f"region: {problem.where}") for problem in regions.problems]
        return replace(mask, problems=(*mask.problems, *problems)), labelled(regions)


class SplitOff(NamedTuple):
    """Mask without the instances and the stuff of a class, whose codes have no gap; and the pixels of these."""

    mask: InstanceMask
    region: BoolArray


def labelled(mask: InstanceMask) -> BoolArray:
    """Pixels of any instance or stuff that are not ignored, shape (H, W).

    >>> labelled(InstanceMask(np.array([[[0, 1, 1]]], np.int32), np.array([0, 1], np.int32), np.array([[False, False, True]])))
    array([[False,  True, False]])
    """
    found: BoolArray = np.asarray((mask.planes > 0).any(axis=0))
    if mask.stuff is not None:
        found |= mask.stuff > 0
    return found if mask.ignore is None else found & ~mask.ignore


def split_off(mask: InstanceMask, code: int, *, is_flat: bool = False) -> SplitOff:
    """Mask without a class, and the pixels of this class, as far as they are known.

    If the mask `is_flat`, or the class is stuff, other instances hide the pixels behind them: these count as well.

    Examples
    --------
    >>> mask = InstanceMask(np.array([[[0, 1, 1, 1]], [[0, 0, 2, 0]]], np.int32), np.array([0, 1, 2], np.int32))
    >>> cells, region = split_off(mask, 1)
    >>> cells.planes, cells.classes, region
    (array([[[0, 0, 1, 0]]], dtype=int32), array([0, 1], dtype=int32), array([[False,  True,  True,  True]]))
    """
    is_region = mask.classes == code
    region = np.zeros(mask.shape, np.bool_)
    for plane in mask.planes:
        region |= lookup(is_region, plane)
    of_stuff = None if mask.stuff is None else mask.stuff == code
    if is_flat or (of_stuff is not None and of_stuff.any()):
        region = labelled(replace(mask, ignore=None))
    classes = np.where(mask.classes > code, mask.classes - 1, mask.classes)
    stuff = mask.stuff
    if stuff is not None and of_stuff is not None:
        stuff = np.where(of_stuff, 0, np.where(stuff > code, stuff - 1, stuff)).astype(np.int32)
        stuff = stuff if stuff.any() else None
    rest = chosen(replace(mask, classes=classes.astype(np.int32), stuff=stuff), ~is_region)
    if mask.crowd is not None:  # which the regions have covered
        ignore = mask.crowd & ~(rest.planes > 0).any(axis=0)
        rest = replace(rest, ignore=ignore if ignore.any() else None)
    return SplitOff(rest, region)


def within(mask: InstanceMask, region: BoolArray) -> InstanceMask:
    """Mask that is annotated in a region alone, shape (H, W): other pixels are ignored, and instances there left out.

    Examples
    --------
    >>> mask = InstanceMask(np.array([[[1, 0, 2, 2]]], np.int32), np.array([0, 5, 6], np.int32))
    >>> part = within(mask, np.array([[False, True, True, False]]))
    >>> part.planes, part.classes, part.ignore, part.problems[0].where
    (array([[[0, 0, 1, 1]]], dtype=int32), array([0, 6], dtype=int32), array([[ True, False, False,  True]]), 'y=0, x=0')
    """
    ignore = ~region if mask.ignore is None else mask.ignore | ~region
    is_inside = np.zeros(len(mask.classes), np.bool_)
    for plane in mask.planes:
        here = occurring(plane * region)
        is_inside[: len(here)] |= here
    outside = np.flatnonzero(~is_inside[1:]) + 1
    corners = mask.regions.boxes[outside, :2].tolist() if outside.size else []
    problems = first_problems(Problem(OUTSIDE, f"y={y}, x={x}") for y, x in corners)
    part = chosen(mask, is_inside)
    return replace(part, ignore=ignore if ignore.any() else None, problems=(*mask.problems, *problems))


def chosen(mask: InstanceMask, keep: BoolArray) -> InstanceMask:
    """Mask of some of the instances, shape (N + 1,), which are numbered without gaps; planes without any are left out."""
    if keep[1:].all():
        return mask
    numbers = np.flatnonzero(keep[1:]) + 1
    number_of = np.zeros(len(keep), np.int32)
    number_of[numbers] = np.arange(1, len(numbers) + 1)
    planes = [lookup(number_of, plane) for plane in mask.planes]
    kept = [plane for plane in planes if plane.any()] or planes[:1]
    return replace(mask, planes=np.stack(kept), classes=mask.classes[np.append(0, numbers)])
