"""Statistics of masks that are as they were when a store was made, from its tables, so that they are not loaded again.

The tables of a store of tiles lack two things: the complete masks, and the tiles that were left out, which are empty. A target
asks for statistics of complete masks only to refuse some. Masks that it has accepted need no second check.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from segprep.errors import is_foreign
from segprep.masks.instances import InstanceRule
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef, Tiling, source_key, source_keys, tiles_in
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.foreground import stored_rule
from segprep.runs.resume import FromStore, from_store
from segprep.runs.settings import Rules
from segprep.runs.unchanged import known_by_refs, with_touching
from segprep.store.metadata import read_stamp
from segprep.store.schema import RefStamp, exact
from segprep.targets import Target

NO_PRINTS: Mapping[str, str] = MappingProxyType({})
"""No fingerprints of refs: those of the store count only if all files are the same."""


def known_stats(
    state: StoreState | None,
    files: str | None,
    masks: MaskSet,
    rules: Rules,
    prints: Mapping[str, str] = NO_PRINTS,
    *,
    targets: Sequence[Target] = (),
    overwrite: bool = False,
) -> tuple[dict[str, MaskStats], InstanceRule]:
    """Statistics of the masks from the store, as far as they and their files are the same, and the rule of these.

    They are by the keys of the masks to scan, which are complete masks and tiles of slides. `prints` are by those of complete
    masks. If `targets` of a store of tiles are to be computed that were not checked with these masks, these are not known.
    """
    stamp = None if state is None or files is None else read_stamp(state.root)
    if state is None or stamp is None or stamp.masks != state.info.input or not is_cut_alike(state, rules.tiling):
        return {}, rules.instances
    stored, is_all = from_store(state, masks, rules.instances, rules.reading), stamp.files == files
    if stored is None:
        return {}, rules.instances
    if state.info.tiling is not None:
        stamps = {key: ref for key, ref in stamp.refs.items() if is_all or prints.get(key) == ref.ref}
        if not _are_checked(state, targets, overwrite=overwrite):
            masks = replace(masks, refs=tuple(ref for ref in masks.refs if isinstance(ref, TileRef)))
        known = _of_tiles(state, stored, masks, rules.tiling, stamps)
    else:
        stats = with_touching(stored.stats, stamp.refs)
        known = stats if is_all else known_by_refs(stats, stamp.refs, prints)
    instances = stored_rule(state.info, [*known.values()], rules.instances, is_all=is_all)
    return (known, instances) if instances.instances_from != "auto" else ({}, rules.instances)


def is_cut_alike(state: StoreState, tiling: Tiling) -> bool:
    """True if a store has tiles of these settings, or both have none."""
    return state.info.tiling == (None if tiling.tile is None else exact(tiling))


def _are_checked(state: StoreState, targets: Iterable[Target], *, overwrite: bool) -> bool:
    """True if the store has the targets, whose settings are the same unless `overwrite`, and none can refuse other masks."""
    stored = {target.name for target in state.info.targets}
    return not overwrite and all(
        target.name in stored and not (is_foreign(target) and hasattr(target, "unfit")) for target in targets
    )


def _of_tiles(
    state: StoreState, stored: FromStore, masks: MaskSet, tiling: Tiling, stamps: Mapping[str, RefStamp]
) -> dict[str, MaskStats]:
    """Statistics of complete masks and of tiles of slides that have a stamp, by their keys, as a scan gives them."""
    sides = zip(*(state.table(name).tolist() for name in ("source_height", "source_width")), strict=True)
    shapes = dict(zip(map(source_key, stored.stats), sides, strict=True))
    tiles_of: dict[str, list[TileRef]] = {}
    for source, ref in zip(source_keys(masks.refs), masks.refs, strict=True):
        if source in stamps and source in shapes:
            own = [ref] if isinstance(ref, TileRef) else tiles_in(ref, shapes[source], tiling)
            tiles_of.setdefault(source, []).extend(own)
    counts, known = Counter(map(source_key, stored.stats)), dict[str, MaskStats]()
    for source, refs in tiles_of.items():
        there, pairs = [ref.key for ref in refs if ref.key in stored.stats], stamps[source].touching
        if len(there) != counts[source]:  # it was cut in another way
            continue
        tiles = {ref.key: stored.stats.get(ref.key) or _left_out(ref, masks) for ref in refs}
        if refs[0].slide is None:
            problems = stored.problems.get(source, ())
            known[source] = replace(
                _complete([*tiles.values()]), shape=shapes[source], touching=pairs, problems=problems
            )
        else:
            tiles[refs[0].key] = replace(tiles[refs[0].key], problems=stored.problems.get(source, ()))
            known |= {key: replace(tile, touching=pairs and pairs * (key == there[0])) for key, tile in tiles.items()}
    return known


def _left_out(ref: TileRef, masks: MaskSet) -> MaskStats:
    """Statistics of an empty tile that a store lacks, without a digest."""
    shape = ref.window.height, ref.window.width
    return MaskStats(shape, len(masks.classes), b"", b"", (), 0, 0, False, (), b"")


def _complete(tiles: Sequence[MaskStats]) -> MaskStats:
    """Statistics of a mask from those of its tiles: its instances, with the area and the box of a part, and no pixels."""
    numbers = np.frombuffer(b"".join([tile.source_numbers for tile in tiles]), np.int64)
    rows = np.concatenate([tile.instances for tile in tiles])[np.unique(numbers, return_index=True)[1]]
    return replace(
        max(tiles, key=lambda tile: len(tile.class_counts)),
        instance_rows=rows.tobytes(),
        runs=(),
        ignored=sum(tile.ignored for tile in tiles),
        hidden=sum(tile.hidden for tile in tiles),
        digest=b"",
        tiles=tuple(tiles),
        source_numbers=b"",
    )
