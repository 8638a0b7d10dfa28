"""Signed distance fields, for the boundary loss."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import OptionError
from segprep.kernels.distance import instance_distance, signed_distance
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.border import Dtype, check_end

Per: TypeAlias = Literal["foreground", "class", "instance"]


@dataclass(frozen=True)
class Distance:
    """Signed Euclidean distance in pixels, negative inside; inner boundary pixels are 0, their outer neighbours 1.

    0 where there is no truth and in the padding; 0 everywhere for a class that is absent, since another class supervises
    those pixels, and for one that fills the image. See `signed_distance`.

    Attributes
    ----------
    per : str
        ``foreground``: one field of all that is not background. ``class``: a field for each class code. ``instance``: each
        instance's own field, see `instance_distance`.
    clip : float or None
        Largest distance in pixels, either way.
    dtype : str
        ``float16`` keeps a relative precision of 2^-11, so a distance of 100 px to 1/32 px; ``float32`` is exact to its
        last digit.
    channels : int
        Number of classes, bound by `fit`; 0 where there is no dimension for them.
    """

    per: Per = "foreground"
    clip: float | None = None
    dtype: Dtype = "float16"
    channels: int = 0

    name: ClassVar[str] = "distance"
    version: ClassVar[int] = 1
    fill: ClassVar[float] = float("nan")
    pad: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        for option, choices in (("per", Per), ("dtype", Dtype)):
            if getattr(self, option) not in get_args(choices):
                raise OptionError(f"--{option} {getattr(self, option)}: choose one of {', '.join(get_args(choices))}")
        if self.clip is not None and not 0 < self.clip < float("inf"):
            raise OptionError(f"--distance-clip {self.clip}: must be above 0 pixels")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - distances know no split
        """Bind the number of channels."""
        return replace(self, channels=len(everything.pixels) if self.per == "class" else 0)

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Distances of `mask`, shape (H, W), or (C, H, W) per class."""
        distance = self._field(mask)
        if mask.ignore is not None:
            distance[..., mask.ignore] = 0
        if self.clip is not None:
            np.clip(distance, -self.clip, self.clip, out=distance)
        check_end("distances", distance, self.dtype)
        return distance.astype(self.dtype, copy=False)

    def _field(self, mask: InstanceMask) -> FloatArray:
        """Distances before ignored pixels and clipping."""
        if self.per == "instance":
            return instance_distance(mask.planes)
        if self.per == "foreground":
            return signed_distance(_labels(~_region(mask, 0)))
        field = np.zeros((self.channels, *mask.shape), np.float32)
        for code in np.union1d(mask.classes, mask.class_map):
            field[code] = signed_distance(_labels(_region(mask, code)))
        return field


def _labels(region: BoolArray) -> LabelArray:
    """Region as labels: 1 inside."""
    return region.astype(np.int32)


def _region(mask: InstanceMask, code: int) -> BoolArray:
    """Pixels of a class, those of hidden instances included; of the background, those of neither instance nor stuff."""
    inside = mask.planes > 0 if code == 0 else mask.classes[mask.planes] == code
    region = np.asarray(inside.any(axis=0))
    if mask.stuff is not None:
        region |= mask.stuff > 0 if code == 0 else mask.stuff == code
    return ~region if code == 0 else region
