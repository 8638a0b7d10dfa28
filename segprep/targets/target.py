"""Protocol of a target, and the defaults for the members that it may leave out.

A target is a frozen dataclass: its fields are its parameters, `compute` makes its array. Everything else has a default, which
the functions of this module know: call `fit`, `check`, `pad_of`, `channels_of` and `version_of` instead of the target's own.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray, FloatArray
from segprep.errors import OptionError, TargetError, check_choice, foreign_errors, is_foreign, some
from segprep.kernels.half import to_half
from segprep.kernels.mantissa import keep_bits
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts, MaskStats

Dtype: TypeAlias = Literal["float16", "float32"]

SLACK = 1 + 2**-9
"""Factor of a limit: sums are rounded to float32, and then to float16."""

BOUND = {"bound": True}
"""Metadata of a field that `fit` sets, not the user."""


class Target(Protocol):
    """One array per mask: a frozen dataclass with these attributes and methods, and parameters as fields.

    It may have more: ``version``, ``channels``, ``pad``, ``reach``, ``fit``, ``unfit`` and ``check``; see the functions of
    this module for what they are and for their defaults.

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

DTYPES = (
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
)
"""Types that the array of a target may have."""


class MaskFacts(NamedTuple):
    """Facts about one mask, from the tables of the store.

    `areas` and `runs`, of shape (N,), have the pixels of each complete instance, and its number of runs: 0 if the labels show
    all of it. `source_shape` is the height and width of the mask that a tile was cut from.
    """

    key: str
    shape: tuple[int, int]
    areas: CountArray
    runs: CountArray
    n_classes: int
    source_shape: tuple[int, int] | None = None


def is_target_name(name: object) -> bool:
    """True if a target may have this name: that of a folder in each bucket, and of an entry beside ``key`` in a mask."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and name != "key"


def require_target(target: Any) -> None:
    """Raise OptionError for an object that is not a target, or has a name or a type that no array may have."""
    kind = target if isinstance(target, type) else type(target)
    lacking = [name for name in ("name", "dtype", "fill", "compute") if not hasattr(target, name)]
    if isinstance(target, type) and not lacking:
        raise OptionError(f"targets={kind.__qualname__}: is a class; give an object, {kind.__qualname__}(...)")
    if lacking:
        raise OptionError(f"targets={target!r}: must be names of targets, or objects; it lacks {', '.join(lacking)}")
    require_name(kind)
    what = f"targets: {kind.__qualname__}"
    if not isinstance(target.fill, int | float):
        raise OptionError(f"{what}: fill={target.fill!r}: must be a number")
    if not isinstance(target.dtype, str):
        raise OptionError(f"{what}: dtype={target.dtype!r}: must be a string, such as 'float32'")
    check_choice(f"{what}: dtype", target.dtype, DTYPES)


def require_name(kind: type[Target]) -> None:
    """Raise OptionError for a class of targets whose name is not allowed."""
    if not is_target_name(kind.name):
        raise OptionError(
            f"targets: {kind.__qualname__}: {kind.name!r} is no valid name; use letters, digits and _, and not 'key'"
        )


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


def reach_of(target: Target) -> int | None:
    """Distance in pixels up to which a mask decides the value of a pixel; None, the default, if all of it may.

    Within that distance, also along both axes at once, the values of a part of a mask are those of the complete mask.
    """
    reach = getattr(target, "reach", None)
    if reach is not None and (not isinstance(reach, int) or reach < 0):
        raise TargetError(f"target {target.name!r}: reach={reach!r}: must be a number of pixels, at least 0, or None")
    return reach


def largest_reach(targets: Iterable[Target | None]) -> int:
    """Largest reach of targets, without those that may need the complete mask."""
    return max((reach_of(target) or 0 for target in targets if target is not None), default=0)


def fit(target: T, train: Counts, everything: Counts) -> T:
    """Target bound to a data set: class weights to the train split, types to all masks; unchanged by default.

    The target's own method is ``fit(train, everything)``.
    """
    own = getattr(target, "fit", None)
    if own is None:
        return target
    with _foreign_errors(target, f"target {target.name!r}: fit()"):
        fitted: T = own(train, everything)
    if type(fitted) is not type(target):
        raise TargetError(f"target {target.name!r}: fit() returned {type(fitted).__name__}; must be the fitted target")
    return fitted


def check_masks(target: Target, keys: Sequence[str], stats: Sequence[MaskStats]) -> None:
    """Raise OptionError, before anything is written, for masks of which a target cannot be computed.

    The target's own method is ``unfit(stats)``: the reason in a few words, or None.
    """
    own: Callable[[MaskStats], str | None] | None = getattr(target, "unfit", None)
    if own is None:
        return
    with _foreign_errors(target, f"target {target.name!r}: unfit()"):
        reasons = {key: own(mask) for key, mask in zip(keys, stats, strict=True)}
    wrong = [key for key, reason in reasons.items() if reason]
    if wrong:
        raise OptionError(f"{some(wrong, most=10)}: {reasons[wrong[0]]}")


def computed(target: Target, mask: InstanceMask, key: str) -> NDArray[Any]:
    """Array of the mask `key`: (H, W), or (channels, H, W); TargetError if a target that is not part of segprep fails."""
    if not is_foreign(target):
        try:
            return target.compute(mask)
        except OptionError as error:
            raise OptionError(f"{key}: {error}") from error
    what = f"{key}: target {target.name!r}: compute()"
    with _foreign_errors(target, what):
        values = target.compute(mask)
    shape = (*((channels_of(target),) if channels_of(target) else ()), *mask.shape)
    if not isinstance(values, np.ndarray) or (values.shape, values.dtype) != (shape, np.dtype(target.dtype)):
        form = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise TargetError(f"{what}: returned {form}; must be an array {target.dtype} {shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise TargetError(f"{what}: returned NaN or infinity; every value must be finite")
    return values


def images_of(target: Target, mask: InstanceMask, key: str) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Each (H, W) image of the array that `computed` returns, by its channel; those left out hold nothing but `pad_of`.

    One after the other, so that a target of many channels needs the memory and the time of those that are in the mask.
    """
    if not is_foreign(target) and hasattr(target, "images"):
        try:
            yield from target.images(mask)
        except OptionError as error:
            raise OptionError(f"{key}: {error}") from error
    else:
        values = computed(target, mask, key)
        yield from ((channel, values[channel]) for channel in np.ndindex(*values.shape[:-2]))


def _foreign_errors(target: Target, what: str) -> AbstractContextManager[None]:
    """Errors of a target that is not part of segprep, as TargetError."""
    return foreign_errors(what, TargetError) if is_foreign(target) else nullcontext()


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
    with _foreign_errors(target, f"{facts.key}: target {target.name!r}: check()"):
        problem: str | None = None if own is None else own(values, facts)
    return problem


def outside(values: NDArray[Any], least: float, most: float, *, bits: int | None = None) -> str | None:
    """Problem of values that are not in a range, for use in a target's ``check``; None if all are.

    With `bits`, the number of bits of the mantissa that the values were rounded to, they may exceed the range by that error.

    Examples
    --------
    >>> outside(np.array([0.5, 3.0]), 0, 2)
    'holds 3, beyond 0 to 2'
    >>> outside(np.array([0.5, 3.0]), 0, 2.9, bits=2)
    """
    slack = SLACK * (1 if bits is None else 1 + 2.0 ** -(bits + 1))
    lowest, highest = float(values.min(initial=least)), float(values.max(initial=least))
    if lowest < least * slack or highest > most * slack:
        return f"holds {lowest if lowest < least * slack else highest:g}, beyond {least:g} to {most:g}"
    return None


def check_bits(bits: int | None, dtype: str) -> None:
    """Raise OptionError for a number of bits that the mantissa of a type does not have."""
    most = np.finfo(dtype).nmant
    if bits is not None and not 1 <= bits <= most:
        raise OptionError(f"mantissa_bits={bits}: must be from 1 to {most}, the bits of the mantissa of {dtype}")


def rounded(values: FloatArray, dtype: str, what: str, bits: int | None = None) -> NDArray[Any]:
    """Values in another float type, first rounded to `bits` bits of the mantissa, if given.

    OptionError if one is larger than the type can hold, where `what` names the values.
    """
    if bits is not None:
        values = keep_bits(values, bits)
    elif dtype != "float16":
        return values.astype(dtype, copy=False)
    largest, end = max(float(values.max(initial=0)), -float(values.min(initial=0))), float(np.finfo(dtype).max)
    if largest > end:
        remedy = "leave out mantissa_bits" if dtype == "float32" else "use dtype='float32'"
        raise OptionError(f"{what} reach {largest:g}, and {dtype} ends at {end:g}: {remedy}")
    return to_half(values) if dtype == "float16" else values
