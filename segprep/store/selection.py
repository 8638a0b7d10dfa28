"""Tables of an open store, each read once, and what they say of single masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import index as as_integer
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.errors import IntegrityError, OptionError, check_choice
from segprep.masks.splits import NO_FOLD
from segprep.paths.anypath import AnyPath
from segprep.store.instances import Instances, crops_of
from segprep.store.opened import OpenedStore
from segprep.store.schema import BucketInfo, StoreInfo
from segprep.store.tables import IMAGE, SOURCE_NUMBER, decode_keys, read_table, reading_errors

MOST_PIXELS = 2**36
"""Pixels of the largest mask that tiles are joined to."""


def check_selection(root: AnyPath, info: StoreInfo, split: str | None, fold: int | None) -> None:
    """Raise OptionError if the store at `root` has no such split or fold."""
    if split is not None:
        check_choice("split", split, info.splits)
    if fold is not None:
        count = info.split_rule.folds
        if count is None:
            raise OptionError(f"fold={fold!r}: {root} has no folds; make them by resplit(store, folds=5)")
        if fold not in range(count):
            raise OptionError(f"fold={fold!r}: {root} has {count} folds, counted from 0")


class Tile(NamedTuple):
    """Place of a tile in the mask that it was cut from: its first row and column there, and the mask's height and width."""

    y: int
    x: int
    shape: tuple[int, int]


def position(root: AnyPath, count: int, index: int | str, index_of: Mapping[str, int]) -> int:
    """Index of one of `count` masks of the store at `root`, which is given by its index, which may be negative, or its key."""
    if isinstance(index, str):
        if index not in index_of:
            raise KeyError(f"{root}: no mask {index!r}")
        return index_of[index]
    try:
        number = as_integer(index)
    except TypeError:
        raise OptionError(
            f"index={index!r}: must be an integer or a key; read several masks as [dataset[i] for i in range(...)]"
        ) from None
    if not -count <= number < count:
        raise IndexError(f"{root}: no mask {number}: there are {count}, counted from 0")
    return number % count


@dataclass(frozen=True, eq=False)
class OpenTables:
    """Tables of a store that was opened."""

    opened: OpenedStore

    @property
    def root(self) -> AnyPath:
        """The store."""
        return self.opened.root

    @property
    def info(self) -> StoreInfo:
        """Its attributes."""
        return self.opened.info

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One table of the store, read once."""
        if name not in self._read:
            with self.opened.explained():
                table = read_table(self.root, self.info, name)
            self.opened.require()
            self._read[name] = table
        return self._read[name]

    @cached_property
    def _read(self) -> dict[str, NDArray[Any]]:
        """Tables read so far, by their names."""
        return {}

    def names(self, name: str) -> list[str]:
        """Names in a table of bytes."""
        table = self[name]
        with reading_errors(self.root, f"table {name}"):
            return decode_keys(table)

    @cached_property
    def images(self) -> list[str]:
        """Path of the image of each mask; empty if it is not known."""
        return self.names(IMAGE)

    def image(self, mask: int, key: str) -> str:
        """Path of the image of a mask; OptionError with the remedy if it is not known."""
        if self.info.images is None:
            raise OptionError(
                f"{self.root}: was made by a version that did not store the images; run segprep weights again to add them"
            )
        if not self.images[mask]:
            raise OptionError(
                f"{self.root}: the image of {key!r} is not known; preprocess again with images=DIR, their folder"
            )
        return self.images[mask]

    def rows(self, selected: Sequence[tuple[str | None, int | None]]) -> NDArray[np.intp]:
        """Rows of the masks that meet each selection by split and fold, shape (n,)."""
        chosen = np.ones(len(self["bucket"]), np.bool_)
        for split, fold in selected:
            if split is not None and (fold is None or split == "test"):
                chosen &= self["split"] == self.info.splits.index(split)
            elif split == "train":
                chosen &= (self["fold"] != fold) & (self["fold"] != NO_FOLD)
            elif fold is not None:
                chosen &= self["fold"] == fold
        return np.flatnonzero(chosen)

    def splits(self, rows: NDArray[np.intp]) -> list[str]:
        """Split of each of these masks."""
        codes = self["split"][rows]
        if codes.max(initial=0) >= len(self.info.splits):
            raise IntegrityError(f"{self.root}: table split: {codes.max()} is no index of {self.info.splits}")
        return [self.info.splits[code] for code in codes.tolist()]

    def shards(self, rows: NDArray[np.intp]) -> CountArray:
        """Shard of each of these masks, counted over all buckets."""
        sizes = np.array([bucket.shard_rows for bucket in self.info.buckets], np.int64)
        counts = [-(-bucket.rows // bucket.shard_rows) for bucket in self.info.buckets]
        first = np.append(0, np.cumsum(counts, dtype=np.int64))
        buckets = self["bucket"][rows]
        shards: CountArray = first[buckets] + self["row"][rows] // sizes[buckets]
        return shards

    def class_instances(self) -> CountArray:
        """Instances of each class in each mask of the store, shape (masks, C)."""
        counts = np.zeros((self.info.masks, len(self.info.classes)), np.int64)
        np.add.at(counts, (self["instances/mask"], self["instances/class"]), 1)
        return counts

    def place(self, mask: int) -> tuple[BucketInfo, int, tuple[int, int]]:
        """Bucket of a mask, its row there, and its height and width; IntegrityError if it does not fit there."""
        number, row, height, width = (int(self[name][mask]) for name in ("bucket", "row", "height", "width"))
        if number >= len(self.info.buckets):
            raise IntegrityError(f"{self.root}: table bucket: mask {mask} is in bucket {number}, which does not exist")
        bucket = self.info.buckets[number]
        if row >= bucket.rows or height > bucket.height or width > bucket.width:
            place = f"{height} x {width} pixels in row {row} of {bucket.rows} of the bucket {bucket.name}"
            raise IntegrityError(f"{self.root}: tables row, height and width: mask {mask} has {place}")
        return bucket, row, (height, width)

    def tile(self, mask: int) -> Tile:
        """Place of a tile, in a store of tiles; IntegrityError if it is not within its mask."""
        y, x, height, width, *shape = (
            int(self[name][mask]) for name in ("y", "x", "height", "width", "source_height", "source_width")
        )
        if y + height > shape[0] or x + width > shape[1] or shape[0] * shape[1] >= MOST_PIXELS:
            raise IntegrityError(
                f"{self.root}: tables y and x: tile {mask} does not lie in {shape[0]} x {shape[1]} pixels"
            )
        return Tile(y, x, (shape[0], shape[1]))

    def source_numbers(self, mask: int) -> NDArray[np.uint64]:
        """Number of each instance of a tile in the mask that it was cut from, shape (N + 1,), of which the first is 0."""
        start, stop = self._starts[mask : mask + 2]
        return np.append(np.uint64(0), self[SOURCE_NUMBER][start:stop])

    def instances(self, mask: int, labels: NDArray[Any]) -> Instances:
        """Complete instances of a mask with these labels."""
        start, stop = self._starts[mask : mask + 2]
        runs, run_starts = self["instances/runs"], self._run_starts
        columns = [self[f"instances/{name}"][start:stop] for name in ("y", "x", "height", "width", "number")]
        own = [runs[first:last] for first, last in pairwise(run_starts[start : stop + 1].tolist())]
        try:
            crops = crops_of(labels, np.stack(columns, axis=1).tolist(), own)
        except ValueError as error:
            raise IntegrityError(f"{self.root}: {error}") from None
        classes, planes = (self[f"instances/{name}"][start:stop] for name in ("class", "plane"))
        return Instances(labels.shape, crops, classes, planes)

    @cached_property
    def _starts(self) -> CountArray:
        """Start of the instances of each mask in the instance table, shape (masks + 1,)."""
        return np.append(0, np.cumsum(self["instance_count"], dtype=np.int64))

    @cached_property
    def _run_starts(self) -> CountArray:
        """Start of the runs of each instance, shape (instances + 1,)."""
        starts = np.append(0, np.cumsum(self["instances/run_count"], dtype=np.int64))
        if starts[-1] != (rows := len(self["instances/runs"])):
            raise IntegrityError(
                f"{self.root}: instances/run_count: sums to {starts[-1]}, but instances/runs has {rows} rows"
            )
        return starts
