"""What the values of each target promise, whatever the mask, and where an array breaks it.

A checksum proves that an object is what was written; this proves that what was written makes sense.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.kernels.boundaries import IGNORE, SHARED
from segprep.targets import Border, Boundaries, Classes, Distance, Labels, Target, Weights

SLACK = 1 + 2**-9
"""Of a limit: sums are rounded to float32, and once more to float16."""


class MaskFacts(NamedTuple):
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


def broken(target: Target, canvas: NDArray[Any], truth: MaskFacts) -> str | None:
    """What is wrong with the array of a mask, in words; None if nothing is.

    Parameters
    ----------
    target : Target
        What it is an array of.
    canvas : (..., H, W) array
        The mask's row in the store, padding included.
    truth : Truth
        What the tables say of the mask.

    Examples
    --------
    >>> truth = MaskFacts("a", (1, 3), np.array([2]), np.array([0]), n_classes=2)
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
    if (canvas[..., height:, :] != target.pad).any() or (canvas[..., :height, width:] != target.pad).any():
        return f"is not {target.pad:g} in the padding"
    check = RANGES.get(target.name)
    if check is not None:
        return check(target, values, truth)
    own: str | None = target.check(values, truth) if hasattr(target, "check") else None
    return own


def _labels(_: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:
    count = len(truth.areas)
    if (largest := int(values.max())) > count:
        return f"holds label {largest} of {count} instances"
    visible = np.bincount(values.ravel(), minlength=count + 1)[1:]
    wrong = np.flatnonzero((visible > truth.areas) | ((truth.runs == 0) & (visible != truth.areas)))
    if wrong.size:
        first = wrong[0]
        return f"instance {first + 1} has {visible[first]} pixels instead of {truth.areas[first]}"
    return None


def _classes(target: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:
    known = values[values != target.fill]
    largest = int(known.max(initial=0))
    return f"holds class code {largest} of {truth.n_classes}" if largest >= truth.n_classes else None


def _weights(target: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:
    # A rule that takes class weights from the image alone has no limit that is known here.
    most = max(target.vector) + _highest(target, truth) if target.vector else np.inf
    return _outside(values, 0, most)


def _border(target: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:
    return _outside(values, 0, _highest(target, truth))


def _highest(target: Any, truth: MaskFacts) -> float:
    """Largest border term: terms of several classes are summed."""
    return float(target.w0 * (1 if target.border_between == "all" else truth.n_classes))


def _boundaries(target: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:  # noqa: ARG001 - as the others
    return _outside(values[values != IGNORE], 0, SHARED)


def _distance(target: Any, values: NDArray[Any], truth: MaskFacts) -> str | None:
    most = np.hypot(*truth.shape) if target.clip is None else target.clip
    return _outside(values, -most, most)


def _outside(values: NDArray[Any], least: float, most: float) -> str | None:
    lowest, highest = float(values.min(initial=least)), float(values.max(initial=least))
    if lowest < least * SLACK or highest > most * SLACK:
        return f"holds {lowest if lowest < least * SLACK else highest:g}, beyond {least:g} to {most:g}"
    return None


RANGES: dict[str, Callable[[Any, NDArray[Any], MaskFacts], str | None]] = {
    Labels.name: _labels,
    Classes.name: _classes,
    Weights.name: _weights,
    Border.name: _border,
    Boundaries.name: _boundaries,
    Distance.name: _distance,
}
"""What each target promises, by its name."""
