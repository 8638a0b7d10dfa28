"""Reading a store, for training loops."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index as as_integer
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.errors import IntegrityError, OptionError, check_choice
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import runs_bitmap
from segprep.paths.anypath import AnyPath, parse_path
from segprep.paths.files import storage
from segprep.store.chunks import ChunkReader, Window, open_chunks
from segprep.store.instances import Instances
from segprep.store.metadata import read_info
from segprep.store.schema import BucketInfo, StoreInfo, TargetInfo
from segprep.store.shards import array_spec
from segprep.store.tables import bucket_of, decode_keys, read_table, reading_errors

NO_FOLD = 255


def open(  # noqa: A001 - segprep.open, as in zarr.open and tifffile.open
    store: str | os.PathLike[str] | AnyPath,
    *,
    split: str | None = None,
    fold: int | None = None,
    incomplete: bool = False,
) -> "Dataset":
    """Open a store.

    Parameters
    ----------
    store : path
        The store.
    split, fold
        As in `Dataset.select`.
    incomplete : bool
        Open a store that is not complete; missing shards read as NaN or as the maximum of their type.

    Returns
    -------
    Dataset
        The masks, in the order of the input.

    Raises
    ------
    IntegrityError
        If there is no store, or it is incomplete, or its tables are damaged.
    OptionError
        If the store has no such split or fold.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from segprep import preprocess
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> dataset = open(folder / "out.zarr")
    >>> dataset[0]["labels"]
    array([[1, 0, 0, 0, 2]], dtype=uint16)
    >>> dataset["cells.png"]["labels"].shape
    (1, 5)
    """
    root = parse_path(store, "store")
    info = read_info(root)
    if info.status != "complete" and not incomplete:
        raise IntegrityError(
            f"{root}: is incomplete; rerun the command that writes it, or open it with incomplete=True"
        )
    dataset = Dataset(root, info, incomplete)
    return dataset if split is None and fold is None else dataset.select(split=split, fold=fold)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Masks of a store; ``dataset[i]`` or ``dataset[key]`` is a dict of arrays.

    Threads may share it, and a forked process may use it, unless the store is in a bucket. Pickled, it has neither tables nor
    rows: the other process selects the masks again, by the tables of the store.

    Attributes
    ----------
    root : AnyPath
        The store.
    info : StoreInfo
        Its contents.
    incomplete : bool
        As in `open`.
    selected : tuple of (str or None, int or None)
        Split and fold of each selection that the masks must meet.
    """

    root: AnyPath
    info: StoreInfo
    incomplete: bool = False
    selected: tuple[tuple[str | None, int | None], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        selected = "" if len(self) == self.info.masks else f" ({len(self):,} selected)"
        counts = zip(self.info.splits, np.bincount(self._table("split"), minlength=3), strict=False)
        splits = ", ".join(f"{name} {count:,}" for name, count in counts)
        return f"<segprep store {self.root.name!r}: {self.info.contents}; {splits}{selected}>"

    def __getstate__(self) -> tuple[Any, ...]:
        return self.root, zlib.compress(msgspec.json.encode(self.info)), self.incomplete, self.selected

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        root, info, incomplete, selected = state
        info = msgspec.json.decode(zlib.decompress(info), type=StoreInfo)
        vars(self).update(root=root, info=info, incomplete=incomplete, selected=selected)

    def __contains__(self, key: object) -> bool:
        return key in self._index_of

    def __getitem__(self, index: int | str) -> dict[str, Any]:
        """Key and arrays of one mask, by index or key: ``key`` and every target, shape (..., H, W), at its true size."""
        return self.read(index)

    def read(
        self, index: int | str, window: Window | None = None, targets: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Key and arrays of one mask, or of a part of it, which takes only the chunks that it meets.

        Parameters
        ----------
        index : int or str
            Index or key of the mask.
        window : (int, int, int, int) or None
            y, x, height and width of the part in pixels, within the mask; None reads all of it.
        targets : list of str or None
            Names of the targets to read; None reads every target.

        Returns
        -------
        dict
            ``key``, and each target, shape (..., height, width).

        Raises
        ------
        OptionError
            If the window does not lie within the mask, or the store has no such target.
        """
        index = self._position(index)
        names = list(self._targets) if targets is None else list(targets)
        return {"key": self.keys[index], **self._read(index, names, window)}

    def _position(self, index: int | str) -> int:
        """Index of a mask that is given by its index, which may be negative, or its key."""
        if isinstance(index, str):
            if index not in self._index_of:
                raise KeyError(f"{self.root}: no mask {index!r}")
            return self._index_of[index]
        try:
            number = as_integer(index)
        except TypeError:
            raise OptionError(
                f"index={index!r}: must be an integer or a key; read several masks as [dataset[i] for i in range(...)]"
            ) from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.root}: no mask {number}: there are {len(self)}, counted from 0")
        return number % len(self)

    def array(self, index: int | str, target: str) -> NDArray[Any]:
        """Array of one target of one mask, by index or key, at its true size."""
        return self._read(self._position(index), [target], None)[target]

    def _read(self, index: int, targets: Sequence[str], window: Window | None) -> dict[str, NDArray[Any]]:
        """Window of some targets of one mask; in a bucket, all at the same time."""
        for target in targets:
            if target not in self._targets:
                raise OptionError(f"{self.root}: has no target {target!r}, only {', '.join(self._targets)}")
        mask = int(self.rows[index])
        number, row, height, width = (int(self._table(name)[mask]) for name in ("bucket", "row", "height", "width"))
        if number >= len(self.info.buckets):
            raise IntegrityError(f"{self.root}: table bucket: mask {mask} is in bucket {number}, which does not exist")
        bucket = self.info.buckets[number]
        if row >= bucket.rows or height > bucket.height or width > bucket.width:
            place = f"{height} x {width} pixels in row {row} of {bucket.rows} of the bucket {bucket.name}"
            raise IntegrityError(f"{self.root}: tables row, height and width: mask {mask} has {place}")
        part = (0, 0, height, width) if window is None else self._window(index, window, height, width)

        def read(target: str) -> NDArray[Any]:
            with reading_errors(self.root, f"{bucket.name}/{target}: row {row}"):
                return self._reader(bucket, target).read(row, part)

        return dict(zip(targets, storage(self.root).map(read, targets), strict=True))

    def _window(self, index: int, window: Window, height: int, width: int) -> Window:
        """Window that a user gives, within a mask of this size."""
        try:
            y, x, tall, wide = map(as_integer, window)
        except (TypeError, ValueError):
            raise OptionError(f"window={window!r}: must be four integers, (y, x, height, width)") from None
        if not (0 <= y < y + tall <= height and 0 <= x < x + wide <= width):
            raise OptionError(
                f"window={window!r}: must be (y, x, height, width) within the {height} x {width} pixels of "
                f"{self.keys[index]!r}"
            )
        return y, x, tall, wide

    def _reader(self, bucket: BucketInfo, target: str) -> ChunkReader:
        """Reader of the array of a target in a bucket, opened once."""
        path = f"{bucket.name}/{target}"
        if path not in self._readers:
            spec = array_spec(bucket_of(bucket), self._targets[target])
            self._readers[path] = open_chunks(self.root, spec, incomplete=self.incomplete)
        return self._readers[path]

    def select(self, *, split: str | None = None, fold: int | None = None) -> "Dataset":
        """Masks of one split, of one fold, or of both.

        Parameters
        ----------
        split : str or None
            ``train``, ``val`` or ``test``; None takes all masks.
        fold : int or None
            In a store with folds, ``val`` is this fold and ``train`` all others.

        Raises
        ------
        OptionError
            If the store has no such split or fold.
        """
        if split is not None:
            check_choice("split", split, self.info.splits)
        if fold is not None:
            count = self.info.split_rule.folds
            if count is None:
                raise OptionError(f"fold={fold!r}: {self.root} has no folds; make them by resplit(store, folds=5)")
            if fold not in range(count):
                raise OptionError(f"fold={fold!r}: {self.root} has {count} folds, counted from 0")
        return replace(self, selected=(*self.selected, (split, fold)))

    def instances(self, index: int | str) -> Instances:
        """Complete instances of one mask, by index or key, bit for bit as they were read."""
        mask = int(self.rows[self._position(index)])
        start, stop = self._starts[mask : mask + 2]
        labels = self.array(index, "labels")
        runs, run_starts = self._table("instances/runs"), self._run_starts
        columns = [self._table(f"instances/{name}")[start:stop] for name in ("y", "x", "height", "width", "number")]
        crops = []
        for row, (y, x, height, width, number) in enumerate(zip(*map(np.ndarray.tolist, columns), strict=True), start):
            if not (0 <= y <= y + height <= labels.shape[0] and 0 <= x <= x + width <= labels.shape[1]):
                box = f"{height} x {width} pixels from ({y}, {x}), in an image of {labels.shape[0]} x {labels.shape[1]}"
                raise IntegrityError(f"{self.root}: instances: instance {number} has {box}")
            own = runs[run_starts[row] : run_starts[row + 1]]
            if len(own) and (pixels := int(own.sum(dtype=np.uint64))) != height * width:
                wrong = f"those of instance {number} have {pixels} pixels instead of {height} x {width}"
                raise IntegrityError(f"{self.root}: instances/runs: {wrong}")
            shown = labels[y : y + height, x : x + width] == number
            crops.append(InstanceCrop(y, x, runs_bitmap(own, (height, width)) if len(own) else shown))
        classes, planes = (self._table(f"instances/{name}")[start:stop] for name in ("class", "plane"))
        return Instances(labels.shape, tuple(crops), classes, planes)

    def mask(self, index: int | str) -> InstanceMask:
        """Ground truth of one mask, by index or key, as it was read."""
        instances = self.instances(index)
        planes = np.zeros((max(1, int(instances.planes.max(initial=0)) + 1), *instances.shape), np.int32)
        for number, ((y, x, pixels), plane) in enumerate(zip(instances.crops, instances.planes, strict=True), start=1):
            planes[plane, y : y + pixels.shape[0], x : x + pixels.shape[1]][pixels] = number
        codes = self.array(index, "classes")
        ignore = codes == np.iinfo(codes.dtype).max
        stuff = np.where(ignore | (planes > 0).any(axis=0), 0, codes).astype(np.int32)
        return InstanceMask(
            planes,
            np.append(np.int32(0), instances.classes),
            ignore if ignore.any() else None,
            stuff=stuff if stuff.any() else None,
            overlap=self.info.instance_rule.overlap,
        )

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the selected masks in the store's tables, shape (n,)."""
        chosen = np.ones(len(self._table("bucket")), np.bool_)
        for split, fold in self.selected:
            if split is not None and (fold is None or split == "test"):
                chosen &= self._table("split") == self.info.splits.index(split)
            elif split == "train":
                chosen &= (self._table("fold") != fold) & (self._table("fold") != NO_FOLD)
            elif fold is not None:
                chosen &= self._table("fold") == fold
        return np.flatnonzero(chosen)

    @cached_property
    def keys(self) -> list[str]:
        """Names of the masks."""
        return decode_keys(self._table("key")[self.rows])

    @property
    def splits(self) -> list[str]:
        """Split of each mask."""
        codes = self._table("split")[self.rows]
        if codes.max(initial=0) >= len(self.info.splits):
            raise IntegrityError(f"{self.root}: table split: {codes.max()} is no index of {self.info.splits}")
        return [self.info.splits[code] for code in codes.tolist()]

    @property
    def sizes(self) -> CountArray:
        """Height and width of each mask in pixels, shape (n, 2)."""
        return np.stack([self._table("height"), self._table("width")], axis=1)[self.rows].astype(np.int64)

    @property
    def buckets(self) -> CountArray:
        """Index in ``info.buckets`` of the bucket of each mask, shape (n,)."""
        return self._table("bucket")[self.rows].astype(np.int64)

    @property
    def shards(self) -> CountArray:
        """Shard of each mask, counted over all buckets, shape (n,); a target with channels may have smaller ones."""
        counts = [-(-bucket.rows // bucket.shard_rows) for bucket in self.info.buckets]
        first = np.append(0, np.cumsum(counts[:-1], dtype=np.int64))
        rows = np.array([bucket.shard_rows for bucket in self.info.buckets], np.int64)
        buckets = self.buckets
        return first[buckets] + self._table("row")[self.rows] // rows[buckets]

    @property
    def class_pixels(self) -> CountArray:
        """Valid pixels of each class in each mask, shape (n, C)."""
        return self._table("class_pixels")[self.rows].astype(np.int64)

    @property
    def class_instances(self) -> CountArray:
        """Instances of each class in each mask, shape (n, C)."""
        counts = np.zeros((self.info.masks, len(self.info.classes)), np.int64)
        np.add.at(counts, (self._table("instances/mask"), self._table("instances/class")), 1)
        return counts[self.rows]

    def _table(self, name: str) -> NDArray[Any]:
        """One table of the store, read once."""
        if name not in self._tables:
            self._tables[name] = read_table(self.root, self.info, name)
        return self._tables[name]

    @cached_property
    def _tables(self) -> dict[str, NDArray[Any]]:
        """Tables read so far, by their names."""
        return {}

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self.keys)}

    @cached_property
    def _targets(self) -> dict[str, TargetInfo]:
        return {target.name: target for target in self.info.targets}

    @cached_property
    def _readers(self) -> dict[str, ChunkReader]:
        """Arrays opened so far, by their paths."""
        return {}

    @cached_property
    def _starts(self) -> CountArray:
        """Start of the instances of each mask in the instance table, shape (masks + 1,)."""
        return np.append(0, np.cumsum(self._table("instance_count"), dtype=np.int64))

    @cached_property
    def _run_starts(self) -> CountArray:
        """Start of the runs of each instance, shape (instances + 1,)."""
        starts = np.append(0, np.cumsum(self._table("instances/run_count"), dtype=np.int64))
        if starts[-1] != (rows := len(self._table("instances/runs"))):
            raise IntegrityError(
                f"{self.root}: instances/run_count: sums to {starts[-1]}, but instances/runs has {rows} rows"
            )
        return starts


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
