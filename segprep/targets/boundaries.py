"""Interior, border and shared border: classes for a network that learns borders as such."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.errors import OptionError
from segprep.masks.instances import near_others
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts

BACKGROUND, INTERIOR, BORDER, SHARED = range(4)
IGNORE = 255


def boundaries(labels: LabelArray, *, width: int = 1) -> NDArray[np.uint8]:
    """Part of its instance that each pixel belongs to.

    Parameters
    ----------
    labels : (H, W) int32 array
        0 is background, positive numbers are instances.
    width : int
        Width of a border in pixels, at least 1.

    Returns
    -------
    (H, W) uint8 array
        0 background; 3 where another instance lies within `width` (chessboard distance); 2 where something else that is not
        the instance does; 1 elsewhere on instances. The image's edge is no border.

    Examples
    --------
    >>> boundaries(np.array([[0, 1, 1, 1, 2, 2, 2]], np.int32))
    array([[0, 2, 1, 3, 3, 1, 1]], dtype=uint8)
    """
    inside = labels > 0
    shared = near_others(labels[None], width)[0]
    # As an instance of its own the background is 'another one' too.
    everything = np.where(inside, labels, labels.max(initial=0) + 1)
    border = near_others(everything[None], width)[0]
    return np.select([~inside, shared, border], [BACKGROUND, SHARED, BORDER], INTERIOR).astype(np.uint8)


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
            raise OptionError(f"--width {self.width}: must be at least 1 pixel")

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - nothing to bind
        """Nothing to bind."""
        return self

    def compute(self, mask: InstanceMask) -> NDArray[np.uint8]:
        """Boundaries of `mask`, shape (H, W)."""
        parts = boundaries(mask.labels, width=self.width)
        if mask.ignore is not None:
            parts[mask.ignore] = IGNORE
        return parts
