"""U-Net pixel weights: class balance, plus a border term that keeps touching instances apart."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray
from segprep.errors import OptionError
from segprep.kernels.border import BorderOn, SingleInstance, falloff
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts, class_pixels
from segprep.targets.border import Border, BorderBetween, Dtype, check_end, class_planes
from segprep.targets.class_weights import FORMULAS, AbsentClass, Shaping, class_weights, inverse


def per_image(mask: InstanceMask) -> FloatArray:
    """`inverse` class weights of the image itself, shape (H, W)."""
    counts = Counts.of_pixels(class_pixels(mask, int(mask.class_map.max()) + 1).tolist())
    return inverse(counts).astype(np.float32)[mask.class_map]


def deshpande2018(mask: InstanceMask) -> FloatArray:
    """1 - a / (H W) on instances and a / (H W) elsewhere, shape (H, W), where a sums the areas of the whole instances.

    Both are clipped to [0, 1]: instances that overlap may have more area than the image. Where they do overlap the weight
    is that of any instance.

    References
    ----------
    A. Deshpande: Weighted Loss Functions for Instance Segmentation, 2018.

    Examples
    --------
    >>> deshpande2018(InstanceMask(np.array([[[1, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32)))
    array([[0.75, 0.25, 0.25, 0.25]], dtype=float32)
    """
    share = min(1.0, float(mask.areas.sum()) / mask.labels.size)
    return np.where(mask.labels > 0, np.float32(1 - share), np.float32(share))


def falk2019(mask: InstanceMask) -> FloatArray:
    """1 on instances, ``v + (1 - v) sum_c exp(-d1c^2 / (2 s^2))`` elsewhere, shape (H, W), with v = 0.1 and s = 10 px.

    d1c is the distance to the nearest instance of class c: the weight of the background grows towards the instances.

    References
    ----------
    T. Falk et al.: U-Net: deep learning for cell counting, detection, and morphometry, Nature Methods 2019, and its plug-in.

    Examples
    --------
    >>> falk2019(InstanceMask(np.array([[[1, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32))).round(3)
    array([[1.   , 0.996, 0.982, 0.96 ]], dtype=float32)
    """
    weights = np.full(mask.shape, 0.1, np.float32)
    for planes in class_planes(mask):
        weights += falloff((planes == 0).all(axis=0), 0.9, 10.0)
    weights[mask.labels > 0] = 1
    return weights


IMAGE_RULES: dict[str, Callable[[InstanceMask], FloatArray]] = {
    "per-image": per_image,
    "deshpande2018": deshpande2018,
    "falk2019": falk2019,
}
"""Rules that take the weight of a pixel from its image alone, by the name that options and attributes use."""


@dataclass(frozen=True)
class Weights:
    """U-Net weights, ``w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))``, complete; see `border_weights` for the second term.

    Exactly 0 where there is no truth and in the padding.

    Attributes
    ----------
    w0, sigma, border_on, single, border_between
        As in `Border`.
    class_weights : str or dict of str to float
        Where w_c comes from: a formula of `segprep.targets.class_weights.FORMULAS` over the train split, a rule of
        `IMAGE_RULES`, or
        the weight of each class by its name.
    absent, normalise, clip_class_weights
        As in `Shaping`.
    dtype : str
        ``float16`` (relative precision 2^-11) or ``float32``.
    vector : tuple of float
        w_c of each class code, bound by `fit`; empty for a rule of `IMAGE_RULES`.
    """

    w0: float = 10.0
    sigma: float = 5.0
    border_on: BorderOn = "background"
    single_instance: SingleInstance = "zero"
    border_between: BorderBetween = "all"
    class_weights: str | dict[str, float] = "inverse"
    absent_class: AbsentClass = "zero"
    normalise: bool = False
    clip_class_weights: tuple[float, float] | None = None
    dtype: Dtype = "float16"
    vector: tuple[float, ...] = field(default=())

    name: ClassVar[str] = "weights"
    version: ClassVar[int] = 1
    channels: ClassVar[int] = 0
    fill: ClassVar[float] = math.nan
    pad: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        self._border()
        self._shaping()
        if isinstance(self.class_weights, str) and self.class_weights not in FORMULAS | IMAGE_RULES:
            choices = ", ".join(FORMULAS | IMAGE_RULES)
            raise OptionError(f"--class-weights {self.class_weights}: no file, and no formula: choose one of {choices}")

        if self._image_rule() is not None and self._shaping() != Shaping():
            raise OptionError(
                f"--class-weights {self.class_weights} weighs each image by itself: --absent-class, --normalise and "
                "--clip-class-weights do not go with it"
            )

    def fit(self, train: Counts, everything: Counts) -> Self:
        """Bind the class weights of the train split."""
        if self._image_rule() is not None:
            return self
        is_fitted = isinstance(self.class_weights, str) and self.class_weights != "none"
        if is_fitted and everything.pixels.any() and not train.pixels.any():
            raise OptionError(
                f"--class-weights {self.class_weights}: no pixel is in train, so there is nothing to fit them on; "
                "give a file of weights or none, or put masks in train, as --split 1,0,0 does"
            )
        vector = class_weights(self.class_weights, train, self._shaping())
        present = vector[(train.pixels > 0) & (vector > 0)]
        self._check_range(present)
        return replace(self, vector=tuple(vector.tolist()))

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Weights of `mask`, shape (H, W), float32 or rounded once to float16."""
        rule = self._image_rule()
        if rule is None and not self.vector:
            raise OptionError(
                f"class weights {self.class_weights!r} are not bound: call fit with the counts of all masks"
            )
        vector = np.array(self.vector, np.float32)
        weights = vector[mask.class_map] if rule is None else rule(mask)
        if rule is not None:
            self._check_range(weights[weights > 0])
        weights += self._border().term(mask)
        if mask.ignore is not None:
            weights[mask.ignore] = 0
        check_end("weights", weights, self.dtype)
        return weights.astype(self.dtype, copy=False)

    def _border(self) -> Border:
        """The second term."""
        return Border(self.w0, self.sigma, self.border_on, self.single_instance, self.border_between, self.dtype)

    def _shaping(self) -> Shaping:
        return Shaping(self.absent_class, self.normalise, self.clip_class_weights)

    def _image_rule(self) -> Callable[[InstanceMask], FloatArray] | None:
        """Rule that needs no counts, if it is one."""
        return IMAGE_RULES.get(self.class_weights) if isinstance(self.class_weights, str) else None

    def _check_range(self, weights: NDArray[Any]) -> None:
        """Refuse weights that the type cannot hold."""
        limits = np.finfo(self.dtype)
        end, step = float(limits.max), float(limits.smallest_normal)  # below, a weight would lose digits
        largest, smallest = float(weights.max(initial=0)), float(weights.min(initial=np.inf))
        is_shaped = self._image_rule() is None
        if largest + self.w0 > end:
            others = ", --normalise, or --clip-class-weights" if is_shaped else ""
            raise OptionError(
                f"weights reach {largest + self.w0:g}, and {self.dtype} ends at {end:g}: use --dtype float32{others}"
            )
        if smallest < step:
            others = ", or --normalise" if is_shaped else ""
            raise OptionError(
                f"class weights go down to {smallest:g}, of which {self.dtype} keeps few digits: use --dtype float32{others}"
            )


PRESETS: dict[str, Weights] = {
    "paper": Weights(),
    "deshpande2018": Weights(border_on="all", single_instance="d1", class_weights="deshpande2018"),
    "falk2019": Weights(w0=50.0, sigma=6.0, border_between="same-class", class_weights="falk2019"),
}
"""Parameters as published; ``falk2019`` goes with the separation of the same name."""
