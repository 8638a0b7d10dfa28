"""Filling a store: every shard that it lacks, then the status complete.

Missing shards are known from the records, so that one way serves a new store, one to which a target is added, and one
whose run was interrupted.
"""

import math
from collections.abc import Sequence
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
from segprep.store.layout import Part
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
    part: Part = Part(1, 1)
    files: str | None = None
    digests: Sequence[bytes] | None = None
    stats: Sequence[MaskStats] | None = None


def write(executor: Executor, task: WriteTask, progress: Progress, before: StoreState | None) -> StoreInfo:
    """Write everything that the store lacks, and mark it as complete; if it lacks nothing, only the input stamp changes."""
    root, plan = task.root, task.plan
    jobs, missing, masks_of = _missing(task, executor.capacity())
    masks = sum(len(shard.masks) for index, shard in enumerate(plan.layout.shards()) if task.part.has(index))
    complete = msgspec.structs.replace(plan.info, status="complete")
    is_finished = before is not None and not before.findings and not jobs and _is_alike(before, plan, complete)
    warn_if_too_large(root, _memory(task, missing, masks_of), executor.capacity(), available())
    if not is_finished:
        create(root, plan.info, plan.layout, plan.targets, plan.tables)
    if task.files is not None:
        put_stamp(root, InputStamp(task.files, plan.info.input))
    if is_finished:
        if task.part.parts == 1:
            remove_journals(root)
        return complete

    done = masks - sum(map(len, masks_of))
    if not jobs and before is not None and before.info.status == "incomplete":
        progress("write", done, masks)
    for index, _ in run_jobs(executor, jobs):
        done += len(masks_of[index])
        progress("write", done, masks)
    for job, items in zip(jobs, missing, strict=True):
        if not all(are_written(root, items)):
            raise StorageError(f"{root}: {job.what}: was written but is not there: do all workers share this folder?")
    if task.part.parts > 1:
        return plan.info
    put_info(root, complete)
    remove_journals(root)
    return complete


def _is_alike(before: StoreState, plan: Plan, complete: StoreInfo) -> bool:
    """True if a store has the attributes of a plan, and its images, which no attribute shows."""
    return before.info == complete and (
        complete.images is None or np.array_equal(before.table(IMAGE), plan.tables[IMAGE])
    )


def _missing(task: WriteTask, workers: int) -> tuple[list[Job], list[list[TargetShard]], list[list[int]]]:
    """Jobs that write the missing shards, these shards, and the masks of each job.

    A job writes one shard of every target; several where these are of tiles of one mask, as far as all workers have a job.
    """
    root, plan = task.root, task.plan
    shards = [shard for index, shard in enumerate(plan.layout.shards()) if task.part.has(index)]
    shards_of = [target_shards(plan.layout, shard, plan.info.targets, plan.targets) for shard in shards]
    found = are_written(root, [item for items in shards_of for item in items]) if exists(root / "zarr.json") else []
    written = iter(found)
    jobs, missing, masks_of = list[Job](), list[list[TargetShard]](), list[list[int]]()
    source, most = None, -(-len(shards) // workers)
    for shard, items in zip(shards, shards_of, strict=True):
        lacking = [item for item in items if not next(written, False)]
        for item in lacking:
            if item.target is None:
                raise needs_class(root, item.name)
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


def _memory(task: WriteTask, missing: list[list[TargetShard]], masks_of: list[list[int]]) -> list[JobMemory]:
    """Memory of each job, by the mask of most pixels; none if no statistics of the masks are given."""
    stats, is_separated = task.stats or (), task.instances.separate != 0
    jobs = []
    for shards, masks in zip(missing, masks_of, strict=True) if stats else ():
        largest = max(masks, key=lambda mask: math.prod(stats[mask].shape))
        needed = bytes_of(stats[largest], [shard.name for shard in shards], is_separated=is_separated)
        jobs.append(JobMemory(needed, task.refs[largest].key, stats[largest].shape))
    return jobs


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
        mask, file = loader.load(ref), ref.source if isinstance(ref, TileRef) else ref
        if digests is not None and not isinstance(file, PackedMask) and mask.digest != digests[row]:
            raise InputError(f"{ref.key}: changed while the run was reading it; rerun with reread=True")
        for shard in here:
            assert shard.target is not None  # noqa: S101 - see `_missing`
            chunks[shard.path].update(encode_row(shard.spec, row - shard.start, mask.images(shard.target)))
        del mask  # before the next one is loaded
        write_shards(root, ((shard, chunks.pop(shard.path)) for shard in here if not shard.has(row + 1)))
