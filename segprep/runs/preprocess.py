"""Preprocessing of a data set: scan, plan, write."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from segprep.errors import OptionError, OutputError, SegprepError, SegprepWarning, some
from segprep.masks.instances import InstanceRule
from segprep.masks.stats import MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState, existing_state
from segprep.runs.changes import Diff, diff, kept_splits, with_stored_targets
from segprep.runs.foreground import scan_resolved, stored_rule
from segprep.runs.former import INTERRUPTED, Former, Reuse, followed_layout, former_of, given_images, unfinished_update
from segprep.runs.images import kept_images, known_images
from segprep.runs.journal import journal_name, open_journal
from segprep.runs.plan import Plan, doubts, plan
from segprep.runs.resume import covers_all_files, stat_fingerprint, stats_from_store
from segprep.runs.scan import OWN_REFS, Scan, chosen_data, masks_of
from segprep.runs.scan import Classes as ClassNames
from segprep.runs.settings import ALWAYS, Data, Rules, Settings, Split, Targets, run_rules, typed_value
from segprep.runs.unchanged import known_by_refs, ref_prints, ref_stamps, with_touching
from segprep.runs.update import Follow, planned_update
from segprep.runs.write import WriteTask, write
from segprep.store.layout import Layout, Part
from segprep.store.metadata import delete, open_existing, read_stamp
from segprep.store.schema import UPDATED, InputStamp, StoreInfo
from segprep.targets import TARGETS, Target
from segprep.workers.jobs import Progress, Stage, Workers, no_progress, open_executor


def preprocess(  # noqa: PLR0913 - keywords
    data: Data,
    store: str | os.PathLike[str] | AnyPath,
    *,
    targets: Targets = "weights,distance",
    split: Split = None,
    classes: ClassNames = None,
    workers: int | str | Workers | None = None,
    overwrite: bool = False,
    update: bool = False,
    keep_class_weights: bool = False,
    compact: bool = False,
    part: str | tuple[int, int] | None = None,
    reread: bool = False,
    images: str | os.PathLike[str] | AnyPath | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> StoreInfo:
    """Read all masks of a data set, compute their targets, and write them to a store.

    A store that has some of it already is continued: an interrupted run resumes, and further targets are added.

    Parameters
    ----------
    data : path or sequence of MaskRef
        COCO file, label image, or a folder of masks, see `segprep.readers`; or refs of your own, objects with ``key``,
        ``split`` and ``load``.
    store : path
        Store to write: a new one, or one of the same masks and settings.
    targets : str, Target, or sequence of these
        Arrays to compute besides labels and classes, which are always written: names such as ``"weights,distance"``, or
        objects such as ``Distance(dtype="float32")``. Settings apply to targets given by name.
    split : str, path, tuple of float, or SplitRule, optional
        Shares of train, val and test, such as ``(0.8, 0.1, 0.1)``, or a JSON or CSV file. By default the split of the data
        set itself, or all masks in train.
    classes : ClassTable or sequence of str, optional
        Classes of given refs; names of classes 1, 2, ....
    workers : int, str, or Workers, optional
        Number of processes, or address or file of a Dask scheduler. By default one process per core. The store is the
        same, byte for byte, whatever they are.
    overwrite : bool
        Replace a store made from other masks or with other settings; by default such a store is refused. What does not
        differ stays, and all targets of the store are kept: for other masks, they are computed again. Only a segprep store
        is ever replaced.
    update : bool
        Follow the data: compute masks that are new or have changed, and leave out those that are gone; by default a store of
        other masks is refused, with the changes and what the update would cost. All other masks, and all settings, stay.
    keep_class_weights : bool
        In an update, keep the class weights that the target ``weights`` has; by default they are fitted to the new train
        split, and where they differ, all weights are computed again.
    compact : bool
        In an update, also fill the rows of masks that are gone, which otherwise stay in the arrays, unseen by readers.
    part : str or (int, int), optional
        Write one part of the shards, ``"2/8"`` or ``(2, 8)``, in one of several runs side by side. When all have ended, a
        run without it completes the store.
    reread : bool
        Load every mask even if no file of the input has a new name, size or time. Only this detects a file that was edited
        in place without a change of size or time.
    images : path, optional
        Folder of the images that the masks belong to, matched by name; by default they are looked up in the data. Their
        paths are stored, for `Dataset.image`.
    progress : Progress
        Called with the stage of the run and the number of masks done.
    **settings
        Fields of the targets given by name (``sigma=5``), of `InstanceRule` (``separate=1``), `ReadOptions` and `SplitRule`
        (``seed=1``); ``format``, ``canvas``, ``on_error``; and ``preset``, a name of `segprep.PRESETS`, for the settings that
        are not given.

    Returns
    -------
    StoreInfo
        Contents of the store.

    Raises
    ------
    InputError, OutputError, OptionError, StorageError
        Before anything is written, unless a mask changes or the disk fails during the run.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr", sigma=3)
    >>> info.masks, info.instances, info.status
    (1, 2, 'complete')
    """
    chosen, rules = run_rules(settings, targets, split)
    wanted = _with_always(chosen)
    workers, own_part = Workers.of(workers), chosen_part(part)
    overwrite, reread = typed_value("overwrite", overwrite, bool), typed_value("reread", reread, bool)
    source, root = chosen_data(data, workers), workers.place(store)
    image_folder = None if images is None else workers.place(images, "images")
    path = None if isinstance(source, tuple) else source
    follow = Follow.of(update, keep_class_weights, compact, overwrite=overwrite)
    open_existing(root)  # nothing is written, not even a lock, where something else is
    if part is not None and overwrite:
        shown = f"part='{own_part.number}/{own_part.parts}'"
        raise OptionError(f"{shown} and overwrite=True exclude each other: the parts would replace each other's shards")
    with write_lock(root, "" if part is None else own_part.name) as check_sole:
        state, former = _existing(root, chosen, follow, overwrite=overwrite, is_part=part is not None)
        progress = _checked(progress, check_sole)
        files = None if path is None else stat_fingerprint(path, root)  # first: a later change is noticed next time
        masks = masks_of(source, rules, classes)
        if path is None or not covers_all_files(path, masks.format):
            files = None
        name = OWN_REFS if path is None else path.absolute().name.encode(errors="replace").decode()
        found_images = known_images(masks, path, name, image_folder)
        journal_of, n_classes = None if files is None else journal_name(files, masks, rules), len(masks.classes)
        with (
            open_journal(root, journal_of, n_classes, own_part, fresh=reread) as journal,
            open_executor(workers, len(masks.refs)) as executor,
        ):
            prints = {} if path is None or files is None else ref_prints(masks, path)
            known, instances = _known_stats(state, None if reread else files, masks, rules, prints)
            rules = replace(rules, instances=instances)
            found, instances = scan_resolved(executor, masks, rules, progress, known, rules.on_error, journal=journal)
            if part is not None:  # another part may have changed the store meanwhile
                state, former = _existing(root, chosen, follow, overwrite=overwrite, is_part=part is not None)
            digest = found.input()
            is_update = state is not None and follow.update and _needs_update(state, former, digest, follow)
            split_rule, kept = (rules.split, (None, None)) if is_update else kept_splits(rules.split, state, digest)
            plan_of: Callable[..., Plan] = partial(
                plan,
                name,
                found,
                instances=instances,
                split=split_rule,
                data=path,
                canvas=rules.canvas,
                reading=rules.reading,
                kept=kept,
                images=(None if image_folder else kept_images(state, digest)) or found_images,
                touching=None if state is None else state.info.touching_pairs,
            )
            updated = partial(
                planned_update,
                root,
                found=found,
                rules=replace(rules, instances=instances),
                plan_of=plan_of,
                targets=wanted,
                types=chosen,
                data=path,
            )
            if state is None:
                planned = plan_of(targets=wanted)
            elif is_update:
                former, state = former or former_of(state), None
                given = None if image_folder else given_images(former)
                planned = updated(former, follow=follow, plan_of=partial(plan_of, images=given or found_images))
            else:
                is_lost = former is not None or (state.info.format == UPDATED and state.placed is None)
                is_lost, former = is_lost and overwrite, None
                plan_of = plan_of if is_lost else _in_place(state, found, rules, plan_of, digest)
                planned, state = _reconciled(state, digest, wanted, plan_of, overwrite, updated, is_lost=is_lost)
            for doubt in doubts(planned.info):
                warnings.warn(doubt, SegprepWarning, stacklevel=2)
            stats = found.stats if workers.scheduler is None else None
            stamp = None if files is None else InputStamp(files, planned.info.input, ref_stamps(prints, found))
            task = WriteTask(root, found.refs(), instances, planned, own_part, stamp, found.digests, stats, former)
            return write(executor, task, progress, state)


def chosen_part(part: str | tuple[int, int] | None) -> Part:
    """Part of the shards, from its number and the number of parts.

    >>> chosen_part("2/8"), chosen_part(None)
    (Part(number=2, parts=8), Part(number=1, parts=1))
    """
    if part is None:
        return Part(1, 1)
    numbers = part.split("/") if isinstance(part, str) else list(map(str, part)) if isinstance(part, Sequence) else []
    is_part = len(numbers) == 2 and all(map(str.isdecimal, numbers)) and 1 <= int(numbers[0]) <= int(numbers[1])  # noqa: PLR2004
    if not is_part:
        raise OptionError(f"part={part!r}: must be of the form '2/8', the second of eight parts")
    return Part(int(numbers[0]), int(numbers[1]))


def _known_stats(
    state: StoreState | None, files: str | None, masks: MaskSet, rules: Rules, prints: Mapping[str, str]
) -> tuple[dict[str, MaskStats], InstanceRule]:
    """Statistics of the masks from the store, as far as they and their files are the same, and the rule of these."""
    stamp = None if state is None or files is None else read_stamp(state.root)
    if state is not None and stamp is not None and stamp.masks == state.info.input:
        is_all = stamp.files == files
        stats = with_touching(stats_from_store(state, masks, rules.instances, rules.reading), stamp.refs)
        known = stats if is_all else known_by_refs(stats, stamp.refs, prints)
        instances = stored_rule(state.info, [*known.values()], rules.instances, is_all=is_all)
        if known and instances.instances_from != "auto":
            return known, instances
    return {}, rules.instances


def _checked(progress: Progress, check: Callable[[], None]) -> Progress:
    """Progress that first calls `check`, which raises if another run has taken over the store."""

    def checked_progress(stage: Stage, done: int, masks: int) -> None:
        check()
        progress(stage, done, masks)

    return checked_progress


def _existing(
    root: AnyPath, targets: Sequence[Target], follow: Follow, *, overwrite: bool, is_part: bool
) -> tuple[StoreState | None, Former | None]:
    """State of a store, and what it was before an update that was interrupted; only an update and `overwrite` accept that."""
    for _ in range(
        1 + is_part
    ):  # another part may begin an update while the tables are read: then this is known afterwards
        state = existing_state(root, targets)
        former = None if state is None else unfinished_update(root, state.info, is_needed=not overwrite)
        if former is not None:
            break
    if former is not None and not (follow.update or overwrite):
        raise OutputError(f"{root}: {INTERRUPTED}")
    return state, former


def _needs_update(state: StoreState, former: Former | None, digest: str, follow: Follow) -> bool:
    """True unless a store has these masks already, and no hole that is to be closed."""
    return former is not None or state.info.input != digest or (follow.compact and state.info.holes > 0)


def _in_place(
    state: StoreState, found: Scan, rules: Rules, plan_of: Callable[..., Plan], digest: str
) -> Callable[..., Plan]:
    """Planning in which masks of a store that was updated have their rows."""
    if state.info.format != UPDATED or state.info.input != digest:
        return plan_of
    new = Layout.fit([mask.shape for mask in found.stats], canvas=rules.canvas)
    layout = followed_layout(former_of(state), new, [ref.key for ref in found.masks.refs])
    return partial(plan_of, layout=layout, revision=state.info.revision)


def _reconciled(
    state: StoreState,
    digest: str,
    wanted: Sequence[Target],
    plan_of: Callable[..., Plan],
    overwrite: bool,
    updated: Callable[..., Plan],
    *,
    is_lost: bool,
) -> tuple[Plan, StoreState | None]:
    """Plan that keeps the targets of a store, and the state of that store if anything of it is kept: nothing if `is_lost`."""
    stored = [target for target in state.targets if target is not None]
    is_same = state.info.input == digest
    planned = plan_of(targets=wanted, stored=stored if is_same else ())
    both = with_stored_targets(state, planned) if is_same else planned
    changed = Diff(["the places of its masks are lost"], {}) if is_lost else diff(state, both)
    words = [*changed.of_masks, *(phrase for phrases in changed.of_targets.values() for phrase in phrases)]
    if words and not overwrite:
        remedy = "" if is_same else _update_remedy(state, updated)
        raise OutputError(
            f"{state.root}: exists with other {'masks' if remedy else 'settings'}: {'; '.join(dict.fromkeys(words))}; "
            f"{remedy}choose another name, or overwrite=True replaces it"
        )
    if changed.of_masks:
        names = {target.name for target in wanted}
        try:
            again = plan_of(
                targets=[*wanted, *(target for target in stored if target.name not in names)], layout=None, revision=0
            )
        except OptionError as error:
            raise OptionError(f"{state.root}: all targets of the store would be computed again: {error}") from error
        if state.unknown:
            warnings.warn(
                f"{state.root}: dropped {some(state.unknown)}, which is not part of segprep; pass its class in targets to "
                "compute it for the other masks",
                SegprepWarning,
                stacklevel=4,
            )
        delete(state.root, state.info)
        return again, None
    state.require_carried()
    for target in changed.of_targets:
        delete(state.root, state.info, target)
    return both, state


def _update_remedy(state: StoreState, updated: Callable[..., Plan]) -> str:
    """Words for the update that a store needs, and its cost; empty if it cannot be updated."""
    try:
        former = former_of(state)
        needed, shards = Reuse(former, updated(former, follow=Follow(update=True))).lacking()
    except SegprepError:
        return ""
    return f"update=True follows the data, and writes {needed:,} of {shards:,} shards; "


def _with_always(targets: Sequence[Target]) -> list[Target]:
    """Targets, with those that every store has; each name once."""
    names = [target.name for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"targets: {twice} is named twice; a store has one array of each name")
    return [*(kind() for kind in TARGETS if kind.name in ALWAYS and kind.name not in names), *targets]
