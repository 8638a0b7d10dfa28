"""Everything that the tables of a store are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.masks.splits import SplitArray
from segprep.masks.stats import INSTANCE_ROW, MaskStats, joined_counts
from segprep.masks.tiles import TileRef
from segprep.store.layout import HOLE, Layout


@dataclass(frozen=True, eq=False)
class MaskRows:
    """Everything that the tables are made of: key, statistics, split, fold and image of each mask, and the layout.

    `images` are paths, empty where the image is not known, and `tiles` the refs of the masks if these are tiles.
    """

    keys: Sequence[str]
    stats: Sequence[MaskStats]
    layout: Layout
    split: SplitArray
    fold: SplitArray
    images: Sequence[str]
    tiles: Sequence[TileRef] = ()

    @cached_property
    def places(self) -> NDArray[np.uint32]:
        """Bucket and row of each mask, shape (masks, 2)."""
        places = np.zeros((len(self.stats), 2), np.uint32)
        for number, bucket in enumerate(self.layout.buckets):
            masks = np.array(bucket.masks, np.int64)
            rows = np.flatnonzero(masks != HOLE)
            places[masks[rows]] = np.stack(np.broadcast_arrays(number, rows), axis=1)
        return places

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Fingerprint of each mask, shape (masks, 16)."""
        return np.frombuffer(b"".join([mask.digest for mask in self.stats]), np.uint8).reshape(len(self.stats), -1)

    @property
    def largest_class(self) -> CountArray:
        """Visible pixels of the class that has most, in each mask."""
        counts, largest = joined_counts(self.stats), np.zeros(len(self.stats), np.int64)
        np.maximum.at(largest, counts.mask, counts.pixels)
        return largest

    @property
    def instance_counts(self) -> list[int]:
        """Number of instances of each mask."""
        return [len(mask.instance_rows) // INSTANCE_ROW.itemsize for mask in self.stats]

    @property
    def run_counts(self) -> CountArray:
        """Length of the runs of each instance of all masks."""
        counts = np.zeros(sum(self.instance_counts), np.int64)
        stop = 0
        for count, mask in zip(self.instance_counts, self.stats, strict=True):
            stop += count
            if mask.runs:
                counts[stop - count : stop] = [len(runs) for runs in mask.runs]
        return counts

    @property
    def runs(self) -> CountArray:
        """Runs of all instances, one after the other."""
        return np.concatenate([np.zeros(0, np.int64), *(runs for mask in self.stats for runs in mask.runs)])

    @property
    def source_numbers(self) -> CountArray:
        """Number of each instance of a tile in the mask that this was cut from."""
        return np.frombuffer(b"".join([mask.source_numbers for mask in self.stats]), np.int64)


class ClassPixels:
    """Visible pixels of each class in each mask, made as its rows are read: the table may be larger than all statistics."""

    dtype = np.dtype(np.uint64)
    ndim = 2

    def __init__(self, stats: Sequence[MaskStats]) -> None:
        self._stats = stats
        self.shape = len(stats), stats[0].n_classes

    def __len__(self) -> int:
        return len(self._stats)

    def __getitem__(self, rows: slice) -> NDArray[np.uint64]:
        block = self._stats[rows]
        table, counts = np.zeros((len(block), self.shape[1]), np.uint64), joined_counts(block)
        table[counts.mask, counts.code] = counts.pixels
        return table
