"""Reading a store, for training loops."""

import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray
from segprep.errors import IntegrityError, OptionError
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import bitmap_runs, runs_bitmap, runs_string
from segprep.paths.anypath import AnyPath, parse_path
from segprep.store.metadata import read_info
from segprep.store.schema import BucketInfo, StoreInfo, TargetInfo
from segprep.store.shards import array_spec, shard_name
from segprep.store.tables import MISSING, bucket_of, decode_keys, read_table, reading_errors, require_form, zarr_store

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
    root = parse_path(store)
    info = read_info(root)
    if info.status != "complete" and not incomplete:
        raise IntegrityError(
            f"{root}: is incomplete; rerun the command that writes it, or open it with incomplete=True"
        )
    dataset = Dataset(root, info, np.arange(info.masks), incomplete)
    return dataset if split is None and fold is None else dataset.select(split=split, fold=fold)


@dataclass(frozen=True, eq=False)
class Instances:
    """Complete instances of one mask, including pixels hidden by others or removed between touching instances.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the mask in pixels.
    crops : tuple of InstanceCrop
        Pixels of the instances ``1..N`` within their bounding boxes.
    classes : (N,) int32 array
        Class code of each instance.
    planes : (N,) int32 array
        Plane of each instance; instances in one plane do not overlap.
    """

    shape: tuple[int, int]
    crops: tuple[InstanceCrop, ...]
    classes: NDArray[np.int32]
    planes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.crops)

    def __repr__(self) -> str:
        height, width = self.shape
        codes = ", ".join(map(str, np.unique(self.classes)))
        return f"<{len(self)} instances in {height} x {width} pixels; classes {codes or 'none'}>"

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Bounding boxes as in COCO, [x, y, width, height] in pixels, shape (N, 4)."""
        boxes = [(crop.x, crop.y, crop.pixels.shape[1], crop.pixels.shape[0]) for crop in self.crops]
        return np.array(boxes, np.int64).reshape(-1, 4)

    @property
    def masks(self) -> BoolArray:
        """One mask per instance, shape (N, H, W)."""
        masks = np.zeros((len(self), *self.shape), np.bool_)
        for mask, (y, x, pixels) in zip(masks, self.crops, strict=True):
            mask[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return masks

    def rle(self) -> list[dict[str, Any]]:
        """Each instance as COCO's compressed RLE: ``{"size": [height, width], "counts": str}``."""
        return [{"size": list(self.shape), "counts": runs_string(bitmap_runs(mask))} for mask in self.masks]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Masks of a store; ``dataset[i]`` or ``dataset[key]`` is a dict of arrays.

    Attributes
    ----------
    root : AnyPath
        The store.
    info : StoreInfo
        Its contents.
    rows : (n,) int array
        Rows of the selected masks in the store's tables.
    incomplete : bool
        As in `open`.
    """

    root: AnyPath
    info: StoreInfo
    rows: NDArray[np.intp]
    incomplete: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        selected = "" if len(self) == self.info.masks else f" ({len(self):,} selected)"
        counts = zip(self.info.splits, np.bincount(self._table("split"), minlength=3), strict=False)
        splits = ", ".join(f"{name} {count:,}" for name, count in counts)
        return f"<segprep store {self.root.name!r}: {self.info.contents}; {splits}{selected}>"

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # opened arrays and tables stay here

    def __getitem__(self, index: int | str) -> dict[str, Any]:
        """Key and arrays of one mask, by index or key: ``key`` and every target, shape (..., H, W), at its true size."""
        if isinstance(index, str):
            if index not in self._index_of:
                raise KeyError(f"{self.root}: no mask {index!r}")
            index = self._index_of[index]
        names = [target.name for target in self.info.targets]
        return {"key": self.keys[index], **{name: self.array(index, name) for name in names}}

    def array(self, index: int, target: str) -> NDArray[Any]:
        """Array of one target of one mask, at its true size."""
        info = next((item for item in self.info.targets if item.name == target), None)
        if info is None:
            names = ", ".join(item.name for item in self.info.targets)
            raise OptionError(f"{self.root}: has no target {target!r}, only {names}")
        mask = self.rows[index]
        number, row, height, width = (int(self._table(name)[mask]) for name in ("bucket", "row", "height", "width"))
        bucket = self.info.buckets[number]
        with reading_errors(self.root, f"{bucket.name}/{target}: row {row}"):
            array = self._array(bucket, info)
            if not self.incomplete:
                self._require(f"{bucket.name}/{target}/{shard_name(row // bucket.shard_rows, array.ndim)}")
            return np.asarray(array[row, ..., :height, :width])

    def _array(self, bucket: BucketInfo, target: TargetInfo) -> Any:
        path = f"{bucket.name}/{target.name}"
        if path not in self._arrays:
            array: Any = zarr.open_array(zarr_store(self.root), path=path, mode="r", zarr_format=3)
            spec = array_spec(bucket_of(bucket), target)
            require_form(array, spec.shape, spec.dtype, spec.chunk, spec.shard)
            self._arrays[path] = array
        return self._arrays[path]

    def _require(self, shard: str) -> None:
        """Raise IntegrityError if a shard is missing, for which Zarr would read fill values."""
        if shard not in self._present:
            try:
                (self.root / shard).stat()
            except MISSING:
                message = f"{self.root}: {shard} is missing; run verify, and repair with the data set"
                raise IntegrityError(message) from None
            self._present.add(shard)

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
        chosen = np.ones(len(self), np.bool_)
        if split is not None:
            if split not in self.info.splits:
                raise OptionError(f"{self.root}: has no split {split!r}, only {', '.join(self.info.splits)}")
            chosen = self._table("split")[self.rows] == self.info.splits.index(split)
        if fold is not None and split != "test":
            count = self.info.split_rule.folds
            if count is None or not 0 <= fold < count:
                raise OptionError(f"{self.root}: has no fold {fold}: {count or 'no'} folds, counted from 0")
            folds = self._table("fold")[self.rows]
            chosen = (folds != fold) & (folds != NO_FOLD) if split == "train" else folds == fold
        return replace(self, rows=self.rows[chosen])

    def instances(self, index: int) -> Instances:
        """Complete instances of one mask, bit for bit as they were read."""
        mask = self.rows[index]
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

    def mask(self, index: int) -> InstanceMask:
        """Ground truth of one mask, as it was read."""
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
    def keys(self) -> list[str]:
        """Names of the masks."""
        return decode_keys(self._table("key")[self.rows])

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
    def _arrays(self) -> dict[str, Any]:
        """Arrays opened so far, by their paths: opening takes as long as reading a small mask."""
        return {}

    @cached_property
    def _present(self) -> set[str]:
        """Paths of the shards that are known to exist."""
        return set()

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
