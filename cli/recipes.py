"""Settings of a store as command lines, and as a file for ``--config``."""

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

import click

from segprep.paths.anypath import AnyPath
from segprep.runs.recipe import Recipe
from segprep.store.schema import StoreInfo

from .spelling import long_name

WEIGHTS_FILE = "class-weights.json"
"""File that the command line names where class weights were given by name."""


def command_text(recipe: Recipe, info: StoreInfo, store: AnyPath, command: click.Command) -> str:
    """Command lines that make a store again, after comments."""
    data, options, comments, lines = located(info.source, store), _by_name(command), _comments(recipe), []
    if not Path(data).exists():
        comments.append(f"# {quote(data)} stands for the data set: give its path")
    for run in recipe.runs:
        words = ["segprep", "weights", quote(data), quote(str(store))]
        for name, value in run.items():
            text = _as_text(value, options[name])
            if isinstance(value, Mapping):
                comments.append(f"# first write this to {WEIGHTS_FILE}: {json.dumps(value, ensure_ascii=False)}")
                text = WEIGHTS_FILE
            elif name == "images":
                text = located(text, store)
            words += [long_name(options[name])] if value is True else [long_name(options[name]), quote(text)]
        lines.append(" ".join(words))
    return "\n".join([*comments, *lines])


def config_text(recipe: Recipe, info: StoreInfo, store: AnyPath, command: click.Command) -> str:
    """Settings of a store as a table of TOML, after comments; those of further runs are comments, too."""
    options = _by_name(command)
    comments = [
        *_comments(recipe),
        f"# segprep weights {quote(located(info.source, store))} {quote(str(store))} --config FILE",
    ]
    tables = [
        [
            "[weights]",
            *(
                f"{long_name(options[name]).lstrip('-')} = {_as_toml(value, options[name])}"
                for name, value in run.items()
            ),
        ]
        for run in recipe.runs
    ]
    first, others = tables[:1], tables[1:]
    for table in others:
        comments += ["# a further run, for which the table is:", *(f"#     {line}" for line in table)]
    return "\n".join([*comments, *(line for table in first for line in table)])


def located(name: str, store: AnyPath) -> str:
    """Path of the data, of which a store has the name alone: in the working folder, or beside the store."""
    beside = store.parent / name
    return str(beside) if not Path(name).exists() and isinstance(beside, Path) and beside.exists() else name


def _comments(recipe: Recipe) -> list[str]:
    return [f"# {remark}" for remark in recipe.remarks]


def _by_name(command: click.Command) -> dict[str, click.Option]:
    return {param.name or "": param for param in command.params if isinstance(param, click.Option)}


def _as_text(value: Any, option: click.Option) -> str:
    """Value as the command line takes it."""
    if isinstance(value, tuple):
        separator = "x" if "x" in (option.metavar or "") else ","
        return separator.join(f"{item:.17g}" if isinstance(item, float) else str(item) for item in map(_short, value))
    return str(_short(value))


def _as_toml(value: Any, option: click.Option) -> str:
    """Value as TOML has it."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_as_toml(name, option)} = {weight!r}' for name, weight in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(_as_toml(item, option) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(_short(value))


def _short(value: Any) -> Any:
    """Number without a decimal point that says nothing."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
