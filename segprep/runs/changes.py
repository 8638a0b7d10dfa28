"""Differences between a store and a plan, in words."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import IntegrityError
from segprep.masks.instances import InstanceRule
from segprep.paths.anypath import AnyPath
from segprep.runs.plan import Plan
from segprep.store.metadata import read_splits
from segprep.store.schema import (
    StoreInfo,
    stored_target,
    target_info,
)
from segprep.store.tables import decode_keys, read_table
from segprep.targets import in_order

NAMED = 3
"""How many masks a message names."""


class Diff(NamedTuple):
    """What sets a plan apart from a store that is there.

    Attributes
    ----------
    of_masks : list of str
        What concerns all targets: other masks, rules or layout.
    of_targets : dict of str to list of str
        What concerns one, by its name.
    """

    of_masks: list[str]
    of_targets: dict[str, list[str]]


def with_stored_targets(before: StoreInfo, made: Plan) -> Plan:
    """Plan that also has the targets that the store has, as they would be written now."""
    now = made.info
    names = {target.name for target in now.targets}
    kept = [stored_target(info) for info in before.targets if info.name not in names]
    targets = in_order((*kept, *made.targets))
    rule = msgspec.convert(now.instance_rule, type=InstanceRule)
    infos = tuple(target_info(each, made.layout, rule, now.input) for each in targets)
    return replace(made, info=msgspec.structs.replace(now, targets=infos), targets=targets)


def diff(root: AnyPath, before: StoreInfo, made: Plan) -> Diff:
    """What sets the store at `root` and a plan that has all its targets apart, in words."""
    now = made.info
    if before.input != now.input:
        try:
            words = ", ".join(_other_masks(root, made.tables))
        except IntegrityError:  # a run was killed before it had written them
            words = "some differ"
        return Diff(
            [f"it holds {before.masks} masks of {before.source}; of the {now.masks} of {now.source} {words}"], {}
        )
    of_masks = [
        *_differing("instances", before.instance_rule, now.instance_rule),
        *(_differing("split", before.split_rule, now.split_rule) or _other_splits(root, before, made.tables)),
        *_differing("canvas", {"sizes": _canvases(before)}, {"sizes": _canvases(now)}),
    ]
    both = [(had, has) for had in before.targets for has in now.targets if had.name == has.name]
    of_targets = {had.name: _differing(had.name, had.parameters, has.parameters) for had, has in both}
    if not of_masks:
        for had, has in both:
            if had.fingerprint != has.fingerprint and not of_targets[had.name]:
                of_targets[had.name] = [f"{had.name} is of segprep {before.segprep}, now {now.segprep}"]
    return Diff(of_masks, {name: words for name, words in of_targets.items() if words})


def _other_masks(root: AnyPath, tables: dict[str, NDArray[Any]]) -> Iterator[str]:
    """What sets the masks of a store and of a plan apart."""
    had, has = (
        dict(zip(decode_keys(keys), map(bytes, digests), strict=True))
        for keys, digests in (
            (read_table(root, "key"), read_table(root, "digest")),
            (tables["key"], tables["digest"]),
        )
    )
    for keys, verb in (
        ([key for key in has if key not in had], "new"),
        ([key for key in had if key not in has], "missing"),
        ([key for key in has if key in had and has[key] != had[key]], "changed"),
    ):
        if keys:
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            yield f"{len(keys)} {'is' if len(keys) == 1 else 'are'} {verb} ({', '.join(keys[:NAMED])}{more})"
    if list(had) != list(has) and set(had) == set(has):
        yield "the order is another"


def _other_splits(root: AnyPath, before: StoreInfo, tables: dict[str, NDArray[Any]]) -> Iterator[str]:
    """Says how many masks the same rule splits otherwise now, as it does where its file has changed."""
    kept = read_splits(root, before)
    if kept is not None:
        other = np.flatnonzero(kept[0] != tables["split"])
        if other.size:
            key = decode_keys(tables["key"])[other[0]]
            yield f"{other.size} masks are in another split than they were ({key} first)"


def _canvases(info: StoreInfo) -> str:
    """Names of the buckets."""
    return ",".join(bucket.name for bucket in info.buckets)


def _differing(what: str, before: dict[str, object], now: dict[str, object]) -> list[str]:
    """One phrase for each key whose values differ."""
    return [
        f"{what} {key} was {_short(before.get(key))}, now {_short(now.get(key))}"
        for key in sorted(before | now)
        if before.get(key) != now.get(key)
    ]


def _short(value: object) -> str:
    """Value, cut short."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - of a line
