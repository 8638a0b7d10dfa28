"""Tiles of the masks that were scanned, as masks of the store."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from segprep.errors import InputError
from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef, Tiling, Window, source_keys, tiles_in
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.scan import Scan
from segprep.runs.slides import slide_facts, with_slide_digest, with_slides
from segprep.store.tables import SOURCE, decode_keys, stats_in, table_names


def in_tiles(found: Scan, tiling: Tiling, known: Collection[str] = ()) -> Scan:
    """Scan of the tiles of the masks that were scanned, without the empty ones that `tiling` leaves out.

    Problems keep the keys of the complete masks. Pairs of instances that touch count for the first tile. The statistics of the
    scanned masks `known`, by keys, were not those of a scan but of `segprep.runs.known`.

    Raises
    ------
    InputError
        If no tile is left, or a mask has the name of a tile.
    """
    if tiling.tile is None:
        return found
    every = _tiles(found, tiling, known)
    tiles = [(ref, tile) for ref, tile in every if not is_empty(tile) or tiling.keeps_empty(ref.key)]
    refs = [ref for ref, _ in tiles]
    if not refs:
        raise InputError(f"keep_empty={tiling.keep_empty}: all tiles are empty, and none is left; use keep_empty=1")
    key, count = Counter(ref.key for ref in refs).most_common(1)[0]
    if count > 1:
        raise InputError(f"{key}: is the name of a tile and of another mask; rename the mask")
    keys = source_keys(found.masks.refs)
    problems = [
        (key, problem) for key, complete in zip(keys, found.stats, strict=True) for problem in complete.problems
    ]
    masks = replace(found.masks, refs=tuple(refs), notices=(*found.masks.notices, *problems))
    sources = {
        ref.key: replace(complete, tiles=())
        for ref, complete in zip(found.masks.refs, found.stats, strict=True)
        if not isinstance(ref, TileRef)
    }
    pairs = {key: complete.touching for key, complete in sources.items()}
    stats = [tile if ref.slide else replace(tile, touching=pairs.pop(ref.source.key, 0)) for ref, tile in tiles]
    return Scan(masks, tuple(stats), found.unreadable, {}, sources, sources.keys() & known)


def with_shape(alike: MaskStats, shape: tuple[int, int], tiling: Tiling, key: str) -> MaskStats:
    """Statistics of another mask as those of a mask of another size, and of its tiles as those at about the same places."""
    if shape == alike.shape or not alike.tiles:
        return replace(alike, shape=shape)
    windows, others = tiling.windows(shape, key), tiling.windows(alike.shape, key)
    columns = sum(window.y == 0 for window in others)
    rows = len(others) // columns
    tiles = (
        replace(
            alike.tiles[columns * (rows * window.y // shape[0]) + columns * window.x // shape[1]],
            shape=(window.height, window.width),
        )
        for window in windows
    )
    return replace(alike, shape=shape, tiles=tuple(tiles))


def _tiles(found: Scan, tiling: Tiling, known: Collection[str]) -> Iterator[tuple[TileRef, MaskStats]]:
    """All tiles of the masks that were scanned, and the statistics of each."""
    of_slides: dict[str, list[tuple[TileRef, MaskStats]]] = {}
    for ref, tile in zip(found.masks.refs, found.stats, strict=True):
        if isinstance(ref, TileRef):
            of_slides.setdefault(ref.source.key, []).append((ref, replace(tile, problems=())))
    for ref, complete in zip(found.refs(), found.stats, strict=True):
        if not isinstance(ref, TileRef):
            yield from zip(tiles_in(ref, complete.shape, tiling), complete.tiles, strict=True)
        elif ref.source.key in of_slides:
            own = of_slides.pop(ref.source.key)
            tiles = [tile for _, tile in own]
            tiles = tiles if ref.key in known else with_slide_digest(tiles)
            facts = slide_facts(tiles, is_complete=all(tile.digest for tile in tiles))
            yield from ((replace(tile_ref, slide=facts), tile) for (tile_ref, _), tile in zip(own, tiles, strict=True))


def kept_tiling(state: StoreState | None, tiling: Tiling, *, overwrite: bool) -> Tiling:
    """Tiling with the seed by which a store has left out tiles, which `segprep.resplit` does not change."""
    if state is None or state.info.tiling is None or overwrite or tiling.tile is None:
        return tiling
    return replace(tiling, seed=state.info.tiling.seed)


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
    facts = {key: slide_facts(tiles, is_complete=len(tiles) == counts[key]) for key, tiles in of_slides.items()}
    return {key: replace(ref, slide=facts.get(ref.source.key, ref.slide)) for key, ref in tiles.items()}


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
