"""Plan of an update: a store follows its data, and keeps what of it is still valid."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from segprep.errors import OptionError, OutputError
from segprep.masks import splits
from segprep.masks.splits import SplitArray, SplitRule
from segprep.masks.tiles import Tiling, source_key, source_keys
from segprep.paths.anypath import AnyPath
from segprep.runs.audit import needs_class
from segprep.runs.changes import differing, other_regions
from segprep.runs.former import Former, layout_after
from segprep.runs.plan import Plan, class_counts_of, new_splits
from segprep.runs.scan import Scan
from segprep.runs.settings import Rules, typed_value
from segprep.store.layout import Layout
from segprep.store.schema import exact, stored_target, target_types
from segprep.targets import Target, Weights


class Follow(NamedTuple):
    """How a store follows its data: parameters of `segprep.preprocess`."""

    update: bool = False
    keep_class_weights: bool = False
    compact: bool = False

    @classmethod
    def of(cls, *given: bool, overwrite: bool) -> "Follow":
        """Checked parameters; OptionError for those that exclude each other, or need another one."""
        follow = cls(*(typed_value(name, value, bool) for name, value in zip(cls._fields, given, strict=True)))
        if follow.update and overwrite:
            raise OptionError(
                "update=True and overwrite=True exclude each other: one keeps what the other computes again"
            )
        for name in ("keep_class_weights", "compact"):
            if getattr(follow, name) and not follow.update:
                raise OptionError(f"{name}=True: belongs to an update; add update=True")
        return follow


def planned_update(
    root: AnyPath,
    former: Former,
    found: Scan,
    rules: Rules,
    plan_of: Callable[..., Plan],
    *,
    targets: Sequence[Target],
    data: AnyPath | None,
    follow: Follow,
) -> Plan:
    """Plan in which the masks of a store keep their rows, splits and folds; OutputError for other settings than its own."""
    keys, info = [ref.key for ref in found.masks.refs], former.info
    stored = _stored_targets(root, former, targets)
    wanted = {target.name: target for target in (*stored, *targets)}
    rule = info.split_rule if rules.split == SplitRule() else exact(rules.split)
    layout = layout_after(former, found, rules.canvas, compact=follow.compact)
    words = [
        *_other_reading(former, rules),
        *differing(info.instance_rule, exact(rules.instances)),
        *differing(info.instance_rule.resolution, rules.instances.resolution),
        *differing(info.tiling or Tiling(), exact(rules.tiling)),
        *other_regions(info.regions, found.masks.regions),
        *differing(info.split_rule, rule),
        *_other_canvases(former, layout, keys, found),
        *(phrase for target in stored for phrase in differing(target, wanted[target.name])),
    ]
    if words:
        raise OutputError(
            f"{root}: exists with other settings: {'; '.join(dict.fromkeys(words))}; update=True follows the data alone: give "
            "the settings of the store, or overwrite=True replaces it"
        )
    kept = _splits(former, rule, found, data, rules.tiling)
    weights = [target for target in stored if isinstance(target, Weights)] if follow.keep_class_weights else []
    for target in weights:
        if target.vector and len(target.vector) != len(found.masks.classes):
            raise OptionError(
                f"keep_class_weights=True: the store has weights for {len(target.vector)} classes, and the data have "
                f"{len(found.masks.classes)}; leave it out"
            )
    return plan_of(
        targets=[*wanted.values()],
        stored=weights,
        split=rule,
        kept=kept,
        layout=layout,
        revision=info.revision + 1,
    )


def _stored_targets(root: AnyPath, former: Former, types: Sequence[Target]) -> list[Target]:
    """Targets of the store as they were fitted; OptionError if the class of one is not known."""
    kinds, targets = target_types(types), []
    for item in former.info.targets:
        target = stored_target(item, kinds)
        if target is None:
            raise needs_class(root, item.name)
        targets.append(target)
    return targets


def _other_reading(former: Former, rules: Rules) -> list[str]:
    """One phrase for each option of reading that differs, but for limits, which change no mask."""
    phrases = differing(former.info.reading, exact(rules.reading))
    return [phrase for phrase in phrases if not phrase.startswith("max_")]


def _other_canvases(former: Former, layout: Layout, keys: Sequence[str], found: Scan) -> list[str]:
    """A phrase if a mask that is as before has another canvas, as with another option."""
    buckets, places = former.info.buckets, former.places
    had = {
        key: (buckets[number].name, digest)
        for key, number, digest in zip(places.keys, places.bucket, places.digests, strict=True)
    }
    for bucket in layout.buckets:
        for mask in (mask for mask in bucket.masks if mask >= 0):
            name, digest = had.get(keys[mask], (bucket.name, b""))
            if digest == found.stats[mask].digest and name != bucket.name:
                return [f"canvas {bucket.name} instead of {name}"]
    return []


def _splits(
    former: Former, rule: SplitRule, found: Scan, data: AnyPath | None, tiling: Tiling
) -> tuple[SplitArray, SplitArray]:
    """Split and fold of each mask: those of before where a rule balances them, and else by the rule or the data."""
    keys, stats = source_keys(found.masks.refs), found.stats
    groups, counts = splits.groups_of(keys, rule.group), class_counts_of(stats) if rule.stratify else None
    if rule.fractions is not None and counts is not None:
        had = _of_before(former, former.places.split, keys)
        split_of = splits.stratified(groups, counts, rule.fractions, rule.seed, had)
    else:
        split_of = new_splits(
            keys, groups, counts, rule, splits.file_of(rule, data), [ref.split for ref in found.masks.refs], tiling
        )
    splits.check_filled(split_of, rule, len(set(groups)))
    had = _of_before(former, former.places.fold, keys)
    return split_of, splits.folds_of(groups, split_of, rule.folds, rule.seed, counts, had)


def _of_before(former: Former, codes: Sequence[int], keys: Sequence[str]) -> SplitArray:
    """Split or fold of each mask before an update, 255 for new masks; of tiles, `keys` are those of their sources."""
    before = former.places.keys
    had = dict(zip(before if former.info.tiling is None else map(source_key, before), codes, strict=True))
    return np.array([had.get(key, splits.NO_FOLD) for key in keys], np.uint8)
