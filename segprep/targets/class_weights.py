"""Class weights from counts: how much a pixel of each class counts in the loss.

Counts are int64 and formulas float64. Ignored pixels are not counted; the background is a class. No formula gives NaN or
infinity, whatever the counts: a class without a pixel has weight 0 unless `Shaping.absent_class` sets another.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError, check_choice, some
from segprep.masks.stats import Counts

ClassVector: TypeAlias = NDArray[np.float64]
"""One number per class code."""
AbsentClass: TypeAlias = Literal["zero", "cap", "error"]

BETA = 0.9999
"""Default beta of `effective_number`: the value of Cui et al. for large data sets."""


def inverse(counts: Counts) -> ClassVector:
    """N / (C n_c): every class has the same total weight, and the mean over the pixels is 1.

    N valid pixels, n_c of them of class c, C classes that have any; "balanced" in scikit-learn.

    >>> inverse(Counts.of_pixels([60, 30, 10])).round(2)
    array([0.56, 1.11, 3.33])
    >>> inverse(Counts.of_pixels([75, 0, 25])).round(2)
    array([0.67, 0.  , 2.  ])
    """
    return _ratio(counts.pixels.sum(), np.count_nonzero(counts.pixels) * counts.pixels.astype(np.float64))


def inverse_sqrt(counts: Counts) -> ClassVector:
    """sqrt(N / n_c), scaled to a mean of 1 over the pixels: milder than `inverse`.

    >>> inverse_sqrt(Counts.of_pixels([64, 36])).round(3)
    array([0.893, 1.19 ])
    """
    return mean_one(np.sqrt(_ratio(counts.pixels.sum(), counts.pixels)), counts)


def median_frequency(counts: Counts) -> ClassVector:
    """median(f) / f_c, where f_c is n_c over the pixels of the images in which c occurs; the median is over those that occur.

    D. Eigen, R. Fergus: Predicting depth, surface normals and semantic labels, ICCV 2015, section 6.3.2.

    >>> median_frequency(Counts.of_images(np.array([[50, 50, 0], [90, 0, 10]]), np.zeros((2, 3), int))).round(2)
    array([0.71, 1.  , 5.  ])
    """
    frequency = _ratio(counts.pixels, counts.image_pixels)
    present = frequency > 0
    median = float(np.median(frequency[present])) if present.any() else 0.0
    return _ratio(median, frequency)


def enet(counts: Counts) -> ClassVector:
    """1 / ln(1.02 + n_c / N), between 1.42 and 50.5.

    A. Paszke et al.: ENet, 2016, section 4.1.

    >>> enet(Counts.of_pixels([100, 0])).round(2)
    array([1.42, 0.  ])
    """
    weights = 1 / np.log(1.02 + _ratio(counts.pixels, counts.pixels.sum()))
    return np.where(counts.pixels > 0, weights, 0.0)


def effective_number(counts: Counts, beta: float = BETA) -> ClassVector:
    """(1 - beta) / (1 - beta^I_c), times C / sum: further instances count less and less; 1 for every class if beta is 0.

    I_c counts instances; a class that has none (background, stuff) counts once in each image where it occurs. With the numbers
    of pixels instead, every class would have the same weight.

    Y. Cui et al.: Class-balanced loss based on effective number of samples, CVPR 2019, eq. 4.

    >>> effective_number(Counts.of_images(np.array([[9, 1, 1]]), np.array([[0, 1, 10]]))).round(2)
    array([1.43, 1.43, 0.14])
    """
    number = np.where(counts.instances > 0, counts.instances, counts.images) * (counts.pixels > 0)
    log_beta = math.log(beta) if beta else -math.inf
    weights = _ratio(np.where(number > 0, 1 - beta, 0.0), -np.expm1(np.maximum(number, 1) * log_beta))
    return _ratio(weights * np.count_nonzero(weights), weights.sum())


def dice(counts: Counts) -> ClassVector:
    """1 / n_c^2, of the generalised Dice loss.

    C. Sudre et al.: Generalised Dice overlap, DLMIA 2017, section 2.

    >>> dice(Counts.of_pixels([10, 2]))
    array([0.01, 0.25])
    """
    return _ratio(1.0, counts.pixels.astype(np.float64) ** 2)


def pos_weight(counts: Counts) -> ClassVector:
    """(N - n_c) / n_c: negative over positive pixels of each class, for PyTorch's BCEWithLogitsLoss.

    >>> pos_weight(Counts.of_pixels([75, 25]))
    array([0.33333333, 3.        ])
    """
    return _ratio(counts.pixels.sum() - counts.pixels, counts.pixels)


def wbce(counts: Counts) -> ClassVector:
    """1 - n_fg / N for every class of the foreground, n_fg / N for the background: weighted binary cross-entropy.

    >>> wbce(Counts.of_pixels([80, 15, 5]))
    array([0.2, 0.8, 0.8])
    """
    foreground = float(_ratio(counts.pixels[1:].sum(), counts.pixels.sum()))
    weights = np.where(np.arange(len(counts.pixels)) == 0, foreground, 1 - foreground)
    return np.where(counts.pixels > 0, weights, 0.0)


def focal_alpha(counts: Counts) -> ClassVector:
    """1 - n_c / N, the alpha of the focal loss.

    T.-Y. Lin et al.: Focal loss for dense object detection, ICCV 2017, section 3.1.

    >>> focal_alpha(Counts.of_pixels([75, 25]))
    array([0.25, 0.75])
    """
    return np.where(counts.pixels > 0, 1 - _ratio(counts.pixels, counts.pixels.sum()), 0.0)


def none(counts: Counts) -> ClassVector:
    """1 for every class.

    >>> none(Counts.of_pixels([60, 30, 10]))
    array([1., 1., 1.])
    """
    return np.ones(len(counts.pixels))


FORMULAS: dict[str, Callable[[Counts], ClassVector]] = {
    "inverse": inverse,
    "inverse-sqrt": inverse_sqrt,
    "median-frequency": median_frequency,
    "enet": enet,
    "effective-number": effective_number,
    "dice": dice,
    "pos-weight": pos_weight,
    "wbce": wbce,
    "focal-alpha": focal_alpha,
    "none": none,
}
"""Formulas by name; a class without a pixel gets 0 from all but ``none``."""


@dataclass(frozen=True)
class Shaping:
    """Changes to class weights after their formula: normalise, clip, then fill in the absent classes.

    Attributes
    ----------
    absent_class, normalise, clip_class_weights, beta
        As in `segprep.targets.weights.Weights`.
    """

    absent_class: AbsentClass = "zero"
    normalise: bool = False
    clip_class_weights: tuple[float, float] | None = None
    beta: float = BETA

    def __post_init__(self) -> None:
        check_choice("absent_class", self.absent_class, get_args(AbsentClass))
        if (clip := self.clip_class_weights) is not None and not 0 <= clip[0] <= clip[1] < math.inf:
            raise OptionError(f"clip_class_weights={clip}: must be finite and at least 0, the smaller one first")
        if not 0 <= self.beta < 1:
            raise OptionError(f"beta={self.beta}: must be at least 0 and less than 1")


def class_weights(rule: str | Mapping[str, float], counts: Counts, shaping: Shaping | None = None) -> ClassVector:
    """Weight of each class code, by the name of a formula, or from the weights by class name; `counts` are of the train split.

    OptionError if there is no such formula, the names are not those of the classes, a weight is negative or not finite, or a
    class has no pixel and `Shaping.absent_class` is ``error``.

    >>> shaping = Shaping(absent_class="cap", clip_class_weights=(0, 4))
    >>> class_weights("inverse", Counts.of_pixels([90, 10, 0]), shaping).round(2)
    array([0.56, 4.  , 4.  ])
    """
    shaping = shaping or Shaping()
    check_beta(rule, shaping.beta)
    if isinstance(rule, str):
        check_choice("class_weights", rule, FORMULAS)
        weights = FORMULAS[rule](counts) if shaping.beta == BETA else effective_number(counts, shaping.beta)
    else:
        weights = _by_name(rule, counts.names)
    absent = counts.pixels == 0
    # A scene may have no background.
    lost = [name for name, is_absent in zip(counts.names[1:], absent[1:], strict=True) if is_absent]
    if lost and shaping.absent_class == "error":
        raise OptionError(
            f"absent_class='error': no pixel of {some(lost)} in the train split; use absent_class='zero' or absent_class='cap'"
        )
    if shaping.normalise:
        weights = mean_one(weights, counts)
    if shaping.clip_class_weights is not None:
        weights = np.where(absent, weights, np.clip(weights, *shaping.clip_class_weights))
    if shaping.absent_class == "cap":
        weights = np.where(absent, weights[~absent].max(initial=0.0), weights)
    return weights


def check_beta(rule: str | Mapping[str, float], beta: float) -> None:
    """Raise OptionError for a beta that is not the default and not used."""
    if beta != BETA and rule != "effective-number":
        other = rule if isinstance(rule, str) else "given weights"
        raise OptionError(f"beta={beta}: belongs to the formula effective-number, not to {other}")


def mean_one(weights: ClassVector, counts: Counts) -> ClassVector:
    """Weights, scaled so that their mean over the pixels is 1."""
    return _ratio(weights * counts.pixels.sum(), (weights * counts.pixels).sum())


def _by_name(weights: Mapping[str, float], names: tuple[str, ...]) -> ClassVector:
    """Given weights, in the order of the class codes."""
    if set(weights) != set(names):
        missing, unknown = sorted(set(names) - set(weights)), sorted(set(weights) - set(names))
        raise OptionError(
            f"class_weights: missing: {some(missing) or 'none'}; unknown: {some(unknown) or 'none'}; give a weight for each "
            "class name"
        )
    vector = np.array([weights[name] for name in names], np.float64)
    if (wrong := np.flatnonzero(~(np.isfinite(vector) & (vector >= 0)))).size:
        name = names[wrong[0]]
        raise OptionError(f"class_weights: {name!r} has {weights[name]:g}; give a finite number of at least 0")
    return vector


def _ratio(
    numerator: ClassVector | NDArray[np.int64] | float, denominator: ClassVector | NDArray[np.int64]
) -> ClassVector:
    """Quotient in float64, 0 where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    quotient: ClassVector = np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0)
    return quotient
