"""Reading a store, for training loops."""

import os
from dataclasses import dataclass, field
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
from segprep.paths.client import as_os_errors
from segprep.store.metadata import read_info
from segprep.store.schema import StoreInfo
from segprep.store.tables import decode_keys, read_table, zarr_store

NO_FOLD = 255


def open(  # noqa: A001 - segprep.open, as in zarr.open and tifffile.open
    path: str | os.PathLike[str] | AnyPath,
    *,
    split: str | None = None,
    fold: int | None = None,
    incomplete: bool = False,
) -> "Dataset":
    """Open a store.

    Parameters
    ----------
    path : path
        The store.
    split : str or None
        ``train``, ``val`` or ``test``; None takes all masks.
    fold : int or None
        For a store with folds: ``val`` is then this fold, and ``train`` all others.
    incomplete : bool
        Whether to open a store that is not finished; what is missing reads as NaN or the type's maximum.

    Returns
    -------
    Dataset
        The masks, in the order of the input.

    Raises
    ------
    IntegrityError
        Where there is no store, or it is incomplete, or its tables are damaged.
    OptionError
        Where the store has no such split or fold.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from segprep import preprocess
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> mask = open(folder / "out.zarr")[0]
    >>> mask["labels"]
    array([[1, 0, 0, 0, 2]], dtype=uint16)
    """
    root = parse_path(path)
    info = read_info(root)
    if info.status != "complete" and not incomplete:
        raise IntegrityError(
            f"{root}: is incomplete: its run did not end; run it again, or open it with incomplete=True"
        )
    dataset = Dataset(root, info, np.arange(info.masks))
    return dataset if split is None and fold is None else dataset.part(split, fold)


@dataclass(frozen=True, eq=False)
class Instances:
    """The whole instances of one mask, also where another hides them or where they were cut apart.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the mask in pixels.
    crops : tuple of InstanceCrop
        Pixels of the instances ``1..N`` within their bounding boxes.
    classes : (N,) int32 array
        Their class codes.
    planes : (N,) int32 array
        Plane of each; instances in one plane do not overlap.
    """

    shape: tuple[int, int]
    crops: tuple[InstanceCrop, ...]
    classes: NDArray[np.int32]
    planes: NDArray[np.int32] = field(repr=False)

    def __len__(self) -> int:
        return len(self.crops)

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
    """Masks of a store; ``dataset[i]`` is a dict of arrays.

    Attributes
    ----------
    root : AnyPath
        The store.
    info : StoreInfo
        What it holds.
    rows : (n,) int array
        Which rows of the root tables these are.
    """

    root: AnyPath
    info: StoreInfo
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Key and arrays of one mask: ``key`` and every target, shape (..., H, W), the true size of the mask."""
        names = [target.name for target in self.info.targets]
        return {"key": self.keys[index], **{name: self.array(index, name) for name in names}}

    def array(self, index: int, target: str) -> NDArray[Any]:
        """Array of one target of one mask, at its true size."""
        mask = int(self.rows[index])
        bucket, row, height, width = (int(self._places[name][mask]) for name in ("bucket", "row", "height", "width"))
        path = f"{self.info.buckets[bucket].name}/{target}"
        try:
            with as_os_errors(self.root):
                array: Any = zarr.open_array(zarr_store(self.root), path=path, mode="r")
                return np.asarray(array[row, ..., :height, :width])
        except (OSError, ValueError, RuntimeError) as error:
            raise IntegrityError(f"{self.root}: {path}: row {row} cannot be read: {error}") from error

    def part(self, split: str | None = None, fold: int | None = None) -> "Dataset":
        """Masks of one split, and of one fold: ``val`` is then this fold, ``train`` all others."""
        return Dataset(self.root, self.info, self.rows[self._in_part(split, fold)])

    def instances(self, index: int) -> Instances:
        """Whole instances of one mask, bit for bit as they were read."""
        mask = int(self.rows[index])
        table = self._table
        start, stop = self._starts[mask : mask + 2]
        labels = self.array(index, "labels")
        crops = []
        for row in range(start, stop):
            y, x, height, width, number = (int(table[name][row]) for name in ("y", "x", "height", "width", "number"))
            runs = table["runs"][self._run_starts[row] : self._run_starts[row + 1]]
            shown = labels[y : y + height, x : x + width] == number
            crops.append(InstanceCrop(y, x, runs_bitmap(runs, (height, width)) if len(runs) else shown))
        return Instances(labels.shape, tuple(crops), table["class"][start:stop], table["plane"][start:stop])

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
            overlap=self.info.instance_rule["overlap"],
        )

    @cached_property
    def keys(self) -> list[str]:
        """Names of the masks."""
        return decode_keys(read_table(self.root, "key")[self.rows])

    @property
    def class_pixels(self) -> CountArray:
        """Valid pixels of each class in each mask, shape (n, C)."""
        return read_table(self.root, "class_pixels")[self.rows].astype(np.int64)

    @property
    def class_instances(self) -> CountArray:
        """Instances of each class in each mask, shape (n, C)."""
        counts = np.zeros((self.info.masks, len(self.info.classes)), np.int64)
        np.add.at(counts, (self._table["mask"], self._table["class"]), 1)
        return counts[self.rows]

    def _in_part(self, split: str | None, fold: int | None) -> BoolArray:
        """Which of the masks belong to a split and fold."""
        chosen = np.ones(len(self), np.bool_)
        if split is not None:
            if split not in self.info.splits:
                raise OptionError(f"{self.root}: has no split {split!r}, only {', '.join(self.info.splits)}")
            splits = read_table(self.root, "split")[self.rows]
            chosen = splits == self.info.splits.index(split)
        if fold is None or split == "test":
            return chosen
        folds = read_table(self.root, "fold")[self.rows]
        count = self.info.split_rule.get("folds")
        if count is None or not 0 <= fold < count:
            raise OptionError(f"{self.root}: has no fold {fold}: {count or 'no'} folds, counted from 0")
        if split == "train":
            return np.asarray((folds != fold) & (folds != NO_FOLD))
        return np.asarray(folds == fold)

    @cached_property
    def _places(self) -> dict[str, NDArray[Any]]:
        """Bucket, row and size of every mask of the store."""
        return {name: read_table(self.root, name) for name in ("bucket", "row", "height", "width")}

    @cached_property
    def _table(self) -> dict[str, NDArray[Any]]:
        """Instance table of the store."""
        names = ("mask", "number", "class", "y", "x", "height", "width", "plane", "run_count", "runs")
        return {name: read_table(self.root, f"instances/{name}") for name in names}

    @cached_property
    def _starts(self) -> CountArray:
        """Where the instances of each mask begin in the instance table, shape (masks + 1,)."""
        return np.append(0, np.cumsum(read_table(self.root, "instance_count"), dtype=np.int64))

    @cached_property
    def _run_starts(self) -> CountArray:
        """Where the runs of each instance begin, shape (instances + 1,)."""
        return np.append(0, np.cumsum(self._table["run_count"], dtype=np.int64))


@dataclass(frozen=True)
class StoredRef:
    """One mask of a store, as ground truth to compute from.

    Attributes
    ----------
    dataset : Dataset
        All masks of the store.
    index : int
        Which of them.
    key : str
        Its name.
    split : None
        A layout of files, which would give a split, is not known of a store.
    """

    dataset: Dataset
    index: int
    key: str
    split: str | None = None

    def load(self) -> InstanceMask:
        """Rebuild the mask from labels, classes and the instance table."""
        return self.dataset.mask(self.index)
