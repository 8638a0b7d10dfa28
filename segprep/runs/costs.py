"""Bytes and time of the arrays of all masks, from those of a sample that is computed and compressed."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from segprep.kernels.compiled import compile_seconds
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.tiles import TileRef
from segprep.runs.sample import Read
from segprep.runs.spread import by_size, is_over, nearest, ratio, spread, stand_ins
from segprep.runs.stopwatch import Stopwatch
from segprep.runs.write import Work, encode_mask, loaded_source, reach_of_all
from segprep.store.layout import HOLE, Size
from segprep.store.shards import TargetShard
from segprep.targets.parts import Loader
from segprep.workers.jobs import Job, Progress, run_jobs

ENCODE_SECONDS = 3.5
"""Seconds after which no further mask of the sample is computed, but for `LEAST`."""
TILES_OF_SOURCE = 4
"""Tiles that are computed of a mask that is loaded for them."""


class Time(NamedTuple):
    """Seconds, and CPU seconds."""

    seconds: float = 0.0
    cpu: float = 0.0

    def less(self, other: "Time") -> "Time":
        """Time by which this one is longer than another."""
        return Time(max(0.0, self.seconds - other.seconds), max(0.0, self.cpu - other.cpu))

    def times(self, factor: float) -> "Time":
        """Time of more, or less, of the same work."""
        return Time(factor * self.seconds, factor * self.cpu)


NO_TIME = Time()


class Piece(NamedTuple):
    """A mask to encode, a row of these shards; `before` is the tile of a slide that the run encodes before it."""

    ref: MaskRef
    row: int
    shards: Sequence[TargetShard]
    digest: bytes | None
    before: TileRef | None = None


class Encoded(NamedTuple):
    """Bytes of the chunks of a mask, by the names of its targets, and the time in which they are made."""

    bytes: Mapping[str, int]
    time: Time


def encode_pieces(
    pieces: Sequence[Piece], instances: InstanceRule, is_source_loaded: bool
) -> tuple[list[Encoded], Time]:
    """Results for masks, in this order until the time is over, and the time of what is done once for all of them.

    That is the loading of their source, if `is_source_loaded`, and what is computed from all of it.
    """
    loader = Loader(instances, reach=reach_of_all(pieces[0].shards))
    if pieces[0].before is not None:
        loader.load(pieces[0].before)  # what a run has read already
    found, start = list[Encoded](), time.perf_counter()
    for piece in pieces:
        found.append(_encoded(piece, loader))
        if time.perf_counter() - start > ENCODE_SECONDS:
            break
    once = Time()
    if is_source_loaded:
        again = _encoded(pieces[0], loader)
        once, found[0] = found[0].time.less(again.time), again
    loader.close()
    return found, once


def _encoded(piece: Piece, loader: Loader) -> Encoded:
    compiled, cpu, start = compile_seconds(), time.process_time(), time.perf_counter()
    encoded = encode_mask(piece.shards, piece.row, piece.ref, piece.digest, loader)
    spent = Time(time.perf_counter() - start, time.process_time() - cpu)
    compiled = compile_seconds() - compiled
    return Encoded(
        {shard.name: sum(map(len, chunks.values())) for shard, chunks in encoded}, spent.less(Time(compiled, compiled))
    )


@dataclass(frozen=True, eq=False)
class Costs:
    """Bytes and time of masks of which others, those `encoded`, stand for some.

    `once` has the time of what is done once for the tiles of a source, for each pixel of all of them.
    """

    stand_in: Mapping[int, int]
    sizes: Sequence[Size]
    encoded: Mapping[int, Encoded]
    once: Time = NO_TIME

    def bytes_of(self, mask: int, target: str) -> float:
        """Bytes of the chunks of a mask in the array of a target."""
        sampled = self.stand_in[mask]
        return self.encoded[sampled].bytes.get(target, 0) * ratio(mask, sampled, self.sizes)

    def time_of(self, mask: int) -> Time:
        """Time in which a mask is loaded, unless it is a tile of a mask that is, computed and encoded."""
        sampled = self.stand_in[mask]
        return self.encoded[sampled].time.times(ratio(mask, sampled, self.sizes))

    def time_of_job(self, masks: Sequence[int], refs: Sequence[MaskRef]) -> Time:
        """Time of a job that encodes masks one after the other."""
        times = [self.time_of(mask) for mask in masks]
        source = None
        for ref in (refs[mask] for mask in masks):
            if source != (source := loaded_source(ref)) and isinstance(ref, TileRef):
                times.append(self.once.times(math.prod(ref.shape)))
        return Time(sum(time.seconds for time in times), sum(time.cpu for time in times))


def encode_sample(watch: Stopwatch, read: Read, works: Sequence[Work], most: int, progress: Progress) -> Costs:
    """Costs of all masks that shards lack, from a sample that is computed and encoded until the time is over."""
    pieces, sizes = _pieces(read, works), [stats.shape for stats in read.found.stats]
    is_tiled, real = read.rules.tiling.tile is not None, set(read.real)
    contents = [len(stats.instance_rows) for stats in read.found.stats] if is_tiled else None
    order = [mask for mask in by_size(sizes, contents) if mask in pieces]
    groups = list(_groups([mask for mask in order if mask in real] or order, pieces, most, watch.capacity()))
    jobs = [_job([pieces[mask] for mask in group], read.rules.instances) for group in groups]
    start, encoded, once, pixels = time.perf_counter(), dict[int, Encoded](), list[Time](), 0
    for index, (results, time_once) in run_jobs(watch, jobs):
        encoded.update(zip(groups[index], results, strict=False))
        if isinstance(ref := pieces[groups[index][0]].ref, TileRef) and loaded_source(ref):
            once.append(time_once)
            pixels += math.prod(ref.shape)
        progress("sample", len(encoded), sum(map(len, groups)))
        if is_over(time.perf_counter() - start, ENCODE_SECONDS, len(encoded)):
            break
    if not encoded:
        return Costs({}, sizes, encoded)
    of_pixel = Time(sum(each.seconds for each in once), sum(each.cpu for each in once)).times(1 / max(1, pixels))
    return Costs((nearest if is_tiled else stand_ins)(order, encoded), sizes, encoded, of_pixel)


def _pieces(read: Read, works: Sequence[Work]) -> dict[int, Piece]:
    """Each mask that shards lack, with all targets that the run writes."""
    names, refs = {item.name for _, lacking, _ in works for item in lacking}, read.found.refs()
    pieces = {}
    for shard, lacking, has in works:
        for row, mask in enumerate(shard.masks) if lacking else ():
            if mask != HOLE:
                items = [item for item in (*lacking, *has) if item.name in names and item.has(row)]
                pieces[mask] = Piece(refs[mask], row, items, read.found.stats[mask].digest, _before(refs, mask))
    return pieces


def _before(refs: Sequence[MaskRef], mask: int) -> TileRef | None:
    """Tile before a tile of a slide."""
    ref, before = refs[mask], refs[mask - 1] if mask else None
    if not (isinstance(ref, TileRef) and isinstance(before, TileRef) and ref.slide is not None):
        return None
    return replace(before, slide=ref.slide) if before.source.key == ref.source.key else None


def _groups(order: Sequence[int], pieces: Mapping[int, Piece], most: int, workers: int) -> Iterator[list[int]]:
    """Sample of masks, in those of each job: tiles of one mask that is loaded for them, or a single one.

    All workers have some of them, as in the run, where they may be slower than one alone.
    """
    groups = dict[int | str, list[int]]()
    for mask in order:
        groups.setdefault(loaded_source(pieces[mask].ref) or mask, []).append(mask)
    chosen = spread(sorted(groups.values(), key=len), most) if groups else []
    of_source = most if sum(map(len, chosen)) <= most else max(TILES_OF_SOURCE, most // len(chosen))
    for group in chosen:
        tiles = spread(group, of_source)
        jobs = max(1, min(workers // len(chosen), len(tiles) // TILES_OF_SOURCE))
        yield from (tiles[first::jobs] for first in range(jobs))


def _job(pieces: Sequence[Piece], instances: InstanceRule) -> Job:
    key = loaded_source(pieces[0].ref)
    return Job(f"mask {key or pieces[0].ref.key}", encode_pieces, (pieces, instances, key is not None))
