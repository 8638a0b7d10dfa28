"""Reading a store, for training loops."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray, FloatArray
from segprep.errors import OptionError
from segprep.masks.mask import InstanceMask
from segprep.masks.tiles import Window as TileWindow
from segprep.paths.anypath import AnyPath
from segprep.store.arrays import OpenArrays
from segprep.store.chunks import Window, checked_window
from segprep.store.images import ImageFolder, image_folder, last_or_new
from segprep.store.instances import Instances, mask_of
from segprep.store.opened import OpenedStore
from segprep.store.schema import StoreInfo
from segprep.store.selection import OpenTables, Tile, check_selection, position
from segprep.store.sources import ReadTile, joined
from segprep.store.tables import SOURCE
from segprep.store.values import (
    ClassWeights,
    HandedOut,
    all_padded,
    class_vector,
    class_weighted,
)
from segprep.targets import Border, Classes, Labels

if TYPE_CHECKING:
    from PIL.Image import Image

_FIELDS = ("info", "root", "incomplete", "selected", "dtype", "images")
"""Fields that travel with a pickled `Dataset`."""


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
        As in `segprep.open`.
    selected : tuple of (str or None, int or None)
        Split and fold of each selection that the masks must meet.
    dtype, images : str, AnyPath or None
        As in `segprep.open`.
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

    def _repr_html_(self) -> str:
        """Summary with some masks, by which a notebook shows the store."""
        from segprep.store.shown import summary_html  # noqa: PLC0415 - only for notebooks

        return summary_html(self)

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
        names = list(self._arrays.targets if targets is None else targets)
        arrays = self._read(index, names, window)
        if pad_to is not None:
            arrays = all_padded(arrays, pad_to)
        return {"key": self.keys[index], **arrays}

    def source(self, key: str, targets: Sequence[str] | None = None) -> dict[str, Any]:
        """Key and arrays of a complete mask, joined from its tiles; in a store without tiles, those of the mask.

        Parameters
        ----------
        key : str
            Key of the mask that tiles were cut from, one of `sources`.
        targets : list of str or None
            Names of the targets to read; None reads every target.

        Returns
        -------
        dict
            ``key``, and each target, shape (..., H, W). Labels are the numbers of the instances in the complete mask, so
            that an instance that was cut has one number again. Where the store has no tile, since it was empty and left out,
            arrays have the values of padding: classes and boundaries are ignore, the others 0.

        Raises
        ------
        KeyError
            If no selected tile is of such a mask.
        """
        if self.info.tiling is None:
            return self.read(key, targets=targets)
        indices = [index for index, source in enumerate(self.tile_sources) if source == key]
        if not indices:
            raise KeyError(f"{self.root}: no tile of a mask {key!r}")
        names = list(self._arrays.targets if targets is None else targets)
        return {"key": key, **joined((self._read_tile(index, names) for index in indices), names)}

    def _read_tile(self, index: int, targets: Sequence[str]) -> ReadTile:
        """Arrays of a tile, and its place in the mask that it was cut from."""
        mask = int(self.rows[index])
        return ReadTile(self._tables.tile(mask), self._read(index, targets, None), self._tables.source_numbers(mask))

    @property
    def sources(self) -> list[str]:
        """Keys of the masks that the tiles were cut from, each once, in the order of the tiles; without tiles, `keys`."""
        return list(dict.fromkeys(self.tile_sources))

    @cached_property
    def tile_sources(self) -> list[str]:
        """Key of the mask that each tile was cut from; without tiles, `keys`."""
        if self.info.tiling is None:
            return self.keys
        sources = self._tables.names(SOURCE)
        return [sources[row] for row in self.rows.tolist()]

    def tile(self, index: int | str) -> Tile | None:
        """Place of a tile in the mask that it was cut from, by index or key; None in a store without tiles."""
        return None if self.info.tiling is None else self._tables.tile(int(self.rows[self._position(index)]))

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
        if Border.name not in self._arrays.targets:
            raise OptionError(f"{self.root}: has no target 'border', which this needs; add it by targets='border'")
        vector = class_vector(self.info, class_weights)
        arrays = self._read(self._position(index), [Border.name, Classes.name], window)
        return class_weighted(arrays[Border.name], arrays[Classes.name], vector)

    def image_path(self, index: int | str) -> AnyPath:
        """File of the image that a mask belongs to, by index or key.

        Raises
        ------
        OptionError
            If the image is not known, or its folder is not: see `segprep.open`.
        InputError
            If the file is missing, or a link out of the folder.
        """
        index = self._position(index)
        name = self._tables.image(int(self.rows[index]), self.keys[index])
        return self._image_folder.file(name, self.keys[index])

    def image(self, index: int | str, window: Window | None = None) -> NDArray[Any]:
        """Image that a mask or a tile belongs to, or a part of it, for which the complete file is decoded.

        Parameters
        ----------
        index, window
            As in `read`.

        Returns
        -------
        (H, W) or (H, W, 3) array
            Grey values or RGB, mostly uint8, in the type of the file, without alpha; see `segprep.readers.image_pixels`. In a
            store made with ``downsample``, each pixel is the mean of a block of the file.

        Raises
        ------
        OptionError
            As in `image_path`, or if the window does not lie within the mask.
        InputError
            If the file is missing or damaged, or has another size than the mask.
        """
        from segprep.readers import image_pixels, image_window  # noqa: PLC0415 - half a dozen decoders

        index = self._position(index)
        _, _, (height, width) = self._tables.place(mask := int(self.rows[index]))
        factor = self.info.instance_rule.resolution.factor
        key, tile = self.keys[index], None if self.info.tiling is None else self._tables.tile(mask)
        y, x, tall, wide = checked_window(window or (0, 0, height, width), (height, width), key)
        if tile is None:
            pixels = image_pixels(self.image_path(index), (height, width), key, factor)
            return pixels if window is None else pixels[y : y + tall, x : x + wide].copy()
        file = self.image_path(index)
        part = TileWindow(tile.y + y, tile.x + x, tall, wide)
        if (found := image_window(file, tile.shape, part, key, factor)) is not None:
            return found
        return last_or_new(self._last_image, file, lambda: image_pixels(file, tile.shape, key, factor))[
            part.part
        ].copy()

    @cached_property
    def _last_image(self) -> dict[AnyPath, NDArray[Any]]:
        return {}

    def show(self, index: int | str, targets: Sequence[str] | None = None) -> "Image":
        """Image that shows a mask with its targets, as ``segprep preview STORE -o FILE.png`` does.

        Parameters
        ----------
        index : int or str
            Index or key of the mask.
        targets : list of str or None
            Targets to show besides the labels; None shows every target.

        Returns
        -------
        PIL.Image.Image
            The image that the mask belongs to, if it is known, and the targets, side by side, as RGB. A notebook shows it.

        Raises
        ------
        OptionError
            If the store has no such target.
        """
        from segprep.store.shown import mask_image  # noqa: PLC0415 - only for those who look

        return mask_image(self, self._position(index), targets)

    def _position(self, index: int | str) -> int:
        """Index of a mask that is given by its index, which may be negative, or its key."""
        return position(self.root, len(self), index, self._index_of if isinstance(index, str) else {})

    def array(self, index: int | str, target: str) -> NDArray[Any]:
        """Array of one target of one mask, by index or key, at its true size."""
        return self._read(self._position(index), [target], None)[target]

    def _read(self, index: int, targets: Sequence[str], window: Window | None) -> dict[str, NDArray[Any]]:
        """Window of some targets of one mask."""
        return self._arrays.read(int(self.rows[index]), self.keys[index], targets, window)

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
        overlap = (
            self.info.instance_rule.overlap if self.info.tiling is None else "last"
        )  # see `segprep.masks.tiles.cut`
        return mask_of(self.instances(index), self.array(index, Classes.name), overlap)

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
    def _arrays(self) -> OpenArrays:
        return OpenArrays(self._tables, self.incomplete, self.dtype)
