"""Arrays of a store in the form that a training takes: wider types, equal sizes, other class weights."""

from collections.abc import Mapping
from operator import index as as_integer
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from segprep.arrays import FloatArray
from segprep.errors import OptionError, check_choice, some
from segprep.kernels.half import from_half
from segprep.store.schema import StoreInfo
from segprep.targets import TARGETS, Classes
from segprep.targets.class_weights import FORMULAS
from segprep.targets.target import pad_of

HandedOut: TypeAlias = Literal["float32", "stored"]
"""Type in which float16 arrays are handed out: float32, or as they are stored."""
ClassWeights: TypeAlias = str | Mapping[str, float] | ArrayLike
"""Name of a formula, weight of each class by its name, or one weight for each class code."""


def check_handed_out(dtype: HandedOut) -> None:
    """Raise OptionError for a type that is not one of `HandedOut`."""
    check_choice("dtype", dtype, get_args(HandedOut))


def handed_out(values: NDArray[Any], dtype: HandedOut) -> NDArray[Any]:
    """Values in the type in which they are handed out; only float16 ever changes, and without rounding."""
    return from_half(values) if dtype == "float32" and values.dtype == np.float16 else values


def pad_value(target: str, dtype: DTypeLike) -> float:
    """Value beyond the edge of a mask: as in the store, so that no loss counts it; 0 for targets not part of segprep.

    Examples
    --------
    >>> pad_value("classes", "uint8"), pad_value("weights", "float16")
    (255, 0)
    """
    kind = next((kind for kind in TARGETS if kind.name == target), None)
    if kind is Classes:
        return int(np.iinfo(np.dtype(dtype)).max)
    return 0 if kind is None else pad_of(kind())


def all_padded(arrays: Mapping[str, NDArray[Any]], pad_to: tuple[int, int]) -> dict[str, NDArray[Any]]:
    """Arrays of targets, by their names, padded to a height and width that a user gives."""
    return {
        name: padded(values, checked_size(pad_to, values.shape[-2:]), pad_value(name, values.dtype))
        for name, values in arrays.items()
    }


def checked_size(pad_to: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    """Height and width to pad to, as a user gives them; OptionError if they are smaller than `least`."""
    try:
        height, width = map(as_integer, pad_to)
    except (TypeError, ValueError):
        raise OptionError(f"pad_to={pad_to!r}: must be two integers, (height, width)") from None
    if height < least[0] or width < least[1]:
        raise OptionError(
            f"pad_to={pad_to!r}: must be at least the {least[0]} x {least[1]} pixels that are read; give a window"
        )
    return height, width


def padded(values: NDArray[Any], size: tuple[int, int], pad: float) -> NDArray[Any]:
    """Array of this height and width, with `values` in its upper left.

    Parameters
    ----------
    values : (..., H, W) array
        At most as large as `size`.
    size : (int, int)
        Height and width in pixels.
    pad : float
        Value elsewhere.

    Examples
    --------
    >>> padded(np.array([[1, 2]], np.uint8), (2, 3), 255)
    array([[  1,   2, 255],
           [255, 255, 255]], dtype=uint8)
    """
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    canvas = np.empty((*values.shape[:-2], *size), values.dtype)
    canvas[..., :height, :width] = values
    canvas[..., :height, width:] = pad
    canvas[..., height:, :] = pad
    return canvas


def class_vector(info: StoreInfo, class_weights: ClassWeights) -> NDArray[np.float32]:
    """Weight of each class code, shape (C,), from what a user gives; OptionError unless it fits the classes of the store."""
    names = [entry.name for entry in info.classes]
    if isinstance(class_weights, str):
        check_choice("class_weights", class_weights, FORMULAS)
        return np.array([entry.weights[class_weights] for entry in info.classes], np.float32)
    given: Any = class_weights
    if isinstance(class_weights, Mapping):
        wrong = [repr(name) for name in class_weights if name not in names]
        lacking = [repr(name) for name in names if name not in class_weights]
        if wrong or lacking:
            reason = f"has no class {some(wrong)}" if wrong else f"needs a weight for {some(lacking)}"
            raise OptionError(f"class_weights={class_weights!r}: the store {reason}; its classes are {some(names)}")
        given = [class_weights[name] for name in names]
    try:
        vector = np.asarray(given, np.float32)
    except (TypeError, ValueError):
        vector = np.zeros(0, np.float32)
    if vector.shape != (len(names),) or not (np.isfinite(vector) & (vector >= 0)).all():
        raise OptionError(
            f"class_weights={class_weights!r}: must be the name of a formula, or {len(names)} numbers of at least 0, one for "
            f"each of {some(names)}"
        )
    return vector


def class_weighted(border: NDArray[Any], codes: NDArray[Any], vector: NDArray[np.float32]) -> FloatArray:
    """U-Net weights ``w_c + border``, shape (H, W) float32; 0 on ignored pixels.

    Parameters
    ----------
    border : (H, W) float array
        Border term, such as the target `border`.
    codes : (H, W) array of unsigned integers
        Class codes; the maximum of the type is ignore.
    vector : (C,) float32 array
        Weight of each class code.

    Examples
    --------
    >>> border, codes = np.array([[0.5, 0, 0]], np.float16), np.array([[0, 1, 255]], np.uint8)
    >>> class_weighted(border, codes, np.array([1, 3], np.float32))
    array([[1.5, 3. , 0. ]], dtype=float32)
    """
    weights: FloatArray = vector.take(codes, mode="clip")
    weights += border
    weights[codes == np.iinfo(codes.dtype).max] = 0
    return weights
