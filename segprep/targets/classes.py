"""Class code of each pixel."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.target import BOUND, MaskFacts


@dataclass(frozen=True)
class Classes:
    """Class codes; 0 is the background, the type's maximum is ignore (also in the padding).

    Most losses take the maximum as their `ignore_index`.

    Attributes
    ----------
    dtype : str
        ``uint8``, or ``uint16`` for 256 classes or more. Bound by `fit`.
    """

    dtype: str = field(default="uint8", metadata=BOUND)

    name: ClassVar[str] = "classes"
    reach: ClassVar[int] = 0

    @property
    def fill(self) -> float:
        """Maximum of the type: ignore."""
        return int(np.iinfo(self.dtype).max)

    pad = fill

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - the split has no influence
        """Widen the type if there are too many classes for it; raise InputError if there are too many for any."""
        most = int(np.iinfo(np.uint16).max)
        if len(everything.pixels) > most:
            raise InputError(
                f"{len(everything.pixels):,} classes are more than {most:,}; if the values are instances, use "
                "instances_from='as-is'"
            )
        return replace(self, dtype="uint8" if len(everything.pixels) <= np.iinfo(np.uint8).max else "uint16")

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Class codes of `mask`, shape (H, W)."""
        codes = mask.by_class(np.arange(int(self.fill) + 1, dtype=self.dtype))
        if mask.ignore is not None:
            codes[mask.ignore] = self.fill
        return codes

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:
        """Problem if a code is neither a class nor ignore."""
        largest = int(values[values != self.fill].max(initial=0))
        return f"holds class code {largest} of {facts.n_classes}" if largest >= facts.n_classes else None
