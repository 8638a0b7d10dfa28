"""From the words of the command line to the library's own data."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from segprep import Workers
from segprep.errors import OptionError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.readers import ReadOptions
from segprep.runs.preprocess import Rules
from segprep.store.layout import Part
from segprep.targets import TARGETS, Target, Weights
from segprep.targets.weights import PRESETS

Settings = dict[str, Any]
"""Values of a command's options, by their names."""


def with_preset(ctx: click.Context, settings: Settings) -> Settings:
    """Settings in which a preset stands for what was not said."""
    name = settings["preset"]
    if name is None:
        return settings
    preset: Settings = {field.name: getattr(PRESETS[name], field.name) for field in fields(Weights)}
    preset["separate"] = "falk2019" if name == "falk2019" else 0
    said = click.core.ParameterSource.COMMANDLINE
    return settings | {key: value for key, value in preset.items() if ctx.get_parameter_source(key) != said}


def check_used(ctx: click.Context, settings: Settings) -> None:
    """Refuse options that were said although nothing that was asked for has them."""
    said = {name for name in settings if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}
    used = {field for target in targets(settings) for field in _fields(type(target))}
    for kind in TARGETS:
        lost = next((field for field in _fields(kind) if field in said - used), None)
        if lost is not None and kind.name not in ("labels", "classes"):
            raise OptionError(f"{_spelled(lost)} is of {kind.name}, which is not asked for: add it to --targets")
    if settings["instances_from"] == "as-is" and (lost := next(iter(said & {"connectivity", "min_distance"}), None)):
        raise OptionError(f"{_spelled(lost)} is for --instances-from components or watershed")


def _fields(kind: Any) -> list[str]:
    """Names of the parameters of a kind of target."""
    return [field.name for field in fields(kind)]


def _spelled(name: str) -> str:
    """Option as it is written."""
    return f"--{name.replace('_', '-')}"


def targets(settings: Settings) -> list[Target]:
    """Targets that were asked for, with their parameters."""
    kinds = {kind.name: kind for kind in TARGETS if kind.name not in ("labels", "classes")}
    named = [name.strip() for name in settings["targets"].split(",") if name.strip()]
    unknown = [name for name in named if name not in kinds]
    if unknown:
        raise OptionError(
            f"--targets {unknown[0]}: choose of {', '.join(kinds)}; labels and classes are always written"
        )
    settings = settings | {"class_weights": class_weights(settings["class_weights"])}
    return [_made(kinds[name], settings) for name in named]


def _made(kind: Any, settings: Settings) -> Target:
    """Target with the settings that are fields of it."""
    target: Target = kind(**{each: settings[each] for each in _fields(kind) if each in settings})
    return target


def class_weights(said: str) -> str | dict[str, float]:
    """Name of a formula, or what stands in a file."""
    path = Path(said)
    if path.suffix.lower() != ".json":
        return said
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"--class-weights {said}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise OptionError(f"--class-weights {said}: is no JSON: {error}") from error
    numbers = isinstance(weights, dict) and all(isinstance(each, int | float) for each in weights.values())
    if not numbers:
        raise OptionError(f'--class-weights {said}: must be of the form {{"name of a class": 1.5, ...}}')
    try:
        return {str(name): float(value) for name, value in weights.items()}
    except OverflowError as error:
        raise OptionError(f"--class-weights {said}: {error}") from error


def rules(settings: Settings) -> Rules:
    """What decides about the masks."""
    return replace(
        reading_rules(settings), split=split_rule(settings), canvas=settings["canvas"], on_error=settings["on_error"]
    )


def reading_rules(settings: Settings) -> Rules:
    """What decides about reading the masks."""
    return Rules(
        format=settings["format"],
        reading=ReadOptions(
            crowd=settings["crowd"],
            max_pixels=settings["max_pixels"],
            max_instances=settings["max_instances"],
            class_pattern=settings["class_pattern"],
        ),
        instances=InstanceRule(
            settings["instances_from"],
            settings["connectivity"],
            settings["min_distance"],
            settings["overlap"],
            settings["separate"],
        ),
    )


def split_rule(settings: Settings) -> SplitRule:
    """How masks are split."""
    said = settings["split"]
    fractions = _fractions(said) if said is not None else None
    return SplitRule(
        fractions,
        settings["seed"],
        settings["group"],
        settings["stratify"],
        settings["folds"],
        said if fractions is None else None,
    )


def _fractions(said: str) -> tuple[float, float, float] | None:
    """Shares, if these are numbers; a share of test may be left out."""
    try:
        numbers = [float(part) for part in said.split(",")]
    except ValueError:
        return None
    if len(numbers) not in (2, 3):
        raise OptionError(f"--split {said}: give the shares of train, val and test, as 0.8,0.1,0.1, or a file")
    train, val, test = [*numbers, 0.0][:3]
    return train, val, test


def part(settings: Settings) -> Part | None:
    """Part of the shards that is to be written."""
    said = settings["part"]
    return None if said is None else Part(*said)


def workers(settings: Settings) -> Workers:
    """Where the work is done."""
    return Workers(settings["workers"], settings["scheduler"])
