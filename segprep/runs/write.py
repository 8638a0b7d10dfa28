"""Filling a store: every shard that it lacks, then the mark that it is complete.

What is missing is told from the records, so that one way serves a new store, one to which a target is added, and one whose
run was ended.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from segprep.errors import InputError, OptionError, StorageError
from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import MaskRef
from segprep.masks.stats import mask_digest
from segprep.paths.anypath import AnyPath
from segprep.runs.plan import Plan
from segprep.runs.scan import key_range
from segprep.store.layout import Shard
from segprep.store.metadata import checksums_match, create, put_info, put_stamp
from segprep.store.schema import InputStamp, StoreInfo
from segprep.store.shards import ArraySpec, are_written, array_spec, empty_shard, is_written, write_shard
from segprep.targets import Target
from segprep.workers.jobs import Executor, Job, Progress, run_jobs


class Part(NamedTuple):
    """The shards of one run of several: every `parts`-th, from the `number`-th on.

    Attributes
    ----------
    number : int
        From 1 to `parts`.
    parts : int
        How many runs share the work.

    Examples
    --------
    >>> [shard for shard in range(7) if Part(2, 3).has(shard)]
    [1, 4]
    """

    number: int
    parts: int

    @property
    def name(self) -> str:
        """Name among all parts."""
        return f"{self.number}-of-{self.parts}"

    def has(self, shard: int) -> bool:
        """Whether a shard, counted from 0 over all buckets, is of this part."""
        return shard % self.parts == self.number - 1


class WriteTask(NamedTuple):
    """What the jobs of a run have in common.

    Attributes
    ----------
    root : Path
        The store.
    refs : sequence of MaskRef
        The masks.
    instances : InstanceRule
        How instances are told apart.
    made : Plan
        What goes where.
    part : Part
        Which shards this run writes.
    files : str or None
        Fingerprint of the input's files, to be noted; None where there is none.
    digests : sequence of bytes or None
        Fingerprint that each mask must have still; None where the masks come from the store itself.
    """

    root: AnyPath
    refs: Sequence[MaskRef]
    instances: InstanceRule
    made: Plan
    part: Part = Part(1, 1)
    files: str | None = None
    digests: Sequence[bytes] | None = None


class ShardJob(NamedTuple):
    """One target of one shard."""

    target: Target
    spec: ArraySpec
    fingerprint: str


def write(executor: Executor, work: WriteTask, progress: Progress, before: StoreInfo | None) -> StoreInfo:
    """Write all that the store lacks, and mark it as complete.

    Parameters
    ----------
    executor : Executor
        Executor that does the jobs.
    work : Work
        What there is to do.
    progress : Progress
        Is told how far it is.
    before : StoreInfo or None
        What the store holds already.

    Returns
    -------
    StoreInfo
        What it holds then. A store that has everything is left as it is, but for the note.
    """
    made = work.made
    jobs, sizes = _jobs(work)
    complete = msgspec.structs.replace(made.info, status="complete")
    if before == complete and not jobs and checksums_match(work.root):
        _note(work)
        return complete
    create(work.root, made.info, made.layout, made.targets, made.tables)
    _note(work)
    masks = sum(len(shard.masks) for shard in _shards(work))
    done = masks - sum(sizes)
    if not jobs and before is not None and before.status == "incomplete":
        progress("write", done, masks)
    for index, _ in run_jobs(executor, jobs):
        done += sizes[index]
        progress("write", done, masks)
    if missing := _jobs(work)[0]:
        raise StorageError(
            f"{work.root}: {missing[0].what}: was written but is not there: do all workers share this folder?"
        )
    if work.part.parts > 1:
        return made.info
    put_info(work.root, complete)
    return complete


def _note(work: WriteTask) -> None:
    """Note what the input looks like, so that the next run need not load what has not changed."""
    if work.files is not None:
        put_stamp(work.root, InputStamp(work.files, work.made.info.input))


def _jobs(work: WriteTask) -> tuple[list[Job], list[int]]:
    """Jobs that fill the shards which are not there yet, and the number of masks of each."""
    made, shards = work.made, _shards(work)
    fingerprints = {info.name: info.fingerprint for info in made.info.targets}
    jobs_of = [
        [
            ShardJob(target, array_spec(made.layout.buckets[shard.bucket], target), fingerprints[target.name])
            for target in made.targets
        ]
        for shard in shards
    ]
    asked = [
        (each.spec, shard.number, each.fingerprint) for shard, own in zip(shards, jobs_of, strict=True) for each in own
    ]
    written = iter(are_written(work.root, asked))
    jobs, sizes = [], []
    for shard, own in zip(shards, jobs_of, strict=True):
        missing = [each for each in own if not next(written)]
        if missing:
            refs = [work.refs[mask] for mask in shard.masks]
            digests = None if work.digests is None else [work.digests[mask] for mask in shard.masks]
            what = f"shard {shard.number} of {made.layout.buckets[shard.bucket].name}, {key_range(refs)}"
            jobs.append(Job(what, _write_shard, (work.root, shard.number, refs, digests, work.instances, missing)))
            sizes.append(len(refs))
    return jobs, sizes


def _shards(work: WriteTask) -> list[Shard]:
    """Shards of this run."""
    return [shard for index, shard in enumerate(work.made.layout.shards()) if work.part.has(index)]


def _write_shard(
    root: AnyPath,
    number: int,
    refs: Sequence[MaskRef],
    digests: Sequence[bytes] | None,
    instances: InstanceRule,
    jobs_of: Sequence[ShardJob],
) -> None:
    """Compute one shard of every target from the input, and write it; unless a worker did, and died before it had said so."""
    jobs_of = [each for each in jobs_of if not is_written(root, each.spec, number, each.fingerprint)]
    if not jobs_of:
        return
    arrays = [empty_shard(shard_job.spec, len(refs)) for shard_job in jobs_of]
    for row, ref in enumerate(refs):
        complete, mask = load_mask(ref, instances)
        if digests is not None and mask_digest(complete) != digests[row]:
            raise InputError(f"{ref.key}: has changed since it was read first; segprep weights --reread says more")
        height, width = mask.shape
        for shard_job, array in zip(jobs_of, arrays, strict=True):
            try:
                array[row, ..., :height, :width] = shard_job.target.compute(mask)
            except OptionError as error:
                raise OptionError(f"{ref.key}: {error}") from error
    for shard_job, array in zip(jobs_of, arrays, strict=True):
        write_shard(root, shard_job.spec, number, array, shard_job.fingerprint)
