"""Masks of a store as refs."""

from dataclasses import dataclass

from segprep.masks.mask import InstanceMask
from segprep.store.dataset import Dataset


@dataclass(frozen=True)
class StoredRef:
    """One mask of a store, as a ref: ground truth from which targets can be computed again."""

    dataset: Dataset
    index: int
    key: str
    split: str | None = None

    def load(self) -> InstanceMask:
        """Mask rebuilt from labels, classes and the instance table."""
        return self.dataset.mask(self.index)
