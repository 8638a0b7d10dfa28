"""Arrays of the targets of masks that are loaded one after the other, exact also at the edges of tiles.

The mask that tiles were cut from is loaded once for consecutive tiles. A target with a `reach` is computed from the tile
and as many pixels around it; any other once from the complete mask, and then cut.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import InstanceMask, MaskRef
from segprep.masks.tiles import TileRef, Window, cut
from segprep.targets.target import Target, channels_of, images_of, pad_of, reach_of

Images = Iterator[tuple[tuple[int, ...], NDArray[Any]]]
"""(H, W) images by channel, as from `images_of`."""


class Loaded:
    """A mask that was loaded: `complete` has its complete instances, and `shown` is the same as the targets show it."""

    def __init__(self, key: str, complete: InstanceMask, shown: InstanceMask) -> None:
        self.key, self.complete, self.shown = key, complete, shown

    def images(self, target: Target) -> Images:
        """Images of a target by channel; those left out hold nothing but padding."""
        return images_of(target, self.shown, self.key)

    def array(self, target: Target) -> NDArray[Any]:
        """Array of a target, shape (H, W) or (channels, H, W)."""
        channels = channels_of(target)
        array = np.full((*([channels] if channels else ()), *self.complete.shape), pad_of(target), target.dtype)
        for channel, values in self.images(target):
            array[channel] = values
        return array


class LoadedSource(Loaded):
    """A mask that tiles are cut from; arrays of targets are kept."""

    def __init__(self, key: str, complete: InstanceMask, shown: InstanceMask) -> None:
        super().__init__(key, complete, shown)
        self._kept: dict[int, tuple[Target, list[tuple[tuple[int, ...], NDArray[Any]]]]] = {}

    def images(self, target: Target) -> Images:
        """Images of a target by channel, computed once."""
        if id(target) not in self._kept:
            self._kept[id(target)] = target, list(super().images(target))
        return iter(self._kept[id(target)][1])


class LoadedTile(Loaded):
    """A tile of a mask that was loaded."""

    def __init__(self, ref: TileRef, source: LoadedSource) -> None:
        tile, self._numbers = cut(source.complete, ref.window)
        self._source, self._window = source, ref.window
        self._around: dict[Window, InstanceMask] = {}
        super().__init__(ref.key, tile, self._shown(ref.window))

    def images(self, target: Target) -> Images:
        """Images of a target by channel, equal to those of the complete mask."""
        reach = reach_of(target)
        if reach is None:
            images, window = self._source.images(target), self._window
        else:
            outer = self._window.grown(reach, self._source.complete.shape)
            images, window = images_of(target, self._shown(outer), self.key), self._window.within(outer)
        return ((channel, values[window.part]) for channel, values in images)

    def _shown(self, window: Window) -> InstanceMask:
        """Part of the source in which the instances of the tile have their numbers, made once."""
        if window not in self._around:
            self._around[window] = cut(self._source.shown, window, self._numbers).mask
        return self._around[window]


class Loader:
    """Loads masks by their refs and a rule of instances; the source of consecutive tiles once."""

    def __init__(self, rule: InstanceRule, n_classes: int | None = None) -> None:
        self._rule, self._n_classes = rule, n_classes
        self._source: LoadedSource | None = None

    def load(self, ref: MaskRef) -> Loaded:
        """Mask of a ref, with the errors of `load_mask`."""
        if not isinstance(ref, TileRef):
            return Loaded(ref.key, *load_mask(ref, self._rule, self._n_classes))
        if self._source is None or self._source.key != ref.source.key:
            self._source = None  # before the next one is loaded
            self._source = LoadedSource(ref.source.key, *load_mask(ref.source, self._rule, self._n_classes))
        return LoadedTile(ref, self._source)
