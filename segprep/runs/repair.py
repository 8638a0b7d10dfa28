"""Restoring a damaged store from the data set that it was made from."""

import os

import msgspec

from segprep.errors import InputError, IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import exists
from segprep.paths.lock import write_lock
from segprep.runs.audit import Finding, StoreState, Targets, read_state
from segprep.runs.plan import Plan, plan
from segprep.runs.scan import Scan, require_readable, scan
from segprep.runs.verify import VerifyReport, check_state, find_masks_again, verify
from segprep.runs.write import WriteTask, write
from segprep.store.metadata import MANIFEST, ROOT_COPY, read_info
from segprep.store.schema import decode_manifest, target_info
from segprep.store.shards import drop_record
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor

OTHER = "was written again, but not as before: by another zarr-python, or with another file of splits"


def repair(
    store: str | os.PathLike[str] | AnyPath,
    data: str | os.PathLike[str] | AnyPath,
    *,
    targets: Targets = (),
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
) -> VerifyReport:
    """Find all damage of a store, and rewrite what is damaged.

    The store is then, to the byte, what it was before the damage. Intact shards are kept; metadata, tables and their
    checksums are all written again. An incomplete store, such as an interrupted repair leaves, is completed.

    Parameters
    ----------
    store : path
        The store.
    data : path
        The data set that it was made from.
    targets : iterable of target classes
        Those of the store's targets that are not part of segprep.
    workers, progress
        As in `segprep.preprocess`.

    Returns
    -------
    VerifyReport
        Damage that is left, and damage that was repaired.

    Raises
    ------
    InputError
        If the store was made from another data set; nothing is changed then.
    IntegrityError
        If there is no store, or this version of segprep computes other values.
    """
    workers = Workers.of(workers)
    root, source = workers.place(store), workers.place(data)
    if not exists(source):
        raise InputError(f"{source}: no such file or folder")
    if not exists(root / ROOT_COPY):
        read_info(root)  # raises where there is no store, before a lock is put there
    with write_lock(root):
        state = read_state(root, targets)
        damaged = check_state(state, deep=True, workers=workers, progress=progress)
        if not damaged.findings:
            return damaged
        other = _rewrite(state, source, damaged.findings, workers, progress)
    after = verify(store, deep=True, targets=targets, workers=workers, progress=progress)
    return msgspec.structs.replace(after, findings=after.findings + other, repaired=damaged.findings)


def _rewrite(
    state: StoreState, source: AnyPath, damage: tuple[Finding, ...], workers: Workers, progress: Progress
) -> tuple[Finding, ...]:
    """Rewrite what is damaged, and find the metadata and tables that are then not as before."""
    masks = find_masks_again(source, state.info)
    with open_executor(workers, len(masks.refs)) as executor:
        rule = state.info.instance_rule
        scanned = require_readable(scan(executor, masks, rule, progress), "skip-mask")
        again = _plan_again(state, source, scanned)
        paths = {finding.path for finding in damage}
        layout, _ = state.places()
        for item in (item for shard in layout.shards() for item in state.shards(layout, shard)):
            if paths & {item.path, item.record_path}:
                drop_record(state.root, item)
        write(executor, WriteTask(state.root, scanned.masks.refs, rule, again, digests=scanned.digests), progress, None)
    if MANIFEST in paths:
        return ()
    now = decode_manifest((state.root / MANIFEST).read_bytes())
    return tuple(Finding(path, OTHER) for path, entry in now.items() if state.manifest.get(path, entry) != entry)


def _plan_again(state: StoreState, source: AnyPath, scanned: Scan) -> Plan:
    """Plan of the run that made the store."""
    info, targets = state.info, state.bound()
    if scanned.input() != info.input:
        raise InputError(f"{source}: is not the data set of {state.root}: its masks differ; nothing was repaired")
    again = plan(
        info.source,
        scanned,
        targets=(),
        instances=info.instance_rule,
        split=info.split_rule,
        data=source,
        canvas=(info.buckets[0].height, info.buckets[0].width) if len(info.buckets) == 1 else None,
        kept=state.splits(),
    )
    for target, stored in zip(targets, info.targets, strict=True):
        if target_info(target, again.layout, info.instance_rule, info.input).fingerprint != stored.fingerprint:
            raise IntegrityError(
                f"{state.root}: was written by segprep {info.segprep}, and this version computes other values of "
                f"{target.name}: make the store again"
            )
    return Plan(msgspec.structs.replace(info, status="incomplete"), again.layout, targets, again.tables)
