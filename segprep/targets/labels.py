"""Which instance each pixel shows."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts


@dataclass(frozen=True)
class Labels:
    """Instance numbers of the instances in front, 0 on the background and in the padding.

    Where instances overlap, the rule of the store says which is in front, by default the smaller. uint16, or uint32 where
    a mask has 65,535 instances or more; the type's maximum is no instance but stands for a missing shard.
    """

    dtype: str = "uint16"

    name: ClassVar[str] = "labels"
    version: ClassVar[int] = 1
    channels: ClassVar[int] = 0
    pad: ClassVar[float] = 0

    @property
    def fill(self) -> float:
        """The type's maximum."""
        return int(np.iinfo(self.dtype).max)

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - numbers do not depend on the split
        """Widen the type if a mask has too many instances for it."""
        return replace(self, dtype="uint16" if everything.most_instances < np.iinfo(np.uint16).max else "uint32")

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Labels of `mask`, shape (H, W)."""
        return mask.labels.astype(self.dtype)
