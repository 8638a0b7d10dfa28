"""Filling a store: every shard that it lacks, then the status complete.

Missing shards are known from the records, so that one way serves a new store, one to which a target is added, and one
whose run was interrupted.
"""

import logging
import math
from collections.abc import Iterator, Sequence
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
from segprep.runs.journal import remove_journals
from segprep.runs.memory import JobMemory, available, bytes_of, warn_if_too_large
from segprep.runs.plan import Plan
from segprep.runs.scan import key_range
from segprep.store.layout import Part, Shard
from segprep.store.metadata import create, put_info, put_stamp
from segprep.store.schema import InputStamp, StoreInfo
from segprep.store.shards import (
    Chunks,
    TargetShard,
    are_written,
    encode_row,
    is_written,
    target_shards,
    write_shards,
)
from segprep.store.tables import IMAGE
from segprep.targets.target import images_of
from segprep.workers.jobs import Executor, Job, Progress, run_jobs

logger = logging.getLogger(__name__)
ALL = Part(1, 1)
"""All shards."""


class WriteTask(NamedTuple):
    """A run: the masks, the store and the part of it to write.

    `files` is the fingerprint of the input's files, for the input stamp, and `digests` are those of the masks as they were
    scanned, None if they come from the store itself. `stats` are theirs if the jobs are done on this machine, whose memory
    is then checked.
    """

    root: AnyPath
    refs: Sequence[MaskRef]
    instances: InstanceRule
    plan: Plan
    part: Part = ALL
    files: str | None = None
    digests: Sequence[bytes] | None = None
    stats: Sequence[MaskStats] | None = None


def write(executor: Executor, task: WriteTask, progress: Progress, before: StoreState | None) -> StoreInfo:
    """Write everything that the store lacks, and mark it as complete; if it lacks nothing, only the input stamp changes."""
    root, plan = task.root, task.plan
    jobs, missing, masks_of = _missing(task)
    masks = sum(len(shard.masks) for index, shard in enumerate(plan.layout.shards()) if task.part.has(index))
    complete = msgspec.structs.replace(plan.info, status="complete")
    is_finished = before is not None and not before.findings and not jobs and is_alike(before, plan, complete)
    warn_if_too_large(root, _memory(task, missing, masks_of), executor.capacity(), available())
    if not is_finished:
        logger.info("writing %s: %d shards are missing", root, len(jobs))
        create(root, plan.info, plan.layout, plan.targets, plan.tables)
    if task.files is not None:
        put_stamp(root, InputStamp(task.files, plan.info.input))
    if is_finished:
        if task.part.parts == 1:
            remove_journals(root)
        return complete

    done = masks - sum(map(len, masks_of))
    if jobs or (before is not None and before.info.status == "incomplete"):
        progress("write", done, masks)
    for index, _ in run_jobs(executor, jobs):
        done += len(masks_of[index])
        progress("write", done, masks)
    logger.info("completing %s", root)
    for job, items in zip(jobs, missing, strict=True):
        if not all(are_written(root, items)):
            raise StorageError(f"{root}: {job.what}: was written but is not there: do all workers share this folder?")
    if task.part.parts > 1:
        return plan.info
    put_info(root, complete)
    remove_journals(root)
    return complete


def is_alike(before: StoreState, plan: Plan, complete: StoreInfo) -> bool:
    """True if a store has the attributes of a plan, and its images, which no attribute shows."""
    return before.info == complete and (
        complete.images is None or np.array_equal(before.table(IMAGE), plan.tables[IMAGE])
    )


def _missing(task: WriteTask) -> tuple[list[Job], list[list[TargetShard]], list[Sequence[int]]]:
    """Jobs that write the missing shards, these shards, and the masks of each job."""
    root, plan = task.root, task.plan
    jobs, missing, masks_of = [], [], []
    for shard, lacking, _ in shards_of(root, plan, task.part):
        if lacking:
            refs = [task.refs[mask] for mask in shard.masks]
            digests = None if task.digests is None else [task.digests[mask] for mask in shard.masks]
            what = f"shard {shard.number} of {plan.layout.buckets[shard.bucket].name}, {key_range(refs)}"
            jobs.append(Job(what, _write_shards, (root, lacking, refs, digests, task.instances)))
            missing.append(lacking)
            masks_of.append(shard.masks)
    return jobs, missing, masks_of


def shards_of(
    root: AnyPath | None, plan: Plan, part: Part = ALL
) -> Iterator[tuple[Shard, list[TargetShard], list[TargetShard]]]:
    """Each `Shard` of a part, with the shards of targets that the store at `root`, if any, lacks, and those that it has."""
    shards = [shard for index, shard in enumerate(plan.layout.shards()) if part.has(index)]
    items_of = [target_shards(plan.layout, shard, plan.info.targets, plan.targets) for shard in shards]
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


def _memory(task: WriteTask, missing: list[list[TargetShard]], masks_of: list[Sequence[int]]) -> list[JobMemory]:
    """Memory of each job; none if no statistics of the masks are given."""
    if task.stats is None:
        return []
    works = zip(missing, masks_of, strict=True)
    return [memory_of(shards, masks, task.refs, task.stats, task.instances) for shards, masks in works]


def memory_of(
    shards: Sequence[TargetShard],
    masks: Sequence[int],
    refs: Sequence[MaskRef],
    stats: Sequence[MaskStats],
    instances: InstanceRule,
) -> JobMemory:
    """Memory of a job that computes these masks, by the one of most pixels."""
    largest = max(masks, key=lambda mask: math.prod(stats[mask].shape))
    needed = bytes_of(stats[largest], [shard.name for shard in shards], is_separated=instances.separate != 0)
    return JobMemory(needed, refs[largest].key, stats[largest].shape)


def _write_shards(
    root: AnyPath,
    shards: Sequence[TargetShard],
    refs: Sequence[MaskRef],
    digests: Sequence[bytes] | None,
    instances: InstanceRule,
) -> None:
    """Compute one shard of several targets from the input and write it, unless a worker that then died has done so."""
    shards = [shard for shard in shards if not is_written(root, shard)]
    if not shards:
        return
    chunks: dict[str, Chunks] = {shard.path: {} for shard in shards}
    for row, ref in enumerate(refs):
        here = [shard for shard in shards if shard.has(row)]
        if not here:
            continue
        for shard, own in encode_mask(here, row, ref, None if digests is None else digests[row], instances):
            chunks[shard.path].update(own)
        write_shards(root, ((shard, chunks.pop(shard.path)) for shard in here if not shard.has(row + 1)))


def encode_mask(
    shards: Sequence[TargetShard], row: int, ref: MaskRef, digest: bytes | None, instances: InstanceRule
) -> list[tuple[TargetShard, Chunks]]:
    """Chunks of one mask, a row of these shards; InputError if its digest is another than the one given."""
    complete, mask = load_mask(ref, instances)
    if digest is not None and not isinstance(ref, PackedMask) and mask_digest(complete) != digest:
        raise InputError(f"{ref.key}: changed while the run was reading it; rerun with reread=True")
    encoded = []
    for shard in shards:
        assert shard.target is not None  # noqa: S101 - see `shards_of`
        images = images_of(shard.target, mask, ref.key)
        encoded.append((shard, encode_row(shard.spec, row - shard.start, images)))
    return encoded
