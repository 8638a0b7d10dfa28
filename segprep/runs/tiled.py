"""Tiles of the masks that were scanned, as masks of the store."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from segprep.errors import InputError
from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef, Tiling, Window
from segprep.runs.audit import StoreState
from segprep.runs.scan import Scan
from segprep.store.tables import SOURCE, decode_keys


def in_tiles(found: Scan, tiling: Tiling) -> Scan:
    """Scan of the tiles of the masks that were scanned, without the empty ones that `tiling` leaves out.

    Problems keep the keys of the complete masks, and so do pairs of instances that touch: they count for the first tile.

    Raises
    ------
    InputError
        If no tile is left, or a mask has the name of a tile.
    """
    if tiling.tile is None:
        return found
    refs: list[TileRef] = []
    stats: list[MaskStats] = []
    for source, whole in zip(found.refs(), found.stats, strict=True):
        touching = whole.touching
        for window, tile in zip(tiling.windows(whole.shape, source.key), whole.tiles, strict=True):
            ref = TileRef(source, window, whole.shape)
            if is_empty(tile) and not tiling.keeps_empty(ref.key):
                continue
            refs.append(ref)
            stats.append(replace(tile, touching=touching))
            touching = 0
    if not refs:
        raise InputError(f"keep_empty={tiling.keep_empty}: all tiles are empty, and none is left; use keep_empty=1")
    key, count = Counter(ref.key for ref in refs).most_common(1)[0]
    if count > 1:
        raise InputError(f"{key}: is the name of a tile and of another mask; rename the mask")
    keys = [ref.key for ref in found.masks.refs]
    problems = [(key, problem) for key, whole in zip(keys, found.stats, strict=True) for problem in whole.problems]
    masks = replace(found.masks, refs=tuple(refs), problems=(*found.masks.problems, *problems))
    sources = {key: replace(whole, tiles=()) for key, whole in zip(keys, found.stats, strict=True)}
    return Scan(masks, tuple(stats), found.unreadable, {}, sources)


def is_empty(tile: MaskStats) -> bool:
    """True for a tile without any instance or class; all of it may be ignored."""
    return not tile.instance_rows and not tile.class_pixels[1:].any()


def tile_refs(state: StoreState, refs: Mapping[str, MaskRef]) -> dict[str, TileRef]:
    """Tiles of a store by their keys, from the refs of the masks that they were cut from, as far as these are there."""
    names = (SOURCE, "y", "x", "height", "width", "source_height", "source_width")
    sources, *columns = (state.table(name) for name in names)
    found = {}
    for key, (y, x, height, width, *shape) in zip(
        decode_keys(sources), zip(*(column.tolist() for column in columns), strict=True), strict=True
    ):
        if key in refs:
            ref = TileRef(refs[key], Window(y, x, height, width), (shape[0], shape[1]))
            found[ref.key] = ref
    return found
