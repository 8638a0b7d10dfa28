"""What the values of each product promise, whatever the mask, and where an array breaks it.

A checksum proves that an object is what was written; this proves that what was written makes sense.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.kernels.boundaries import IGNORE, SHARED
from segprep.targets import Border, Boundaries, Classes, Distance, Labels, Product, Weights

SLACK = 1 + 2**-9
"""Of a limit: sums are rounded to float32, and once more to float16."""


class Truth(NamedTuple):
    """What the tables say of one mask.

    Attributes
    ----------
    key : str
        Its name.
    shape : (int, int)
        Height and width in pixels.
    areas, runs : (N,) int64 arrays
        Pixels of each whole instance, and its runs: none where the labels show it whole.
    n_classes : int
        Class codes lie below it.
    """

    key: str
    shape: tuple[int, int]
    areas: CountArray
    runs: CountArray
    n_classes: int


def broken(product: Product, canvas: NDArray[Any], truth: Truth) -> str | None:
    """What is wrong with the array of a mask, in words; None if nothing is.

    Parameters
    ----------
    product : Product
        What it is an array of.
    canvas : (..., H, W) array
        The mask's row in the store, padding included.
    truth : Truth
        What the tables say of the mask.

    Examples
    --------
    >>> truth = Truth("a", (1, 3), np.array([2]), np.array([0]), n_classes=2)
    >>> broken(Labels(), np.array([[1, 1, 0]], np.uint16), truth)
    >>> broken(Labels(), np.array([[1, 0, 0]], np.uint16), truth)
    'instance 1 has 1 pixels instead of 2'
    >>> broken(Classes(), np.array([[1, 7, 0]], np.uint8), truth)
    'holds class code 7 of 2'
    """
    height, width = truth.shape
    values = canvas[..., :height, :width]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "holds NaN or infinity"
    if (canvas[..., height:, :] != product.pad).any() or (canvas[..., :height, width:] != product.pad).any():
        return f"is not {product.pad:g} in the padding"
    return RANGES[product.name](product, values, truth)


def _labels(_: Any, values: NDArray[Any], truth: Truth) -> str | None:
    count = len(truth.areas)
    if (largest := int(values.max())) > count:
        return f"holds label {largest} of {count} instances"
    visible = np.bincount(values.ravel(), minlength=count + 1)[1:]
    wrong = np.flatnonzero((visible > truth.areas) | ((truth.runs == 0) & (visible != truth.areas)))
    if wrong.size:
        first = wrong[0]
        return f"instance {first + 1} has {visible[first]} pixels instead of {truth.areas[first]}"
    return None


def _classes(product: Any, values: NDArray[Any], truth: Truth) -> str | None:
    known = values[values != product.fill]
    largest = int(known.max(initial=0))
    return f"holds class code {largest} of {truth.n_classes}" if largest >= truth.n_classes else None


def _weights(product: Any, values: NDArray[Any], truth: Truth) -> str | None:
    # A rule that takes class weights from the image alone has no limit that is known here.
    most = max(product.vector) + _highest(product, truth) if product.vector else np.inf
    return _outside(values, 0, most)


def _border(product: Any, values: NDArray[Any], truth: Truth) -> str | None:
    return _outside(values, 0, _highest(product, truth))


def _highest(product: Any, truth: Truth) -> float:
    """Largest border term: terms of several classes are summed."""
    return float(product.w0 * (1 if product.compete == "all" else truth.n_classes))


def _boundaries(product: Any, values: NDArray[Any], truth: Truth) -> str | None:  # noqa: ARG001 - as the others
    return _outside(values[values != IGNORE], 0, SHARED)


def _distance(product: Any, values: NDArray[Any], truth: Truth) -> str | None:
    most = np.hypot(*truth.shape) if product.clip is None else product.clip
    return _outside(values, -most, most)


def _outside(values: NDArray[Any], least: float, most: float) -> str | None:
    lowest, highest = float(values.min(initial=least)), float(values.max(initial=least))
    if lowest < least * SLACK or highest > most * SLACK:
        return f"holds {lowest if lowest < least * SLACK else highest:g}, beyond {least:g} to {most:g}"
    return None


RANGES: dict[str, Callable[[Any, NDArray[Any], Truth], str | None]] = {
    Labels.name: _labels,
    Classes.name: _classes,
    Weights.name: _weights,
    Border.name: _border,
    Boundaries.name: _boundaries,
    Distance.name: _distance,
}
"""What each product promises, by its name."""
