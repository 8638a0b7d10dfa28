"""Masks that are larger than the limit of pixels, and are read in tiles."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from segprep.errors import InputError, OptionError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import (
    SLIDE_BYTES,
    SlideFacts,
    TileRef,
    Tiling,
    slide_digest,
    slide_of,
    slide_tile_digest,
)
from segprep.readers import MaskSet
from segprep.targets import Target
from segprep.targets.target import reach_of

DRAWN_FORMATS = frozenset({"qupath"})
"""Formats of slides whose instances are drawn one by one, so that there may be one alone."""


def with_slides(masks: MaskSet, tiling: Tiling) -> MaskSet:
    """Masks in which those that are too large to be loaded are replaced by their tiles, if there are to be tiles."""
    if tiling.tile is None:
        return masks
    return replace(masks, refs=tuple(ref for source in masks.refs for ref in _tiles(source, tiling)))


def _tiles(source: MaskRef, tiling: Tiling) -> Iterator[MaskRef]:
    """Tiles of a slide, or the mask itself."""
    try:
        slide = slide_of(source)
    except InputError:  # loading it raises the same
        slide = None
    if slide is None:
        yield source
        return
    with closing(slide):
        shape = slide.shape
    for window in tiling.windows(shape, source.key):
        yield TileRef(source, window, shape, SlideFacts())


def slides_in(masks: MaskSet) -> list[TileRef]:
    """First tile of each slide."""
    tiles = (ref for ref in masks.refs if isinstance(ref, TileRef))
    return list({ref.source.key: ref for ref in reversed([*tiles])}.values())


def rule_of_slides(rule: InstanceRule, slides: Sequence[TileRef], targets: Iterable[Target]) -> InstanceRule:
    """Rule of instances with which tiles of slides can be read; OptionError for what needs complete masks."""
    if not slides:
        return rule
    height, width = slides[0].shape
    large = f"{slides[0].source.key}, of {height} x {width} pixels, is larger than max_pixels and read in tiles"
    for target in targets:
        if reach_of(target) is None:
            remedy = "distance_clip=32 limits it" if target.name == "distance" else "leave it out, or raise max_pixels"
            raise OptionError(f"targets: {target.name} depends on the complete mask, but {large}; {remedy}")
    if rule.resolution.downsample is not None:
        raise OptionError(
            f"downsample={rule.resolution.downsample}: needs the complete mask, but {large}; downsample the file first, or "
            "raise max_pixels"
        )
    if rule.instances_from in {"components", "watershed"}:
        raise OptionError(
            f"instances_from={rule.instances_from!r}: needs the complete mask, but {large}; label it first"
        )
    if rule.separate not in (0, "falk2019"):
        raise OptionError(f"separate={rule.separate}: needs complete instances, but {large}; use separate='falk2019'")
    return replace(rule, instances_from="as-is")


def slide_facts(tiles: Sequence[MaskStats], *, is_complete: bool) -> SlideFacts:
    """Facts about a slide from the statistics of its tiles; those that were left out, unless `is_complete`, are empty.

    The digests of the tiles, as far as these were not left out, have that of the slide.
    """
    codes = set[int]().union(*[np.unique(tile.instances["class"]).tolist() for tile in tiles])
    facts = SlideFacts(
        tuple(sorted(codes)), digest=next((tile.digest[-SLIDE_BYTES:] for tile in tiles if tile.digest), b"")
    )
    if not is_complete or not all(tile.filled for tile in tiles):
        return facts
    filling, covering = zip(*map(_covered, tiles), strict=True)
    filled = set(filling[0].items()).intersection(*[found.items() for found in filling[1:]])
    full = frozenset.intersection(*covering)
    certain = full if not any(tile.hidden for tile in tiles) else full & {code for _, code in filled}
    return facts._replace(has_background=False, filled=len(filled), covering=certain, uncertain=full - certain)


def with_slide_digest(tiles: Sequence[MaskStats]) -> list[MaskStats]:
    """Statistics of all tiles of a slide whose digests, of each tile alone, are replaced by those with that of the slide."""
    slide = slide_digest((tile.digest, tile.source_numbers) for tile in tiles)
    return [replace(tile, digest=slide_tile_digest(tile.digest, tile.source_numbers, slide)) for tile in tiles]


def _covered(tile: MaskStats) -> tuple[dict[int, int], frozenset[int]]:
    """Numbers and classes of the instances that fill a tile, and classes whose instances have as many pixels, or more."""
    rows, size = tile.instances, math.prod(tile.shape)
    is_full = rows["area"] == size
    numbers = np.frombuffer(tile.source_numbers, np.int64)[is_full].tolist()
    areas = np.bincount(rows["class"], rows["area"])
    return dict(zip(numbers, rows["class"][is_full].tolist(), strict=True)), frozenset(
        np.flatnonzero(areas >= size).tolist()
    )


def require_labels(masks: MaskSet, stats: Sequence[MaskStats]) -> None:
    """Raise an InputError for a label image of one value besides 0 in several tiles, which is a foreground mask."""
    if masks.format in DRAWN_FORMATS:
        return
    numbers: dict[str, list[bytes]] = {}
    for ref, tile in zip(masks.refs, stats, strict=True):
        if isinstance(ref, TileRef) and ref.slide is not None and tile.source_numbers:
            numbers.setdefault(ref.source.key, []).append(tile.source_numbers)
    for key, found in numbers.items():
        if len(found) > 1 and len(set(found)) == 1 and len(found[0]) == np.dtype(np.int64).itemsize:
            raise InputError(
                f"{key}: holds one value besides 0, whose connected components need the complete mask, but it is larger "
                "than max_pixels; label it first, or use instances_from='as-is' if it is one instance"
            )
