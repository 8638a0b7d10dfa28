"""Restoring a damaged store from the data set that it was made from."""

import os

import msgspec

from segprep.errors import InputError, IntegrityError
from segprep.masks.tiles import Tiling
from segprep.paths.anypath import AnyPath
from segprep.paths.files import exists, no_such_path
from segprep.paths.lock import write_lock
from segprep.readers import MaskSet, Reader
from segprep.runs.audit import Finding, StoreState, Targets, needs_class, read_state
from segprep.runs.former import require_no_update
from segprep.runs.images import known_images, stored_images
from segprep.runs.plan import KnownImages, Plan, plan
from segprep.runs.scan import Scan, Source, chosen_data, require_readable, scan
from segprep.runs.settings import Data
from segprep.runs.slides import with_slides
from segprep.runs.tiled import in_tiles
from segprep.runs.verify import VerifyReport, check_state, find_masks_again, source_name, verify
from segprep.runs.write import WriteTask, write
from segprep.store.layout import Layout
from segprep.store.metadata import MANIFEST, ROOT_COPY, read_info
from segprep.store.schema import UPDATED, decode_manifest, target_info
from segprep.store.shards import drop_record
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor

OTHER = "was written again, but not as before: by another zarr-python, or with another file of splits"


def repair(
    store: str | os.PathLike[str] | AnyPath,
    data: Data,
    *,
    format: str | Reader | None = None,  # noqa: A002 - as in preprocess
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
    data : path or sequence of MaskRef
        The data set or the refs that it was made from.
    format : str or Reader, optional
        Reader of the data; by default the one that read it for the store.
    targets : iterable of target classes
        Those of the store's targets that are not part of segprep; needed where one of them is damaged.
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
    root, source = workers.place(store), chosen_data(data, workers)
    if not isinstance(source, tuple) and not exists(source):
        raise InputError(f"{source}: {no_such_path(source)}")
    if not exists(root / ROOT_COPY):
        read_info(root)  # raises where there is no store, before a lock is put there
    with write_lock(root):
        state = read_state(root, targets)
        require_no_update(root, state.info)
        damaged = check_state(state, deep=True, workers=workers, progress=progress)
        if not damaged.findings:
            return damaged
        masks = find_masks_again(state, source, format)
        other = _rewrite(state, source, masks, damaged.findings, workers, progress)
    after = verify(store, deep=True, targets=targets, workers=workers, progress=progress)
    return msgspec.structs.replace(after, findings=after.findings + other, repaired=damaged.findings)


def _rewrite(
    state: StoreState, source: Source, masks: MaskSet, damage: tuple[Finding, ...], workers: Workers, progress: Progress
) -> tuple[Finding, ...]:
    """Rewrite what is damaged, and find the metadata and tables that are then not as before."""
    with open_executor(workers, len(masks.refs)) as executor:
        rule = state.info.instance_rule
        tiling = state.info.tiling or Tiling()
        scanned = scan(executor, with_slides(masks, tiling), rule, progress, tiling=tiling)
        scanned = require_readable(scanned, "skip-mask")
        scanned = in_tiles(scanned, tiling)
        again = _plan_again(state, source, scanned, masks)
        paths = {finding.path for finding in damage}
        layout, _ = state.places()
        items = [item for shard in layout.shards() for item in state.shards(layout, shard)]
        damaged = [item for item in items if paths & {item.path, item.record_path}]
        for item in damaged:
            if item.target is None:
                raise needs_class(state.root, item.name)
        for item in damaged:
            drop_record(state.root, item)
        write(executor, WriteTask(state.root, scanned.refs(), rule, again, digests=scanned.digests), progress, None)
    if MANIFEST in paths:
        return ()
    now = decode_manifest((state.root / MANIFEST).read_bytes())
    return tuple(Finding(path, OTHER) for path, entry in now.items() if state.manifest.get(path, entry) != entry)


def _images_again(state: StoreState, source: Source, masks: MaskSet) -> KnownImages | None:
    """Images of the masks of a store, from its table or else from the data; None if it had none."""
    if state.info.images is None:
        return None
    if (stored := stored_images(state)) is not None:
        return stored
    if state.info.images.is_given:
        raise InputError(
            f"{state.root}: the table of images is damaged, and they are not in the data but in {state.info.images.folder!r}: "
            "run weights again with this folder as images, and then repair the rest"
        )
    return known_images(masks, None if isinstance(source, tuple) else source, state.info.source, None)


def _layout_again(state: StoreState) -> Layout | None:
    """Layout of a store that was updated, which no data set shows; None for any other."""
    if state.info.format != UPDATED:
        return None
    if state.placed is None:
        raise IntegrityError(
            f"{state.root}: the places of the masks are damaged, and so is their copy: make the store again"
        )
    return state.placed.layout(state.info.buckets)


def _plan_again(state: StoreState, source: Source, scanned: Scan, masks: MaskSet) -> Plan:
    """Plan of the run that made the store."""
    info, targets = state.info, state.targets
    state.require_carried()
    if scanned.input() != info.input:
        raise InputError(
            f"{source_name(source)}: is not the data set of {state.root}: its masks differ; nothing was repaired"
        )
    again = plan(
        info.source,
        scanned,
        targets=(),
        instances=info.instance_rule,
        split=info.split_rule,
        data=None if isinstance(source, tuple) else source,
        canvas=(info.buckets[0].height, info.buckets[0].width) if len(info.buckets) == 1 else None,
        kept=state.splits(),
        images=_images_again(state, source, masks),
        tiling=info.tiling,
        layout=_layout_again(state),
    )
    for target, stored in zip(targets, info.targets, strict=True):
        now = None if target is None else target_info(target, again.layout, info.instance_rule, info.input, info.format)
        if now is not None and now.fingerprint != stored.fingerprint:
            raise IntegrityError(
                f"{state.root}: was written by segprep {info.segprep}, and this version computes other values of "
                f"{stored.name}: make the store again"
            )
    return Plan(msgspec.structs.replace(info, status="incomplete"), again.layout, targets, again.tables)
