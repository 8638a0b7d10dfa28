"""Filling a store: every shard that it lacks, then the status complete.

Missing shards are known from the records, so that one way serves a new store, one to which a target is added, and one
whose run was interrupted.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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
from segprep.targets.parts import Loader
from segprep.targets.target import reach_of
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
    jobs, missing, masks_of = _missing(task, executor.capacity())
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


def _missing(task: WriteTask, workers: int) -> tuple[list[Job], list[list[TargetShard]], list[list[int]]]:
    """Jobs that write the missing shards, these shards, and the masks of each job.

    A job writes one shard of every target; several where these are of tiles of one mask, as far as all workers have a job.
    """
    root, plan = task.root, task.plan
    jobs, missing, masks_of = list[Job](), list[list[TargetShard]](), list[list[int]]()
    works = list(shards_of(root, plan, task.part))
    source, most = None, -(-len(works) // workers)
    for shard, lacking, _ in works:
        if lacking:
            refs = [task.refs[mask] for mask in shard.masks]
            digests = None if task.digests is None else [task.digests[mask] for mask in shard.masks]
            what = f"shard {shard.number} of {plan.layout.buckets[shard.bucket].name}, {key_range(refs)}"
            own = (root, lacking, refs, digests)
            before, source = source, _loaded_source(refs[0])
            if source is not None and source == before and len(jobs[-1].arguments) <= most:
                jobs[-1] = jobs[-1]._replace(arguments=(*jobs[-1].arguments, own))
                missing[-1] += lacking
                masks_of[-1] += shard.masks
            else:
                jobs.append(Job(what, _write_all, (task.instances, own)))
                missing.append([*lacking])
                masks_of.append([*shard.masks])
    return jobs, missing, masks_of


def _loaded_source(ref: MaskRef) -> str | None:
    """Key of the complete mask that is loaded for a tile; None for other masks, and tiles of slides."""
    return ref.source.key if isinstance(ref, TileRef) and ref.slide is None else None


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


def _memory(task: WriteTask, missing: list[list[TargetShard]], masks_of: list[list[int]]) -> list[JobMemory]:
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
    needed = bytes_of(
        stats[largest],
        [shard.name for shard in shards],
        is_separated=instances.separate != 0,
        block=instances.resolution.factor,
    )
    return JobMemory(needed, refs[largest].key, stats[largest].shape)


def _write_all(instances: InstanceRule, *shards: tuple[Any, ...]) -> None:
    """Write several shards, given by the arguments of `_write_shards`; a mask that tiles are cut from is loaded once."""
    targets = [shard.target for _, items, *_ in shards for shard in items]
    loader = Loader(instances, reach=max((reach_of(target) or 0 for target in targets if target), default=0))
    for arguments in shards:
        _write_shards(loader, *arguments)
    loader.close()


def _write_shards(
    loader: Loader,
    root: AnyPath,
    shards: Sequence[TargetShard],
    refs: Sequence[MaskRef],
    digests: Sequence[bytes] | None,
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
        for shard, own in encode_mask(here, row, ref, None if digests is None else digests[row], loader):
            chunks[shard.path].update(own)
        write_shards(root, ((shard, chunks.pop(shard.path)) for shard in here if not shard.has(row + 1)))


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
