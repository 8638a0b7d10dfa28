"""Tiles: parts of masks that are too large to train on, each of which is a mask of the store.

Everything that a target depends on is taken from the source, the mask that a tile was cut from: its instances are found and
separated before it is cut, and the instance in front of others is the same as in the source.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.errors import InputError, OptionError, check_fields
from segprep.kernels.lookup import lookup, occurring
from segprep.masks.mask import InstanceMask, MaskRef, Overlap, Problem
from segprep.masks.splits import fraction_of
from segprep.masks.stats import MaskStats, mask_stats

N = TypeVar("N", bound=np.generic)

MOST_TILES = 2**20
"""Largest number of tiles of a mask."""
SLIDE_BYTES = 8
"""Bytes at the end of the digest of a tile of a slide that are the fingerprint of the slide."""


class Window(NamedTuple):
    """Part of a mask: its first row and column, height and width, in pixels."""

    y: int
    x: int
    height: int
    width: int

    @property
    def part(self) -> tuple[slice, slice]:
        """Slices of an array of shape (H, W)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def grown(self, reach: int, shape: tuple[int, int]) -> "Window":
        """Window with `reach` more pixels on each side, as far as an image of this height and width has them.

        >>> Window(2, 4, 3, 3).grown(3, (6, 20))
        Window(y=0, x=1, height=6, width=9)
        """
        y, x = max(0, self.y - reach), max(0, self.x - reach)
        stop_y, stop_x = (
            min(side, start + size + reach)
            for side, start, size in zip(shape, (self.y, self.x), (self.height, self.width), strict=True)
        )
        return Window(y, x, stop_y - y, stop_x - x)

    def within(self, outer: "Window") -> "Window":
        """The same window, counted from the first pixel of one around it."""
        return Window(self.y - outer.y, self.x - outer.x, self.height, self.width)


@dataclass(frozen=True)
class Tiling:
    """How large masks are cut into tiles.

    Attributes
    ----------
    tile : (int, int) or None
        Height and width in pixels of the tiles into which every mask is cut; one number for squares. Tiles at the lower and
        right edge may be smaller.
    tile_overlap : int
        Pixels that neighbouring tiles share.
    keep_empty : float
        Share of the tiles without any instance or class that is kept, from 0 to 1. Which ones depends on their names and on
        the seed.
    seed : int
        Random seed of the choice; that of the splits.
    """

    tile: tuple[int, int] | None = None
    tile_overlap: int = 0
    keep_empty: float = 1.0
    seed: int = field(default=0, metadata={"bound": True})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.tile is None:
            for name in ("tile_overlap", "keep_empty"):
                if getattr(self, name) != getattr(type(self), name):
                    raise OptionError(f"{name}={getattr(self, name)!r}: needs tiles, as tile=(512, 512)")
            return
        if not all(1 <= side < 2**31 for side in self.tile):
            raise OptionError(f"tile={self.tile}: height and width must be at least 1 pixel")
        if not 0 <= self.tile_overlap < min(self.tile):
            raise OptionError(
                f"tile_overlap={self.tile_overlap}: must be from 0 to {min(self.tile) - 1}, for tile={self.tile}"
            )
        if not 0 <= self.keep_empty <= 1:
            raise OptionError(f"keep_empty={self.keep_empty}: must be from 0 to 1")

    def windows(self, shape: tuple[int, int], key: str) -> list[Window]:
        """Tiles of a mask of this height and width, row by row; InputError if there are too many.

        >>> [(y, height) for y, _, height, _ in Tiling((4, 4), tile_overlap=1).windows((8, 3), "a")]
        [(0, 4), (3, 4), (6, 2)]
        """
        if self.tile is None:
            return [Window(0, 0, *shape)]
        rows, columns = (
            range(0, max(1, side - self.tile_overlap), size - self.tile_overlap)
            for side, size in zip(shape, self.tile, strict=True)
        )
        if (count := len(rows) * len(columns)) > MOST_TILES:
            raise InputError(
                f"{key}: tile={self.tile} cuts {shape[0]} x {shape[1]} pixels into {count:,} tiles, more than "
                f"{MOST_TILES:,}; use larger tiles"
            )
        height, width = self.tile
        return [Window(y, x, min(height, shape[0] - y), min(width, shape[1] - x)) for y in rows for x in columns]

    def keeps_empty(self, key: str) -> bool:
        """True if a tile of this key is kept even if it is empty."""
        return fraction_of(f"tile/{key}", self.seed) < self.keep_empty


class SlideFacts(NamedTuple):
    """Facts about a complete slide, which its parts may not show.

    Attributes
    ----------
    codes : tuple of int
        Codes of the classes of its instances, also of hidden ones, in ascending order.
    has_background : bool
        True if a pixel is background, or ignored and in no instance.
    filled : int
        Number of its instances that fill it.
    covering : frozenset of int
        Codes of the classes whose instances cover every pixel.
    uncertain : frozenset of int
        Codes of further classes that may do so, with several instances that overlap.
    digest : bytes
        Fingerprint of the slide, of `SLIDE_BYTES` bytes.
    """

    codes: tuple[int, ...] = ()
    has_background: bool = True
    filled: int = 0
    covering: frozenset[int] = frozenset()
    uncertain: frozenset[int] = frozenset()
    digest: bytes = b""


class Slide(Protocol):
    """A mask that is too large for the memory, whose file is open."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the complete mask."""
        ...

    def read(self, window: Window, overlap: Overlap = "smallest") -> "Cut":
        """Part of the mask, and the numbers of its instances in the complete one.

        If instances overlap, those of the part are numbered from the back to the front by the rule `overlap`, as facts about
        the complete mask decide, and its own rule is ``last``.
        """
        ...

    def cached(self, windows: Sequence[Window]) -> int:
        """Bytes of decoded parts of the file that stay in memory once these windows were read."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass(frozen=True)
class TileRef:
    """Tile of a mask.

    Attributes
    ----------
    source : MaskRef
        The complete mask.
    window : Window
        Part of the mask that is the tile.
    shape : (int, int)
        Height and width of the complete mask in pixels.
    slide : SlideFacts or None
        Facts about the complete mask if this is a slide, which is never loaded; the source then has a method ``slide`` that
        opens it.
    """

    source: MaskRef
    window: Window
    shape: tuple[int, int]
    slide: SlideFacts | None = None

    @property
    def key(self) -> str:
        """Key of the source and the tile's first pixel; keys of one source sort row by row."""
        return f"{self.source.key}/y{self.window.y:06}_x{self.window.x:06}"

    @property
    def split(self) -> str | None:
        """Split of the source."""
        return self.source.split

    def load(self) -> InstanceMask:
        """Tile of the mask as it is read, before instances are found or separated."""
        if self.slide is not None:
            with closing(open_slide(self.source)) as slide:
                return slide.read(self.window).mask
        return cut(self.source.load(), self.window).mask


def tiles_in(source: MaskRef, shape: tuple[int, int], tiling: Tiling) -> list[TileRef]:
    """Tiles of a mask of this height and width that is loaded, row by row."""
    return [TileRef(source, window, shape) for window in tiling.windows(shape, source.key)]


def source_keys(refs: Sequence[MaskRef]) -> list[str]:
    """Keys of the masks that tiles were cut from; of other masks their own."""
    return [ref.source.key if isinstance(ref, TileRef) else ref.key for ref in refs]


def source_key(key: str) -> str:
    """Key of the mask that a tile was cut from, by the key of the tile.

    >>> source_key("labels/a.png/y000000_x000160")
    'labels/a.png'
    """
    return key.rpartition("/")[0]


def open_slide(source: MaskRef) -> Slide:
    """Slide of a ref, open; the caller closes it. InputError if it has become one that is small, or cannot be read so."""
    slide: Slide | None = slide_of(source)
    if slide is None:
        raise InputError(f"{source.key}: changed while the run was reading it; rerun with reread=True")
    return slide


def slide_of(source: MaskRef) -> Slide | None:
    """Slide of a ref, open; None if its mask is small enough to be loaded, or its format cannot be read in windows."""
    opened = getattr(source, "slide", None)
    return None if opened is None else opened()


class Cut(NamedTuple):
    """Part of a mask, and the number in the complete mask of each of its instances, shape (N + 1,), of which the first is 0.

    Planes without an instance are left out.
    """

    mask: InstanceMask
    numbers: CountArray


def cut(mask: InstanceMask, window: Window, first: Sequence[int] | CountArray = (0,)) -> Cut:
    """Part of a mask whose instances are numbered ``1..N``: those of `first`, then the others that occur in it.

    These are in the order of the numbers of the complete mask; if that has several planes, from the back to the front, so
    that the same instances are in front by the rule ``last``.

    Examples
    --------
    >>> mask = InstanceMask(np.array([[[1, 1, 0, 3, 2]]], np.int32), np.array([0, 5, 6, 7], np.int32))
    >>> part, numbers = cut(mask, Window(0, 2, 1, 3))
    >>> part.planes, part.classes, numbers
    (array([[[0, 2, 1]]], dtype=int32), array([0, 6, 7], dtype=int32), array([0, 2, 3]))
    """
    planes = mask.planes[:, *window.part]
    occurs = np.zeros(len(mask.classes), np.bool_)
    used = []
    for plane in planes:
        here = occurring(plane)
        occurs[: len(here)] |= here
        used.append(here[1:].any())
    occurs[np.asarray(first)] = False
    others = np.flatnonzero(occurs[1:]) + 1
    if len(mask.planes) > 1:
        others = others[np.argsort(mask.ranks[others], kind="stable")]
    numbers = np.concatenate([np.asarray(first, np.int64), others])
    number_of = np.zeros(len(mask.classes), np.int32)
    number_of[numbers] = np.arange(len(numbers))
    chosen = [plane for plane, is_used in zip(planes, used, strict=True) if is_used] or [planes[0]]
    part = InstanceMask(
        np.stack([lookup(number_of, plane) for plane in chosen]),
        mask.classes[numbers],
        _any(mask.ignore, window),
        (),
        "last" if len(mask.planes) > 1 else mask.overlap,
        _any(mask.stuff, window),
    )
    if len(mask.planes) > 1:  # areas of parts do not decide, nor does the place in `first`
        part = part.with_labels(lookup(number_of, mask.labels[window.part]))
    return Cut(part, numbers)


def _any(pixels: NDArray[N] | None, window: Window) -> NDArray[N] | None:
    """Part of an array, or None if all of it is 0."""
    part = None if pixels is None else np.ascontiguousarray(pixels[window.part])
    return part if part is not None and part.any() else None


def tile_digest(source: bytes, window: Window) -> bytes:
    """Fingerprint of a tile from that of the mask that it is cut from: any change there may change the targets of the tile."""
    return hashlib.blake2b(source + repr(tuple(window)).encode(), digest_size=16).digest()


def slide_digest(tiles: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fingerprint of a slide from the fingerprint of each tile alone, and the bytes of the numbers of its instances."""
    digest = hashlib.blake2b(digest_size=SLIDE_BYTES)
    for own, numbers in tiles:
        digest.update(_of_tile(own, numbers))
    return digest.digest()


def slide_tile_digest(own: bytes, numbers: bytes, slide: bytes) -> bytes:
    """Fingerprint of a tile of a slide: a part for the tile and the numbers of its instances, and that of the slide.

    As in `tile_digest`, a change anywhere in the slide is one of all its tiles, whose targets depend on their neighbourhood.
    """
    return _of_tile(own, numbers) + slide


def _of_tile(own: bytes, numbers: bytes) -> bytes:
    return hashlib.blake2b(own + numbers, digest_size=SLIDE_BYTES).digest()


def tile_stats(
    complete: InstanceMask, shown: InstanceMask, tiling: Tiling, key: str, stats: MaskStats
) -> tuple[MaskStats, ...]:
    """Statistics of each tile of a mask, whose own are `stats`.

    `complete` has the complete instances of the mask, and `shown` is the same with touching ones separated.
    """
    found = []
    for window in tiling.windows(complete.shape, key):
        tile, numbers = cut(complete, window)
        own = tile if shown is complete else cut(shown, window, numbers).mask
        digest, source_numbers = tile_digest(stats.digest, window), numbers[1:].tobytes()
        found.append(replace(mask_stats(tile, stats.n_classes, own), digest=digest, source_numbers=source_numbers))
    return tuple(found)
