"""Sample of a data set's masks, which stands for all of them."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapreplace
from random import Random
from typing import NamedTuple, TypeAlias

from segprep.errors import is_foreign
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.stats import MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.files import SCAN
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.foreground import scan_resolved
from segprep.runs.journal import Journal, journal_name
from segprep.runs.known import known_stats
from segprep.runs.resume import stats_from_store
from segprep.runs.scan import Scan, batches_of, scan
from segprep.runs.settings import Rules
from segprep.runs.stopwatch import Stopwatch
from segprep.runs.write import encode_mask
from segprep.store.layout import HOLE, Shard, Size
from segprep.store.shards import TargetShard
from segprep.store.tables import decode_keys
from segprep.targets.parts import Loader
from segprep.workers.jobs import Job, Progress, no_progress, run_jobs

SCAN_SECONDS, ENCODE_SECONDS = 1.5, 3.5
"""Seconds after which no further mask of the sample is read, or computed, but for `LEAST`."""
LEAST, MOST_SECONDS = 16, 10
"""Masks that are read and computed all the same, until this many seconds are over."""
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Fraction by which a point moves around a circle so that any number of its places are about equally far apart."""
Work: TypeAlias = tuple[Shard, list[TargetShard], list[TargetShard]]
"""Masks of a shard, and the shards of targets that a store lacks and has; see `shards_of`."""


def encoded_sizes(
    refs: Sequence[MaskRef], row: int, shards: Sequence[TargetShard], digest: bytes | None, instances: InstanceRule
) -> dict[str, int]:
    """Bytes of the chunks of one mask, by the names of its targets; `refs` holds its ref alone."""
    encoded = encode_mask(shards, row, refs[0], digest, Loader(instances))
    return {shard.name: sum(map(len, chunks.values())) for shard, chunks in encoded}


def known_size(ref: MaskRef) -> Size | None:
    """Height and width of a mask that its file of annotations gives; None if it must be read for them."""
    sides = None if is_foreign(ref) else getattr(ref, "shape", getattr(ref, "sides", None))
    if not (isinstance(sides, tuple) and len(sides) == 2):  # noqa: PLR2004 - height and width
        return None
    height, width = sides
    return sides if type(height) is int and type(width) is int and min(sides) > 0 else None


def by_size(sizes: Sequence[Size | None]) -> list[int]:
    """Indices of masks from the smallest to the largest, those of one size or of none in random order."""
    order = list(range(len(sizes)))
    Random(0).shuffle(order)  # noqa: S311 - no secret
    return sorted(order, key=lambda index: math.prod(sizes[index] or (0, 0)))


def is_over(seconds: float, limit: float, masks: int) -> bool:
    """True if no further masks are to be read or computed after this time, and this many of them."""
    return seconds > (limit if masks >= LEAST else MOST_SECONDS)


def spread(order: Sequence[int], most: int) -> list[int]:
    """At most `most` items, of which the first ones, however many, are about equally far apart in the order.

    >>> spread(range(100), 4), spread("abc", 4)
    ([84, 46, 8, 69], ['c', 'b', 'a'])
    """
    chosen: dict[int, None] = {}
    place = Random(0).random()  # noqa: S311
    for _ in range(10 * most):
        chosen[int(place * len(order))] = None
        if len(chosen) == min(most, len(order)):
            break
        place = (place + _GOLDEN) % 1
    return [order[index] for index in chosen]


def stand_ins(order: Sequence[int], sample: Iterable[int]) -> dict[int, int]:
    """Item of a sample that stands for each item: itself, or one of about the same place in the order.

    >>> stand_ins(range(6), [0, 5])
    {0: 0, 5: 5, 1: 0, 2: 0, 3: 5, 4: 5}
    """
    own = set(sample)
    ordered = [item for item in order if item in own]
    others = [item for item in order if item not in own]
    return {item: item for item in ordered} | {
        item: ordered[index * len(ordered) // len(others)] for index, item in enumerate(others)
    }


def makespan(jobs: Iterable[float], workers: int) -> float:
    """Seconds until workers have done jobs, which they take in their order.

    >>> makespan([3, 1, 1, 1], 2)
    3.0
    """
    ends = [0.0] * workers
    for seconds in jobs:
        heapreplace(ends, ends[0] + seconds)
    return max(ends)


class Before(NamedTuple):
    """Store that the run would write, its state if it exists, and the fingerprint of the input's files if that is known."""

    root: AnyPath | None
    state: StoreState | None
    files: str | None


class Read(NamedTuple):
    """All masks, with statistics that may be made up but those of the indices `real`, and the rules with that of instances.

    `sampled` counts the masks that were read, and `left_out` those that cannot be read. `scan_seconds` are those of each
    job of the scan, and `scan_cpu` the CPU seconds of all.
    """

    found: Scan
    rules: Rules
    real: list[int]
    sampled: int
    left_out: int
    scan_seconds: list[float]
    scan_cpu: float


def read_sample(watch: Stopwatch, masks: MaskSet, rules: Rules, before: Before, most: int) -> Read:
    """Statistics of all masks, from the store if it has them, or else from a sample."""
    known, instances = known_stats(before.state, before.files, masks, rules)
    rules = replace(rules, instances=instances)
    if known:
        found, instances = scan_resolved(watch, masks, rules, no_progress, known, rules.on_error)
        real = list(range(len(found.stats)))
        return Read(found, replace(rules, instances=instances), real, 0, len(found.unreadable), [], 0)
    journal, kept = _journal(before, masks, rules)
    shapes = map(known_size, masks.refs)
    sizes = [shape and rules.instances.resolution.shape(shape) for shape in shapes]
    order = by_size(sizes)
    chosen = _scanned(watch, masks, spread(order, most), rules.instances, journal)
    subset = sorted({*chosen, *(index for index, ref in enumerate(masks.refs) if ref.key in kept)})
    part = replace(masks, refs=tuple(masks.refs[index] for index in subset))
    found, instances = scan_resolved(watch, part, rules, no_progress, None, rules.on_error, journal=journal)
    rules = replace(rules, instances=instances)
    of_key = {ref.key: stats for ref, stats in zip(found.masks.refs, found.stats, strict=True)}
    own = {index: of_key[masks.refs[index].key] for index in subset if masks.refs[index].key in of_key}
    stand_in = stand_ins(order, subset)
    stored = _stored(before.state, masks, rules)
    stats = _of_all(masks, stand_in, own, sizes, stored)
    there = sorted(stats)
    every = Scan(
        replace(masks, refs=tuple(masks.refs[index] for index in there)),
        tuple(stats[index] for index in there),
        found.unreadable,
        found.packed,
    )
    keys = [ref.key for ref in masks.refs]
    seconds_of, cpu_of = (
        [
            seconds.get(keys[stand_in[index]], 0) * _ratio(index, stand_in[index], sizes)
            for index in range(len(keys))
            if keys[index] not in kept
        ]
        for seconds in (watch.seconds_of_masks(encoded_sizes, others=True, name=name) for name in ("seconds", "cpu"))
    )
    return Read(
        every,
        rules,
        [n for n, index in enumerate(there) if index in own or isinstance(stored.get(keys[index]), MaskStats)],
        len(chosen),
        len(masks.refs) - len(there),
        list(map(sum, batches_of(seconds_of))),
        sum(cpu_of),
    )


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


def _scanned(
    watch: Stopwatch, masks: MaskSet, chosen: Sequence[int], instances: InstanceRule, journal: Journal
) -> list[int]:
    """Indices of the masks that were read, the first of those chosen, until the time is over; `journal` has the results."""
    count, start = 1, 0.0
    while True:
        refs = tuple(masks.refs[index] for index in sorted(chosen[:count]))
        scan(watch, replace(masks, refs=refs), instances, no_progress, journal=journal)
        start = start or time.perf_counter()  # the workers have started
        seconds = (time.perf_counter() - start) / max(1, count - 1)  # of a mask, the first left out
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


def _of_all(
    masks: MaskSet,
    stand_in: Mapping[int, int],
    own: Mapping[int, MaskStats],
    sizes: Sequence[Size | None],
    stored: Mapping[str, MaskStats | bytes],
) -> dict[int, MaskStats]:
    """Statistics of all masks: their own, those of a store, or those of the mask that stands for them, if it can be read."""
    stats = dict(own)
    for index, sampled in stand_in.items():
        known = stored.get(masks.refs[index].key)
        if index == sampled or index in own:
            continue
        if isinstance(known, MaskStats):
            stats[index] = known
        elif sampled in own:
            alike = own[sampled]
            stats[index] = replace(alike, shape=sizes[index] or alike.shape, digest=known or alike.digest)
    return stats


def _ratio(index: int, sampled: int, sizes: Sequence[Size | None]) -> float:
    """Pixels of a mask, by those of the one that stands for it."""
    size, other = sizes[index], sizes[sampled]
    return math.prod(size) / math.prod(other) if size and other else 1


@dataclass(frozen=True, eq=False)
class Costs:
    """Bytes of the chunks, and seconds of the computation, of masks of which others stand for some."""

    stand_in: Mapping[int, int]
    sizes: Sequence[Size]
    bytes: Mapping[int, Mapping[str, int]]
    seconds: Mapping[int, float]
    cpu: Mapping[int, float]

    def bytes_of(self, mask: int, target: str) -> float:
        """Bytes of the chunks of a mask in the array of a target."""
        sampled = self.stand_in[mask]
        return self.bytes[sampled].get(target, 0) * _ratio(mask, sampled, self.sizes)

    def seconds_of(self, mask: int) -> float:
        """Seconds in which a mask is loaded, computed and encoded."""
        sampled = self.stand_in[mask]
        return self.seconds[sampled] * _ratio(mask, sampled, self.sizes)

    def cpu_of(self, mask: int) -> float:
        """CPU seconds of the same."""
        sampled = self.stand_in[mask]
        return self.cpu[sampled] * _ratio(mask, sampled, self.sizes)


def encode_sample(watch: Stopwatch, read: Read, works: Sequence[Work], most: int, progress: Progress) -> Costs:
    """Costs of all masks that shards lack, from a sample that is computed and encoded until the time is over."""
    found, names = read.found, {item.name for _, lacking, _ in works for item in lacking}
    place = {mask: (row, work) for work in works if work[1] for row, mask in enumerate(work[0].masks) if mask != HOLE}
    sizes = [stats.shape for stats in found.stats]
    order = [mask for mask in by_size(sizes) if mask in place]
    refs, real = found.refs(), set(read.real)
    chosen = spread([mask for mask in order if mask in real] or order, most) if order else []
    jobs = []
    for mask in chosen:
        row, (_, lacking, has) = place[mask]
        items = [item for item in (*lacking, *has) if item.name in names and item.has(row)]
        arguments = ((refs[mask],), row, items, found.stats[mask].digest, read.rules.instances)
        jobs.append(Job(f"mask {refs[mask].key}", encoded_sizes, arguments))
    start, encoded = time.perf_counter(), dict[int, dict[str, int]]()
    for index, result in run_jobs(watch, jobs):
        encoded[chosen[index]] = result
        progress("sample", len(encoded), len(jobs))
        if is_over(time.perf_counter() - start, ENCODE_SECONDS, len(encoded)):
            break
    seconds, cpu = (
        {mask: of_key[refs[mask].key] for mask in encoded}
        for of_key in (watch.seconds_of_masks(encoded_sizes, name=name) for name in ("seconds", "cpu"))
    )
    return Costs(stand_ins(order, encoded) if encoded else {}, sizes, encoded, seconds, cpu)
