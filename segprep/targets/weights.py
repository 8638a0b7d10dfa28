"""U-Net pixel weights: class balance, plus a border term that keeps touching instances apart."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray
from segprep.errors import OptionError, check_choice, check_fields
from segprep.kernels.border import BorderOn, SingleInstance, falloff
from segprep.masks.instances import Separation
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts, MaskStats, class_pixels
from segprep.targets.border import Border, BorderBetween, class_planes
from segprep.targets.class_weights import BETA, FORMULAS, AbsentClass, Shaping, check_beta, class_weights, inverse
from segprep.targets.target import BOUND, Dtype, MaskFacts, outside, rounded


def per_image(mask: InstanceMask) -> FloatArray:
    """`inverse` class weights of the image itself, shape (H, W)."""
    counts = Counts.of_pixels(class_pixels(mask, mask.largest_code + 1).tolist())
    return mask.by_class(inverse(counts).astype(np.float32))


def deshpande2018(mask: InstanceMask) -> FloatArray:
    """1 - a / (H W) on instances and a / (H W) elsewhere, shape (H, W), where a is the sum of the instances' areas.

    Both are clipped to [0, 1]: instances that overlap may have more area than the image. A pixel where they overlap has the
    same weight as any other pixel of an instance.

    A. Deshpande: Weighted Loss Functions for Instance Segmentation, 2018.

    >>> deshpande2018(InstanceMask(np.array([[[1, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32)))
    array([[0.75, 0.25, 0.25, 0.25]], dtype=float32)
    """
    share = min(1.0, float(mask.areas.sum()) / mask.labels.size)
    return np.where(mask.labels > 0, np.float32(1 - share), np.float32(share))


def falk2019(mask: InstanceMask) -> FloatArray:
    """1 on instances, ``v + (1 - v) sum_c exp(-d1c^2 / (2 s^2))`` elsewhere, shape (H, W), with v = 0.1 and s = 10 px.

    d1c is the distance to the nearest instance of class c: the weight of the background grows towards the instances.

    T. Falk et al.: U-Net: deep learning for cell counting, detection, and morphometry, Nature Methods 2019, and its plug-in.

    >>> falk2019(InstanceMask(np.array([[[1, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32))).round(3)
    array([[1.   , 0.996, 0.982, 0.96 ]], dtype=float32)
    """
    weights = np.full(mask.shape, 0.1, np.float32)
    for planes in class_planes(mask):
        weights += falloff((planes == 0).all(axis=0), 0.9, 10.0)
    weights[mask.labels > 0] = 1
    return weights


FAR = 10
"""Ratio of a class weight to w0 above which the border term has hardly any influence."""
IMAGE_RULES: dict[str, Callable[[InstanceMask], FloatArray]] = {
    "per-image": per_image,
    "deshpande2018": deshpande2018,
    "falk2019": falk2019,
}
"""Rules that derive the class weights from each image alone, by name."""


@dataclass(frozen=True)
class Weights:
    """U-Net weights, ``w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))``; see `border_weights` for the second term.

    Exactly 0 on ignored pixels and in the padding.

    Attributes
    ----------
    w0 : float
        Height of the border term, at least 0.
    sigma : float
        Width of the border term in pixels, from 0.001 to 1000.
    border_on : str
        Compute the border term on the ``background`` alone, or also inside instances (``all``).
    single_instance : str
        Border term of an image with a single instance: ``zero``, or that of ``d1`` alone.
    border_between : str
        Compute d1 and d2 over ``all`` instances, or within each class and sum the terms (``same-class``).
    class_weights : str or dict of str to float
        Class weights w_c: 1 for every class (``none``), a formula over the train split, a rule for each image, or a weight for
        each class name.

        The formulas are those of `segprep.targets.class_weights.FORMULAS`, the rules those of `IMAGE_RULES`.
    absent_class : str
        Weight of a class without a pixel in the train split: ``zero``, or the largest weight of the others (``cap``); or stop
        with an ``error``. With ``zero``, weights given by name and those of the formula ``none`` stay.
    normalise : bool
        Scale the class weights to a mean of 1 over the pixels of the train split.
    clip_class_weights : tuple of float or None
        Smallest and largest weight of the classes that have pixels.
    beta : float
        Parameter of the class weights ``effective-number``, at least 0 and less than 1: the larger, the more do further
        instances count.
    dtype : str
        Type of weights, border and distance: ``float16`` (relative precision 2^-11) or ``float32``.
    mantissa_bits : int or None
        Bits of the mantissa that weights, border and distance keep, so that they compress better: with 8, the relative
        precision is 2^-9. By default all, which are 10 of ``float16`` and 23 of ``float32``.
    vector : tuple of float
        w_c of each class code; empty for a rule of `IMAGE_RULES`. Bound by `fit`.
    """

    w0: float = 10.0
    sigma: float = 5.0
    border_on: BorderOn = "background"
    single_instance: SingleInstance = "zero"
    border_between: BorderBetween = "all"
    class_weights: str | dict[str, float] = "none"
    absent_class: AbsentClass = "zero"
    normalise: bool = False
    clip_class_weights: tuple[float, float] | None = None
    beta: float = BETA
    dtype: Dtype = "float16"
    mantissa_bits: int | None = None
    vector: tuple[float, ...] = field(default=(), metadata=BOUND)

    name: ClassVar[str] = "weights"
    fill: ClassVar[float] = math.nan

    def __post_init__(self) -> None:
        check_fields(self)
        self.border_target()
        self._shaping()
        if isinstance(self.class_weights, str):
            check_choice("class_weights", self.class_weights, [*FORMULAS, *IMAGE_RULES])
        given = [
            f"{name}={value!r}" for name, value in vars(self._shaping()).items() if value != getattr(Shaping(), name)
        ]
        if self._image_rule() is not None and given:
            raise OptionError(
                f"class_weights={self.class_weights!r}: takes weights from each image alone; leave out {' and '.join(given)}"
            )
        check_beta(self.class_weights, self.beta)

    def fit(self, train: Counts, everything: Counts) -> Self:
        """Bind the class weights of the train split."""
        if self._image_rule() is not None:
            return self
        is_fitted = isinstance(self.class_weights, str) and self.class_weights != "none"
        if is_fitted and everything.pixels.any() and not train.pixels.any():
            raise OptionError(
                f"class_weights={self.class_weights!r}: the train split has no pixels to compute them from; use "
                "class_weights='none' or weights by class name, or put masks in train, as split=(1, 0, 0) does"
            )
        vector = class_weights(self.class_weights, train, self._shaping())
        if problem := self._range_problem(vector[(train.pixels > 0) & (vector > 0)]):
            raise OptionError(problem)
        return replace(self, vector=tuple(vector.tolist()))

    def doubt(self, train: Counts) -> str | None:
        """Reason why the border term has hardly any influence beside the class weights, or None."""
        of_classes = zip(self.vector, train.names, train.pixels, strict=True)
        weight, name = max(((weight, name) for weight, name, pixels in of_classes if pixels), default=(0.0, ""))
        if not 0 < FAR * self.w0 < weight:
            return None
        return (
            f"class_weights: {name!r} has the weight {weight:,.4g}, far above w0={self.w0:g}, so the border term has hardly "
            "any influence; use class_weights='none' or clip_class_weights=(0.1, 10)"
        )

    def unfit(self, stats: MaskStats) -> str | None:
        """Reason why a rule of `IMAGE_RULES` gives weights that the type cannot hold, or None; by complete instances."""
        weights = np.ones(1, np.float32)
        if self.class_weights == "per-image":
            weights = inverse(Counts.of_pixels(stats.class_pixels.tolist())).astype(np.float32)
        elif self.class_weights == "deshpande2018":
            share = min(1.0, float(stats.instances["area"].sum()) / math.prod(stats.shape))
            weights = np.array([share, 1 - share], np.float32)
        return self._range_problem(weights[weights > 0])

    @property
    def reach(self) -> int | None:
        """Pixels around a pixel that decide its value; None if the complete mask does."""
        return None if self._image_rule() is not None else self.border_target().reach

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Weights of `mask`, shape (H, W), computed in float32 and rounded once."""
        rule = self._image_rule()
        if rule is not None:
            weights = rule(mask)
            # After a separation, the other rules may lose digits; the scan has seen the weights of this one.
            if rule is per_image and (problem := self._range_problem(weights[weights > 0])):
                raise OptionError(problem)
        elif self.vector:
            weights = mask.by_class(np.array(self.vector, np.float32))
        else:
            raise OptionError(
                f"class_weights={self.class_weights!r}: not yet computed; call fit with the counts of all masks"
            )
        weights += self.border_target().term(mask)
        if mask.ignore is not None:
            np.copyto(weights, 0, where=mask.ignore)
        return rounded(weights, self.dtype, "weights", self.mantissa_bits)

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:
        """Problem if a weight is negative or above its limit; a rule of `IMAGE_RULES` has no limit that is known here."""
        most = max(self.vector) + self.border_target().highest(facts.n_classes) if self.vector else math.inf
        return outside(values, 0, most, bits=self.mantissa_bits)

    def border_target(self) -> Border:
        """Target of the border term alone."""
        return Border(
            self.w0,
            self.sigma,
            self.border_on,
            self.single_instance,
            self.border_between,
            self.dtype,
            self.mantissa_bits,
        )

    def _shaping(self) -> Shaping:
        return Shaping(self.absent_class, self.normalise, self.clip_class_weights, self.beta)

    def _image_rule(self) -> Callable[[InstanceMask], FloatArray] | None:
        """Rule that needs no counts, if there is one."""
        return IMAGE_RULES.get(self.class_weights) if isinstance(self.class_weights, str) else None

    def _range_problem(self, weights: NDArray[Any]) -> str | None:
        """Reason why the type cannot hold weights, or None."""
        limits = np.finfo(self.dtype)
        end, step = float(limits.max), float(limits.smallest_normal)  # below, a weight would lose digits
        largest, smallest = float(weights.max(initial=0)) + self.w0, float(weights.min(initial=np.inf))
        remedy = "use dtype='float32'" + (
            "" if self._image_rule() else ", normalise=True or clip_class_weights=(0.1, 10)"
        )
        if largest > end:
            return f"weights reach {largest:g}, and {self.dtype} ends at {end:g}: {remedy}"
        if smallest < step:
            return f"class weights go down to {smallest:g}, of which {self.dtype} keeps few digits: {remedy}"
        return None


PRESETS: dict[str, Weights] = {
    "paper": Weights(class_weights="inverse"),
    "crowded": Weights(sigma=2.5),
    "deshpande2018": Weights(border_on="all", single_instance="d1", class_weights="deshpande2018"),
    "falk2019": Weights(w0=50.0, sigma=6.0, border_between="same-class", class_weights="falk2019"),
}
"""Parameters as published, and ``crowded``, for instances that touch; `PRESET_SEPARATIONS` go with them.

``crowded`` was measured: 76 trainings of a U-Net of 2 M parameters on the 2018 Data Science Bowl gave a mean AP of 0.591 with
it, 0.545 with plain cross-entropy and 0.490 with ``paper``; of the pairs of nuclei at most 2 px apart, 0.51 were separated
against 0.18 and 0.26. That is one data set, one network and one schedule, and two seeds of ``crowded``; see
docs/does-it-help.md.
"""
PRESET_SEPARATIONS: dict[str, Separation] = {"crowded": 1, "falk2019": "falk2019"}
"""`InstanceRule.separate` of the presets for which it is not 0."""
