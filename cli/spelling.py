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
    (?P<value> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | \([^()]*\) | True
             | -?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)? | inf | nan) )
    (?=[:;,)\s]|\.\s|\.?$)
    """,
    re.VERBOSE,
)


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
    """
    known = {option.name: option for option in options if isinstance(option, click.Option)}
    words = set(given)

    def spelled(match: re.Match[str]) -> str:
        option, value = known.get(match["name"]), match["value"]
        if option is None or match[0] in words or option.is_flag != (value == "True"):
            return match[0]
        if option.is_flag:
            return option.opts[0]
        if value[0] == "(":
            separator = next((mark for mark in "/,x" if mark in (option.metavar or "")), ",")
            value = separator.join(part.strip() for part in value[1:-1].split(","))
        elif value[0] in "'\"":
            value = quote(literal_eval(value))
        return f"{option.opts[0]} {value}"

    return _PARAMETER.sub(spelled, message)


def in_options(message: str) -> str:
    """Message whose parameters are spelled as options of the running command."""
    from .commands import main  # noqa: PLC0415 - it imports the commands, and these this module

    name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    command = main.get_command(None, name)
    return message if command is None else as_options(message, command.params, sys.argv)
