"""Bytes, memory and time of a run, from its plan and the costs of a sample of the masks."""

import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.tiles import Slide, TileRef, Window, open_slide
from segprep.paths.anypath import AnyPath
from segprep.paths.files import PUT_THREADS
from segprep.runs.costs import Costs
from segprep.runs.journal import MOST_KEPT
from segprep.runs.memory import JobMemory, resident
from segprep.runs.plan import Plan
from segprep.runs.sample import Read
from segprep.runs.stopwatch import Stopwatch, makespan
from segprep.runs.write import Work, in_jobs, memory_of, reach_of_all
from segprep.store.encoding import encode_shard
from segprep.store.layout import HOLE, Shard
from segprep.store.metadata import made_objects
from segprep.store.schema import Record
from segprep.store.shards import ArraySpec, TargetShard
from segprep.store.tables import IMAGE, TABLE_CHUNK, MadeTables, encode_table
from segprep.workers.jobs import InProcess, core_count

MASK_SECONDS = 65e-6
"""Seconds of a mask in the process that runs segprep; see docs/scale.md."""
SHARD_SECONDS = 1.1e-3
"""CPU seconds of a job of writing in the process that runs segprep; see docs/scale.md."""
PUT_SECONDS = 4e-3
"""Seconds in which a few objects are flushed to a disk side by side."""
MASK_BYTES = 500
"""Memory of a mask in the process that runs segprep, beside its classes and instances; see docs/scale.md."""
KNOWN = ("key", "split", "fold", IMAGE)
"""Tables that follow from the names of the masks, which are all known."""
_NO_DIGEST = "0" * 64


class TargetEstimate(msgspec.Struct, frozen=True):
    """One array of the store: its type, its shards, those that the run would write, and the bytes of all of them."""

    name: str
    dtype: str
    shards: int
    shards_to_write: int
    bytes: int


class Stored(NamedTuple):
    """Contents of the complete store: each array; bytes of all else; and number of objects of arrays, and of all else."""

    targets: list[TargetEstimate]
    other_bytes: int
    array_objects: int
    other_objects: int


class Need(NamedTuple):
    """Memory of each job; memory in bytes of the largest process and of all; seconds after the masks were found; CPU."""

    jobs: list[JobMemory]
    largest: int
    of_all: int
    seconds: float
    cpu: float


def need_of(
    watch: Stopwatch, read: Read, works: Sequence[Work], costs: Costs, processes: int, other_objects: int
) -> Need:
    """Memory and time of a run that writes the shards which are lacking, and as many other objects."""
    stats, refs, loaded, packs = read.found.stats, read.found.masks.refs, read.found.loaded(), read.packs
    todo = [work for work in works if work[1] and work[0].filled]
    jobs = [memory_of(items, shard.filled, refs, loaded, read.rules.instances) for shard, items, _ in todo]
    chunks = [sum(shard_bytes(costs, shard, item) for item in items) for shard, items, _ in todo]
    cached = cached_of_slides(todo, refs, read.rules.instances)
    of_job = max(
        (memory.needed + round(2 * size) + kept for memory, size, kept in zip(jobs, chunks, cached, strict=True)),
        default=0,
    )
    masks = len(stats if read.found.sources is None else read.found.sources)
    kept = min(MOST_KEPT, masks * sum(packs) // len(packs)) if packs else 0
    of_parent = kept + sum(MASK_BYTES + len(each.class_counts) + len(each.instance_rows) for each in stats)
    if isinstance(watch.executor, InProcess):
        largest = of_all = max(resident(), watch.resident) + of_parent + of_job
    else:
        largest = max(resident() + of_parent, watch.resident + of_job)
        of_all = resident() + of_parent + processes * (watch.resident + of_job)
    cores = min(processes, core_count())
    writing = [
        (
            costs.time_of_job([mask for shard, *_ in job for mask in shard.filled], refs),
            sum(PUT_SECONDS * -(-2 * len(items) // PUT_THREADS) for _, items, _ in job),
        )
        for job in in_jobs(todo, refs, processes)
    ]
    ours = MASK_SECONDS * len(stats) + PUT_SECONDS * other_objects / PUT_THREADS
    seconds = (
        watch.start_seconds
        + makespan(read.scan_seconds, cores)
        + makespan([time.seconds + put for time, put in writing], cores)
        + ours
    )
    cpu = read.scan_cpu + sum(time.cpu for time, _ in writing)
    busy = min(processes, max(1, len(writing), len(read.scan_seconds)))
    cpu += busy * watch.start_cpu + MASK_SECONDS * len(stats) + SHARD_SECONDS * len(todo)
    return Need(jobs, largest, of_all, seconds, cpu)


def cached_of_slides(works: Sequence[Work], refs: Sequence[MaskRef], instances: InstanceRule) -> list[int]:
    """Bytes of decoded parts of a slide that a job keeps at most, for each shard."""
    found = []
    with ExitStack() as stack:
        slides = dict[str, Slide]()
        for shard, items, _ in works:
            windows, reach = dict[str, list[Window]](), reach_of_all(items) + (instances.separate != 0)
            for ref in (refs[mask] for mask in shard.filled):
                if isinstance(ref, TileRef) and ref.slide is not None:
                    if ref.source.key not in slides:
                        slides[ref.source.key] = stack.enter_context(closing(open_slide(ref.source)))
                    windows.setdefault(ref.source.key, []).append(ref.window.grown(reach, ref.shape))
            found.append(max((slides[key].cached(own) for key, own in windows.items()), default=0))
    return found


def stored(root: AnyPath | None, plan: Plan, read: Read, works: Sequence[Work], costs: Costs) -> Stored:
    """Contents of the store once all is written; `root` is the store if some of it is kept."""
    sizes: dict[str, list[float]] = {info.name: [] for info in plan.info.targets}
    written: dict[str, list[int]] = {info.name: [] for info in plan.info.targets}
    records = 0
    for shard, lacking, has in works:
        for item in lacking:
            sizes[item.name].append(size := shard_bytes(costs, shard, item))
            records += _record_bytes(round(size), item.fingerprint)
        for item in has:
            there, record = (((root or Path()) / path).stat().st_size for path in (item.path, item.record_path))
            written[item.name].append(there)
            records += record
    targets = [
        TargetEstimate(
            name=info.name,
            dtype=info.dtype,
            shards=len(sizes[info.name]) + len(written[info.name]),
            shards_to_write=len(sizes[info.name]),
            bytes=sum(written[info.name]) + round(sum(sizes[info.name])),
        )
        for info in plan.info.targets
    ]
    size, objects = _metadata(root, plan, read.real)
    return Stored(targets, size + records, 2 * sum(target.shards for target in targets), objects)


def shard_bytes(costs: Costs, shard: Shard, item: TargetShard) -> float:
    """Bytes of one shard of a target, of which its store has none."""
    masks = shard.masks[item.start : item.start + item.rows]
    return sum(costs.bytes_of(mask, item.name) for mask in masks if mask != HOLE) + _index_bytes(item.spec)


@lru_cache(maxsize=256)
def _index_bytes(spec: ArraySpec) -> int:
    """Bytes of a shard beside its chunks."""
    return len(encode_shard(spec.form, {}))


def _record_bytes(size: int, fingerprint: str) -> int:
    """Bytes of the record of a shard."""
    return len(msgspec.json.encode(Record(size, _NO_DIGEST, fingerprint)))


def _metadata(root: AnyPath | None, plan: Plan, real: Sequence[int]) -> tuple[int, int]:
    """Bytes and number of all metadata and tables, of which those of the masks in `real` are encoded."""
    tables, masks, info = plan.tables, plan.info.masks, plan.info
    assert isinstance(tables, MadeTables)  # noqa: S101 - for the type checker
    part = tables if len(real) == masks else tables.of(real)
    objects = made_objects(root or Path(), info, plan.layout, plan.targets, part)
    of_instances = info.instances / max(1, len(part["instances/mask"]))
    size = count = 0
    for path, data in objects.items():
        name, chunk, _ = path.partition("/c/")
        if not chunk or part is tables:
            size, count = size + len(data), count + 1
            continue
        is_mask = not name.startswith("instances/")
        rows = masks if is_mask else info.instances
        size += 0 if name in KNOWN else round(len(data) * (masks / len(real) if is_mask else of_instances))
        count += max(1, math.ceil(rows / TABLE_CHUNK))
    for name in KNOWN if part is not tables else ():
        if name in tables:
            size += sum(len(data) for path, data in encode_table(name, tables[name]).items() if "/c/" in path)
    return size, count
