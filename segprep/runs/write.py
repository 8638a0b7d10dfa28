"""Filling a store: every shard that it lacks, then the status complete.

Missing shards are known from the records, so that one way serves a new store, one to which a target is added, and one
whose run was interrupted.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from segprep.errors import InputError, StorageError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.packed import PackedMask
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import TileRef
from segprep.paths.anypath import AnyPath
from segprep.paths.files import exists
from segprep.runs.audit import StoreState, needs_class
from segprep.runs.former import Former, Reuse, Stored, put_former, remove_former
from segprep.runs.journal import remove_journals
from segprep.runs.memory import JobMemory, available, bytes_of, warn_if_too_large
from segprep.runs.plan import Plan
from segprep.runs.refit import refitted
from segprep.runs.refit import serves as border_serves
from segprep.runs.scan import key_range
from segprep.store.layout import HOLE, Part, Shard
from segprep.store.metadata import create, put_info, put_stamp
from segprep.store.schema import UPDATED, InputStamp, StoreInfo
from segprep.store.shards import (
    Chunks,
    TargetShard,
    are_written,
    encode_row,
    is_written,
    stored_rows,
    target_shards,
    write_shards,
)
from segprep.store.tables import IMAGE
from segprep.targets import Border, Classes, Weights
from segprep.targets.parts import Loader
from segprep.targets.target import largest_reach, reach_of
from segprep.workers.jobs import Executor, Job, Progress, run_jobs

logger = logging.getLogger(__name__)
ALL = Part(1, 1)
"""All shards."""


Work: TypeAlias = tuple[Shard, list[TargetShard], list[TargetShard]]
"""Masks of a shard, and the shards of targets that a store lacks and has; see `shards_of`."""


class _Row(NamedTuple):
    """Mask of a row, and its digest as it was scanned, None if it comes from the store itself."""

    ref: MaskRef
    digest: bytes | None


class WriteTask(NamedTuple):
    """A run: the masks, the store and the part of it to write.

    `stamp` is the input stamp, and `digests` are those of the masks as they were scanned, None if they come from the store
    itself. `stats` are theirs if the jobs are done on this machine, whose memory is then checked. `former` is the store
    before an update.
    """

    root: AnyPath
    refs: Sequence[MaskRef]
    instances: InstanceRule
    plan: Plan
    part: Part = ALL
    stamp: InputStamp | None = None
    digests: Sequence[bytes] | None = None
    stats: Sequence[MaskStats] | None = None
    former: Former | None = None


def write(executor: Executor, task: WriteTask, progress: Progress, before: StoreState | None) -> StoreInfo:
    """Write everything that the store lacks, and mark it as complete; if it lacks nothing, only the input stamp changes."""
    root, plan = task.root, task.plan
    reuse = None if task.former is None else _begun(task, task.former)
    jobs, missing, masks_of = _missing(task, reuse, executor.capacity())
    masks = sum(len(shard.filled) for index, shard in enumerate(plan.layout.shards()) if task.part.has(index))
    complete = msgspec.structs.replace(plan.info, status="complete")
    is_finished = before is not None and not before.findings and not jobs and is_alike(before, plan, complete)
    warn_if_too_large(root, _memory(task, missing, masks_of), executor.capacity(), available())
    if not is_finished:
        logger.info("writing %s: %d shards are missing", root, len(jobs))
    if not is_finished and reuse is None:
        _forget_update(root, plan.info)
        create(root, plan.info, plan.layout, plan.targets, plan.tables)
    if task.stamp is not None:
        put_stamp(root, task.stamp)
    if is_finished:
        if task.part.parts == 1:
            _forget(root, complete)
        return complete

    done = masks - sum(map(len, masks_of))
    if jobs or reuse is not None or (before is not None and before.info.status == "incomplete"):
        progress("write", done, masks)
    for index, _ in run_jobs(executor, jobs):
        done += len(masks_of[index])
        progress("write", done, masks)
    logger.info("completing %s", root)
    _require_written(root, jobs, missing)
    if task.part.parts > 1:
        return plan.info
    _end(root, complete, reuse)
    return complete


def _require_written(root: AnyPath, jobs: Sequence[Job], shards: Sequence[Sequence[TargetShard]]) -> None:
    """Raise StorageError unless the shards of all jobs are there."""
    for job, items in zip(jobs, shards, strict=True):
        if not all(are_written(root, items)):
            raise StorageError(f"{root}: {job.what}: was written but is not there: do all workers share this folder?")


def _begun(task: WriteTask, former: Former) -> Reuse:
    """Begin an update: from here on the store is incomplete, and what of it stays counts as written."""
    reuse = Reuse(former, task.plan)
    put_former(task.root, former)
    create(task.root, task.plan.info, task.plan.layout, task.plan.targets, task.plan.tables)
    reuse.adopt(task.root)
    return reuse


def is_alike(before: StoreState, plan: Plan, complete: StoreInfo) -> bool:
    """True if a store has the attributes of a plan, and its images, which no attribute shows."""
    return before.info == complete and (
        complete.images is None or np.array_equal(before.table(IMAGE), plan.tables[IMAGE])
    )


def _end(root: AnyPath, complete: StoreInfo, reuse: Reuse | None) -> None:
    """Mark a store as complete, once what an update leaves over is removed."""
    if reuse is not None:
        reuse.remove_others(root)
    put_info(root, complete)
    _forget(root, complete)


def _forget(root: AnyPath, complete: StoreInfo) -> None:
    """Remove what a complete store does not need."""
    remove_journals(root)
    _forget_update(root, complete)


def _forget_update(root: AnyPath, info: StoreInfo) -> None:
    """Remove what an update that was killed at its very end may have left."""
    if info.revision:
        remove_former(root)


def _missing(
    task: WriteTask, reuse: Reuse | None, workers: int
) -> tuple[list[Job], list[list[TargetShard]], list[list[int]]]:
    """Jobs that write the missing shards, these shards, and the masks of each job.

    A job writes one shard of every target; several where these are of tiles of one mask, as far as all workers have a job.
    """
    root, plan = task.root, task.plan
    jobs, missing, masks_of = list[Job](), list[list[TargetShard]](), list[list[int]]()
    weights = next((target for target in plan.targets if isinstance(target, Weights)), None)
    is_refit = reuse is not None and border_serves(weights, plan.targets)
    for works in in_jobs(list(shards_of(root, plan, task.part)), task.refs, workers):
        first, arguments = works[0][0], []
        for shard, lacking, _ in works:
            rows = [None if mask == HOLE else _row(task, mask) for mask in shard.masks]
            stored = {} if reuse is None else reuse.stored(shard)
            arguments.append((root, lacking, rows, stored, is_refit))
        keys = key_range([task.refs[mask] for mask in first.filled])
        what = f"shard {first.number} of {plan.layout.buckets[first.bucket].name}, {keys}"
        jobs.append(Job(what, _write_all, (task.instances, *arguments)))
        missing.append([item for _, lacking, _ in works for item in lacking])
        masks_of.append([mask for shard, _, _ in works for mask in shard.filled])
    return jobs, missing, masks_of


def in_jobs(works: Sequence[Work], refs: Sequence[MaskRef], workers: int) -> list[list[Work]]:
    """Shards that are lacking, in those of each job: one, or several that begin with tiles of one mask that is loaded."""
    jobs, source, most = list[list[Work]](), None, -(-len(works) // workers)
    for shard, lacking, has in works:
        if lacking:
            before, source = source, loaded_source(refs[shard.filled[0]]) if shard.filled else None
            if source is None or source != before or len(jobs[-1]) >= most:
                jobs.append([])
            jobs[-1].append((shard, lacking, has))
    return jobs


def _row(task: WriteTask, mask: int) -> _Row:
    return _Row(task.refs[mask], None if task.digests is None else task.digests[mask])


def loaded_source(ref: MaskRef) -> str | None:
    """Key of the complete mask that is loaded for a tile; None for other masks, and tiles of slides."""
    return ref.source.key if isinstance(ref, TileRef) and ref.slide is None else None


def shards_of(root: AnyPath | None, plan: Plan, part: Part = ALL) -> Iterator[Work]:
    """Each `Shard` of a part, with the shards of targets that the store at `root`, if any, lacks, and those that it has."""
    shards = [shard for index, shard in enumerate(plan.layout.shards()) if part.has(index)]
    digests = [bytes(row) for row in plan.tables["digest"]] if plan.info.format == UPDATED else None
    items_of = [target_shards(plan.layout, shard, plan.info.targets, plan.targets, digests) for shard in shards]
    every = [item for items in items_of for item in items]
    found = are_written(root, every) if root is not None and exists(root / "zarr.json") else []
    written = iter(found)
    for shard, items in zip(shards, items_of, strict=True):
        lacking: list[TargetShard] = []
        has: list[TargetShard] = []
        for item in items:
            is_there = next(written, False)
            if root is not None and item.target is None and not is_there:
                raise needs_class(root, item.name)
            (has if is_there else lacking).append(item)
        yield shard, lacking, has


def _memory(task: WriteTask, missing: list[list[TargetShard]], masks_of: list[list[int]]) -> list[JobMemory]:
    """Memory of each job that has masks; none if no statistics of these are given."""
    if task.stats is None:
        return []
    works = zip(missing, masks_of, strict=True)
    return [memory_of(shards, masks, task.refs, task.stats, task.instances) for shards, masks in works if masks]


def memory_of(
    shards: Sequence[TargetShard],
    masks: Sequence[int],
    refs: Sequence[MaskRef],
    stats: Sequence[MaskStats],
    instances: InstanceRule,
) -> JobMemory:
    """Memory of a job that computes these masks, by the one of most pixels."""
    largest = max(masks, key=lambda mask: math.prod(stats[mask].shape))
    ref = refs[largest]
    needed = bytes_of(
        stats[largest],
        [shard.name for shard in shards],
        is_separated=instances.separate != 0,
        block=instances.resolution.factor,
        part=_part_at_once(ref, shards) if isinstance(ref, TileRef) and ref.slide is None else None,
    )
    return JobMemory(needed, ref.key, stats[largest].shape)


def _part_at_once(tile: TileRef, shards: Sequence[TargetShard]) -> int | None:
    """Pixels from which all targets of a tile are computed; None for those of the complete mask."""
    if any(shard.target is not None and reach_of(shard.target) is None for shard in shards):
        return None
    outer = tile.window.grown(reach_of_all(shards), tile.shape)
    return outer.height * outer.width


def _write_all(instances: InstanceRule, *shards: tuple[Any, ...]) -> None:
    """Write several shards, given by the arguments of `_write_shards`; a mask that tiles are cut from is loaded once."""
    loader = Loader(instances, reach=reach_of_all([shard for _, items, *_ in shards for shard in items]))
    for arguments in shards:
        _write_shards(loader, *arguments)
    loader.close()


def reach_of_all(shards: Sequence[TargetShard]) -> int:
    """Largest reach of the targets of shards."""
    return largest_reach(shard.target for shard in shards)


def _write_shards(
    loader: Loader,
    root: AnyPath,
    shards: Sequence[TargetShard],
    rows: Sequence[_Row | None],
    stored: Mapping[str, Stored],
    is_refit: bool,
) -> None:
    """Write one shard of several targets, unless a worker that then died has done so.

    Rows that are stored are taken as they are, and all others computed from the input; weights from the stored border if
    `is_refit`.
    """
    shards = [shard for shard in shards if not is_written(root, shard)]
    if not shards:
        return
    chunks: dict[str, Chunks] = {shard.path: {} for shard in shards}
    names = {shard.name for shard in shards}
    names |= {Border.name, Classes.name} if is_refit and Weights.name in names else set()
    kept = {name: _kept_rows(root, stored[name]) for name in names & stored.keys()}
    for number, row in enumerate(rows):
        here = [shard for shard in shards if shard.has(number)]
        for shard in here:
            for place, chunk in kept.get(shard.name, {}).get(number, {}).items():
                chunks[shard.path][(number - shard.start, *place)] = chunk
        lacking = [shard for shard in here if number not in kept.get(shard.name, {})]
        for shard in [*lacking] if is_refit else ():
            if (values := refitted(shard, stored, kept, number)) is not None:
                chunks[shard.path].update(encode_row(shard.spec, number - shard.start, [((), values)]))
                lacking.remove(shard)
        if row is not None and lacking:
            for shard, own in encode_mask(lacking, number, row.ref, row.digest, loader):
                chunks[shard.path].update(own)
        write_shards(root, ((shard, chunks.pop(shard.path)) for shard in here if not shard.has(number + 1)))


def _kept_rows(root: AnyPath, stored: Stored) -> dict[int, Chunks]:
    """Encoded chunks of the rows that stay, as far as they are stored without damage."""
    found = (stored_rows(root, shard) for shard in (*stored.shards, *stored.after))
    return {row: chunks for rows in found for row, chunks in rows.items() if row in stored.rows}


def encode_mask(
    shards: Sequence[TargetShard], row: int, ref: MaskRef, digest: bytes | None, loader: Loader
) -> list[tuple[TargetShard, Chunks]]:
    """Chunks of one mask, a row of these shards; InputError if its digest is another than the one given."""
    mask, file = loader.load(ref), ref.source if isinstance(ref, TileRef) else ref
    if digest is not None and not isinstance(file, PackedMask) and mask.digest != digest:
        raise InputError(f"{ref.key}: changed while the run was reading it; rerun with reread=True")
    encoded = []
    for shard in shards:
        assert shard.target is not None  # noqa: S101 - see `shards_of`
        encoded.append((shard, encode_row(shard.spec, row - shard.start, mask.images(shard.target))))
    return encoded
