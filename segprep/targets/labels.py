"""Instance number of each pixel."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.target import BOUND, MaskFacts


@dataclass(frozen=True)
class Labels:
    """Numbers of the instances in front, 0 on the background and in the padding.

    Where instances overlap, the rule of the store decides which is in front, by default the smaller.

    Attributes
    ----------
    dtype : str
        ``uint16``, or ``uint32`` where a mask has 65,535 instances or more. Bound by `fit`. The type's maximum is no
        instance: it stands for a missing shard.
    """

    dtype: str = field(default="uint16", metadata=BOUND)

    name: ClassVar[str] = "labels"
    reach: ClassVar[int] = 0

    @property
    def fill(self) -> float:
        """Maximum of the type."""
        return int(np.iinfo(self.dtype).max)

    def fit(self, train: Counts, everything: Counts) -> Self:  # noqa: ARG002 - the split has no influence
        """Widen the type if a mask has too many instances for it."""
        return replace(self, dtype="uint16" if everything.most_instances < np.iinfo(np.uint16).max else "uint32")

    def compute(self, mask: InstanceMask) -> NDArray[Any]:
        """Labels of `mask`, shape (H, W)."""
        return mask.labels.astype(self.dtype)

    def check(self, values: NDArray[Any], facts: MaskFacts) -> str | None:
        """Problem if the instances do not have the pixels that the instance table lists.

        >>> facts = MaskFacts("a", (1, 3), np.array([2]), np.array([0]), n_classes=2)
        >>> Labels().check(np.array([[1, 0, 0]], np.uint16), facts)
        'instance 1 has 1 pixels instead of 2'
        """
        count = len(facts.areas)
        if (largest := int(values.max())) > count:
            return f"holds label {largest} of {count} instances"
        visible = np.bincount(values.ravel(), minlength=count + 1)[1:]
        wrong = np.flatnonzero((visible > facts.areas) | ((facts.runs == 0) & (visible != facts.areas)))
        if wrong.size:
            first = wrong[0]
            return f"instance {first + 1} has {visible[first]} pixels instead of {facts.areas[first]}"
        return None
