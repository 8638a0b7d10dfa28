"""U-Net pixel weights: class balance, plus a border term that keeps touching instances apart."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.class_weights import FORMULAS, inverse
from segprep.errors import OptionError
from segprep.mask import FloatArray, InstanceMask, LabelArray
from segprep.products._compiled import compiled
from segprep.products._nearest import SquaredArray, nearest_two_bands
from segprep.stats import Counts, class_pixels

NEGLIGIBLE = 1e-7
"""Border terms below this are 0: it is about the smallest step of float16."""

ClassWeights: TypeAlias = Literal["inverse", "none", "per-image"]


def border_weights(planes: LabelArray, *, w0: float = 10.0, sigma: float = 5.0) -> FloatArray:
    """Border term of the U-Net weights, ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))``.

    Parameters
    ----------
    planes : (K, H, W) int32 array
        0 is background, positive numbers are instances; one plane where nothing overlaps.
    w0 : float
        Height of the term between two instances that touch, at least 0.
    sigma : float
        Its width in pixels, above 0.

    Returns
    -------
    (H, W) float32 array
        In ``[0, w0]``. d1 and d2 are the distances to the nearest and to the second nearest distinct instance, in pixels
        between pixel centres. 0 on instances, where there are fewer than two of them, and where the term would be
        below `NEGLIGIBLE`. It does not depend on how the instances are numbered.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox: U-Net, MICCAI 2015, eq. 2.

    Examples
    --------
    >>> border_weights(np.array([[[1, 0, 0, 0, 2]]], np.int32)).round(2)
    array([[0.  , 7.26, 7.26, 7.26, 0.  ]], dtype=float32)
    """
    border = np.zeros(planes.shape[1:], np.float32)
    span = reach(w0, sigma)
    if span > 0:
        for rows, squared in nearest_two_bands(planes, reach=span):
            _border_term(squared, w0, 2 * sigma * sigma, span, border[rows])
    return border


def reach(w0: float, sigma: float) -> int:
    """Pixels beyond which d1 + d2 gives a border term below `NEGLIGIBLE`.

    Examples
    --------
    >>> reach(10, 5)
    31
    """
    if w0 <= NEGLIGIBLE:
        return 0
    return math.ceil(sigma * math.sqrt(2 * math.log(w0 / NEGLIGIBLE)))


@compiled
def _border_term(squared: SquaredArray, w0: float, width: float, reach: int, out: FloatArray) -> None:
    """Fill `out` with the border term of squared distances; 0 on instances, where d1 is 0, and beyond `reach`."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            first = squared[0, y, x]
            if 0 < first <= reach * reach:
                d = math.sqrt(first) + math.sqrt(squared[1, y, x])
                out[y, x] = w0 * math.exp(-d * d / width)


@dataclass(frozen=True)
class Weights:
    """U-Net weights, ``w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2))``, complete; see `border_weights` for the second term.

    Exactly 0 where there is no truth and in the padding.

    Attributes
    ----------
    w0 : float
        Height of the border term, at least 0.
    sigma : float
        Width of the border term in pixels, above 0 and at most 1000.
    class_weights : str
        Where w_c comes from: ``inverse`` (over the train split, mean 1 over its pixels), ``none`` (1), ``per-image``
        (``inverse`` over each image).
    dtype : str
        ``float16`` (relative precision 2^-11) or ``float32``.
    vector : tuple of float
        w_c of each class code, bound by `fit`; empty for ``per-image``.
    """

    w0: float = 10.0
    sigma: float = 5.0
    class_weights: ClassWeights = "inverse"
    dtype: Literal["float16", "float32"] = "float16"
    vector: tuple[float, ...] = ()

    name: ClassVar[str] = "weights"
    version: ClassVar[int] = 1
    fill: ClassVar[float] = math.nan
    pad: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.w0) and self.w0 >= 0):
            raise OptionError(f"w0 is {self.w0}; it must be a number of at least 0")
        if not 0 < self.sigma <= 1000:  # noqa: PLR2004 - in pixels; distances are squared in 64 bits
            raise OptionError(f"sigma is {self.sigma}; it must be above 0 and at most 1000 pixels")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - class weights know the train split alone
        """Bind the class weights of the train split."""
        if self.class_weights == "per-image":
            return self
        vector = FORMULAS[self.class_weights](train)
        self._check_range(float(vector.max()))
        return replace(self, vector=tuple(vector.tolist()))

    def compute(self, mask: InstanceMask) -> FloatArray:
        """Weights of `mask`, shape (H, W), float32 or rounded once to float16."""
        weights = self._of_classes(mask).astype(np.float32)[mask.classes[mask.labels]]
        weights += border_weights(mask.planes, w0=self.w0, sigma=self.sigma)
        if mask.ignore is not None:
            weights[mask.ignore] = 0
        return weights.astype(self.dtype, copy=False)

    def _of_classes(self, mask: InstanceMask) -> NDArray[Any]:
        """Weight of each class code that occurs in `mask`."""
        if self.class_weights != "per-image":
            return np.array(self.vector)
        vector = inverse(Counts.of_pixels(class_pixels(mask, int(mask.classes.max()) + 1).tolist()))
        self._check_range(float(vector.max()))
        return vector

    def _check_range(self, largest: float) -> None:
        """Refuse weights that the type cannot hold."""
        limit = float(np.finfo(self.dtype).max)
        if largest + self.w0 > limit:
            raise OptionError(
                f"weights reach {largest + self.w0:g}, and {self.dtype} ends at {limit:g}: "
                "use --dtype float32 or other --class-weights"
            )
