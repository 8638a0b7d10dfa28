"""Settings of a run as a person writes them, turned into the rules and targets that the rest uses.

A setting is a field of a target or of a rule, and has its name, its default and its type; `Settings` repeats them for type
checkers alone. So a new field is a new setting, and a new option of the command line.
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from segprep.errors import OptionError, SegprepWarning, check_choice, did_you_mean, type_words
from segprep.kernels.border import BorderOn, SingleInstance
from segprep.masks.downsampling import DownsampleBy, Downsampling
from segprep.masks.instances import InstanceRule, Origin, Separation
from segprep.masks.mask import MaskRef, Overlap
from segprep.masks.regions import RegionRule, WithoutRoi
from segprep.masks.splits import SplitRule
from segprep.masks.tiles import Tiling
from segprep.paths.anypath import AnyPath
from segprep.readers import Crowd, Reader, ReadOptions
from segprep.targets import TARGETS, Target, Weights
from segprep.targets.border import BorderBetween
from segprep.targets.class_weights import AbsentClass
from segprep.targets.distance import DistancePer
from segprep.targets.target import Dtype, require_target
from segprep.targets.weights import PRESET_SEPARATIONS, PRESETS

T = TypeVar("T")

OnError: TypeAlias = Literal["skip-annotation", "skip-mask", "fail"]
Fractions: TypeAlias = tuple[float, float] | tuple[float, float, float]
Targets: TypeAlias = str | Target | Sequence[str | Target]
Data: TypeAlias = str | os.PathLike[str] | AnyPath | Sequence[MaskRef]
Split: TypeAlias = str | os.PathLike[str] | Fractions | SplitRule | None


class ReadSettings(TypedDict, total=False):
    """Settings of reading: those of `ReadOptions`, `RegionRule`, `InstanceRule` and `Downsampling`, and the format."""

    format: str | Reader | None
    crowd: Crowd
    boxes_as_masks: bool
    max_pixels: int
    max_instances: int
    background: int | None
    ignore: int | None
    class_pattern: str | None
    roi: str | os.PathLike[str] | None
    without_roi: WithoutRoi
    instances_from: Origin
    connectivity: Literal[4, 8]
    min_distance: int
    overlap: Overlap
    separate: Separation
    downsample: int | None
    downsample_by: DownsampleBy


class SplitSettings(TypedDict, total=False):
    """Settings of splitting: those of `SplitRule`."""

    seed: int
    group: str | None
    stratify: bool
    folds: int | None


class TileSettings(TypedDict, total=False):
    """Settings of tiles: those of `Tiling`."""

    tile: str | int | tuple[int, int] | None
    tile_overlap: int
    keep_empty: float


class Settings(ReadSettings, SplitSettings, TileSettings, total=False):
    """Settings of a run: also those of the targets and of `Rules`, and the preset."""

    preset: str | None
    w0: float
    sigma: float
    border_on: BorderOn
    single_instance: SingleInstance
    border_between: BorderBetween
    class_weights: str | os.PathLike[str] | dict[str, float]
    absent_class: AbsentClass
    normalise: bool
    clip_class_weights: str | tuple[float, float] | None
    beta: float
    dtype: Dtype
    mantissa_bits: int | None
    distance_per: DistancePer
    distance_clip: float | None
    boundary_width: int
    canvas: str | tuple[int, int] | None
    on_error: OnError


@dataclass(frozen=True)
class Rules:
    """Rules about masks, which apply before any target is computed: how these are read, found and split.

    Attributes
    ----------
    format : str or Reader or None
        Format of the data, one of those that ``segprep formats`` lists; detected by default.
    canvas : (int, int) or None
        Height and width in pixels to which all masks are padded; by default a few sizes that fit.
    on_error : str
        Leave out bad annotations, and stop if a mask cannot be read (``skip-annotation``); leave out such masks too
        (``skip-mask``, then the exit code is 1); or stop at any problem (``fail``).
    """

    format: str | Reader | None = None
    canvas: tuple[int, int] | None = None
    on_error: OnError = "skip-annotation"
    reading: ReadOptions = field(default_factory=ReadOptions, metadata={"bound": True})
    instances: InstanceRule = field(default_factory=InstanceRule, metadata={"bound": True})
    split: SplitRule = field(default_factory=SplitRule, metadata={"bound": True})
    tiling: Tiling = field(default_factory=Tiling, metadata={"bound": True})
    regions: RegionRule = field(default_factory=RegionRule, metadata={"bound": True})

    def __post_init__(self) -> None:
        if self.format is not None and not isinstance(self.format, Reader):
            from segprep.readers import READERS  # noqa: PLC0415 - all formats, which workers do not need

            check_choice("format", self.format, READERS)
        if self.canvas is not None and min(self.canvas) < 1:
            raise OptionError(f"canvas={self.canvas}: height and width must be at least 1 pixel each")
        if self.canvas is not None and self.canvas[0] * self.canvas[1] >= 2**31:
            raise OptionError(f"canvas={self.canvas}: must have at most {2**31 - 1} pixels")


ALWAYS = ("labels", "classes")
"""Targets of every store: all others can be computed again from these and the instance table."""
READING = (ReadOptions, RegionRule, InstanceRule, Downsampling)
RULES = (*READING, SplitRule, Tiling, Rules)


def settings_of(kind: Any) -> list[Field[Any]]:
    """Fields of a target or rule that are settings; the others follow from the data, or from other parameters."""
    return [field for field in fields(kind) if "bound" not in field.metadata]


def setting_names(*kinds: Any) -> list[str]:
    """Names of the settings of targets and rules."""
    return [field.name for kind in kinds for field in settings_of(kind)]


def read_rules(settings: Mapping[str, Any]) -> Rules:
    """Rules from the settings of `ReadSettings`."""
    _check_names(settings, [*setting_names(*READING), "format"])
    return _rules(settings, SplitRule())


def run_rules(settings: Mapping[str, Any], targets: Targets, split: Split) -> tuple[list[Target], Rules]:
    """Targets and rules from the settings of a run; targets given by name get the settings that are fields of theirs."""
    _check_names(settings, [*setting_names(*TARGETS, *RULES), "preset"])
    if isinstance(targets, str):
        targets = [name.strip() for name in targets.split(",") if name.strip()]
    items = targets if isinstance(targets, Sequence) else [targets]
    for item in items:
        if not isinstance(item, str):
            require_target(item)
    _check_used(settings, items)
    preset, names = settings.get("preset"), {item for item in items if isinstance(item, str)}
    if preset not in (None, *PRESET_SEPARATIONS) and names.isdisjoint({"weights", "border"}):
        text = f"preset={preset!r}: has no effect without weights or border among the targets"
        warnings.warn(text, SegprepWarning, stacklevel=3)
    settings = _with_preset(settings)
    chosen = [made_of(_kind(item), settings) if isinstance(item, str) else item for item in items]
    return chosen, _rules(settings, split_rule(split, settings))


def resplit_rule(split: Split, settings: Mapping[str, Any]) -> SplitRule:
    """Rule from the settings of `SplitSettings`."""
    _check_names(settings, setting_names(SplitRule))
    return split_rule(split, settings)


def split_rule(split: Split, settings: Mapping[str, Any]) -> SplitRule:
    """Rule from shares, a file or a rule, and the settings of splitting.

    >>> split_rule("0.8,0.2", {"seed": 1}).fractions
    (0.8, 0.2, 0.0)
    """
    given = _given(SplitRule, settings)
    shares: Any = split.split(",") if isinstance(split, str) else split
    if isinstance(split, SplitRule):
        return replace(split, **given)
    if split is None:
        return SplitRule(**given)
    try:
        numbers = [float(share) for share in shares]
    except (TypeError, ValueError):
        if isinstance(split, str | os.PathLike):
            return SplitRule(file=_readable(os.fspath(split)), **given)
        numbers = []
    if len(numbers) not in (2, 3):
        raise OptionError(f"split={split!r}: give the shares of train, val and test, as in '0.8,0.1,0.1', or a file")
    train, val, test = [*numbers, 0.0][:3]
    return SplitRule((train, val, test), **given)


def _readable(file: str) -> str:
    """File of splits, if it can be opened."""
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise OptionError(f"split={file!r}: cannot be read: {error.strerror}") from error
    return file


def _check_names(settings: Iterable[str], known: Sequence[str]) -> None:
    """Raise OptionError for a setting that is not known."""
    for name in settings:
        if name in known:
            continue
        if name in setting_names(*TARGETS, *RULES):
            raise OptionError(f"{name}: no setting of this function; it belongs to preprocess, which computes targets")
        raise OptionError(f"{name}: no such setting{did_you_mean(name, known)}")


def target_kinds() -> dict[str, type[Target]]:
    """Targets that are written on request, by name."""
    return {kind.name: kind for kind in TARGETS if kind.name not in ALWAYS}


def _kind(name: str) -> type[Target]:
    """Target of this name."""
    if name in ALWAYS:
        raise OptionError(f"targets={name!r}: always written; leave it out")
    check_choice("targets", name, target_kinds())
    return target_kinds()[name]


def _check_used(settings: Mapping[str, Any], items: Sequence[str | Target]) -> None:
    """Raise OptionError for a setting of a target that is not computed, or that is given as an object."""
    used = setting_names(*(_kind(item) for item in items if isinstance(item, str)), *RULES)
    for kind in TARGETS:
        for name in setting_names(kind):
            if name in settings and name not in used:
                has_object = any(isinstance(item, kind) for item in items)
                names = ",".join([*(item for item in items if isinstance(item, str)), kind.name])
                remedy = f"set it in {kind.__name__}(...)" if has_object else f"use targets={names!r}"
                raise OptionError(f"{name}={settings[name]!r}: belongs to the target {kind.name}; {remedy}")


def _with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which a preset stands for those that are not given."""
    name = settings.get("preset")
    if name is None:
        return {**settings}
    check_choice("preset", name, PRESETS)
    preset = {field: getattr(PRESETS[name], field) for field in setting_names(Weights)}
    return {**preset, "separate": PRESET_SEPARATIONS.get(name, 0), **settings}


def _rules(settings: Mapping[str, Any], split: SplitRule) -> Rules:
    instances, reading = made_of(InstanceRule, settings), made_of(ReadOptions, settings)
    if instances.instances_from in {"components", "watershed"}:
        reading = replace(reading, values="classes")
    else:
        for name in ("connectivity", "min_distance"):
            if getattr(instances, name) != getattr(InstanceRule(), name):
                value = f"{name}={settings[name]!r}"
                raise OptionError(f"{value}: needs instances_from='components' or instances_from='watershed'")
    downsampling = made_of(Downsampling, settings)
    if downsampling.downsample is not None:
        instances = replace(instances, downsampling=downsampling)
    tiling = replace(made_of(Tiling, settings), seed=split.seed)
    regions, given = made_of(RegionRule, settings), _given(Rules, settings)
    return Rules(**given, reading=reading, instances=instances, split=split, tiling=tiling, regions=regions)


def made_of(kind: type[T], settings: Mapping[str, Any]) -> T:
    """Target or rule with the settings that are fields of it."""
    return kind(**_given(kind, settings))


def _given(kind: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are fields of a target or rule, each in the type of its field, also where it is written as text."""
    hints = get_type_hints(kind)
    return {name: typed_value(name, settings[name], hints[name]) for name in setting_names(kind) if name in settings}


_PAIRS = {"canvas": (512, 512), "clip_class_weights": (0.1, 10), "tile": (512, 512)}
"""Examples of settings that are pairs."""


def typed_value(name: str, value: Any, annotation: Any) -> Any:
    """Value in the type of its field."""
    if name == "format":
        return "colour-png" if value == "color-png" else value
    if name == "class_weights":
        return _class_weights(value)
    if name == "roi" and isinstance(value, os.PathLike):
        value = os.fspath(value)
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str) and any(get_origin(option) is tuple for option in get_args(annotation)):
        plain = [number.strip() for number in re.split("[,x]", value)]
    if name == "tile" and (isinstance(plain, int) or (isinstance(plain, list) and len(plain) == 1)):
        plain = [plain, plain] if isinstance(plain, int) else plain * 2  # squares
    try:
        return msgspec.convert(plain, annotation, strict=False)
    except msgspec.ValidationError:
        if get_origin(annotation) is Literal:
            check_choice(name, value, get_args(annotation))
        example = f", as {name}={_PAIRS[name]}" if name in _PAIRS else ""
        words = type_words(annotation).removesuffix(" or None")  # by which it is left out
        raise OptionError(f"{name}={value!r}: must be {words}{example}") from None


def _class_weights(value: str | os.PathLike[str] | Mapping[str, float]) -> str | dict[str, float]:
    """Name of a formula, or weights by class name, also from a JSON file."""
    weights: Any = value
    if not isinstance(value, Mapping | str | os.PathLike):
        raise OptionError(f"class_weights={value!r}: must be the name of a formula, or weights by class name")
    if not isinstance(value, Mapping):
        if Path(value).suffix.lower() != ".json":
            return str(value)
        try:
            weights = json.loads(Path(value).read_text(encoding="utf-8"))
        except OSError as error:
            raise OptionError(f"class_weights={str(value)!r}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise OptionError(f"class_weights={str(value)!r}: not valid JSON: {error}") from error
    try:
        return msgspec.convert(weights, dict[str, float])
    except msgspec.ValidationError:
        text = f'class_weights={str(value)!r}: must be of the form {{"name of a class": 1.5, ...}}'
        raise OptionError(text) from None
