"""Tiles of the masks that were scanned, as masks of the store."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from segprep.errors import InputError
from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef, Tiling, Window, source_keys
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.scan import Scan
from segprep.runs.slides import slide_facts, with_slides
from segprep.store.tables import SOURCE, decode_keys, stats_in, table_names


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
    tiles = [(ref, tile) for ref, tile in _tiles(found, tiling) if not is_empty(tile) or tiling.keeps_empty(ref.key)]
    refs, stats = [ref for ref, _ in tiles], [tile for _, tile in tiles]
    if not refs:
        raise InputError(f"keep_empty={tiling.keep_empty}: all tiles are empty, and none is left; use keep_empty=1")
    key, count = Counter(ref.key for ref in refs).most_common(1)[0]
    if count > 1:
        raise InputError(f"{key}: is the name of a tile and of another mask; rename the mask")
    keys = source_keys(found.masks.refs)
    problems = [
        (key, problem) for key, complete in zip(keys, found.stats, strict=True) for problem in complete.problems
    ]
    masks = replace(found.masks, refs=tuple(refs), problems=(*found.masks.problems, *problems))
    sources = {
        ref.key: replace(complete, tiles=())
        for ref, complete in zip(found.masks.refs, found.stats, strict=True)
        if not isinstance(ref, TileRef)
    }
    return Scan(masks, tuple(stats), found.unreadable, {}, sources)


def _tiles(found: Scan, tiling: Tiling) -> Iterator[tuple[TileRef, MaskStats]]:
    """All tiles of the masks that were scanned, and the statistics of each."""
    of_slides: dict[str, list[MaskStats]] = {}
    for ref, tile in zip(found.masks.refs, found.stats, strict=True):
        if isinstance(ref, TileRef):
            of_slides.setdefault(ref.source.key, []).append(tile)
    facts = {key: slide_facts(tiles, is_complete=True) for key, tiles in of_slides.items()}
    for source, complete in zip(found.refs(), found.stats, strict=True):
        if isinstance(source, TileRef):
            yield replace(source, slide=facts[source.source.key]), replace(complete, problems=())
            continue
        windows = tiling.windows(complete.shape, source.key)
        for number, (window, tile) in enumerate(zip(windows, complete.tiles, strict=True)):
            yield TileRef(source, window, complete.shape), replace(tile, touching=0 if number else complete.touching)


def is_empty(tile: MaskStats) -> bool:
    """True for a tile without any instance or class; all of it may be ignored."""
    return not tile.instance_rows and not tile.class_pixels[1:].any()


def tile_refs(state: StoreState, masks: MaskSet, tiling: Tiling) -> dict[str, TileRef]:
    """Tiles of a store by their keys, from the refs of the masks that they were cut from, as far as these are there."""
    again = {ref.key: ref for ref in with_slides(masks, tiling).refs}
    of_slides = {key: ref for key, ref in again.items() if isinstance(ref, TileRef)}
    found = _tile_refs(state, again)
    return _with_facts(state, of_slides) | found if of_slides else found


def _with_facts(state: StoreState, tiles: Mapping[str, TileRef]) -> dict[str, TileRef]:
    """Tiles of slides with the facts about these, from the tables."""
    counts = Counter(ref.source.key for ref in tiles.values())
    tables = {name: state.table(name) for name in table_names(state.info)}
    of_slides: dict[str, list[MaskStats]] = {}
    for key, tile in zip(decode_keys(tables[SOURCE]), stats_in(tables, len(state.info.classes)), strict=True):
        of_slides.setdefault(key, []).append(tile)
    facts = {key: slide_facts(of_slides[key], is_complete=len(of_slides[key]) == counts[key]) for key in counts}
    return {key: replace(ref, slide=facts[ref.source.key]) for key, ref in tiles.items()}


def _tile_refs(state: StoreState, refs: Mapping[str, MaskRef]) -> dict[str, TileRef]:
    """Tiles of a store by their keys, of masks that are loaded."""
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
