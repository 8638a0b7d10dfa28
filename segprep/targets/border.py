"""The border term of the U-Net weights: high where two instances are close."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from segprep.arrays import BoolArray, FloatArray, LabelArray
from segprep.errors import OptionError
from segprep.kernels.compiled import compiled
from segprep.kernels.nearest import SquaredArray, nearest_two_bands
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts

NEGLIGIBLE = 1e-7
"""Border terms below this are 0: it is about the smallest step of float16."""

BorderOn: TypeAlias = Literal["background", "all"]
Single: TypeAlias = Literal["zero", "d1"]
Compete: TypeAlias = Literal["all", "class"]
Dtype: TypeAlias = Literal["float16", "float32"]


def border_weights(
    planes: LabelArray, *, w0: float = 10.0, sigma: float = 5.0, on: BorderOn = "background", single: Single = "zero"
) -> FloatArray:
    """Border term of the U-Net weights, ``w0 exp(-(d1 + d2)^2 / (2 sigma^2))``.

    Parameters
    ----------
    planes : (K, H, W) int32 array
        0 is background, positive numbers are instances; one plane where nothing overlaps.
    w0 : float
        Height of the term between two instances that touch, at least 0.
    sigma : float
        Its width in pixels, above 0.
    on : {"background", "all"}
        ``background``: d is the distance to the nearest pixel of an instance, and the term is 0 on instances. ``all``: d is
        the distance to the nearest inner boundary pixel, so that the term goes on inside; on the background it is the same.
        An inner boundary pixel has a 4-neighbour in the image that is not of the instance; an instance that fills the image
        has none.
    single : {"zero", "d1"}
        With a single instance the term is 0, or ``w0 exp(-d1^2 / (2 sigma^2))``.

    Returns
    -------
    (H, W) float32 array
        In ``[0, w0]``. d1 and d2 are the distances to the nearest and to the second nearest distinct instance, in pixels
        between pixel centres. 0 without an instance, and beyond `reach`, where the term would be below `NEGLIGIBLE`. It does
        not depend on how the instances are numbered.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox: U-Net, MICCAI 2015, eq. 2.

    Examples
    --------
    >>> border_weights(np.array([[[1, 0, 0, 0, 2]]], np.int32)).round(2)
    array([[0.  , 7.26, 7.26, 7.26, 0.  ]], dtype=float32)
    """
    sites = planes if on == "background" else inner_boundaries(planes)
    border = np.zeros(planes.shape[1:], np.float32)
    span = reach(w0, sigma)
    if span == 0:
        return border
    if single == "d1" and _is_single(sites):
        border[:] = falloff((sites == 0).all(axis=0), w0, sigma)
        if on == "background":
            border[(planes > 0).any(axis=0)] = 0
    else:
        for rows, squared in nearest_two_bands(sites, reach=span):
            _border_term(squared, float(w0), 2.0 * sigma * sigma, on == "all", border[rows])
    return border


def falloff(outside: BoolArray, height: float, sigma: float) -> FloatArray:
    """``height exp(-d^2 / (2 sigma^2))``, where d is the distance from each pixel to the nearest that is not `outside`.

    `outside` is a (H, W) bool array; the result is (H, W) float32, and 0 everywhere if no pixel is inside.
    """
    if outside.all():
        return np.zeros(outside.shape, np.float32)
    distance = distance_transform_edt(outside)
    return np.asarray(height * np.exp(-(distance**2) / (2 * sigma * sigma)), np.float32)


def inner_boundaries(planes: LabelArray) -> LabelArray:
    """Labels of the pixels that have a 4-neighbour in the image outside their instance, 0 elsewhere; shape (K, H, W).

    Examples
    --------
    >>> inner_boundaries(np.array([[[0, 1, 1, 1, 2]]], np.int32))
    array([[[0, 1, 0, 1, 2]]], dtype=int32)
    """
    boundary = np.zeros(planes.shape, np.bool_)
    for axis in (1, 2):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = planes[tuple(ahead)] != planes[tuple(behind)]
        boundary[tuple(ahead)] |= differs
        boundary[tuple(behind)] |= differs
    return np.where(boundary, planes, 0)


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


def _is_single(planes: LabelArray) -> bool:
    """Whether there is exactly one instance."""
    numbers = planes[planes > 0]
    return bool(numbers.size and (numbers == numbers[0]).all())


@compiled
def _border_term(squared: SquaredArray, w0: float, width: float, inside: bool, out: FloatArray) -> None:
    """Fill `out` with the border term of squared distances within reach; `inside` also where d1 is 0."""
    beyond = np.uint32(np.iinfo(np.uint32).max)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            first = squared[0, y, x]
            if first != beyond and (inside or first > 0):
                d = math.sqrt(first) + math.sqrt(squared[1, y, x])
                out[y, x] = w0 * math.exp(-d * d / width)


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
    compete : str
        Whether d1 and d2 are distances to ``all`` instances, or to those of each ``class`` and the terms are summed.
    dtype : str
        ``float16`` (relative precision 2^-11) or ``float32``.
    """

    w0: float = 10.0
    sigma: float = 5.0
    border_on: BorderOn = "background"
    single: Single = "zero"
    compete: Compete = "all"
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
        for option, choices in (("border_on", BorderOn), ("single", Single), ("compete", Compete), ("dtype", Dtype)):
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
        groups = [mask.planes] if self.compete == "all" else class_planes(mask)
        border = np.zeros(mask.shape, np.float32)
        for planes in groups:
            border += border_weights(planes, w0=self.w0, sigma=self.sigma, on=self.border_on, single=self.single)
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
