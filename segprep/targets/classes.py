"""Which class each pixel shows."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts


@dataclass(frozen=True)
class Classes:
    """Class codes; 0 is the background, the type's maximum is ignore (also in the padding).

    uint8, or uint16 where there are 255 classes or more. Most losses take the maximum as their `ignore_index`.
    """

    dtype: str = "uint8"

    name: ClassVar[str] = "classes"
    version: ClassVar[int] = 1
    channels: ClassVar[int] = 0

    @property
    def fill(self) -> float:
        """The type's maximum, ignore."""
        return int(np.iinfo(self.dtype).max)

    @property
    def pad(self) -> float:
        """The type's maximum, ignore."""
        return self.fill

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - codes do not depend on the split
        """Widen the type if there are too many classes for it; raise InputError if there are too many for any."""
        most = int(np.iinfo(np.uint16).max)
        if len(everything.pixels) > most:
            raise InputError(
                f"{len(everything.pixels):,} classes are more than {most:,}; if they are instances, leave out --instances-from"
            )
        return replace(self, dtype="uint8" if len(everything.pixels) <= np.iinfo(np.uint8).max else "uint16")

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Class codes of `mask`, shape (H, W)."""
        codes = mask.class_map.astype(self.dtype)
        if mask.ignore is not None:
            codes[mask.ignore] = self.fill
        return codes
