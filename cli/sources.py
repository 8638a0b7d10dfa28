"""Values of options from the environment and from a file: command line, then variables, then the file, then defaults."""

import os
from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from segprep.errors import SegprepError, did_you_mean

from .spelling import as_options, long_name

PREFIX = "SEGPREP_"
CONFIG = "segprep.config"
"""Key of the path of the file in `click.Context.meta`."""


def variables(command: str, option: click.Option, *, is_shared: bool) -> list[str]:
    """Environment variables of an option, most important first: one for the command, and perhaps one for all commands.

    Examples
    --------
    >>> variables("weights", click.Option(["-j", "--workers"]), is_shared=True)
    ['SEGPREP_WEIGHTS_WORKERS', 'SEGPREP_WORKERS']
    """
    name = long_name(option).lstrip("-")
    names = [f"{command}-{name}", name] if is_shared else [f"{command}-{name}"]
    return [PREFIX + each.replace("-", "_").upper() for each in names]


def origin(ctx: click.Context, option: click.Option, names: Iterable[str]) -> str | None:
    """Variable or line of a file that gave the value of an option; None for the command line and defaults."""
    source = ctx.get_parameter_source(option.name or "")
    if source is ParameterSource.ENVIRONMENT:
        return next((name for name in names if os.environ.get(name)), None)
    if source is ParameterSource.DEFAULT_MAP:
        return f"{long_name(option).lstrip('-')} in [{ctx.command.name}] of {ctx.meta.get(CONFIG)}"
    return None


def name_origins(error: SegprepError, options: Iterable[tuple[click.Option, str | None]]) -> None:
    """Add to the message of an error where the options that it names come from, if not from the command line."""
    if not error.args:
        return
    *others, last = error.args
    for option, place in options:
        if place is not None and long_name(option) in as_options(str(last), [option]).replace(":", " ").split():
            last = f"{last} ({long_name(option)} is set by {place})"
    error.args = (*others, last)


def unknown_variables(command: str, known: Iterable[str]) -> list[str]:
    """One line for each variable of the environment that looks like one of this command, but is none."""
    prefix, names = f"{PREFIX}{command.replace('-', '_').upper()}_", set(known)
    unknown = sorted(name for name in os.environ if name.startswith(prefix) and name not in names)
    return [f"{name}: not a variable of segprep {command}{did_you_mean(name, names)}" for name in unknown]


def settings_in(path: str, command: click.Command, tables: Iterable[str]) -> dict[str, Any]:
    """Values of a command's options in a TOML file, by name in Python; a UsageError names the file, the table and the key."""
    import tomllib  # noqa: PLC0415 - only with --config

    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path as it was given
            contents = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: not valid TOML: {error}") from error
    known = set(tables)
    for name, table in contents.items():
        if not isinstance(table, dict):
            raise click.UsageError(f"{path}: {name}: must stand in the table of a command, such as [weights]")
        if name not in known:
            raise click.UsageError(f"{path}: [{name}]: no such command{did_you_mean(name, known)}")
    options = {name.lstrip("-"): param for param in command.params for name in param.opts if name.startswith("--")}
    values: dict[str, Any] = {}
    for key, value in contents.get(command.name or "", {}).items():
        where = f"{path}: [{command.name}] {key}"
        option = options.get(key.replace("_", "-"))
        if not isinstance(option, click.Option) or option.is_eager:
            raise click.UsageError(f"{where}: no such option{did_you_mean(key, options)}")
        if option.name in values:
            raise click.UsageError(f"{where}: is given twice")
        values[option.name or ""] = typed(value, option, where)
    return values


def typed(value: Any, option: click.Option, where: str) -> Any:
    """Value of TOML as the option takes it: a list as the text that the command line has, any other as it is."""
    separator = next((mark for mark in "/,x" if mark in (option.metavar or "")), None)
    if isinstance(value, list) and separator and all(isinstance(item, str | int | float) for item in value):
        return separator.join(map(str, value))
    kinds: tuple[type, ...]
    if option.is_flag:
        kinds, words = (bool,), "true or false"
    elif option.type is click.INT:
        kinds, words = (int,), "an integer"
    elif option.type is click.FLOAT:
        kinds, words = (int, float), "a number"
    elif option.name == "class_weights":
        kinds, words = (str, dict), "a name, a file, or a table of weights by class name"
    else:
        kinds, words = (str, int, float), "text" + f" or a list, as {option.metavar}" * bool(separator)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not option.is_flag):
        raise click.UsageError(f"{where} = {value!r}: must be {words}")
    return value
