"""All decisions between the scan and the first write, from the statistics of the masks and a file of splits, if any."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError
from segprep.masks import splits
from segprep.masks.classes import ClassTable
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitArray, SplitRule
from segprep.masks.stats import Counts, MaskStats, total
from segprep.masks.tiles import TileRef, Tiling, source_keys
from segprep.paths.anypath import AnyPath
from segprep.readers import ReadOptions
from segprep.runs.audit import KeptSplits
from segprep.runs.scan import Scan
from segprep.store.layout import Layout, Size
from segprep.store.rows import MaskRows
from segprep.store.schema import (
    FORMAT,
    UPDATED,
    VERSION,
    BucketInfo,
    ClassCounts,
    ClassInfo,
    ImagesInfo,
    StoreInfo,
    exact,
    parameters_of,
    stored_target,
    target_info,
    target_types,
    train_counts,
)
from segprep.store.tables import MadeTables, Tables, table_names
from segprep.targets import Target, Weights, in_order
from segprep.targets.class_weights import FORMULAS
from segprep.targets.target import check_masks, fit, version_of


@dataclass(frozen=True, eq=False)
class KnownImages:
    """Images of masks.

    Attributes
    ----------
    names : dict of str to str
        Path of the image of each mask, by its key; empty if it is not known.
    info : ImagesInfo
        Where the paths begin.
    """

    names: Mapping[str, str]
    info: ImagesInfo


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that a store will hold, except the values of the targets.

    These are fitted and in the order of `info`, and None if the class is not known, as in `StoreState`.
    """

    info: StoreInfo
    layout: Layout
    targets: tuple[Target | None, ...]
    tables: Tables


def plan(  # noqa: PLR0913 - all but two are keywords
    source: str,
    scanned: Scan,
    *,
    targets: Sequence[Target],
    instances: InstanceRule,
    split: SplitRule,
    data: AnyPath | None = None,
    canvas: Size | None = None,
    reading: ReadOptions | None = None,
    kept: KeptSplits = (None, None),
    stored: Sequence[Target] = (),
    images: KnownImages | None = None,
    touching: int | None = None,
    tiling: Tiling | None = None,
    layout: Layout | None = None,
    revision: int = 0,
) -> Plan:
    """Plan of a store; `data` may hold a file of splits, and `kept` are splits and folds that are not computed again.

    Without `images` it has no table of them, as stores of earlier versions.
    A target that the store has with the same settings stays as it was fitted there: `stored` are those of the store, and
    `touching` its number of touching pairs, for masks that were not loaded again. Tiles are split as the masks that they were
    cut from, and share one canvas. `layout` is that of a store that was updated, and `revision` counts its updates.
    """
    stats, classes = scanned.stats, scanned.masks.classes
    keys, sources = [ref.key for ref in scanned.masks.refs], source_keys(scanned.masks.refs)
    tiles = [ref for ref in scanned.masks.refs if isinstance(ref, TileRef)]
    if tiles:
        canvas = canvas or (max(mask.shape[0] for mask in stats), max(mask.shape[1] for mask in stats))
    form = FORMAT if layout is None else UPDATED
    layout = layout or Layout.fit([mask.shape for mask in stats], canvas=canvas)
    layout_splits = [ref.split for ref in scanned.masks.refs]
    split_of, fold_of = split_masks(
        sources, stats, split, data=data, layout_splits=layout_splits, kept=kept, tiling=tiling
    )
    all_counts = total(stats, classes)
    train = total([mask for mask, code in zip(stats, split_of, strict=True) if code == 0], classes)
    of = {target.name: target for target in stored}
    fitted = in_order(_fitted(target, of.get(target.name), train, all_counts) for target in targets)
    for target in fitted:
        check_masks(target, *scanned.checked())
    digest = scanned.input()
    names = [images.names.get(key, "") if images else "" for key in sources]
    info = StoreInfo(
        format=form,
        status="incomplete",
        segprep=VERSION,
        source=source,
        source_format=scanned.masks.format,
        input=digest,
        reading=exact(reading or ReadOptions()),
        instance_rule=exact(instances),
        split_rule=exact(split),
        masks=len(stats),
        instances=int(all_counts.instances.sum()),
        ignored_pixels=sum(mask.ignored for mask in stats),
        hidden_pixels=sum(mask.hidden for mask in stats),
        classes=class_infos(classes, all_counts, train),
        splits=splits.SPLITS,
        buckets=tuple(
            BucketInfo(bucket.name, *bucket.canvas, len(bucket.masks), bucket.shard_shape[0])
            for bucket in layout.buckets
        ),
        targets=tuple(target_info(target, layout, instances, digest, form) for target in fitted),
        problems=scanned.problems(),
        images=None if images is None else msgspec.structs.replace(images.info, known=sum(map(bool, names))),
        touching_pairs=touching if scanned.touching is None else scanned.touching,
        tiling=exact(tiling) if tiles and tiling else None,
        revision=revision,
        regions=scanned.masks.regions,
    )
    rows = MaskRows(keys, stats, layout, split_of, fold_of, names, tiles)
    return Plan(info, layout, fitted, MadeTables(rows, table_names(info)))


def _fitted(target: Target, stored: Target | None, train: Counts, everything: Counts) -> Target:
    """Target bound to the data set, or the stored one if it differs in nothing but the split that it was fitted to."""
    now = fit(target, train, everything)
    if stored is None:
        return now
    is_alike = parameters_of(fit(stored, train, everything)) == parameters_of(now)
    return stored if is_alike and version_of(stored) == version_of(now) else now


def doubts(info: StoreInfo) -> Iterator[str]:
    """One line if class weights of the `weights` of a store leave the border term hardly any influence."""
    for item in info.targets:
        target = stored_target(item, target_types()) if item.name == Weights.name else None
        if isinstance(target, Weights) and target.vector and (doubt := target.doubt(train_counts(info))):
            yield doubt


def class_counts_of(stats: Sequence[MaskStats]) -> NDArray[np.int64]:
    """Pixels and instances of each class in each mask, shape (masks, 2 * classes), which stratified splits share."""
    return np.array([[*mask.class_pixels, *mask.class_instances] for mask in stats], np.int64)


def split_masks(
    keys: Sequence[str],
    stats: Sequence[MaskStats],
    rule: SplitRule,
    *,
    data: AnyPath | None = None,
    layout_splits: Sequence[str | None] = (),
    kept: KeptSplits = (None, None),
    tiling: Tiling | None = None,
) -> tuple[SplitArray, SplitArray]:
    """Split and fold of each mask, as far as they are not kept; folds of another split are never kept."""
    split_of, fold_of = kept
    if split_of is not None and fold_of is not None:
        return split_of, fold_of
    groups = splits.groups_of(keys, rule.group)
    counts = class_counts_of(stats) if rule.stratify else None
    if split_of is None:
        split_of = new_splits(keys, groups, counts, rule, splits.file_of(rule, data), layout_splits, tiling)
        splits.check_filled(split_of, rule, len(set(groups)))
    return split_of, splits.folds_of(groups, split_of, rule.folds, rule.seed, counts)


def new_splits(
    keys: Sequence[str],
    groups: Sequence[str],
    counts: NDArray[np.int64] | None,
    rule: SplitRule,
    file: AnyPath | None,
    layout_splits: Sequence[str | None],
    tiling: Tiling | None = None,
) -> SplitArray:
    """Split of each mask by the shares of the rule, or by a file or folders; `tiling` may use the seed where no split does."""
    if rule.fractions is not None and counts is not None:
        return splits.stratified(groups, counts, rule.fractions, rule.seed)
    if rule.fractions is not None:
        return splits.by_hash(groups, rule.fractions, rule.seed)
    given = splits.by_file(keys, file) if file else splits.by_layout(layout_splits)
    has_use = tiling is not None and tiling.keep_empty < 1
    if given is None and rule.folds is None and (rule.group or (rule.seed and not has_use)):
        option = f"group={rule.group!r}" if rule.group else f"seed={rule.seed}"
        raise OptionError(f"{option}: there is nothing to split; add shares, as split=(0.8, 0.1, 0.1), or folds=5")
    split_of = np.zeros(len(keys), np.uint8) if given is None else given
    splits.check_groups(keys, groups, split_of)
    return split_of


def class_infos(classes: ClassTable, all_counts: Counts, train: Counts) -> tuple[ClassInfo, ...]:
    """Classes with their counts and with the weights of every formula."""
    weights = {name: formula(train) for name, formula in FORMULAS.items()}

    def counts_of(counts: Counts, code: int) -> ClassCounts:
        return ClassCounts(*(int(getattr(counts, name)[code]) for name in ClassCounts.__struct_fields__))

    return tuple(
        ClassInfo(
            entry.code,
            entry.id,
            entry.name,
            entry.is_thing,
            counts_of(all_counts, entry.code),
            counts_of(train, entry.code),
            {name: float(vector[entry.code]) for name, vector in weights.items()},
        )
        for entry in classes.entries
    )
