"""Differences between a store and a plan, in words, and what of the store a plan keeps."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from segprep.errors import IntegrityError, some
from segprep.masks.regions import RegionRule
from segprep.masks.splits import SplitRule
from segprep.masks.tiles import Tiling
from segprep.runs.audit import KeptSplits, StoreState
from segprep.runs.plan import Plan
from segprep.runs.settings import setting_names
from segprep.store.schema import StoreInfo, target_info
from segprep.store.tables import SOURCE, Tables, decode_keys
from segprep.targets import ordered

NAMED = 3
"""Number of masks that a message names."""
LONGEST = 60
"""Length of a setting that a message quotes."""


class Diff(NamedTuple):
    """Differences between a store and a plan: those that concern all targets, and those of single targets by name."""

    of_masks: list[str]
    of_targets: dict[str, list[str]]


def kept_splits(rule: SplitRule, state: StoreState | None, digest: str) -> tuple[SplitRule, KeptSplits]:
    """Rule, and the splits and folds that are kept: without a rule, a store of the same masks keeps those that it has."""
    if state is None or rule != SplitRule() or state.info.input != digest:
        return rule, (None, None)
    return state.info.split_rule, state.splits()


def has_masks(info: StoreInfo, digest: str, n_classes: int) -> bool:
    """True for a store of masks of this fingerprint that has as many class codes, which decide on sizes of its arrays."""
    return (info.input, len(info.classes)) == (digest, n_classes)


def with_stored_targets(state: StoreState, plan: Plan) -> Plan:
    """Plan with the targets of the store as well, as they were fitted; those of unknown classes stay as they are."""
    info = plan.info
    stored = dict(zip((item.name for item in state.info.targets), state.targets, strict=True))
    targets = stored | dict(zip((item.name for item in info.targets), plan.targets, strict=True))
    of = {item.name: item for item in state.info.targets}
    infos = {
        name: of[name]
        if target is None
        else target_info(target, plan.layout, info.instance_rule, info.input, info.format)
        for name, target in targets.items()
    }
    names = ordered(targets)
    now = msgspec.structs.replace(info, targets=tuple(infos[name] for name in names))
    return replace(plan, info=now, targets=tuple(targets[name] for name in names))


def diff(state: StoreState, plan: Plan) -> Diff:
    """Differences between a store and a plan that has all its targets."""
    before, now = state.info, plan.info
    other_rule = [
        *differing(before.instance_rule, now.instance_rule),
        *differing(before.instance_rule.resolution, now.instance_rule.resolution),
        *differing(before.tiling or Tiling(), now.tiling or Tiling()),
        *other_regions(before.regions, now.regions),
    ]
    if before.input != now.input and other_rule:  # which alone changes the instances, and so the fingerprint
        return Diff(other_rule, {})
    if before.input != now.input:
        try:
            words = ", ".join(_other_masks(state, plan.tables))
        except IntegrityError:  # a run was killed before it had written them
            words = "some differ"
        kind = ("mask" if now.tiling is None else "tile") + "s" * (before.masks != 1)
        source = "" if before.source == now.source else f" of {before.source}"
        counts = f"the store has {before.masks:,} {kind}{source}, and {now.source} has {now.masks:,}"
        return Diff([f"{counts}: {words}"], {})
    if not has_masks(before, now.input, len(now.classes)):
        names = [some([entry.name for entry in info.classes[1:]]) for info in (now, before)]
        return Diff([*other_rule, f"classes {' instead of '.join(names)}"], {})
    canvases = [some((bucket.name for bucket in info.buckets), most=NAMED) for info in (now, before)]
    of_masks = [
        *other_rule,
        *(differing(before.split_rule, now.split_rule) or _other_splits(state, plan.tables)),
        *([f"canvases {' instead of '.join(canvases)}"] if canvases[0] != canvases[1] else []),
    ]
    targets_before = {info.name: (info, target) for info, target in zip(before.targets, state.targets, strict=True)}
    of_targets = {}
    for has, target in zip(now.targets, plan.targets, strict=True):
        had, target_before = targets_before.get(has.name, (has, None))
        if target is None or target_before is None:
            continue
        words_of = differing(target_before, target)
        if not words_of and had.version != has.version:
            words_of = [f"{had.name} is version {has.version} instead of {had.version}"]
        if not words_of and target_before != target and not of_masks:
            words_of = [f"{had.name} was fitted to another train split"]
        if not words_of and not of_masks and had.fingerprint != has.fingerprint:
            words_of = [f"{had.name} is of segprep {now.segprep} instead of {before.segprep}"]
        of_targets[had.name] = words_of
    return Diff(of_masks, {name: words_of for name, words_of in of_targets.items() if words_of})


def other_regions(before: RegionRule | None, now: RegionRule | None) -> list[str]:
    """One phrase for each setting of the annotated regions that differs; of a path, the name alone counts."""
    had, has = (rule or RegionRule() for rule in (before, now))
    return [] if had.named == has.named else differing(had, has)


def _other_masks(state: StoreState, tables: Tables) -> Iterator[str]:
    """Differences between the masks of a store and those of a plan; of tiles, those between their sources."""
    had, has = _digests_of(state.table, state.info), _digests_of(tables.__getitem__, state.info)
    for keys, kind in (
        ([key for key in has if key not in had], "new"),
        ([key for key in had if key not in has], "missing"),
        ([key for key in has if key in had and has[key] != had[key]], "changed"),
    ):
        if keys:
            yield f"{len(keys):,} {kind} ({some(keys, most=NAMED)})"
    if list(had) != list(has) and set(had) == set(has):
        yield "in another order"


def _digests_of(table: Callable[[str], Any], info: StoreInfo) -> dict[str, list[bytes]]:
    """Digest of each mask, by its key, or those of all tiles of a source, by its."""
    digests: dict[str, list[bytes]] = {}
    keys = decode_keys(table("key" if info.tiling is None else SOURCE))
    for key, digest in zip(keys, table("digest"), strict=True):
        digests.setdefault(key, []).append(bytes(digest))
    return digests


def _other_splits(state: StoreState, tables: Tables) -> Iterator[str]:
    """Number of masks that the same rule splits in another way now, as after a change of its file."""
    split_of, _ = state.splits()
    if split_of is not None:
        other = np.flatnonzero(split_of != tables["split"])
        if other.size:
            yield f"{other.size} masks are in another split (first: {decode_keys(tables['key'])[other[0]]!r})"


def differing(before: object, now: object) -> list[str]:
    """One phrase for each setting that differs in two targets or rules of one type, with both values if they fit a line."""
    had, has = _settings(before), _settings(now)
    phrases = []
    for name in sorted(name for name in had if had[name] != has[name]):
        values = [f"{name}={settings[name]!r}" for settings in (has, had)]
        fits = all(len(value) <= LONGEST for value in values)
        phrases.append(" instead of ".join(values) if fits else f"other {name}")
    return phrases


def _settings(rule: object) -> dict[str, object]:
    """Settings of a target or rule as they are given: shares and file of a split are one."""
    settings: dict[str, object] = {name: getattr(rule, name) for name in setting_names(type(rule))}
    return settings | ({"split": rule.fractions or rule.file} if isinstance(rule, SplitRule) else {})
