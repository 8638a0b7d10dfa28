"""Filling a store: every shard that it lacks, then the status complete.

Missing shards are known from the records, so that one way serves a new store, one to which a target is added, and one
whose run was interrupted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from segprep.errors import InputError, StorageError
from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import MaskRef
from segprep.masks.packed import PackedMask
from segprep.masks.stats import MaskStats, mask_digest
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
from segprep.store.layout import HOLE, Part
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
from segprep.targets.target import images_of
from segprep.workers.jobs import Executor, Job, Progress, run_jobs


class _Row(NamedTuple):
    """Mask of a row, and its digest as it was scanned, None if it comes from the store itself."""

    ref: MaskRef
    digest: bytes | None


class WriteTask(NamedTuple):
    """A run: the masks, the store and the part of it to write.

    `stamp` is the input stamp, and `digests` are those of the masks as they were
    scanned, None if they come from the store itself. `stats` are theirs if the jobs are done on this machine, whose memory
    is then checked. `former` is the store before an update.
    """

    root: AnyPath
    refs: Sequence[MaskRef]
    instances: InstanceRule
    plan: Plan
    part: Part = Part(1, 1)
    stamp: InputStamp | None = None
    digests: Sequence[bytes] | None = None
    stats: Sequence[MaskStats] | None = None
    former: Former | None = None


def write(executor: Executor, task: WriteTask, progress: Progress, before: StoreState | None) -> StoreInfo:
    """Write everything that the store lacks, and mark it as complete; if it lacks nothing, only the input stamp changes."""
    root, plan = task.root, task.plan
    reuse = None if task.former is None else _begun(task, task.former)
    jobs, missing, masks_of = _missing(task, reuse)
    masks = sum(len(shard.filled) for index, shard in enumerate(plan.layout.shards()) if task.part.has(index))
    complete = msgspec.structs.replace(plan.info, status="complete")
    is_finished = before is not None and not before.findings and not jobs and _is_alike(before, plan, complete)
    warn_if_too_large(root, _memory(task, missing, masks_of), executor.capacity(), available())
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
    if not jobs and (reuse is not None or (before is not None and before.info.status == "incomplete")):
        progress("write", done, masks)
    for index, _ in run_jobs(executor, jobs):
        done += len(masks_of[index])
        progress("write", done, masks)
    for job, items in zip(jobs, missing, strict=True):
        if not all(are_written(root, items)):
            raise StorageError(f"{root}: {job.what}: was written but is not there: do all workers share this folder?")
    if task.part.parts > 1:
        return plan.info
    _end(root, complete, reuse)
    return complete


def _begun(task: WriteTask, former: Former) -> Reuse:
    """Begin an update: from here on the store is incomplete, and what of it stays counts as written."""
    reuse = Reuse(former, task.plan)
    put_former(task.root, former)
    create(task.root, task.plan.info, task.plan.layout, task.plan.targets, task.plan.tables)
    reuse.adopt(task.root)
    return reuse


def _is_alike(before: StoreState, plan: Plan, complete: StoreInfo) -> bool:
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


def _missing(task: WriteTask, reuse: Reuse | None) -> tuple[list[Job], list[list[TargetShard]], list[list[int]]]:
    """Jobs that write the missing shards, these shards, and the masks of each job."""
    root, plan = task.root, task.plan
    shards = [shard for index, shard in enumerate(plan.layout.shards()) if task.part.has(index)]
    of_rows = [bytes(row) for row in plan.tables["digest"]] if plan.info.format == UPDATED else None
    shards_of = [target_shards(plan.layout, shard, plan.info.targets, plan.targets, of_rows) for shard in shards]
    found = are_written(root, [item for items in shards_of for item in items]) if exists(root / "zarr.json") else []
    written = iter(found)
    weights = next((target for target in plan.targets if isinstance(target, Weights)), None)
    is_refit = reuse is not None and border_serves(weights, plan.targets)
    jobs, missing, masks_of = [], [], []
    for shard, items in zip(shards, shards_of, strict=True):
        lacking = [item for item in items if not next(written, False)]
        for item in lacking:
            if item.target is None:
                raise needs_class(root, item.name)
        if lacking:
            rows = [None if mask == HOLE else _row(task, mask) for mask in shard.masks]
            refs = [row.ref for row in rows if row is not None]
            what = f"shard {shard.number} of {plan.layout.buckets[shard.bucket].name}, {key_range(refs)}"
            stored = {} if reuse is None else reuse.stored(shard)
            jobs.append(Job(what, _write_shards, (root, lacking, rows, task.instances, stored, is_refit)))
            missing.append(lacking)
            masks_of.append(shard.filled)
    return jobs, missing, masks_of


def _row(task: WriteTask, mask: int) -> _Row:
    return _Row(task.refs[mask], None if task.digests is None else task.digests[mask])


def _memory(task: WriteTask, missing: list[list[TargetShard]], masks_of: list[list[int]]) -> list[JobMemory]:
    """Memory of each job, by the mask of most pixels; none if no statistics of the masks are given."""
    stats, is_separated = task.stats or (), task.instances.separate != 0
    jobs = []
    for shards, masks in zip(missing, masks_of, strict=True) if stats else ():
        if not masks:
            continue
        largest = max(masks, key=lambda mask: math.prod(stats[mask].shape))
        needed = bytes_of(stats[largest], [shard.name for shard in shards], is_separated=is_separated)
        jobs.append(JobMemory(needed, task.refs[largest].key, stats[largest].shape))
    return jobs


def _write_shards(
    root: AnyPath,
    shards: Sequence[TargetShard],
    rows: Sequence[_Row | None],
    instances: InstanceRule,
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
            complete, mask = load_mask(row.ref, instances)
            if row.digest is not None and not isinstance(row.ref, PackedMask) and mask_digest(complete) != row.digest:
                raise InputError(f"{row.ref.key}: changed while the run was reading it; rerun with reread=True")
            for shard in lacking:
                assert shard.target is not None  # noqa: S101 - see `_missing`
                images = images_of(shard.target, mask, row.ref.key)
                chunks[shard.path].update(encode_row(shard.spec, number - shard.start, images))
            del complete, mask  # before the next one is loaded
        write_shards(root, ((shard, chunks.pop(shard.path)) for shard in here if not shard.has(number + 1)))


def _kept_rows(root: AnyPath, stored: Stored) -> dict[int, Chunks]:
    """Encoded chunks of the rows that stay, as far as they are stored without damage."""
    found = (stored_rows(root, shard) for shard in (*stored.shards, *stored.after))
    return {row: chunks for rows in found for row, chunks in rows.items() if row in stored.rows}
