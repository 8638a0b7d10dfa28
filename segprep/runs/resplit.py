"""New splits for a store, and class weights fitted to them, without the input."""

import os
import warnings
from collections.abc import Collection
from dataclasses import replace
from typing import Unpack

import msgspec

from segprep.errors import IntegrityError, OptionError, SegprepWarning
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.masks.stats import total
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.runs.audit import KeptSplits, StoreState, Targets, read_state
from segprep.runs.former import require_no_update
from segprep.runs.plan import Plan, class_infos, doubts, split_masks
from segprep.runs.settings import Split, SplitSettings, resplit_rule, typed_value
from segprep.runs.write import WriteTask, write
from segprep.store.dataset import Dataset
from segprep.store.layout import Layout
from segprep.store.metadata import read_info
from segprep.store.schema import StoreInfo, exact, target_info
from segprep.store.shards import are_written
from segprep.store.stored_ref import StoredRef
from segprep.store.tables import SOURCE, decode_keys, stats_in, table_names
from segprep.targets import Classes, Labels
from segprep.targets.target import fit
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor


def resplit(
    store: str | os.PathLike[str] | AnyPath,
    split: Split = None,
    *,
    refit: bool = False,
    targets: Targets = (),
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[SplitSettings],
) -> StoreInfo:
    """Change the split of a store.

    Parameters
    ----------
    store : path
        The store.
    split : str, path, tuple of float, or SplitRule, optional
        Shares or a file, as in `segprep.preprocess`. By default the splits stay, and only the folds change if ``folds`` is
        given.
    refit : bool
        Fit class weights to the new train split, and rewrite the targets that depend on them, from the store alone.
        Otherwise they stay as they were fitted to the former train split.
    targets : iterable of target classes
        Those of the store's targets that are not part of segprep; `refit` needs them.
    workers, progress
        As in `segprep.preprocess`.
    **settings
        Fields of `SplitRule`: ``seed``, ``group``, ``stratify``, ``folds``.

    Returns
    -------
    StoreInfo
        Contents of the store.

    Raises
    ------
    IntegrityError
        If there is no store, or its labels and classes are incomplete.
    OptionError
        If the rule does not fit these masks.
    """
    rule, workers, refit = resplit_rule(split, settings), Workers.of(workers), typed_value("refit", refit, bool)
    root = workers.place(store)
    read_info(root)  # no lock is put where there is no store
    with write_lock(root):
        return _resplit(read_state(root, targets), rule, refit, workers, progress)


def _resplit(state: StoreState, rule: SplitRule, refit: bool, workers: Workers, progress: Progress) -> StoreInfo:
    """Split the masks of a store that is locked."""
    root, info, fitted = state.root, state.info, state.targets
    require_no_update(root, info)
    if refit and info.tiling is not None:
        raise OptionError(
            "refit=True: the store has tiles, whose weights depend on pixels beyond them; preprocess again with the new split "
            "and overwrite=True"
        )
    if refit:
        state.bound()  # raises
    state.require_carried()
    layout, keys = state.places()
    if keys is None:
        raise IntegrityError(f"{root}: the tables are damaged; repair the store with the data set it was made from")
    _check_written(state, layout, (Labels.name, Classes.name) if refit else [target.name for target in info.targets])
    tables = {name: state.table(name) for name in table_names(info) if name not in ("split", "fold")}
    stats = list(stats_in(tables, len(info.classes)))
    rule, kept = _kept_splits(state, rule)
    if info.status != "complete":
        if exact(rule) != info.split_rule:
            raise IntegrityError(
                f"{root}: is incomplete; first run weights again to complete it, or the split that was interrupted"
            )
        warnings.warn(f"{root}: was incomplete; this run completes it", SegprepWarning, stacklevel=3)
    sources = keys if info.tiling is None else decode_keys(state.table(SOURCE))
    split_of, fold_of = split_masks(sources, stats, rule, kept=kept)
    all_counts = total(stats, info.class_table)
    train = total([mask for mask, code in zip(stats, split_of, strict=True) if code == 0], info.class_table)
    infos = info.targets
    if refit:
        bound = [fit(target, train, all_counts) for target in state.bound()]
        infos = tuple(target_info(target, layout, info.instance_rule, info.input, info.format) for target in bound)
        fitted = tuple(bound)
    now = msgspec.structs.replace(
        info,
        status="incomplete",
        split_rule=exact(rule),
        classes=class_infos(info.class_table, all_counts, train),
        targets=infos,
    )
    for doubt in doubts(now) if refit else ():
        warnings.warn(doubt, SegprepWarning, stacklevel=3)
    plan = Plan(now, layout, fitted, tables | {"split": split_of, "fold": fold_of})
    dataset = Dataset(root, info)
    refs = [StoredRef(dataset, index, key) for index, key in enumerate(keys)]
    # The instances of the store are complete; only what the targets show of them is computed again.
    instances = InstanceRule(overlap=info.instance_rule.overlap, separate=info.instance_rule.separate)
    with open_executor(workers, len(refs)) as executor:
        return write(executor, WriteTask(root, refs, instances, plan), progress, state)


def _kept_splits(state: StoreState, rule: SplitRule) -> tuple[SplitRule, KeptSplits]:
    """Rule, and the splits and folds that are kept: without shares or a file, folds are at most added to the splits."""
    if rule.fractions is not None or rule.file is not None:
        return rule, (None, None)
    before = state.info.split_rule
    for name in ("group", "seed", *(("stratify",) if before.fractions else ())):
        value = getattr(rule, name)
        if value and value != getattr(before, name):
            raise OptionError(
                f"{name}={value!r}: takes effect only with new splits; add shares, as split=(0.8, 0.1, 0.1)"
            )
    split_of, fold_of = state.splits()
    if split_of is None and before.fractions is None and before.file is None:
        raise IntegrityError(
            f"{state.root}: the table of splits is damaged, and no rule gives them; "
            "add shares, as split=(0.8, 0.1, 0.1)"
        )
    rule = replace(before, folds=rule.folds or before.folds, stratify=rule.stratify or before.stratify)
    return rule, (split_of, fold_of if rule == before else None)


def _check_written(state: StoreState, layout: Layout, names: Collection[str]) -> None:
    """Raise IntegrityError unless all shards of these targets are written."""
    needed = [item for shard in layout.shards() for item in state.shards(layout, shard) if item.name in names]
    for shard, written in zip(needed, are_written(state.root, needed), strict=True):
        if not written:
            raise IntegrityError(
                f"{state.root}: {shard.spec.path} lacks shard {shard.number}: complete the store first"
            )
