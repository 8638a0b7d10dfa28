"""All that is decided between the scan and the first pixel: pure, from statistics alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import segprep
from segprep.errors import OptionError
from segprep.masks import splits
from segprep.masks.classes import ClassTable
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitArray, SplitRule
from segprep.masks.stats import Counts, MaskStats, total
from segprep.paths.anypath import AnyPath
from segprep.readers import ReadOptions
from segprep.runs.scan import Scan
from segprep.store.layout import Layout, Size
from segprep.store.schema import (
    FORMAT,
    BucketInfo,
    ClassCounts,
    ClassInfo,
    ProblemInfo,
    StoreInfo,
    target_info,
    to_builtins,
)
from segprep.store.tables import instance_columns, mask_columns
from segprep.targets import Target, in_order
from segprep.targets.class_weights import FORMULAS
from segprep.targets.target import fit


@dataclass(frozen=True, eq=False)
class Plan:
    """What goes where.

    Attributes
    ----------
    info : StoreInfo
        Root attributes of the store, incomplete.
    layout : Layout
        Bucket and row of every mask.
    targets : tuple of Target
        Bound to the class weights and types that the data ask for.
    tables : dict of str to array
        Columns of the root tables and of the instance table.
    """

    info: StoreInfo
    layout: Layout
    targets: tuple[Target, ...]
    tables: dict[str, NDArray[Any]]


def plan(  # noqa: PLR0913 - what follows the first two has a name each
    source: str,
    found: Scan,
    *,
    targets: Sequence[Target],
    instances: InstanceRule,
    split: SplitRule,
    data: AnyPath | None = None,
    canvas: Size | None = None,
    reading: ReadOptions | None = None,
    kept: tuple[SplitArray, SplitArray] | None = None,
) -> Plan:
    """Decide what goes where, and bind what depends on the whole data set.

    Parameters
    ----------
    source : str
        What the user calls the data set.
    found : Found
        What is known of it.
    targets : sequence of Target
        What to compute.
    instances : InstanceRule
        How the instances were told apart.
    split : SplitRule
        How to split the masks.
    data : AnyPath or None
        Where a file with splits may lie.
    canvas : (int, int) or None
        One canvas for all masks, in pixels.
    reading : ReadOptions or None
        How the masks were read.
    kept : (SplitArray, SplitArray) or None
        Split and fold of each mask, where they stay as they are.
    """
    stats, classes = found.stats, found.masks.classes
    keys = [ref.key for ref in found.masks.refs]
    layout = Layout.fit([each.shape for each in stats], canvas=canvas)
    split_of, fold_of = kept or assign(keys, [ref.split for ref in found.masks.refs], _class_counts(stats), split, data)
    everything = total(stats, classes)
    train = total([each for each, code in zip(stats, split_of, strict=True) if code == 0], classes)
    fitted = in_order(fit(target, train, everything) for target in targets)
    digest = found.input()
    info = StoreInfo(
        format=FORMAT,
        status="incomplete",
        segprep=segprep.__version__,
        source=source,
        source_format=found.masks.format,
        input=digest,
        instance_rule=to_builtins(instances),
        split_rule=to_builtins(split),
        masks=len(stats),
        instances=int(everything.instances.sum()),
        ignored_pixels=sum(each.ignored for each in stats),
        hidden_pixels=sum(each.hidden for each in stats),
        classes=class_infos(classes, everything, train),
        splits=splits.SPLITS,
        buckets=tuple(
            BucketInfo(bucket.name, *bucket.canvas, len(bucket.masks), bucket.shard_shape[0])
            for bucket in layout.buckets
        ),
        targets=tuple(target_info(target, layout, instances, digest) for target in fitted),
        problems=tuple(
            ProblemInfo(problem.kind, key, problem.where, problem.left_out) for key, problem in found.problems()
        ),
        reading=to_builtins(reading or ReadOptions()),
    )
    tables = mask_columns(keys, stats, layout) | instance_columns(stats) | {"split": split_of, "fold": fold_of}
    return Plan(info, layout, fitted, tables)


def assign(
    keys: Sequence[str],
    layout_splits: Sequence[str | None],
    counts: NDArray[np.int64],
    rule: SplitRule,
    data: AnyPath | None,
) -> tuple[SplitArray, SplitArray]:
    """Split and fold of each mask.

    Parameters
    ----------
    keys : sequence of str
        Names of the masks.
    layout_splits : sequence of str or None
        Split of each mask by the layout of the data set.
    counts : (masks, columns) int64 array
        What to balance.
    rule : SplitRule
        How to split.
    data : AnyPath or None
        Where a file with splits may lie.
    """
    groups = splits.groups_of(keys, rule.group)
    file = splits.file_of(rule, data)
    if rule.fractions is None:
        found = splits.by_file(keys, file) if file else splits.by_layout(layout_splits)
        if found is None and rule.folds is None and (rule.group or rule.seed):
            raise OptionError(
                f"{'--group' if rule.group else '--seed'}: there is nothing to split: add --split or --folds"
            )
        split_of = np.zeros(len(keys), np.uint8) if found is None else found
        splits.check_groups(keys, groups, split_of)
    elif rule.stratify:
        split_of = splits.stratified(groups, counts, rule.fractions, rule.seed)
    else:
        split_of = splits.by_hash(groups, rule.fractions, rule.seed)
    splits.check_filled(split_of, rule)
    return split_of, splits.folds_of(groups, split_of, rule.folds, rule.seed)


def class_infos(classes: ClassTable, everything: Counts, train: Counts) -> tuple[ClassInfo, ...]:
    """Class table with its counts and with every formula's weights."""
    weights = {name: formula(train) for name, formula in FORMULAS.items()}
    return tuple(
        ClassInfo(
            entry.code,
            entry.id,
            entry.name,
            entry.is_thing,
            _class_counts_of(everything, entry.code),
            _class_counts_of(train, entry.code),
            {name: float(vector[entry.code]) for name, vector in weights.items()},
        )
        for entry in classes.entries
    )


def _class_counts_of(counts: Counts, code: int) -> ClassCounts:
    columns = (counts.pixels, counts.instances, counts.images, counts.image_pixels)
    return ClassCounts(*(int(column[code]) for column in columns))


def _class_counts(stats: Sequence[MaskStats]) -> NDArray[np.int64]:
    """Pixels and instances of each class in each mask, shape (masks, 2 C)."""
    return np.array([[*each.class_pixels, *each.class_instances] for each in stats], np.int64)
