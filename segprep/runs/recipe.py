"""Settings that make a store again, from what the store says about itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segprep.errors import InputError
from segprep.masks.downsampling import Downsampling
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import RegionRule
from segprep.masks.splits import SplitRule
from segprep.masks.tiles import Tiling
from segprep.paths.anypath import AnyPath
from segprep.readers import READERS, ReadOptions
from segprep.runs.foreground import SCATTERED
from segprep.runs.regions import found_again
from segprep.runs.scan import LEFT_OUT, OWN_REFS
from segprep.runs.settings import ALWAYS, setting_names
from segprep.store.layout import Layout
from segprep.store.schema import StoreInfo, stored_target, target_types
from segprep.store.tables import read_table
from segprep.targets import Target

DEFAULT_TARGETS = ["weights", "distance"]
"""Targets of `segprep.preprocess` by default."""


@dataclass(frozen=True)
class Recipe:
    """Runs that make a store again.

    Attributes
    ----------
    runs : tuple of dict
        Arguments of `segprep.preprocess` for each run, beside the data and the store; only those that are not the defaults.
        There are several if targets have a setting of one name in common, with different values.
    remarks : tuple of str
        Parts of the store that no arguments give again.
    """

    runs: tuple[Mapping[str, Any], ...]
    remarks: tuple[str, ...]


def recipe(store: AnyPath, info: StoreInfo) -> Recipe:
    """Arguments that make the store at `store`, whose contents are `info`, from the same data."""
    remarks, types = [], target_types()
    if info.source_format == OWN_REFS:
        remarks.append("the masks were given in Python: pass them to segprep.preprocess with these settings")
    elif info.source_format not in READERS:
        remarks.append(f"the format {info.source_format!r} is not part of segprep: pass its Reader in Python")
    if info.status != "complete":
        remarks.append("the store is not complete: the runs complete it")
    if info.revision:
        remarks.append("the store was updated: a new store has other rows, and may have other splits and class weights")
    known: list[Target] = []
    for item in info.targets:
        if (target := stored_target(item, types)) is None:
            remarks.append(f"the target {item.name!r} is not part of segprep: pass its object in Python")
        elif item.name not in ALWAYS:
            known.append(target)
    regions = info.regions or RegionRule()
    try:
        regions = found_again(regions, store)
    except InputError:
        remarks.append(f"there is no {regions.roi}, of the annotated regions: give its path")
    shared = _rules(store, info, regions)
    return Recipe(tuple(_run(targets, shared) for targets in _compatible(known)), tuple(remarks))


def _run(targets: list[Target], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a run for these targets."""
    names = [target.name for target in targets]
    own = {name: value for target in targets for name, value in _changed(target, type(target)())}
    return {**({} if names == DEFAULT_TARGETS else {"targets": ",".join(names)}), **own, **shared}


def _compatible(targets: list[Target]) -> list[list[Target]]:
    """Targets in groups, in each of which settings of one name have one value."""
    groups: list[list[Target]] = []
    for target in targets:
        own = {name: getattr(target, name) for name in setting_names(type(target))}
        for group in groups:
            names = {name: getattr(other, name) for other in group for name in setting_names(type(other))}
            if all(names.get(name, value) == value for name, value in own.items()):
                group.append(target)
                break
        else:
            groups.append([target])
    return groups


def _changed(rule: Any, default: Any) -> Iterator[tuple[str, Any]]:
    """Settings of a target or rule that are not the defaults."""
    for name in setting_names(type(rule)):
        if getattr(rule, name) != getattr(default, name):
            yield name, getattr(rule, name)


def _rules(store: AnyPath, info: StoreInfo, regions: RegionRule) -> dict[str, Any]:
    """Settings of reading, finding instances and splitting that are not the defaults."""
    found: dict[str, Any] = {}
    if info.source_format in READERS:
        found["format"] = info.source_format
    found |= dict(_changed(info.reading, ReadOptions()))
    found |= dict(_changed(regions, RegionRule()))
    found |= dict(_changed(info.instance_rule, InstanceRule()))
    if info.tiling is not None:
        found |= dict(_changed(info.tiling, Tiling()))
    found |= dict(_changed(info.instance_rule.resolution, Downsampling()))
    if not _is_explicit(info):
        found.pop("instances_from", None)
    split = info.split_rule
    if split.fractions is not None or split.file is not None:
        found["split"] = split.fractions or split.file
    found |= dict(_changed(split, SplitRule()))
    heights, widths = read_table(store, info, "height").tolist(), read_table(store, info, "width").tolist()
    canvases = [(bucket.height, bucket.width) for bucket in info.buckets]
    of_tiles = None if info.tiling is None else (max(heights), max(widths))  # as in `segprep.runs.plan`
    fitted = Layout.fit([*zip(heights, widths, strict=True)], canvas=of_tiles)
    if len(canvases) == 1 and [bucket.canvas for bucket in fitted.buckets] != canvases:
        found["canvas"] = canvases[0]
    if any(problem.kind == LEFT_OUT for problem in info.problems):
        found["on_error"] = "skip-mask"
    if info.images is not None and info.images.is_given:
        found["images"] = info.images.folder
    return found


def _is_explicit(info: StoreInfo) -> bool:
    """True if ``instances_from="auto"`` might decide otherwise than the store's rule."""
    origin = info.instance_rule.instances_from
    if origin == "components":
        return info.reading.values == "classes"
    if origin == "as-is":  # foreground masks, each as one instance?
        is_scattered = any(problem.kind == SCATTERED for problem in info.problems)  # which auto alone reports
        return info.source_format == "label-image" and info.instances <= info.masks and not is_scattered
    return True
