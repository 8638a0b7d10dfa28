"""Differences between a store and a plan, in words, and what of the store a plan keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np

from segprep.errors import IntegrityError
from segprep.masks.splits import SplitRule
from segprep.runs.audit import KeptSplits, StoreState
from segprep.runs.plan import Plan
from segprep.store.schema import target_info
from segprep.store.tables import Tables, decode_keys
from segprep.targets import ordered

NAMED = 3
"""Number of masks that a message names."""


class Diff(NamedTuple):
    """Differences between a store and a plan: those that concern all targets, and those of single targets by name."""

    of_masks: list[str]
    of_targets: dict[str, list[str]]


def kept_splits(rule: SplitRule, state: StoreState | None, digest: str) -> tuple[SplitRule, KeptSplits]:
    """Rule, and the splits and folds that are kept: without a rule, a store of the same masks keeps those that it has."""
    if state is None or rule != SplitRule() or state.info.input != digest:
        return rule, (None, None)
    return state.info.split_rule, state.splits()


def with_stored_targets(state: StoreState, plan: Plan) -> Plan:
    """Plan with the targets of the store as well, as they were fitted; those of unknown classes stay as they are."""
    info = plan.info
    stored = dict(zip((item.name for item in state.info.targets), state.targets, strict=True))
    targets = stored | dict(zip((item.name for item in info.targets), plan.targets, strict=True))
    of = {item.name: item for item in state.info.targets}
    infos = {
        name: of[name] if target is None else target_info(target, plan.layout, info.instance_rule, info.input)
        for name, target in targets.items()
    }
    names = ordered(targets)
    now = msgspec.structs.replace(info, targets=tuple(infos[name] for name in names))
    return replace(plan, info=now, targets=tuple(targets[name] for name in names))


def diff(state: StoreState, plan: Plan) -> Diff:
    """Differences between a store and a plan that has all its targets."""
    before, now = state.info, plan.info
    if before.input != now.input:
        try:
            words = ", ".join(_other_masks(state, plan.tables))
        except IntegrityError:  # a run was killed before it had written them
            words = "some differ"
        return Diff([f"it has {before.masks} masks of {before.source}; {now.source} has {now.masks}: {words}"], {})
    canvases = [",".join(bucket.name for bucket in info.buckets) for info in (before, now)]
    of_masks = [
        *_differing(vars(before.instance_rule), vars(now.instance_rule)),
        *(_differing(vars(before.split_rule), vars(now.split_rule)) or _other_splits(state, plan.tables)),
        *_differing({"canvas sizes": canvases[0]}, {"canvas sizes": canvases[1]}),
    ]
    of_targets = {}
    for had, has in ((had, has) for had in before.targets for has in now.targets if had.name == has.name):
        words_of = _differing(had.parameters, has.parameters, f"{had.name} ")
        if not words_of and had.version != has.version:
            words_of = [f"{had.name} was version {had.version}, now {has.version}"]
        if not words_of and not of_masks and had.fingerprint != has.fingerprint:
            words_of = [f"{had.name} was written by segprep {before.segprep}, now {now.segprep}"]
        of_targets[had.name] = words_of
    return Diff(of_masks, {name: words_of for name, words_of in of_targets.items() if words_of})


def _other_masks(state: StoreState, tables: Tables) -> Iterator[str]:
    """Differences between the masks of a store and those of a plan."""
    had, has = (
        dict(zip(decode_keys(keys), map(bytes, digests), strict=True))
        for keys, digests in ((state.table("key"), state.table("digest")), (tables["key"], tables["digest"]))
    )
    for keys, kind in (
        ([key for key in has if key not in had], "new"),
        ([key for key in had if key not in has], "missing"),
        ([key for key in has if key in had and has[key] != had[key]], "changed"),
    ):
        if keys:
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            yield f"{len(keys)} {kind} ({', '.join(keys[:NAMED])}{more})"
    if list(had) != list(has) and set(had) == set(has):
        yield "in another order"


def _other_splits(state: StoreState, tables: Tables) -> Iterator[str]:
    """Number of masks that the same rule splits in another way now, as after a change of its file."""
    split_of, _ = state.splits()
    if split_of is not None:
        other = np.flatnonzero(split_of != tables["split"])
        if other.size:
            yield f"{other.size} masks are in another split (first: {decode_keys(tables['key'])[other[0]]!r})"


def _differing(before: Mapping[str, object], now: Mapping[str, object], what: str = "") -> list[str]:
    """One phrase for each name whose values differ."""

    def shortened(value: object) -> str:
        text = str(value)
        return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - of a line

    return [
        f"{what}{name} was {shortened(before.get(name))}, now {shortened(now.get(name))}"
        for name in sorted({**before, **now})
        if before.get(name) != now.get(name)
    ]
