"""Spelling of parameters in messages: ``sigma=-1`` of the library is ``--sigma -1`` on the command line."""

import re
import sys
from ast import literal_eval
from collections.abc import Iterable
from shlex import quote

import click

_PARAMETER = re.compile(
    r"""
    (?<![^\s(])(?P<name>[a-z]\w*)=                          # stands alone: not within a path
    (?P<value> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | \([^()]*\) | True | False | None
             | -?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)? | inf | nan) )
    (?=[:;,)\s]|\.\s|\.?$)
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"^(?P<initial>[a-z]\w*)(?=: )|(?<![^\s(])(?P<name>[a-z]+(?:_[a-z]+)+)(?=[:;,)\s]|\.?$)")
"""A parameter without its value: at the beginning of a message, or elsewhere one that no English word can be."""


def long_name(option: click.Parameter) -> str:
    """First name of an option that begins with two hyphens, such as ``--workers`` of ``-j, --workers``."""
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def as_options(message: str, options: Iterable[click.Parameter], given: Iterable[str] = ()) -> str:
    """Message whose parameters are spelled as the options of a command.

    A word of the command line that the message repeats, such as a folder named ``sigma=5``, stays.

    Examples
    --------
    >>> sigma = click.Option(["--sigma"])
    >>> as_options("sigma=-1: must be from 0.001 to 1000 pixels", [sigma])
    '--sigma -1: must be from 0.001 to 1000 pixels'
    >>> as_options("data/sigma=5/a.png: not a PNG file", [sigma])
    'data/sigma=5/a.png: not a PNG file'
    >>> as_options("sigma=5.0 instead of sigma=None", [sigma])
    '--sigma 5 instead of no --sigma'
    """
    known = {option.name: option for option in options if isinstance(option, click.Option)}
    names = {option: long_name(option) for option in known.values()}
    words = set(given)

    def spelled(match: re.Match[str]) -> str:
        option, value = known.get(match["name"]), match["value"]
        if option is None or match[0] in words or (value == "True" and not option.is_flag):
            return match[0]
        if value in ("False", "None"):
            return f"no {names[option]}"
        if option.is_flag:
            return names[option] if value == "True" else match[0]
        if value[0] == "(":
            separator = next((mark for mark in "/,x" if mark in (option.metavar or "")), ",")
            value = separator.join(part.strip().removesuffix(".0") for part in value[1:-1].split(","))
        elif value[0] in "'\"":
            value = quote(literal_eval(value))
        else:
            value = value.removesuffix(".0")
        return f"{names[option]} {value}"

    def named(match: re.Match[str]) -> str:
        option = known.get(match["initial"] or match["name"])
        return match[0] if option is None or match[0] in words else names[option]

    return _NAME.sub(named, _PARAMETER.sub(spelled, message))


def in_options(message: str) -> str:
    """Message whose parameters are spelled as options of the running command, or of the one that makes stores."""
    from .commands import main  # noqa: PLC0415 - it imports the commands, and these this module

    name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    commands = [command for command in (main.get_command(None, "weights"), main.get_command(None, name)) if command]
    return as_options(message, [param for command in commands for param in command.params], sys.argv)
