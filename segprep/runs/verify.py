"""Checking a store for damage.

Metadata, tables and records are small: their checksums are always checked. Of shards that is only the size, which finds
everything that is missing or cut short; a deep check reads and decodes every shard.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, IntegrityError, OptionError, some
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef
from segprep.masks.regions import RegionRule
from segprep.paths.anypath import AnyPath
from segprep.readers import READERS, MaskSet, Reader, find
from segprep.runs.audit import Finding, StoreState, Targets, answer_of, bytes_of, problem_of, read_state, size_problem
from segprep.runs.regions import found_again, with_class_of, with_regions
from segprep.runs.scan import OWN_REFS, Source, chosen_data, masks_of
from segprep.runs.settings import Data, Rules, typed_value
from segprep.runs.tiled import tile_refs
from segprep.store.dataset import Dataset
from segprep.store.layout import HOLE, Shard
from segprep.store.metadata import bytes_on_disk
from segprep.store.schema import Record, decode_exactly
from segprep.store.shards import TargetShard, are_written, decode_shard
from segprep.store.tables import TILE_TABLES
from segprep.targets.parts import Loader
from segprep.targets.target import MaskFacts, check, largest_reach
from segprep.workers.jobs import Executor, Job, Progress, Workers, no_progress, open_executor, run_jobs


class VerifyReport(msgspec.Struct, frozen=True):
    """Numbers of the objects that were checked, and the damage; `repaired` lists that of before a repair.

    `unchecked` names the targets whose values were not checked, because their classes were not given.
    """

    store: str
    shards: int
    objects: int
    bytes: int
    compared: int
    findings: tuple[Finding, ...]
    repaired: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()

    def __repr__(self) -> str:
        damage = some([finding.path for finding in self.findings], most=3)
        found = f"damaged: {damage}" if damage else "no damage"
        return f"<VerifyReport of {self.store!r}: {self.shards} shards, {self.objects} objects; {found}>"


class _Again(NamedTuple):
    """A mask to compute again: its index, ref and digest, and the shards that hold it, with the names of their masks."""

    mask: int
    ref: MaskRef
    digest: bytes | None
    shards: list[TargetShard]
    masks: str


def verify(  # noqa: PLR0913 - keywords
    store: str | os.PathLike[str] | AnyPath,
    *,
    deep: bool = False,
    against: Data | None = None,
    format: str | Reader | None = None,  # noqa: A002 - as in preprocess
    sample: int = 16,
    seed: int = 0,
    targets: Targets = (),
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Find all damage of a store.

    Parameters
    ----------
    store : path
        The store.
    deep : bool
        Read and decode every shard: finds also damage that keeps the size, and values out of their range.
    against : path, sequence of MaskRef, or None
        The data set or the refs that the store was made from; some masks are computed again and compared exactly.
    format : str or Reader, optional
        Reader of `against`; by default the one that read the data for the store.
    sample, seed : int
        Number of these masks, and random seed of their choice.
    targets : iterable of target classes
        Those of the store's targets that are not part of segprep. Without its class, only the bytes of a target are checked,
        and `VerifyReport.unchecked` names it.
    workers, progress
        As in `segprep.preprocess`.

    Raises
    ------
    IntegrityError
        If there is no store, or it is incomplete.
    InputError
        If the data set lacks a mask of the store, or has changed since the store was made.

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
    deep = typed_value("deep", deep, bool)
    sample, seed = typed_value("sample", sample, int), typed_value("seed", seed, int)
    for name, value, least in (("seed", seed, 0), ("sample", sample, 1)):
        if value < least:
            raise OptionError(f"{name}={value}: must be at least {least}")
    workers = Workers.of(workers)
    root = workers.place(store)
    state = read_state(root, targets)
    if state.info.status != "complete":
        layout, _ = state.places()
        shards = [item for shard in layout.shards() for item in state.shards(layout, shard)]
        missing = are_written(root, shards).count(False)
        state_of_shards = f"{missing} of {len(shards)} shards are missing" if missing else "all shards are written"
        raise IntegrityError(
            f"{root}: is incomplete: {state_of_shards}; rerun the command that writes it, without a part, to complete it"
        )
    again: list[_Again] = []
    if against is not None:
        source = chosen_data(against, workers, "against")
        again = _sampled(state, source, find_masks_again(state, source, format), sample, seed)
    return check_state(state, deep=deep, again=again, workers=workers, progress=progress)


def check_state(
    state: StoreState, *, deep: bool, again: Sequence[_Again] = (), workers: Workers, progress: Progress
) -> VerifyReport:
    """Report on a store, which may be incomplete, as `verify` gives it."""
    layout, keys = state.places()
    shards = list(layout.shards())
    shards_of = [state.shards(layout, shard) for shard in shards]
    facts = _facts(state, keys) if deep else None
    with open_executor(workers if deep or again else Workers(processes=1), state.info.masks) as executor:
        jobs = [
            Job(
                f"verification of shard {shard.number} of {layout.buckets[shard.bucket].name}",
                _check_shards,
                (
                    state.root,
                    items,
                    None if facts is None else [None if mask == HOLE else facts[mask] for mask in shard.masks],
                    deep,
                ),
            )
            for shard, items in zip(shards, shards_of, strict=True)
        ]
        of_shards: list[list[Finding]] = [[] for _ in shards]
        done = 0
        progress("verify", done, state.info.masks)
        for index, problems in run_jobs(executor, jobs):
            masks = _names(keys, shards[index])
            of_shards[index] = [Finding(path, problem, masks) for path, problem in problems]
            done += len(shards[index].filled)
            progress("verify", done, state.info.masks)
        compared = _compared(executor, state, again, progress)
    findings = [*state.findings, *chain.from_iterable(of_shards), *compared]
    return VerifyReport(
        store=str(state.root),
        shards=sum(map(len, shards_of)),
        objects=state.objects,
        bytes=bytes_on_disk(state.root),
        compared=len(again),
        findings=tuple(dict.fromkeys(findings)),
        unchecked=tuple(state.unknown) if deep or again else (),
    )


def _names(keys: Sequence[str] | None, shard: Shard) -> str:
    """First and last mask of a shard."""
    masks = shard.filled if keys is not None else shard.masks
    if not masks:
        return "no mask"
    first, last = masks[0], masks[-1]
    if keys is None:
        return f"row {first}" if first == last else f"rows {first} to {last}"
    return keys[first] if first == last else f"{keys[first]} to {keys[last]}"


def _facts(state: StoreState, keys: Sequence[str] | None) -> list[MaskFacts] | None:
    """Facts about each mask from the tables; None if these are damaged."""
    names = ("height", "width", "instance_count", "instances/area", "instances/run_count")
    sides = ("source_height", "source_width") if state.info.tiling else ("height", "width")
    if keys is None or not state.is_intact(*names, *sides):
        return None
    heights, widths, counts, areas, runs = (state.table(name).astype(np.int64) for name in names)
    stops = np.cumsum(counts)
    n_classes = len(state.info.classes)
    sources = zip(*(state.table(name).tolist() for name in sides), strict=True)
    return [
        MaskFacts(
            key, (int(height), int(width)), areas[stop - count : stop], runs[stop - count : stop], n_classes, source
        )
        for key, height, width, count, stop, source in zip(keys, heights, widths, counts, stops, sources, strict=True)
    ]


def _check_shards(
    root: AnyPath, shards: Sequence[TargetShard], facts: Sequence[MaskFacts | None] | None, deep: bool
) -> list[tuple[str, str]]:
    """Path and problem of each damaged shard or record; values are not checked if `facts` is None."""
    problems = []
    for shard in shards:
        written = bytes_of(root / shard.record_path)
        record = decode_exactly(written, Record) if isinstance(written, bytes) else None
        if isinstance(written, str):
            problems.append((shard.record_path, written))
        elif record is None:
            problems.append((shard.record_path, "is damaged"))
        elif shard.fingerprint not in ("", record.fingerprint):
            problems.append((shard.record_path, "is from a run with other settings"))
        elif problem := _shard_problem(root, shard, record, (facts or ())[shard.start :], deep):
            problems.append((shard.path, problem))
    return problems


def _shard_problem(
    root: AnyPath, shard: TargetShard, record: Record, facts: Sequence[MaskFacts | None], deep: bool
) -> str | None:
    """Damage of a shard, by its size; if `deep`, by its bytes, or the first value out of its range."""
    if not deep:
        size = answer_of(lambda: (root / shard.path).stat().st_size)
        return size if isinstance(size, str) else size_problem(size, record.bytes)
    data = bytes_of(root / shard.path)
    if problem := problem_of(data, record):
        return problem
    assert isinstance(data, bytes)  # noqa: S101 - otherwise it is the problem
    try:
        rows = decode_shard(shard.spec, shard.rows, data)
    except IntegrityError as error:
        return str(error)
    for row, mask in zip(rows, facts, strict=False):
        if shard.target is not None and mask is not None and (problem := check(shard.target, row, mask)):
            return f"{mask.key}: {problem}"
    return None


def find_masks_again(state: StoreState, data: Source, form: str | Reader | None) -> MaskSet:
    """Masks of a data set, to be read as those of a store were."""
    info, regions = state.info, state.info.regions or RegionRule()
    regions = found_again(regions, state.root, *([] if isinstance(data, tuple) else [data]))
    if isinstance(data, tuple):
        masks = masks_of(data, Rules(regions=regions), with_class_of(info.class_table, regions))
        return replace(masks, regions=info.regions)
    if form is None and info.source_format not in READERS:
        raise OptionError(
            f"{state.root}: was made from {info.source_format!r}, which segprep does not read: in Python, give the refs that "
            "it was made from, or their Reader as format"
        )
    masks = find(data, format=form or info.source_format, options=info.reading)
    return replace(with_regions(masks, regions, info.reading), regions=info.regions)


def source_name(data: Source) -> str:
    """Path of a data set, or "refs", for messages."""
    return OWN_REFS if isinstance(data, tuple) else str(data)


def _sampled(state: StoreState, source: Source, masks: MaskSet, sample: int, seed: int) -> list[_Again]:
    """Masks to compute again; none if the tables that say where they lie are damaged."""
    layout, keys = state.places()
    if keys is None or not state.is_intact("height", "width", *(TILE_TABLES if state.info.tiling else ())):
        return []
    refs: dict[str, MaskRef] = {ref.key: ref for ref in masks.refs}
    if state.info.tiling is not None:
        refs = {**tile_refs(state, masks, state.info.tiling)}
    lost = next((key for key in keys if key not in refs), None)
    if lost is not None:
        raise InputError(
            f"{source_name(source)}: has no mask {lost!r}, but {state.root} has; give the data set that it was made from"
        )
    digests = state.table("digest") if state.is_intact("digest") else None
    shard_of = {mask: shard for shard in layout.shards() for mask in shard.filled}
    picked = np.random.default_rng(seed).choice(len(keys), min(sample, len(keys)), replace=False)
    again = []
    for mask in sorted(picked.tolist()):
        shard, digest = shard_of[mask], None if digests is None else bytes(digests[mask])
        shards = [item for item in state.shards(layout, shard) if item.has(shard.masks.index(mask))]
        again.append(_Again(mask, refs[keys[mask]], digest, shards, _names(keys, shard)))
    return again


def _compared(executor: Executor, state: StoreState, again: Sequence[_Again], progress: Progress) -> list[Finding]:
    """Differences between the store and masks that are computed again."""
    dataset = Dataset(state.root, state.info, incomplete=True, dtype="stored")
    jobs = [Job(f"comparison of {mask.ref.key}", _compare, (dataset, mask, state.info.instance_rule)) for mask in again]
    problems: dict[int, list[tuple[str, str]] | None] = {}
    if jobs:
        progress("compare", 0, len(jobs))
    for index, differences in run_jobs(executor, jobs):
        problems[index] = differences
        progress("compare", len(problems), len(jobs))
    changed = [mask.ref.key for index, mask in enumerate(again) if problems[index] is None]
    if changed:
        raise InputError(
            f"the data have changed since {state.root} was made, so they cannot show damage: {len(changed)} of {len(again)} "
            f"masks that were compared differ ({some(changed, most=10)})"
        )
    return [
        Finding(path, f"{mask.ref.key}: {problem}", mask.masks)
        for index, mask in enumerate(again)
        for path, problem in problems[index] or ()
    ]


def _compare(dataset: Dataset, again: _Again, rule: InstanceRule) -> list[tuple[str, str]] | None:
    """Paths of the shards in which the arrays of a mask differ, and how; None if the mask itself has changed."""
    targets = [shard.target for shard in again.shards]
    reach = largest_reach(targets)
    mask = Loader(rule, len(dataset.info.classes), reach=reach).load(again.ref)
    if again.digest is not None and mask.digest != again.digest:
        return None
    differences = (
        (shard.path, _difference(dataset, again.mask, shard.target.name, mask.array(shard.target)))
        for shard in again.shards
        if shard.target is not None
    )
    return [(path, problem) for path, problem in differences if problem]


def _difference(dataset: Dataset, mask: int, target: str, expected: NDArray[Any]) -> str | None:
    """Difference between a stored array and the expected one."""
    try:
        stored = dataset.array(mask, target)
    except IntegrityError as error:
        return str(error)
    if stored.shape != expected.shape:
        return f"has shape {stored.shape} instead of {expected.shape}"
    count = int(np.count_nonzero(stored != expected))
    return f"differs from the input in {count:,} of {stored.size:,} values" if count else None
