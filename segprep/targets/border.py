"""The border term of the U-Net weights: high where two instances are close."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.errors import OptionError
from segprep.kernels.border import BorderOn, SingleInstance, border_weights
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts

BorderBetween: TypeAlias = Literal["all", "same-class"]
Dtype: TypeAlias = Literal["float16", "float32"]


@dataclass(frozen=True)
class Border:
    """Border term of the U-Net weights alone, for those who change the class weights while training.

    Exactly 0 where there is no truth and in the padding; see `border_weights`.

    Attributes
    ----------
    w0 : float
        Height of the border term, at least 0.
    sigma : float
        Width of the border term in pixels, from 0.001 to 1000.
    border_on : str
        ``background``, or ``all`` where the term goes on inside instances.
    single : str
        With a single instance the term is ``zero``, or has ``d1`` alone.
    border_between : str
        Whether d1 and d2 are distances to ``all`` instances, or to those of each ``class`` and the terms are summed.
    dtype : str
        ``float16`` (relative precision 2^-11) or ``float32``.
    """

    w0: float = 10.0
    sigma: float = 5.0
    border_on: BorderOn = "background"
    single_instance: SingleInstance = "zero"
    border_between: BorderBetween = "all"
    dtype: Dtype = "float16"

    name: ClassVar[str] = "border"
    version: ClassVar[int] = 1
    channels: ClassVar[int] = 0
    fill: ClassVar[float] = math.nan
    pad: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.w0 < math.inf:
            raise OptionError(f"--w0 {self.w0}: must be a number of at least 0")
        if not 0.001 <= self.sigma <= 1000:  # noqa: PLR2004 - in pixels; distances are squared in 64 bits
            raise OptionError(f"--sigma {self.sigma}: must be from 0.001 to 1000 pixels")
        for option, choices in (
            ("border_on", BorderOn),
            ("single_instance", SingleInstance),
            ("border_between", BorderBetween),
            ("dtype", Dtype),
        ):
            if getattr(self, option) not in get_args(choices):
                raise OptionError(f"{option} {getattr(self, option)!r}: choose one of {', '.join(get_args(choices))}")
        if self.w0 > (end := float(np.finfo(self.dtype).max)):
            raise OptionError(f"--w0 {self.w0:g}: {self.dtype} ends at {end:g}: use --dtype float32")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - nothing to bind
        """Nothing to bind."""
        return self

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Border term of `mask`, shape (H, W)."""
        border = self.term(mask)
        if mask.ignore is not None:
            border[mask.ignore] = 0
        check_end("border terms", border, self.dtype)
        return border.astype(self.dtype, copy=False)

    def term(self, mask: InstanceMask) -> FloatArray:
        """Border term of `mask` also where there is no truth, shape (H, W)."""
        groups = [mask.planes] if self.border_between == "all" else class_planes(mask)
        border = np.zeros(mask.shape, np.float32)
        for planes in groups:
            border += border_weights(
                planes, w0=self.w0, sigma=self.sigma, on=self.border_on, single_instance=self.single_instance
            )
        if self.border_on == "background":
            border[mask.labels > 0] = 0
        return border


def check_end(what: str, values: FloatArray, dtype: str) -> None:
    """Raise OptionError where values are larger than the type can hold."""
    farthest, end = float(np.abs(values).max(initial=0)), float(np.finfo(dtype).max)
    if farthest > end:
        raise OptionError(f"{what} reach {farthest:g}, and {dtype} ends at {end:g}: use --dtype float32")


def class_planes(mask: InstanceMask) -> list[LabelArray]:
    """Planes of the instances of each class that occurs, shape (K, H, W) each."""
    codes = mask.classes[mask.planes]
    return [np.where(codes == code, mask.planes, 0) for code in np.unique(mask.classes[1:])]
