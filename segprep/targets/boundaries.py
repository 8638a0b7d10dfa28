"""Interior, border and shared border: classes for a network that learns borders."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError, check_fields
from segprep.kernels.boundaries import IGNORE, SHARED, boundaries
from segprep.masks.mask import InstanceMask
from segprep.targets.target import MaskFacts, outside


@dataclass(frozen=True)
class Boundaries:
    """Parts of instances: 0 background, 1 interior, 2 border, 3 border shared by two instances; 255 ignore.

    Only the instances in front count. These are the three- and four-class targets of the 2018 Data Science Bowl's winners; see
    `boundaries`.

    Attributes
    ----------
    boundary_width : int
        Width of a border in pixels, at least 1.
    """

    boundary_width: int = 1

    name: ClassVar[str] = "boundaries"
    dtype: ClassVar[str] = "uint8"
    fill: ClassVar[float] = IGNORE
    pad: ClassVar[float] = IGNORE

    def __post_init__(self) -> None:
        check_fields(self)
        if self.boundary_width < 1:
            raise OptionError(f"boundary_width={self.boundary_width}: must be at least 1 pixel")

    @property
    def reach(self) -> int:
        """Pixels around a pixel that decide its value."""
        return self.boundary_width

    def compute(self, mask: InstanceMask) -> NDArray[np.uint8]:
        """Boundaries of `mask`, shape (H, W)."""
        parts = boundaries(mask.labels, width=self.boundary_width)
        if mask.ignore is not None:
            parts[mask.ignore] = IGNORE
        return parts

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:  # noqa: ARG002 - the same for every mask
        """Problem if a value is not one of the parts."""
        return outside(values[values != IGNORE], 0, SHARED)
