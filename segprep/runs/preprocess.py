"""Preprocessing of a data set: scan, plan, write."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Unpack

from segprep.errors import OptionError, SegprepWarning, some
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.runs.decision import decide, existing
from segprep.runs.foreground import scan_resolved
from segprep.runs.former import Former
from segprep.runs.journal import journal_name, open_journal
from segprep.runs.known import NO_PRINTS, known_stats
from segprep.runs.listed import listed
from segprep.runs.plan import Plan, doubts
from segprep.runs.scan import Classes as ClassNames
from segprep.runs.scan import chosen_data
from segprep.runs.settings import ALWAYS, Data, Settings, Split, Targets, run_rules, typed_value
from segprep.runs.slides import require_labels, rule_of_slides, slides_in, with_slides
from segprep.runs.tiled import in_tiles, kept_tiling
from segprep.runs.unchanged import ref_prints, ref_stamps
from segprep.runs.update import Follow
from segprep.runs.update_info import update_info
from segprep.runs.write import WriteTask, write
from segprep.store.layout import Part
from segprep.store.metadata import delete, open_existing
from segprep.store.schema import InputStamp, StoreInfo
from segprep.targets import TARGETS, Target
from segprep.workers.jobs import Progress, Stage, Workers, no_progress, open_executor

logger = logging.getLogger(__name__)
MANY = 1000
"""Number of masks for which all workers start: a single mask may have more tiles."""


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
        Fields of the targets given by name (``sigma=5``), of `InstanceRule` (``separate=1``), `ReadOptions`, `RegionRule`,
        `SplitRule` (``seed=1``), `Tiling` (``tile=512``) and `Downsampling` (``downsample=2``); ``format``, ``canvas``,
        ``on_error``; and ``preset``, a name of `segprep.PRESETS`, for the settings that are not given.

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
    wanted = with_always(chosen)
    workers, own_part = Workers.of(workers), chosen_part(part)
    overwrite, reread = typed_value("overwrite", overwrite, bool), typed_value("reread", reread, bool)
    source, root = chosen_data(data, workers), workers.place(store)
    image_folder = None if images is None else workers.place(images, "images")
    path = None if isinstance(source, tuple) else source
    follow = Follow.of(update, keep_class_weights, compact, overwrite=overwrite)
    open_existing(root)  # nothing is written, not even a lock, where something else is
    require_all(part, own_part, overwrite=overwrite)
    with write_lock(root, "" if part is None else own_part.name) as check_sole:
        before = existing(root, chosen, follow, overwrite=overwrite, is_part=part is not None)
        progress = _checked(progress, check_sole)
        rules = replace(rules, tiling=kept_tiling(before.state, rules.tiling, overwrite=overwrite))
        complete, given, files = listed(source, rules, classes, image_folder, root)
        masks = with_slides(complete, rules.tiling)
        is_labelled = rules.instances.instances_from == "as-is"
        rules = replace(rules, instances=rule_of_slides(rules.instances, slides_in(masks), wanted))
        journal_of, n_classes = None if files is None else journal_name(files, masks, rules), len(masks.classes)
        with (
            open_journal(root, journal_of, n_classes, own_part, fresh=reread) as journal,
            open_executor(workers, len(masks.refs) if rules.tiling.tile is None else MANY) as executor,
        ):
            prints = ref_prints(complete, path) if path is not None and files is not None else NO_PRINTS
            unread = None if reread else files
            known, instances = known_stats(
                before.state, unread, masks, rules, prints, targets=wanted, overwrite=overwrite
            )
            rules = replace(rules, instances=instances)
            found, instances = scan_resolved(executor, masks, rules, progress, known, rules.on_error, journal=journal)
            found = in_tiles(found, rules.tiling, known)
            if not is_labelled:
                require_labels(found.masks, found.stats)
            if part is not None:  # another part may have changed the store meanwhile
                before = existing(root, chosen, follow, overwrite=overwrite, is_part=True)
            rules = replace(rules, instances=instances)
            decision = decide(found, given, rules, wanted, before, overwrite=overwrite, follow=follow)
            planned = decision.plan
            if before.state is not None:
                for target in decision.replaced:
                    delete(root, before.state.info, target)
            _log_plan(planned, decision.former)
            for doubt in doubts(planned.info):
                warnings.warn(doubt, SegprepWarning, stacklevel=2)
            stats = found.loaded() if workers.scheduler is None else None
            stamp = None if files is None else InputStamp(files, planned.info.input, ref_stamps(prints, found))
            task = WriteTask(
                root, found.refs(), instances, planned, own_part, stamp, found.digests, stats, decision.former
            )
            return write(executor, task, progress, decision.kept)


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


def _log_plan(planned: Plan, former: Former | None) -> None:
    """Log what a store will hold, and how it differs from what it was before an update."""
    info = planned.info
    sizes = some([f"{bucket.name} ({bucket.filled:,})" for bucket in planned.layout.buckets if bucket.filled], most=10)
    targets = ", ".join(target.name for target in info.targets)
    logger.info("planned %d masks, %d instances; %s; sizes: %s", info.masks, info.instances, targets, sizes)
    if former is not None:
        update = update_info(former, planned)
        changes = [f"{masks.masks:,} {word} ({masks.named()})" for word, masks in update.changes().items()]
        logger.info("update: %s", "; ".join([*changes, update.work]))


def require_all(part: object, own: Part, *, overwrite: bool) -> None:
    """Raise OptionError for a part, if one is given, of a store that is to be replaced."""
    if part is not None and overwrite:
        shown = f"part='{own.number}/{own.parts}'"
        raise OptionError(f"{shown} and overwrite=True exclude each other: the parts would replace each other's shards")


def _checked(progress: Progress, check: Callable[[], None]) -> Progress:
    """Progress that first calls `check`, which raises if another run has taken over the store."""

    def checked_progress(stage: Stage, done: int, masks: int) -> None:
        check()
        progress(stage, done, masks)

    return checked_progress


def with_always(targets: Sequence[Target]) -> list[Target]:
    """Targets, with those that every store has; each name once."""
    names = [target.name for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"targets: {twice} is named twice; a store has one array of each name")
    return [*(kind() for kind in TARGETS if kind.name in ALWAYS and kind.name not in names), *targets]
