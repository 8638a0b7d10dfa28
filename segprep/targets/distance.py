"""Signed distances, for the boundary loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import OptionError, check_fields
from segprep.kernels.distance import signed_distance
from segprep.kernels.lookup import lookup, occurring
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.masks.tiles import SlideFacts
from segprep.targets.target import BOUND, Dtype, MaskFacts, check_bits, outside, rounded

DistancePer: TypeAlias = Literal["foreground", "class", "instance"]


class Sides(NamedTuple):
    """Facts about a complete mask that decide the distances where a part of it shows no boundary.

    Attributes
    ----------
    codes : tuple of int or None
        Class codes of its channels; None stands for the foreground.
    two_sided : frozenset of int or None
        Those of which some pixels are inside and some outside.
    has_instances : bool
        True if it has any instance.
    filled : int
        Number of its instances that fill it.
    """

    codes: tuple[int | None, ...]
    two_sided: frozenset[int | None]
    has_instances: bool = False
    filled: int = 0


@dataclass(frozen=True)
class Distance:
    """Signed Euclidean distance in pixels, negative inside; inner boundary pixels are 0, their outer neighbours 1.

    0 on ignored pixels and in the padding, and 0 everywhere for a class that is absent, since another class supervises those
    pixels, or that fills the image. See `signed_distance`.

    Attributes
    ----------
    distance_per : str
        One array for the ``foreground``, one channel for each ``class``, or in each ``instance`` the distance to its own
        boundary.
    distance_clip : float or None
        Largest distance in pixels, inside and outside.
    dtype : str
        As in `Weights`.
    mantissa_bits : int or None
        As in `Weights`.
    channels : int
        Number of classes for ``class``, else 0. Bound by `fit`.
    """

    distance_per: DistancePer = "foreground"
    distance_clip: float | None = None
    dtype: Dtype = "float16"
    mantissa_bits: int | None = None
    channels: int = field(default=0, metadata=BOUND)

    name: ClassVar[str] = "distance"
    fill: ClassVar[float] = math.nan

    def __post_init__(self) -> None:
        check_fields(self)
        check_bits(self.mantissa_bits, self.dtype)
        if self.distance_clip is not None and not 0 < self.distance_clip < 2**31:
            raise OptionError(f"distance_clip={self.distance_clip}: must be above 0 and at most {2**31 - 1} pixels")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - the split has no influence
        """Bind the number of channels."""
        return replace(self, channels=len(everything.pixels) if self.distance_per == "class" else 0)

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Distances of `mask`, shape (H, W), or (C, H, W) per class."""
        if self.distance_per != "class":
            return next(values for _, values in self.images(mask))
        distance = np.zeros((self.channels, *mask.shape), self.dtype)
        for channel, values in self.images(mask):
            distance[channel] = values
        return distance

    @property
    def reach(self) -> int | None:
        """Pixels around a pixel that decide its value, beside `sides`; None without `distance_clip`."""
        return None if self.distance_clip is None else math.ceil(self.distance_clip) + 1

    def images(self, mask: InstanceMask, sides: Sides | None = None) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Distances of `mask` by channel, shape (H, W) each: ``()``, or ``(code,)`` of the classes that it has.

        If it is a part of another mask, `sides` are those of the other.
        """
        if self.distance_per == "instance":
            yield (), self._finished(_of_instances(mask, sides), mask)
            return
        for code in self._channels(mask) if sides is None else sides.codes:
            region = _foreground(mask) if code is None else _of_class(mask, code)
            distance = signed_distance(region)
            if sides is not None and code in sides.two_sided and region.min() == region.max():
                distance[:] = -np.inf if region[0, 0] else np.inf  # the other side is beyond this part
            yield () if code is None else (code,), self._finished(distance, mask)

    def sides(self, mask: InstanceMask) -> Sides:
        """Regions of `mask` that have an inside and an outside, of which a part of it may show only one."""
        if self.distance_per == "instance":
            return Sides((), frozenset(), bool(mask.planes.any()), _filled(mask))
        codes = self._channels(mask)
        regions = (_foreground(mask) if code is None else _of_class(mask, code) for code in codes)
        two_sided = [code for code, region in zip(codes, regions, strict=True) if region.min() < region.max()]
        return Sides(tuple(codes), frozenset(two_sided))

    def sides_of_slide(self, slide: SlideFacts) -> Sides:
        """Result of `sides` for a mask that is too large to be loaded; OptionError if its tiles cannot tell."""
        if self.distance_per == "instance":
            return Sides((), frozenset(), bool(slide.codes), slide.filled)
        both = {0} if slide.codes and slide.has_background else set[int]()
        if self.distance_per == "foreground":
            return Sides((None,), frozenset(None for _ in both))
        if slide.uncertain:
            raise OptionError(
                f"distance_per='class': instances of the class {min(slide.uncertain)} overlap and may cover the complete "
                "mask, which is larger than max_pixels and read in tiles; use distance_per='foreground', or raise max_pixels"
            )
        return Sides((0, *slide.codes), frozenset(both | {*slide.codes} - slide.covering))

    def _channels(self, mask: InstanceMask) -> Sequence[int | None]:
        """Class codes of the channels that are not 0 everywhere; None stands for the foreground."""
        return _codes(mask) if self.distance_per == "class" else [None]

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:
        """Problem if a distance is larger than the image's diagonal, or than `distance_clip`."""
        most = (
            float(np.hypot(*(facts.source_shape or facts.shape))) if self.distance_clip is None else self.distance_clip
        )
        return outside(values, -most, most, bits=self.mantissa_bits)

    def _finished(self, distance: FloatArray, mask: InstanceMask) -> NDArray[Any]:
        """Distances with 0 on ignored pixels, clipped and rounded."""
        if mask.ignore is not None:
            np.copyto(distance, 0, where=mask.ignore)
        if self.distance_clip is not None:
            np.clip(distance, -self.distance_clip, self.distance_clip, out=distance)
        return rounded(distance, self.dtype, "distances", self.mantissa_bits)


def _foreground(mask: InstanceMask) -> LabelArray:
    """1 on the pixels of instances and stuff, else 0; of the type of labels, which a kernel need not convert."""
    found = mask.labels if mask.stuff is None else np.maximum(mask.labels, mask.stuff)
    return np.minimum(found, 1, out=None if mask.stuff is None else found)


def _codes(mask: InstanceMask) -> list[int]:
    """Class codes of a mask, hidden instances and the background included, in ascending order."""
    codes = set(mask.classes.tolist())
    return sorted(codes if mask.stuff is None else codes.union(np.flatnonzero(occurring(mask.stuff)).tolist()))


def _of_instances(mask: InstanceMask, sides: Sides | None) -> FloatArray:
    """Distances to the boundary of the nearest instance; `sides` are as in `Distance.images`."""
    if sides is not None and sides.has_instances and not mask.planes.any():
        return np.full(mask.shape, np.inf, np.float32)
    if sides is not None and _filled(mask) > sides.filled:  # the outside of one is beyond this part
        return np.full(mask.shape, -np.inf, np.float32)
    return signed_distance(mask.planes)


def _filled(mask: InstanceMask) -> int:
    """Number of instances that fill a mask."""
    return int(np.count_nonzero(mask.areas == mask.shape[0] * mask.shape[1]))


def _of_class(mask: InstanceMask, code: int) -> NDArray[Any]:
    """Pixels of a class, hidden instances included."""
    return _region(mask, code) if code else _foreground(mask) == 0


def _region(mask: InstanceMask, code: int) -> BoolArray:
    """Pixels of a class other than the background, hidden instances included."""
    is_of_class = mask.classes == code
    region = reduce(np.logical_or, (lookup(is_of_class, plane) for plane in mask.planes))
    return region if mask.stuff is None else region | (mask.stuff == code)
