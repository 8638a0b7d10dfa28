"""Protocol of a target, and the defaults for the members that it may leave out.

A target is a frozen dataclass: its fields are its parameters, `compute` makes its array. Everything else has a default, which
the functions of this module know: call `fit`, `check`, `pad_of`, `channels_of` and `version_of` instead of the target's own.
"""

from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray, FloatArray
from segprep.errors import OptionError
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts

Dtype: TypeAlias = Literal["float16", "float32"]

SLACK = 1 + 2**-9
"""Factor of a limit: sums are rounded to float32, and then to float16."""

BOUND = {"bound": True}
"""Metadata of a field that `fit` sets, not the user."""


class Target(Protocol):
    """One array per mask: a frozen dataclass with these attributes and methods, and parameters as fields.

    It may have more: ``version``, ``channels``, ``pad``, ``fit`` and ``check``; see the functions of this module for what they
    are and for their defaults.

    Attributes
    ----------
    name : str
        Name of the array in the store.
    dtype : str
        NumPy name of the array's type.
    fill : float
        Value that a reader sees where a shard is missing: one that cannot be mistaken for data, such as NaN.
    """

    name: ClassVar[str]

    @property
    def dtype(self) -> str: ...  # noqa: D102 - above

    @property
    def fill(self) -> float: ...  # noqa: D102 - above

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Array of `mask`, shape (H, W), or (channels, H, W)."""
        ...


T = TypeVar("T", bound=Target)


class MaskFacts(NamedTuple):
    """Facts about one mask, from the tables of the store.

    `areas` and `runs`, of shape (N,), have the pixels of each complete instance, and its number of runs: 0 if the labels show
    all of it.
    """

    key: str
    shape: tuple[int, int]
    areas: CountArray
    runs: CountArray
    n_classes: int


def version_of(target: Target) -> int:
    """Number that grows with every change of the computed values, so that older stores are recognised; 1 by default."""
    return int(getattr(target, "version", 1))


def channels_of(target: Target) -> int:
    """Length of the array's first dimension; 0 if it is (H, W), the default."""
    return int(getattr(target, "channels", 0))


def pad_of(target: Target) -> float:
    """Finite value around a mask that is smaller than its canvas; 0 by default."""
    pad: float = getattr(target, "pad", 0)
    return pad


def fit(target: T, train: Counts, everything: Counts) -> T:
    """Target bound to a data set: class weights to the train split, types to all masks; unchanged by default.

    The target's own method is ``fit(train, everything)``.
    """
    own = getattr(target, "fit", None)
    fitted: T = target if own is None else own(train, everything)
    return fitted


def check(target: Target, canvas: NDArray[Any], facts: MaskFacts) -> str | None:
    """Problem of a stored array in a few words, or None.

    A checksum proves that the bytes are those that were written; this, that their values make sense: they are finite, `pad_of`
    fills the padding, and the target's own method ``check(values, facts)`` finds no problem in the values without padding.
    `canvas` is a row of the store with its padding, shape (..., H, W).
    """
    height, width = facts.shape
    values, pad = canvas[..., :height, :width], pad_of(target)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return "holds NaN or infinity"
    if (canvas[..., height:, :] != pad).any() or (canvas[..., :height, width:] != pad).any():
        return f"is not {pad:g} in the padding"
    own = getattr(target, "check", None)
    problem: str | None = None if own is None else own(values, facts)
    return problem


def outside(values: NDArray[Any], least: float, most: float) -> str | None:
    """Problem of values that are not in a range, for use in a target's ``check``; None if all are.

    Examples
    --------
    >>> outside(np.array([0.5, 3.0]), 0, 2)
    'holds 3, beyond 0 to 2'
    """
    lowest, highest = float(values.min(initial=least)), float(values.max(initial=least))
    if lowest < least * SLACK or highest > most * SLACK:
        return f"holds {lowest if lowest < least * SLACK else highest:g}, beyond {least:g} to {most:g}"
    return None


def rounded(values: FloatArray, dtype: str, what: str) -> NDArray[Any]:
    """Values in another float type; OptionError if one is larger than the type can hold, where `what` names the values."""
    largest, end = float(np.abs(values).max(initial=0)), float(np.finfo(dtype).max)
    if largest > end:
        raise OptionError(f"{what} reach {largest:g}, and {dtype} ends at {end:g}: use dtype='float32'")
    return values.astype(dtype, copy=False)
