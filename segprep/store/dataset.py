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

from segprep.arrays import CountArray, FloatArray
from segprep.errors import IntegrityError, OptionError
from segprep.masks.mask import InstanceMask
from segprep.paths.anypath import AnyPath, parse_path
from segprep.paths.files import storage
from segprep.store.chunks import ChunkReader, Window, checked_window, open_chunks
from segprep.store.images import ImageFolder, image_folder
from segprep.store.instances import Instances, mask_of
from segprep.store.metadata import read_info
from segprep.store.opened import OpenedStore
from segprep.store.schema import BucketInfo, StoreInfo, TargetInfo
from segprep.store.selection import OpenTables, check_selection
from segprep.store.shards import array_spec
from segprep.store.tables import bucket_of, reading_errors
from segprep.store.values import (
    ClassWeights,
    HandedOut,
    all_padded,
    check_handed_out,
    class_vector,
    class_weighted,
    handed_out,
)
from segprep.targets import Border, Classes, Labels

_FIELDS = ("info", "root", "incomplete", "selected", "dtype", "images")
"""Fields that travel with a pickled `Dataset`."""


def open(  # noqa: A001 - segprep.open, as in zarr.open and tifffile.open
    store: str | os.PathLike[str] | AnyPath,
    *,
    split: str | None = None,
    fold: int | None = None,
    incomplete: bool = False,
    dtype: HandedOut = "float32",
    images: str | os.PathLike[str] | AnyPath | None = None,
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
    dtype : {"float32", "stored"}
        Return float16 arrays as float32, which OpenCV, SciPy and most losses need, or as they are stored.
    images : path or None
        Folder of the images: that which stands for the folder of the data, or for the folder that all images share. By
        default the data themselves, if they lie beside the store.

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
    check_handed_out(dtype)
    dataset = Dataset(
        root, info, incomplete, dtype=dtype, images=None if images is None else parse_path(images, "images")
    )
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
    dtype, images : str, AnyPath or None
        As in `open`.
    """

    root: AnyPath
    info: StoreInfo
    incomplete: bool = False
    selected: tuple[tuple[str | None, int | None], ...] = ()
    dtype: HandedOut = "float32"
    images: AnyPath | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        selected = "" if len(self) == self.info.masks else f" ({len(self):,} selected)"
        counts = zip(self.info.splits, np.bincount(self._tables["split"], minlength=3), strict=False)
        splits = ", ".join(f"{name} {count:,}" for name, count in counts)
        return f"<segprep store {self.root.name!r}: {self.info.contents}; {splits}{selected}>"

    def __getstate__(self) -> tuple[Any, ...]:
        info, *others = (getattr(self, name) for name in _FIELDS)
        return zlib.compress(msgspec.json.encode(info)), *others

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        info, *others = state
        vars(self).update(info=msgspec.json.decode(zlib.decompress(info), type=StoreInfo))
        vars(self).update(zip(_FIELDS[1:], others, strict=True))

    def __contains__(self, key: object) -> bool:
        return key in self._index_of

    def __getitem__(self, index: int | str) -> dict[str, Any]:
        """Key and arrays of one mask, by index or key: ``key`` and every target, shape (..., H, W), at its true size."""
        return self.read(index)

    def read(
        self,
        index: int | str,
        window: Window | None = None,
        targets: Sequence[str] | None = None,
        *,
        pad_to: tuple[int, int] | None = None,
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
        pad_to : (int, int) or None
            Height and width of the arrays in pixels: the lower right is filled as the padding of the store is, with 0 (no
            instance, no weight), and classes and boundaries with ignore.

        Returns
        -------
        dict
            ``key``, and each target, shape (..., height, width).

        Raises
        ------
        OptionError
            If the window does not lie within the mask or is larger than `pad_to`, or the store has no such target.
        """
        index = self._position(index)
        names = list(self._targets) if targets is None else list(targets)
        arrays = self._read(index, names, window)
        if pad_to is not None:
            arrays = all_padded(arrays, pad_to)
        return {"key": self.keys[index], **arrays}

    def weights(self, index: int | str, class_weights: ClassWeights, window: Window | None = None) -> FloatArray:
        """U-Net weights by other class weights than the store's, from its targets border and classes.

        Parameters
        ----------
        index, window
            As in `read`.
        class_weights : str, dict of str to float, or (C,) array
            Name of a formula, computed from the train split when the store was made; or the weight of each class, by its
            name or in the order of the codes.

        Returns
        -------
        (H, W) float32 array
            ``w_c + border``, as exact as the type of the stored border; 0 on ignored pixels.

        Raises
        ------
        OptionError
            If the store has no target border, or other classes.
        """
        if Border.name not in self._targets:
            raise OptionError(f"{self.root}: has no target 'border', which this needs; add it by targets='border'")
        vector = class_vector(self.info, class_weights)
        arrays = self._read(self._position(index), [Border.name, Classes.name], window)
        return class_weighted(arrays[Border.name], arrays[Classes.name], vector)

    def image_path(self, index: int | str) -> AnyPath:
        """File of the image that a mask belongs to, by index or key.

        Raises
        ------
        OptionError
            If the image is not known, or its folder is not: see `open`.
        InputError
            If the file is missing, or a link out of the folder.
        """
        index = self._position(index)
        name = self._tables.image(int(self.rows[index]), self.keys[index])
        return self._image_folder.file(name, self.keys[index])

    def image(self, index: int | str, window: Window | None = None) -> NDArray[Any]:
        """Image that a mask belongs to, or a part of it, for which the complete file is decoded.

        Parameters
        ----------
        index, window
            As in `read`.

        Returns
        -------
        (H, W) or (H, W, 3) array
            Grey values or RGB, mostly uint8, in the type of the file, without alpha; see `segprep.readers.image_pixels`.

        Raises
        ------
        OptionError
            As in `image_path`, or if the window does not lie within the mask.
        InputError
            If the file is missing or damaged, or has another size than the mask.
        """
        from segprep.readers import image_pixels  # noqa: PLC0415 - half a dozen decoders

        index = self._position(index)
        _, _, (height, width) = self._tables.place(int(self.rows[index]))
        key = self.keys[index]
        y, x, tall, wide = checked_window(window or (0, 0, height, width), (height, width), key)
        pixels = image_pixels(self.image_path(index), (height, width), key)
        return pixels if window is None else pixels[y : y + tall, x : x + wide].copy()

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
        bucket, row, shape = self._tables.place(int(self.rows[index]))
        part = (0, 0, *shape) if window is None else checked_window(window, shape, self.keys[index])

        def read(target: str) -> NDArray[Any]:
            with reading_errors(self.root, f"{bucket.name}/{target}: row {row}"):
                return handed_out(self._reader(bucket, target).read(row, part), self.dtype)

        return dict(zip(targets, storage(self.root).map(read, targets), strict=True))

    def _reader(self, bucket: BucketInfo, target: str) -> ChunkReader:
        """Reader of the array of a target in a bucket, opened once."""
        path, opened = f"{bucket.name}/{target}", self._tables.opened
        if path not in self._readers:
            spec = array_spec(bucket_of(bucket), self._targets[target])
            self._readers[path] = open_chunks(self.root, spec, incomplete=self.incomplete, opened=opened)
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
        check_selection(self.root, self.info, split, fold)
        return replace(self, selected=(*self.selected, (split, fold)))

    def instances(self, index: int | str) -> Instances:
        """Complete instances of one mask, by index or key, bit for bit as they were read."""
        index = self._position(index)
        return self._tables.instances(int(self.rows[index]), self.array(index, Labels.name))

    def mask(self, index: int | str) -> InstanceMask:
        """Ground truth of one mask, by index or key, as it was read."""
        return mask_of(self.instances(index), self.array(index, Classes.name), self.info.instance_rule.overlap)

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Rows of the selected masks in the store's tables, shape (n,)."""
        return self._tables.rows(self.selected)

    @cached_property
    def keys(self) -> list[str]:
        """Names of the masks."""
        keys = self._tables.names("key")
        return [keys[row] for row in self.rows.tolist()]

    @property
    def splits(self) -> list[str]:
        """Split of each mask."""
        return self._tables.splits(self.rows)

    @property
    def sizes(self) -> CountArray:
        """Height and width of each mask in pixels, shape (n, 2)."""
        return np.stack([self._tables["height"], self._tables["width"]], axis=1)[self.rows].astype(np.int64)

    @property
    def buckets(self) -> CountArray:
        """Index in ``info.buckets`` of the bucket of each mask, shape (n,)."""
        return self._tables["bucket"][self.rows].astype(np.int64)

    @property
    def shards(self) -> CountArray:
        """Shard of each mask, counted over all buckets, shape (n,); a target with channels may have smaller ones."""
        return self._tables.shards(self.rows)

    @property
    def class_pixels(self) -> CountArray:
        """Valid pixels of each class in each mask, shape (n, C)."""
        return self._tables["class_pixels"][self.rows].astype(np.int64)

    @property
    def class_instances(self) -> CountArray:
        """Instances of each class in each mask, shape (n, C)."""
        return self._tables.class_instances()[self.rows]

    @cached_property
    def _tables(self) -> OpenTables:
        return OpenTables(OpenedStore(self.root, self.info, is_checked=not self.incomplete))

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self.keys)}

    @cached_property
    def _image_folder(self) -> ImageFolder:
        return image_folder(self.root, self.info, self.images, self._tables.images)

    @cached_property
    def _targets(self) -> dict[str, TargetInfo]:
        return {target.name: target for target in self.info.targets}

    @cached_property
    def _readers(self) -> dict[str, ChunkReader]:
        """Arrays opened so far, by their paths."""
        return {}
