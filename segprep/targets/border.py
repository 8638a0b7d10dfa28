"""The border term of the U-Net weights: high where two instances are close."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.errors import OptionError, check_fields
from segprep.kernels.border import BorderOn, SingleInstance, border_weights, check_border, reach
from segprep.kernels.lookup import lookup
from segprep.masks.mask import InstanceMask
from segprep.targets.target import Dtype, MaskFacts, check_bits, outside, rounded

BorderBetween: TypeAlias = Literal["all", "same-class"]


@dataclass(frozen=True)
class Border:
    """Border term of the U-Net weights alone, for a loss whose class weights change during training.

    Exactly 0 on ignored pixels and in the padding; see `border_weights`.

    Attributes
    ----------
    w0, sigma, border_on, single_instance, border_between, dtype, mantissa_bits
        As in `Weights`.
    """

    w0: float = 10.0
    sigma: float = 5.0
    border_on: BorderOn = "background"
    single_instance: SingleInstance = "zero"
    border_between: BorderBetween = "all"
    dtype: Dtype = "float16"
    mantissa_bits: int | None = None

    name: ClassVar[str] = "border"
    fill: ClassVar[float] = math.nan

    def __post_init__(self) -> None:
        check_fields(self)
        check_bits(self.mantissa_bits, self.dtype)
        check_border(self.w0, self.sigma, self.border_on, self.single_instance)
        if self.w0 > (end := float(np.finfo(self.dtype).max)):
            raise OptionError(f"w0={self.w0:g}: {self.dtype} ends at {end:g}: use dtype='float32'")

    @property
    def reach(self) -> int | None:
        """Pixels around a pixel that decide its value; None if the number of all instances does."""
        if self.single_instance == "d1":
            return None
        return reach(self.w0, self.sigma) + (self.border_on == "all")  # neighbours of inner boundary pixels

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Border term of `mask`, shape (H, W)."""
        border = self.term(mask)
        if mask.ignore is not None:
            np.copyto(border, 0, where=mask.ignore)
        return rounded(border, self.dtype, "border terms", self.mantissa_bits)

    def term(self, mask: InstanceMask) -> FloatArray:
        """Border term of `mask` also on ignored pixels, shape (H, W)."""
        if self.border_between == "all":
            return self._weights(mask.planes)
        border = np.zeros(mask.shape, np.float32)
        for planes in class_planes(mask):
            border += self._weights(planes)
        if self.border_on == "background":
            np.copyto(border, 0, where=mask.labels > 0)
        return border

    def _weights(self, planes: LabelArray) -> FloatArray:
        """Border weights with these parameters."""
        return border_weights(
            planes, w0=self.w0, sigma=self.sigma, border_on=self.border_on, single_instance=self.single_instance
        )

    def highest(self, n_classes: int) -> float:
        """Upper limit of the term: terms of several classes are summed."""
        return self.w0 * (1 if self.border_between == "all" else n_classes)

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:
        """Problem if a term is negative or above its limit."""
        return outside(values, 0, self.highest(facts.n_classes), bits=self.mantissa_bits)


def class_planes(mask: InstanceMask) -> Iterator[LabelArray]:
    """Planes of the instances of each class that occurs, shape (K, H, W) each."""
    numbers = np.arange(len(mask.classes), dtype=np.int32)
    for code in np.unique(mask.classes[1:]):
        yield lookup(np.where(mask.classes == code, numbers, 0), mask.planes)
