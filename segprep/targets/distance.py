"""Signed distances, for the boundary loss."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import OptionError, check_fields
from segprep.kernels.distance import signed_distance
from segprep.kernels.lookup import lookup, occurring
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.target import BOUND, Dtype, MaskFacts, check_bits, outside, rounded

DistancePer: TypeAlias = Literal["foreground", "class", "instance"]


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

    def images(self, mask: InstanceMask) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Distances of `mask` by channel, shape (H, W) each: ``()``, or ``(code,)`` of the classes that it has."""
        if self.distance_per == "instance":
            yield (), self._finished(signed_distance(mask.planes), mask)
        elif self.distance_per == "foreground":
            yield (), self._finished(signed_distance(_foreground(mask)), mask)
        else:
            for code in _codes(mask):
                region = _region(mask, code) if code else _foreground(mask) == 0
                yield (code,), self._finished(signed_distance(region), mask)

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


def _region(mask: InstanceMask, code: int) -> BoolArray:
    """Pixels of a class other than the background, hidden instances included."""
    is_of_class = mask.classes == code
    region = reduce(np.logical_or, (lookup(is_of_class, plane) for plane in mask.planes))
    return region if mask.stuff is None else region | (mask.stuff == code)
