"""Interior, border and shared border: classes for a network that learns borders as such."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError
from segprep.kernels.boundaries import IGNORE, boundaries
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts


@dataclass(frozen=True)
class Boundaries:
    """Parts of instances: 0 background, 1 interior, 2 border, 3 border shared by two instances; 255 where unknown.

    The three- and four-class targets of the 2018 Data Science Bowl's winners; see `boundaries`.

    Attributes
    ----------
    width : int
        Width of a border in pixels, at least 1.
    """

    width: int = 1

    name: ClassVar[str] = "boundaries"
    version: ClassVar[int] = 1
    dtype: ClassVar[str] = "uint8"
    channels: ClassVar[int] = 0
    fill: ClassVar[float] = IGNORE
    pad: ClassVar[float] = IGNORE

    def __post_init__(self) -> None:
        if self.width < 1:
            raise OptionError(f"--boundary-width {self.width}: must be at least 1 pixel")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - nothing to bind
        """Nothing to bind."""
        return self

    def compute(self, mask: InstanceMask) -> NDArray[np.uint8]:
        """Boundaries of `mask`, shape (H, W)."""
        parts = boundaries(mask.labels, width=self.width)
        if mask.ignore is not None:
            parts[mask.ignore] = IGNORE
        return parts
