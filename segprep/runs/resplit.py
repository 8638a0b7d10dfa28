"""Splitting the masks of a store anew, and fitting class weights again, without the input."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import msgspec
import numpy as np

from segprep.errors import IntegrityError, OptionError
from segprep.masks.classes import ClassEntry, ClassTable
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitArray, SplitRule, folds_of, groups_of
from segprep.masks.stats import Counts
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import write_lock
from segprep.runs.plan import Plan, assign, class_infos
from segprep.runs.settings import Split, SplitSettings, resplit_rule
from segprep.runs.write import WriteTask, write
from segprep.store.dataset import Dataset, StoredRef
from segprep.store.dataset import open as open_store
from segprep.store.layout import Layout
from segprep.store.metadata import read_splits
from segprep.store.schema import StoreInfo, stored_target, target_info, to_builtins
from segprep.store.shards import are_written, array_spec
from segprep.store.tables import TABLES, read_layout, read_table
from segprep.targets import Classes, Labels
from segprep.targets.target import fit
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor


def resplit(
    store: str | os.PathLike[str] | AnyPath,
    split: Split = None,
    *,
    refit: bool = False,
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
        Fit class weights to the new train split, and write the targets that depend on them again: from the store alone,
        without the input. By default they stay as they were fitted to the former train split.
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
        Where there is no store, or its labels and classes are not all written.
    OptionError
        Where the rule makes no sense for these masks.
    """
    rule, workers = resplit_rule(split, settings), Workers.of(workers)
    root = workers.place(store)
    open_store(root, incomplete=True)
    with write_lock(root):
        return _resplit(root, rule, refit, workers, progress)


def _resplit(root: AnyPath, rule: SplitRule, refit: bool, workers: Workers, progress: Progress) -> StoreInfo:
    """As `resplit`, where nobody else writes the store."""
    dataset = open_store(root, incomplete=True)
    info = dataset.info
    layout = read_layout(root, info)
    _check_written(root, info, layout, (Labels.name, Classes.name) if refit else [each.name for each in info.targets])
    rule, split_of, fold_of = _assigned(root, dataset, rule)
    everything, train = _counts(dataset, split_of >= 0), _counts(dataset, split_of == 0)
    targets = tuple(map(stored_target, info.targets))
    rule_of_instances = msgspec.convert(info.instance_rule, type=InstanceRule)
    infos = info.targets
    if refit:
        targets = tuple(fit(target, train, everything) for target in targets)
        infos = tuple(target_info(each, layout, rule_of_instances, info.input) for each in targets)
    now = msgspec.structs.replace(
        info,
        status="incomplete",
        split_rule=to_builtins(rule),
        classes=class_infos(_class_table(info), everything, train),
        targets=infos,
    )
    tables = {name: read_table(root, name) for name in TABLES} | {"split": split_of, "fold": fold_of}
    made = Plan(now, layout, targets, tables)
    fresh = Dataset(root, info, dataset.rows)  # without the tables it has read by now: it travels with every job
    refs = [StoredRef(fresh, index, key) for index, key in enumerate(dataset.keys)]
    as_stored = InstanceRule(overlap=rule_of_instances.overlap, separate=rule_of_instances.separate)
    with open_executor(workers, len(refs)) as executor:
        return write(executor, WriteTask(root, refs, as_stored, made), progress, info)


def _assigned(root: AnyPath, dataset: Dataset, rule: SplitRule) -> tuple[SplitRule, SplitArray, SplitArray]:
    """Rule, split and fold of each mask: what is not said stays as it is."""
    if rule.fractions is None and rule.file is None:
        before, kept = _kept(root, dataset, rule)
        rule = replace(before, folds=rule.folds or before.folds)
        if kept is not None:
            split_of, fold_of = kept
            groups = groups_of(dataset.keys, rule.group)
            return rule, split_of, fold_of if rule == before else folds_of(groups, split_of, rule.folds, rule.seed)
    counts = np.hstack([dataset.class_pixels, dataset.class_instances])
    return rule, *assign(dataset.keys, (), counts, rule, None)


def _kept(root: AnyPath, dataset: Dataset, rule: SplitRule) -> tuple[SplitRule, tuple[SplitArray, SplitArray] | None]:
    """Rule of a store, which another one adds folds to at most, and its splits, if they are whole."""
    before = msgspec.convert(dataset.info.split_rule, type=SplitRule)
    for option, said, was in (("--group", rule.group, before.group), ("--seed", rule.seed, before.seed)):
        if said and said != was:
            raise OptionError(f"{option}: says how to split; add --split")
    kept = read_splits(root, dataset.info)
    if kept is None and before.fractions is None and before.file is None:
        raise IntegrityError(f"{root}: its splits are damaged, and say nothing of how they were made; add --split")
    return before, kept


def _counts(dataset: Dataset, chosen: np.typing.NDArray[np.bool_]) -> Counts:
    """Counts over the chosen masks."""
    names = [entry.name for entry in dataset.info.classes]
    return Counts.of_images(dataset.class_pixels[chosen], dataset.class_instances[chosen], names)


def _class_table(info: StoreInfo) -> ClassTable:
    """Classes of a store."""
    return ClassTable(tuple(ClassEntry(each.code, each.id, each.name, each.is_thing) for each in info.classes))


def _check_written(root: AnyPath, info: StoreInfo, layout: Layout, names: Sequence[str]) -> None:
    """Raise IntegrityError unless all shards of these targets are written."""
    needed = [(stored_target(each), each.fingerprint) for each in info.targets if each.name in names]
    asked = [
        (array_spec(layout.buckets[shard.bucket], target), shard.number, fingerprint)
        for shard in layout.shards()
        for target, fingerprint in needed
    ]
    for (spec, number, _), written in zip(asked, are_written(root, asked), strict=True):
        if not written:
            raise IntegrityError(f"{root}: {spec.path} lacks shard {number}: end the run first")
