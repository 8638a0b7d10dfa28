"""Proving that a store is whole, or saying what of it is not.

Metadata, tables and records are small: their checksums are always asked for. Of shards that is their size alone, which
finds all that is missing or cut short; a deep pass reads and decodes every one.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, IntegrityError, OptionError
from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import MaskRef
from segprep.paths.anypath import AnyPath
from segprep.readers import MaskSet, ReadOptions, find
from segprep.runs.audit import Finding, StoreState, ask, bytes_of, fault_of, inspect_store, size_fault
from segprep.store.dataset import Dataset
from segprep.store.layout import Shard
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import Record, StoreInfo, decode_record, stored_target
from segprep.store.shards import ArraySpec, are_written, array_spec, decode_shard, record_name, shard_name
from segprep.store.tables import read_table
from segprep.targets import Target
from segprep.targets.target import MaskFacts, check
from segprep.workers.jobs import Executor, Job, Progress, Workers, no_progress, open_executor, run_jobs

SAMPLE = 16
"""How many masks are computed again unless told otherwise."""


class VerifyReport(msgspec.Struct, frozen=True):
    """What was looked at, in numbers, and what is damaged; `mended` was, before a repair."""

    store: str
    shards: int
    objects: int
    bytes: int
    compared: int
    findings: tuple[Finding, ...]
    mended: tuple[Finding, ...] = ()


class TargetShard(NamedTuple):
    """One shard of one target.

    Attributes
    ----------
    target : Target
        As it was bound.
    spec : ArraySpec
        Its array.
    number, rows : int
        Number of the shard in the array, and rows of it that hold masks.
    fingerprint : str
        That its record must have.
    """

    target: Target
    spec: ArraySpec
    number: int
    rows: int
    fingerprint: str

    @property
    def path(self) -> str:
        """Where it lies in the store."""
        return f"{self.spec.path}/{shard_name(self.spec, self.number)}"

    @property
    def record(self) -> str:
        """Where its record lies in the store."""
        return f"{self.spec.path}/{record_name(self.number)}"


def verify(
    store: str | os.PathLike[str] | AnyPath,
    *,
    deep: bool = False,
    against: str | os.PathLike[str] | AnyPath | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    incomplete: bool = False,
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Find all damage of a store.

    Parameters
    ----------
    store : path
        The store.
    deep : bool
        Whether to read and decode every shard: finds also damage that leaves its size as it is, and values that make no
        sense.
    against : path or None
        The data set that the store was made from; some masks are computed again and compared exactly.
    sample, seed : int
        How many masks, and which.
    incomplete : bool
        Whether what an incomplete store lacks is damage; otherwise such a store is refused.
    workers, progress
        As in `segprep.preprocess`.

    Raises
    ------
    IntegrityError
        Where there is no store, or it is incomplete.
    InputError
        Where the data set lacks a mask of the store.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from segprep import preprocess
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> (folder / "out.zarr" / "1x5" / "labels" / "c" / "0" / "0" / "0").unlink()
    >>> verify(folder / "out.zarr").findings
    (Finding(path='1x5/labels/c/0/0/0', what='is missing', masks='cells.png'),)
    """
    if sample < 1:
        raise OptionError(f"--sample {sample}: must be at least 1")
    workers = Workers.of(workers)
    root = workers.place(store)
    known = inspect_store(root)
    if known.info.status != "complete" and not incomplete:
        raise IntegrityError(_incomplete(root, known))
    source = None if against is None else workers.place(against)
    chosen = _chosen(root, known, source, sample, seed)
    with open_executor(workers if deep or chosen else Workers(processes=1), known.info.masks) as executor:
        findings = [*known.findings, *_shard_findings(executor, root, known, progress, deep=deep)]
        findings += _differing(executor, root, known, chosen)
    return VerifyReport(
        store=str(store),
        shards=sum(len(parts_of(known, shard)) for shard in known.layout.shards()),
        objects=known.objects,
        bytes=bytes_on_disk(root),
        compared=len(chosen),
        findings=tuple(dict.fromkeys(findings)),
    )


def _incomplete(root: AnyPath, known: StoreState) -> str:
    """What there is to say of an incomplete store."""
    parts = [part for shard in known.layout.shards() for part in parts_of(known, shard)]
    missing = are_written(root, [(part.spec, part.number, part.fingerprint) for part in parts]).count(False)
    return (
        f"{root}: is incomplete: {missing} of {len(parts)} shards are missing; "
        "the same segprep weights command goes on where it was"
    )


def parts_of(known: StoreState, shard: Shard) -> list[TargetShard]:
    """The shard of every target."""
    bucket = known.layout.buckets[shard.bucket]
    targets = [(stored_target(each), each.fingerprint) for each in known.info.targets]
    return [
        TargetShard(target, array_spec(bucket, target), shard.number, len(shard.masks), fingerprint)
        for target, fingerprint in targets
    ]


def _shard_findings(
    executor: Executor, root: AnyPath, known: StoreState, progress: Progress, *, deep: bool
) -> list[Finding]:
    """Damage of all shards and their records."""
    shards = list(known.layout.shards())
    truths = _truths(root, known) if deep else None
    jobs = [
        Job(
            f"verification of shard {shard.number} of {known.layout.buckets[shard.bucket].name}",
            _check_shard,
            (root, parts_of(known, shard), None if truths is None else [truths[mask] for mask in shard.masks], deep),
        )
        for shard in shards
    ]
    found: list[list[Finding]] = [[] for _ in jobs]
    done = 0
    for index, problems in run_jobs(executor, jobs):
        masks = _names(known, shards[index])
        found[index] = [Finding(path, what, masks) for path, what in problems]
        done += len(shards[index].masks)
        progress("verify", done, known.info.masks)
    return [finding for each in found for finding in each]


def _names(known: StoreState, shard: Shard) -> str:
    """First and last mask of a shard."""
    first, last = shard.masks[0], shard.masks[-1]
    if known.keys is None:
        return f"row {first}" if first == last else f"rows {first} to {last}"
    return known.keys[first] if first == last else f"{known.keys[first]} to {known.keys[last]}"


def _truths(root: AnyPath, known: StoreState) -> list[MaskFacts] | None:
    """What the tables say of each mask; None where they are damaged."""
    names = ("height", "width", "instance_count", "instances/area", "instances/run_count")
    if known.keys is None or not known.intact.issuperset(names):
        return None
    heights, widths, counts, areas, runs = (read_table(root, name).astype(np.int64) for name in names)
    stops = np.cumsum(counts)
    return [
        MaskFacts(
            key,
            (int(height), int(width)),
            areas[stop - count : stop],
            runs[stop - count : stop],
            len(known.info.classes),
        )
        for key, height, width, count, stop in zip(known.keys, heights, widths, counts, stops, strict=True)
    ]


def _check_shard(
    root: AnyPath, parts: Sequence[TargetShard], truths: Sequence[MaskFacts] | None, deep: bool
) -> list[tuple[str, str]]:
    """Paths of what is damaged of a shard of all targets, and what is wrong."""
    return [problem for part in parts if (problem := _part_fault(root, part, truths, deep))]


def _part_fault(
    root: AnyPath, part: TargetShard, truths: Sequence[MaskFacts] | None, deep: bool
) -> tuple[str, str] | None:
    """Path and problem of a shard of one target, or of its record."""
    written = bytes_of(root / part.record)
    if isinstance(written, str):
        return part.record, written
    record = decode_record(written)
    if record is None:
        return part.record, "is damaged"
    if record.fingerprint != part.fingerprint:
        return part.record, "is of a run with other settings"
    problem = _shard_fault(root / part.path, record, part, truths) if deep else _known_size(root / part.path, record)
    return None if problem is None else (part.path, problem)


def _known_size(path: AnyPath, record: Record) -> str | None:
    """What is wrong with a shard, by its size alone."""
    found = ask(lambda: path.stat().st_size)
    return found if isinstance(found, str) else size_fault(found, record.bytes)


def _shard_fault(path: AnyPath, record: Record, part: TargetShard, truths: Sequence[MaskFacts] | None) -> str | None:
    """What is wrong with a shard, by its bytes, and then by the values in them."""
    data = bytes_of(path)
    if isinstance(data, str):
        return data
    return fault_of(data, record) or _decoded_fault(data, part, truths)


def _decoded_fault(data: bytes, part: TargetShard, truths: Sequence[MaskFacts] | None) -> str | None:
    """What is wrong with the values of a shard; truths are None where the tables are damaged."""
    try:
        rows = decode_shard(part.spec, part.rows, data)
    except IntegrityError as error:
        return str(error)
    for row, truth in zip(rows, truths or (), strict=False):
        if problem := check(part.target, row, truth):
            return f"{truth.key}: {problem}"
    return None


def find_masks_again(data: AnyPath, info: StoreInfo) -> MaskSet:
    """MaskSet of a data set, read as those of a store were."""
    values = "instances" if info.instance_rule.get("instances_from") == "as-is" else "classes"
    options = msgspec.convert({"values": values} | info.reading, type=ReadOptions)
    return find(data, format=info.source_format, options=options)


def _chosen(
    root: AnyPath, known: StoreState, source: AnyPath | None, sample: int, seed: int
) -> list[tuple[int, MaskRef]]:
    """MaskSet to compute again; none where the tables are damaged, since it is not known then where they lie."""
    if source is None or known.keys is None or not known.intact.issuperset(("height", "width")):
        return []
    refs = {ref.key: ref for ref in find_masks_again(source, known.info).refs}
    lost = next((key for key in known.keys if key not in refs), None)
    if lost is not None:
        raise InputError(f"{source}: has no mask {lost!r}, which {root} holds; give the data that it was made from")
    count = min(sample, len(known.keys))
    picked = sorted(np.random.default_rng(seed).choice(len(known.keys), count, replace=False).tolist())
    return [(mask, refs[known.keys[mask]]) for mask in picked]


def _differing(
    executor: Executor, root: AnyPath, known: StoreState, chosen: Sequence[tuple[int, MaskRef]]
) -> list[Finding]:
    """Arrays of the chosen masks that are not what is computed from the input."""
    rule = msgspec.convert(known.info.instance_rule, type=InstanceRule)
    dataset = Dataset(root, known.info, np.arange(known.info.masks))
    shard_of = {mask: shard for shard in known.layout.shards() for mask in shard.masks}
    jobs = [
        Job(f"comparison of {ref.key}", _compare, (dataset, mask, ref, rule, parts_of(known, shard_of[mask])))
        for mask, ref in chosen
    ]
    found: list[list[Finding]] = [[] for _ in jobs]
    for index, problems in run_jobs(executor, jobs):
        key = chosen[index][1].key
        found[index] = [
            Finding(path, f"{key}: {what}", _names(known, shard_of[chosen[index][0]])) for path, what in problems
        ]
    return [finding for each in found for finding in each]


def _compare(
    dataset: Dataset, index: int, ref: MaskRef, rule: InstanceRule, parts: Sequence[TargetShard]
) -> list[tuple[str, str]]:
    """Paths of the shards whose array of a mask is another, and in how many pixels."""
    _, mask = load_mask(ref, rule)
    problems = []
    for part in parts:
        expected = part.target.compute(mask)
        try:
            problem = _difference(dataset.array(index, part.target.name), expected)
        except IntegrityError as error:
            problem = str(error)
        if problem:
            problems.append((part.path, problem))
    return problems


def _difference(stored: NDArray[Any], expected: NDArray[Any]) -> str | None:
    """How an array differs from the expected one."""
    if stored.shape != expected.shape:
        return f"has shape {stored.shape}, and computed again {expected.shape}"
    count = int(np.count_nonzero(stored != expected))
    return f"differs from the input in {count:,} of {stored.size:,} values" if count else None
