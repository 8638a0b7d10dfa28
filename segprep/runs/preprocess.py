"""From masks to a store: scan, plan, write."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from segprep.errors import OptionError, OutputError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.masks.stats import MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.readers import MaskSet, ReadOptions, find_masks
from segprep.runs.audit import StoreState, existing_state
from segprep.runs.changes import diff, kept_splits, with_stored_targets
from segprep.runs.plan import Plan, plan
from segprep.runs.resume import covers_all_files, stat_fingerprint, stats_from_store
from segprep.runs.scan import OnError, require_readable, scan
from segprep.runs.write import WriteTask, write
from segprep.store.layout import Part, Size
from segprep.store.metadata import delete, open_existing, read_stamp
from segprep.store.schema import InputStamp, StoreInfo
from segprep.targets import Classes, Labels, Target, Weights
from segprep.workers.jobs import Progress, Stage, Workers, no_progress, open_executor

ALWAYS: tuple[Target, ...] = (Labels(), Classes())
"""Written to every store: all the others can be computed again from these and the instance table."""


@dataclass(frozen=True)
class Rules:
    """What decides about masks before any target is computed.

    Attributes
    ----------
    format : str or None
        Name of the input's format; None finds it out.
    reading : ReadOptions
        How masks are read.
    instances : InstanceRule
        How instances are told apart.
    split : SplitRule
        How masks are split into train, val and test.
    canvas : (int, int) or None
        One canvas for all masks, in pixels; None fits a few.
    on_error : str
        ``skip-annotation``: bad annotations are left out, and a mask that cannot be read ends the run before anything is
        written. ``skip-mask``: such a mask is left out. ``fail``: a bad annotation ends the run too.
    """

    format: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    instances: InstanceRule = field(default_factory=InstanceRule)
    split: SplitRule = field(default_factory=SplitRule)
    canvas: Size | None = None
    on_error: OnError = "skip-annotation"


def preprocess(  # noqa: PLR0913 - what follows the two paths has a name each
    data: str | os.PathLike[str] | AnyPath,
    out: str | os.PathLike[str] | AnyPath,
    *,
    targets: Sequence[Target] = (Weights(),),
    rules: Rules | None = None,
    workers: Workers | None = None,
    overwrite: bool = False,
    part: Part | None = None,
    reread: bool = False,
    progress: Progress = no_progress,
) -> StoreInfo:
    """Read all masks of a data set, compute the targets of each, and write them to a store.

    What the store already has is not computed again: targets are added to it, and a run that was ended goes on.

    Parameters
    ----------
    data : path
        COCO file, label image, or a folder of masks; see `segprep.readers`.
    out : path
        The store: a new one, or one of the same masks and rules.
    targets : sequence of Target
        What to compute besides labels and classes, which are always written.
    rules : Rules or None
        What decides about the masks.
    workers : Workers or None
        Where the work is done. The store is the same, to the byte, wherever that is.
    overwrite : bool
        Whether to replace what the store has of other masks, rules or parameters, instead of refusing it. What is the same
        stays, so that this run too can be ended and goes on. Only a store of segprep is ever replaced.
    part : Part or None
        Which part of the shards to write, where runs side by side share the work; when all have ended, a run without it
        completes the store.
    reread : bool
        Whether to load every mask of the input also where the store has them all and no file has another name, size or time
        than when they were loaded. A file that was changed in place, and has its former size and time, is noticed only so.
    progress : Progress
        Is told how far the run is.

    Returns
    -------
    StoreInfo
        What the store holds.

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
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> info.masks, info.instances, info.status
    (1, 2, 'complete')
    """
    rules = rules or Rules()
    wanted = _with_always(targets)
    workers = workers or Workers()
    source, root = workers.place(data), workers.place(out)
    open_existing(root)  # nothing is written, not even a lock, where something else is
    if part is not None and overwrite:
        raise OptionError("--part and --overwrite exclude each other: the parts would replace each other's shards")
    with write_lock(root, "" if part is None else part.name) as check_sole:
        state = existing_state(root, targets)
        progress = _checked(progress, check_sole)
        files = stat_fingerprint(source, root)  # before any file is read: a change from now on is noticed next time
        masks = find_masks(source, format=rules.format, options=reading(rules))
        if not covers_all_files(source, masks.format):
            files = None
        with open_executor(workers, len(masks.refs)) as executor:
            known = {} if reread else _known_stats(state, files, masks, rules)
            found = require_readable(scan(executor, masks, rules.instances, progress, known), rules.on_error)
            if part is not None:
                state = existing_state(root, targets)  # another part may have changed the store meanwhile
            split, kept = kept_splits(rules.split, state, found.input())
            planned = plan(
                source.absolute().name.encode(errors="replace").decode(),
                found,
                targets=wanted,
                instances=rules.instances,
                split=split,
                data=source,
                canvas=rules.canvas,
                reading=reading(rules),
                kept=kept,
            )
            if state is not None:
                planned, state = _reconciled(state, planned, overwrite)
            refs, digests = found.masks.refs, found.digests
            task = WriteTask(root, refs, rules.instances, planned, part or Part(1, 1), files, digests)
            return write(executor, task, progress, state)


def _known_stats(state: StoreState | None, files: str | None, masks: MaskSet, rules: Rules) -> dict[str, MaskStats]:
    """Statistics of the masks that the store was made from, if these are the same files, read in the same way."""
    if state is None or files is None or read_stamp(state.root) != InputStamp(files, state.info.input):
        return {}
    return stats_from_store(state, masks, rules.instances, reading(rules))


def _checked(progress: Progress, check: Callable[[], None]) -> Progress:
    """Progress that asks, at every step, whether the run may go on."""

    def checked_progress(stage: Stage, done: int, masks: int) -> None:
        check()
        progress(stage, done, masks)

    return checked_progress


def _reconciled(state: StoreState, planned: Plan, overwrite: bool) -> tuple[Plan, StoreState | None]:
    """Plan that keeps the targets of a store, and the state of that store if anything of it is kept."""
    both = with_stored_targets(state, planned)
    changed = diff(state, both)
    words = [*changed.of_masks, *(phrase for phrases in changed.of_targets.values() for phrase in phrases)]
    if words and not overwrite:
        raise OutputError(
            f"{state.root}: exists with other settings: {'; '.join(words)}; choose another name, or overwrite=True "
            "replaces it"
        )
    if changed.of_masks:
        delete(state.root, state.info)
        return planned, None
    for target in changed.of_targets:
        delete(state.root, state.info, target)
    return both, state


def _with_always(targets: Sequence[Target]) -> list[Target]:
    """Targets, with those that every store has; each name once."""
    names = [target.name for target in targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"--targets: {twice} is named twice; a store has one array of each name")
    return [*(each for each in ALWAYS if each.name not in names), *targets]


def reading(rules: Rules) -> ReadOptions:
    """How masks are read: where instances are found anew, the values of label images are classes."""
    return replace(rules.reading, values="instances" if rules.instances.instances_from == "as-is" else "classes")
