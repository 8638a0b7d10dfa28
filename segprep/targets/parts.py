"""Arrays of the targets of masks that are loaded one after the other, exact also at the edges of tiles.

The mask that tiles were cut from is loaded once for consecutive tiles. A target with a `reach` is computed from the tile
and as many pixels around it; any other once from the complete mask, and then cut. Of a slide, only the tile and its
neighbourhood are read.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.errors import InputError
from segprep.masks.instances import InstanceRule, load_mask, with_instances
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.masks.stats import mask_digest
from segprep.masks.tiles import Slide, SlideFacts, TileRef, Window, cut, open_slide, slide_tile_digest, tile_digest
from segprep.targets.distance import Distance, Sides
from segprep.targets.target import Target, channels_of, images_of, pad_of, reach_of

Images = Iterator[tuple[tuple[int, ...], NDArray[Any]]]
"""(H, W) images by channel, as from `images_of`."""


class Loaded:
    """A mask that was loaded: `complete` has its complete instances, and `shown` is the same as the targets show it."""

    def __init__(self, key: str, complete: InstanceMask, shown: InstanceMask) -> None:
        self.key, self.complete, self.shown = key, complete, shown
        self.problems = complete.problems

    @property
    def numbers(self) -> CountArray:
        """Number of each instance in the source, shape (N + 1,), of which the first is 0."""
        return np.arange(len(self.complete.classes))

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint, as in the statistics of the mask."""
        return mask_digest(self.complete)

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
    """A mask that tiles are cut from, or the neighbourhood of a tile in a slide; arrays of targets are kept."""

    def __init__(self, key: str, complete: InstanceMask, shown: InstanceMask, slide: SlideFacts | None = None) -> None:
        super().__init__(key, complete, shown)
        self._slide = slide
        self._sides: dict[int, tuple[Distance, Sides]] = {}
        self._kept: dict[int, tuple[Target, list[tuple[tuple[int, ...], NDArray[Any]]]]] = {}

    @property
    def slide_digest(self) -> bytes:
        """Fingerprint of the slide; empty if it is not known, or there is none."""
        return self._slide.digest if self._slide is not None else b""

    def images(self, target: Target) -> Images:
        """Images of a target by channel, computed once."""
        if id(target) not in self._kept:
            self._kept[id(target)] = target, list(super().images(target))
        return iter(self._kept[id(target)][1])

    def sides(self, target: Distance) -> Sides:
        """Facts about the complete mask that decide distances in parts of it, found once."""
        if self._slide is not None:
            return target.sides_of_slide(self._slide)
        if id(target) not in self._sides:
            self._sides[id(target)] = target, target.sides(self.shown)
        return self._sides[id(target)][1]


class LoadedTile(Loaded):
    """A tile of a mask that was loaded."""

    def __init__(self, key: str, window: Window, source: LoadedSource) -> None:
        tile, self._numbers = cut(source.complete, window)
        self._source, self._window = source, window
        self._around = {window: tile} if source.shown is source.complete else dict[Window, InstanceMask]()
        super().__init__(key, tile, self._shown(window))

    @property
    def numbers(self) -> CountArray:
        """Number of each instance of the tile in the source, shape (N + 1,), of which the first is 0."""
        return self._numbers

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint, as in the statistics of the tile."""
        return tile_digest(self._source.digest, self._window)

    def images(self, target: Target) -> Images:
        """Images of a target by channel, equal to those of the complete mask."""
        reach = reach_of(target)
        if reach is None:
            images, window = self._source.images(target), self._window
        else:
            outer = self._window.grown(reach, self._source.complete.shape)
            window, part = self._window.within(outer), self._shown(outer)
            if isinstance(target, Distance):
                images = target.images(part, self._source.sides(target))
            else:
                images = images_of(target, part, self.key)
        return ((channel, values[window.part]) for channel, values in images)

    def _shown(self, window: Window) -> InstanceMask:
        """Part of the source in which the instances of the tile have their numbers, made once."""
        if window not in self._around:
            self._around[window] = cut(self._source.shown, window, self._numbers).mask
        return self._around[window]


class LoadedSlideTile(LoadedTile):
    """A tile of a slide, cut from its neighbourhood, whose instances have these numbers in the slide.

    The first tile of a slide has the `problems` of all of it.
    """

    def __init__(
        self, key: str, window: Window, source: LoadedSource, numbers: CountArray, problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(key, window, source)
        self._in_slide = numbers
        self.problems = problems

    @property
    def numbers(self) -> CountArray:
        """Number of each instance of the tile in the slide, shape (N + 1,), of which the first is 0."""
        return self._in_slide[self._numbers]

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint, as in the statistics of the tile; of the tile alone if that of the slide is not known yet."""
        own, slide = mask_digest(self.complete), self._source.slide_digest
        return slide_tile_digest(own, self.numbers[1:].tobytes(), slide) if slide else own


class Loader:
    """Loads masks by their refs and a rule of instances; the source of consecutive tiles once.

    Of a slide, `reach` pixels around a tile are read, for targets of at most this reach.
    """

    def __init__(self, rule: InstanceRule, n_classes: int | None = None, *, reach: int = 0) -> None:
        self._rule, self._n_classes, self._reach = rule, n_classes, reach
        self._source: LoadedSource | None = None
        self._slide: tuple[str, Slide] | None = None

    def load(self, ref: MaskRef) -> Loaded:
        """Mask of a ref, with the errors of `load_mask`."""
        if not isinstance(ref, TileRef):
            return Loaded(ref.key, *load_mask(ref, self._rule, self._n_classes))
        if ref.slide is not None:
            return self._tile_of_slide(ref)
        if self._source is None or self._source.key != ref.source.key:
            self._source = None  # before the next one is loaded
            self._source = LoadedSource(ref.source.key, *load_mask(ref.source, self._rule, self._n_classes))
        return LoadedTile(ref.key, ref.window, self._source)

    def close(self) -> None:
        """Close the file of a slide."""
        if self._slide is not None:
            self._slide[1].close()
        self._slide = None

    def _tile_of_slide(self, ref: TileRef) -> LoadedSlideTile:
        if self._slide is None or self._slide[0] != ref.source.key:
            self.close()
            self._slide = ref.source.key, open_slide(ref.source)
        outer = ref.window.grown(self._reach + (self._rule.separate != 0), ref.shape)
        slide, rule = self._slide[1], self._rule
        mask, numbers = slide.read(outer, rule.overlap)
        if len(mask.planes) > 1 and rule.overlap != "error":
            if rule.separate and rule.overlap == "smallest":
                raise InputError(
                    f"{ref.key}: separate={rule.separate!r} with overlap='smallest' needs complete instances where they "
                    "overlap, but the mask is larger than max_pixels and read in tiles; use overlap='last'"
                )
            rule = replace(rule, overlap=mask.overlap)
        around = LoadedSource(ref.source.key, *with_instances(mask, rule, ref.key), ref.slide)
        is_first = (ref.window.y, ref.window.x) == (0, 0)
        return LoadedSlideTile(ref.key, ref.window.within(outer), around, numbers, slide.problems if is_first else ())
