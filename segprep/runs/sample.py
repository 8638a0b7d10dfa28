"""Sample of a data set's masks, which stands for all of them.

Masks that are to be cut are read as they are, and cut afterwards; slides are read in tiles.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef
from segprep.paths.anypath import AnyPath
from segprep.paths.files import SCAN
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.foreground import scan_resolved
from segprep.runs.journal import Journal, journal_name
from segprep.runs.known import is_cut_alike, known_stats
from segprep.runs.resume import stats_from_store
from segprep.runs.scan import Scan, batches_of, scan, scan_batch
from segprep.runs.settings import Rules
from segprep.runs.spread import LEAST, by_size, is_over, known_size, ratio, spread, stand_ins
from segprep.runs.stopwatch import Stopwatch
from segprep.runs.tiled import in_tiles, with_shape
from segprep.runs.write import loaded_source
from segprep.store.layout import Size
from segprep.store.metadata import read_stamp
from segprep.store.tables import decode_keys
from segprep.targets import Target
from segprep.workers.jobs import no_progress

SCAN_SECONDS = 1.5
"""Seconds after which no further mask of the sample is read, but for `LEAST`."""


class Before(NamedTuple):
    """Store that the run would write, its state if it exists, and the fingerprint of the input's files if that is known.

    `targets` and `overwrite` are those of the run.
    """

    root: AnyPath | None
    state: StoreState | None
    files: str | None
    targets: Sequence[Target] = ()
    overwrite: bool = False


class Read(NamedTuple):
    """All masks, with statistics that may be made up but those of the indices `real`, and the rules with that of instances.

    `is_sample` is True if a mask was made up, also one that is left out. `sampled` counts the masks that were read, and
    `left_out` those that cannot be read. `scan_seconds` are those of each job of the scan, and `scan_cpu` the CPU seconds of
    all. `packs` are the sizes of masks that were kept.
    """

    found: Scan
    rules: Rules
    real: list[int]
    is_sample: bool
    sampled: int
    left_out: int
    scan_seconds: list[float]
    scan_cpu: float
    packs: list[int]


def read_sample(watch: Stopwatch, masks: MaskSet, rules: Rules, before: Before, most: int) -> Read:
    """Statistics of all masks, from the store if it has them, or else from a sample."""
    known, instances = known_stats(
        before.state, before.files, masks, rules, targets=before.targets, overwrite=before.overwrite
    )
    rules = replace(rules, instances=instances)
    if rules.tiling.tile is None:
        return _read_all(watch, masks, rules, known) if known else _read_some(watch, masks, rules, before, {}, most)
    stored = _stored_sources(before.state, masks, rules)
    needs_all = not stored and before.state is not None and is_cut_alike(before.state, rules.tiling)
    if needs_all or (known and len(masks.refs) - len(known) <= LEAST):
        return _read_all(watch, masks, rules, known)
    return _read_some(watch, masks, rules, before, stored, most, known)


def _read_all(watch: Stopwatch, masks: MaskSet, rules: Rules, known: dict[str, MaskStats]) -> Read:
    """Statistics of all masks, of which those that are not known are read."""
    found, instances = scan_resolved(watch, masks, rules, no_progress, known, rules.on_error)
    seconds, cpu = (watch.seconds_of_masks(scan_batch, name) for name in ("seconds", "cpu"))
    tiles = in_tiles(found, rules.tiling, known)
    return Read(
        tiles,
        replace(rules, instances=instances),
        list(range(len(tiles.stats))),
        False,
        len(tiles.stats) - len(_of_units(tiles.masks.refs, known)),
        len(found.unreadable),
        list(map(sum, batches_of([*seconds.values()]))),
        sum(cpu.values()),
        [pack.size for pack in found.packed.values()],
    )


def _read_some(
    watch: Stopwatch,
    masks: MaskSet,
    rules: Rules,
    before: Before,
    stored: Mapping[str, MaskStats],
    most: int,
    known: Collection[str] = (),
) -> Read:
    """Statistics of all masks from a sample, and of those that the store of tiles has from there, as of those `known`."""
    journal, kept = _journal(before, masks, rules)
    keys, shapes = [ref.key for ref in masks.refs], map(known_size, masks.refs)
    sizes = [shape and rules.instances.resolution.shape(shape) for shape in shapes]
    orders = _by_kind(by_size(sizes), masks.refs)
    chosen = _scanned(watch, masks, _in_turn(orders, most), rules, journal, len(orders))
    needed = kept | {key for key in keys if stored and key not in stored}
    subset = sorted({*chosen, *(index for index, key in enumerate(keys) if key in needed)})
    found, instances = scan_resolved(
        watch, _part(masks, subset), rules, no_progress, None, rules.on_error, journal=journal
    )
    rules = replace(rules, instances=instances)
    of_key = {ref.key: stats for ref, stats in zip(found.masks.refs, found.stats, strict=True)}
    own = {index: of_key[keys[index]] for index in subset if keys[index] in of_key}
    stand_in = {index: alike for order in orders for index, alike in stand_ins(order, subset).items()}
    in_store = stored or (_stored(before.state, masks, rules) if rules.tiling.tile is None else {})
    stats = _of_all(masks, stand_in, own, sizes, in_store, rules)
    from_store = {keys[index] for index in stats if stats[index] is in_store.get(keys[index])}
    real = from_store | {keys[index] for index in own}
    there = sorted(stats)
    every = Scan(_part(masks, there), tuple(stats[index] for index in there), found.unreadable, found.packed)
    tiles = in_tiles(every, rules.tiling, from_store)
    unread = [index for index, key in enumerate(keys) if key not in kept and key not in known]
    seconds, cpu = (_scan_time(watch, name, unread, keys, stand_in, sizes) for name in ("seconds", "cpu"))
    return Read(
        tiles,
        rules,
        _of_units(tiles.masks.refs, real),
        any(keys[index] not in real for index in there),
        len(chosen) if rules.tiling.tile is None else len(_of_units(tiles.masks.refs, real - from_store)),
        len(keys) - len(there),
        list(map(sum, batches_of(seconds))),
        sum(cpu),
        [pack.size for pack in found.packed.values()],
    )


def _part(masks: MaskSet, indices: Sequence[int]) -> MaskSet:
    """Some of the masks."""
    return replace(masks, refs=tuple(masks.refs[index] for index in indices))


def _scan_time(
    watch: Stopwatch,
    name: str,
    indices: Sequence[int],
    keys: Sequence[str],
    stand_in: Mapping[int, int],
    sizes: Sequence[Size | None],
) -> list[float]:
    """Seconds, or CPU seconds, in which each of these masks is scanned."""
    seconds = watch.seconds_of_masks(scan_batch, name)
    return [seconds.get(keys[stand_in[index]], 0) * ratio(index, stand_in[index], sizes) for index in indices]


def _of_units(refs: Sequence[MaskRef], keys: Collection[str]) -> list[int]:
    """Indices of masks whose keys, or those of the masks that they are cut from, are given; of tiles of slides their own."""
    return [index for index, ref in enumerate(refs) if (loaded_source(ref) or ref.key) in keys]


def _journal(before: Before, masks: MaskSet, rules: Rules) -> tuple[Journal, set[str]]:
    """Journal in memory, with what an interrupted scan has left in the store, and the keys of these masks."""
    journal = Journal()
    if before.root is not None and before.files is not None:
        name = journal_name(before.files, masks, rules)
        left = Journal(before.root / SCAN / name, len(masks.classes))
        journal.packs.update(left.packs)
        for rule in {rules.instances.instances_from, "components"}:
            journal.stats(rule).update(left.stats(rule))
    return journal, {*journal.stats(rules.instances.instances_from)}


def _by_kind(order: Sequence[int], refs: Sequence[MaskRef]) -> list[list[int]]:
    """Indices of masks, and of tiles of slides, which do not stand for each other; in their order, without empty lists."""
    tiles = [index for index in order if isinstance(refs[index], TileRef)]
    masks = [index for index in order if not isinstance(refs[index], TileRef)]
    return [kind for kind in (masks, tiles) if kind]


def _in_turn(orders: Sequence[Sequence[int]], most: int) -> list[int]:
    """Sample of each kind, by its share in all of them; one of each first."""
    count = sum(map(len, orders))
    samples = [spread(order, max(1, most * len(order) // count)) for order in orders]
    places = [((place and place + 1) / len(sample), index) for sample in samples for place, index in enumerate(sample)]
    return [index for _, index in sorted(places, key=lambda item: item[0])]


def _scanned(
    watch: Stopwatch, masks: MaskSet, chosen: Sequence[int], rules: Rules, journal: Journal, first: int
) -> list[int]:
    """Indices of the masks that were read, the first of those chosen, until the time is over; `journal` has the results.

    The `first` are read in any case.
    """
    count, start = first, 0.0
    while True:
        part = _part(masks, sorted(chosen[:count]))
        scan(watch, part, rules.instances, no_progress, journal=journal, tiling=rules.tiling)
        start = start or time.perf_counter()  # the workers have started
        seconds = (time.perf_counter() - start) / max(1, count - first)  # of a mask, the first left out
        more = next(
            (each for each in range(2 * count, count, -1) if not is_over(each * seconds, SCAN_SECONDS, each)), 0
        )
        if count >= len(chosen) or not more:
            return list(chosen[:count])
        count = more


def _stored(state: StoreState | None, masks: MaskSet, rules: Rules) -> Mapping[str, MaskStats | bytes]:
    """Statistics of the masks of a store by their keys, or else their digests, as far as they can be read."""
    if state is None:
        return {}
    if stats := stats_from_store(state, masks, rules.instances, rules.reading):
        return stats
    if not (state.has_these_masks and state.is_intact("key", "digest")):
        return {}
    return dict(zip(decode_keys(state.table("key")), map(bytes, state.table("digest")), strict=True))


def _stored_sources(state: StoreState | None, masks: MaskSet, rules: Rules) -> dict[str, MaskStats]:
    """Statistics of the masks and the tiles of slides of a store of tiles, as if their files were the same."""
    stamp = None if state is None else read_stamp(state.root)
    return {} if stamp is None else known_stats(state, stamp.files, masks, rules)[0]


def _of_all(
    masks: MaskSet,
    stand_in: Mapping[int, int],
    own: Mapping[int, MaskStats],
    sizes: Sequence[Size | None],
    stored: Mapping[str, MaskStats | bytes],
    rules: Rules,
) -> dict[int, MaskStats]:
    """Statistics of all masks: their own, those of a store, or those of the mask that stands for them, if it can be read.

    Tiles of a slide are those of a store unless all of them were read.
    """
    stats, partly = dict(own), {_slide(masks.refs[index]) for index in stand_in if index not in own}
    for index, sampled in stand_in.items():
        ref = masks.refs[index]
        known = stored.get(ref.key)
        if index == sampled or index in own:
            if isinstance(known, MaskStats) and _slide(ref) is not None and _slide(ref) in partly:
                stats[index] = known
            continue
        if isinstance(known, MaskStats):
            stats[index] = known
        elif sampled in own:
            alike = own[sampled]
            made = with_shape(alike, sizes[index] or alike.shape, rules.tiling, ref.key)
            stats[index] = replace(made, digest=known or alike.digest)
    return stats


def _slide(ref: MaskRef) -> str | None:
    """Key of the slide of a tile; None for any other mask."""
    return ref.source.key if isinstance(ref, TileRef) else None
