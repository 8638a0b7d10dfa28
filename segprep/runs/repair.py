"""Making a damaged store whole again from the data set that it was made from."""

import os
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, IntegrityError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.runs.audit import Finding, StoreState, inspect_store
from segprep.runs.plan import Plan, plan
from segprep.runs.scan import Scan, require_readable, scan
from segprep.runs.verify import VerifyReport, find_masks_again, parts_of, verify
from segprep.runs.write import WriteTask, write
from segprep.store.metadata import MANIFEST
from segprep.store.schema import ManifestEntry, StoreInfo, decode_manifest, stored_target, target_info
from segprep.store.shards import drop_record
from segprep.store.tables import read_table
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor

SPLIT_TABLES = ("split", "fold")
"""Tables that cannot always be computed again."""
UNSPLIT = SplitRule((1.0, 0.0, 0.0))
"""Where the tables of the splits are whole, the rule is not asked: its file may be gone."""
OTHER = "was written anew, but not as it was: zarr-python, or a file with splits, is another than then"


def repair(
    store: str | os.PathLike[str] | AnyPath,
    data: str | os.PathLike[str] | AnyPath,
    *,
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Find all damage of a store, and write what is damaged anew.

    The store is then, to the byte, what it was before the damage. Shards that are whole stay as they are; metadata, tables
    and their checksums are all written again. A store that is incomplete, as a repair that was ended leaves it, is completed.

    Parameters
    ----------
    store : path
        The store.
    data : path
        The data set that it was made from.
    workers, progress
        As in `segprep.preprocess`.

    Returns
    -------
    VerifyReport
        What is damaged still, and what was mended.

    Raises
    ------
    InputError
        Where this is not the data set that the store was made from; nothing is changed then.
    IntegrityError
        Where there is no store, or this version of segprep computes something else.
    """
    workers = Workers.of(workers)
    damaged = verify(store, deep=True, incomplete=True, workers=workers, progress=progress)
    if not damaged.findings:
        return damaged
    root = workers.place(store)
    with write_lock(root):
        other = _mended(root, workers.place(data), damaged.findings, workers, progress)
    after = verify(store, deep=True, workers=workers, progress=progress)
    return msgspec.structs.replace(after, findings=after.findings + other, mended=damaged.findings)


def _mended(
    root: AnyPath, source: AnyPath, damage: tuple[Finding, ...], workers: Workers, progress: Progress
) -> tuple[Finding, ...]:
    """Write what is damaged anew; what is not as it was."""
    known = inspect_store(root)
    rule = msgspec.convert(known.info.instance_rule, type=InstanceRule)
    listed = {} if _is_unlisted(damage) else _listed(root)
    masks = find_masks_again(source, known.info)
    with open_executor(workers, len(masks.refs)) as executor:
        found = require_readable(scan(executor, masks, rule, progress), "skip-mask")
        made = _plan_again(root, source, known.info, found, damage)
        _drop_records(root, known, damage)
        write(executor, WriteTask(root, found.masks.refs, rule, made, digests=found.digests), progress, None)
    return tuple(Finding(path, OTHER) for path, record in _listed(root).items() if listed.get(path, record) != record)


def _is_unlisted(damage: tuple[Finding, ...]) -> bool:
    """Whether the list of metadata and tables is damaged, or of a run before that which was ended."""
    return any(each.path == MANIFEST for each in damage)


def _listed(root: AnyPath) -> dict[str, ManifestEntry]:
    """Records of metadata and tables; none where the list of them is damaged."""
    try:
        return decode_manifest((root / MANIFEST).read_bytes()) or {}
    except OSError:
        return {}


def _plan_again(root: AnyPath, source: AnyPath, info: StoreInfo, found: Scan, findings: tuple[Finding, ...]) -> Plan:
    """Plan of the run that made the store."""
    targets = tuple(map(stored_target, info.targets))
    rule = msgspec.convert(info.instance_rule, type=InstanceRule)
    if found.input() != info.input:
        raise InputError(f"{source}: is not what {root} was made from: its masks have changed; nothing was repaired")
    kept = _kept_tables(root, info, findings)
    made = plan(
        info.source,
        found,
        targets=(),
        instances=rule,
        split=UNSPLIT if len(kept) == len(SPLIT_TABLES) else msgspec.convert(info.split_rule, type=SplitRule),
        data=source,
        canvas=(info.buckets[0].height, info.buckets[0].width) if len(info.buckets) == 1 else None,
    )
    for target, stored in zip(targets, info.targets, strict=True):
        if target_info(target, made.layout, rule, info.input).fingerprint != stored.fingerprint:
            raise IntegrityError(
                f"{root}: segprep {info.segprep} wrote it, and this version computes {target.name} otherwise: make it anew"
            )
    return Plan(msgspec.structs.replace(info, status="incomplete"), made.layout, targets, {**made.tables, **kept})


def _kept_tables(root: AnyPath, info: StoreInfo, findings: tuple[Finding, ...]) -> dict[str, NDArray[Any]]:
    """Tables of the splits that are whole."""
    kept: dict[str, NDArray[Any]] = {}
    if info.status != "complete" and _is_unlisted(findings):  # they may be of another run
        return kept
    for name in SPLIT_TABLES:
        if any(each.path.startswith(f"{name}/") for each in findings):
            continue
        with suppress(IntegrityError):
            table = read_table(root, name)
            if table.shape == (info.masks,) and table.dtype == np.uint8:
                kept[name] = table
    return kept


def _drop_records(root: AnyPath, known: StoreState, findings: tuple[Finding, ...]) -> None:
    """Remove the records of all damaged shards, so that they count as missing."""
    paths = {each.path for each in findings}
    for shard in known.layout.shards():
        for part in parts_of(known, shard):
            if paths & {part.path, part.record}:
                drop_record(root, part.spec, part.number)
