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

    Parameters
    ----------
    message : str
        Message of the library.
    options : iterable of click.Parameter
        Parameters of the command.
    given : iterable of str
        Words of the command line; where the message repeats one of them, such as a folder named ``sigma=5``, it stays.

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
        option = known.get(match["name"])
        return match[0] if option is None or match[0] in words else _spelled(option, match["value"], match[0])

    return _PARAMETER.sub(spelled, message)


def in_options(message: str) -> str:
    """Message whose parameters are spelled as options of the running command."""
    from .commands import main  # noqa: PLC0415 - it imports the commands, and these this module

    name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    command = main.get_command(None, name)
    return message if command is None else as_options(message, command.params, sys.argv)


def _spelled(option: click.Option, value: str, unchanged: str) -> str:
    """Option with a value, or the text unchanged if the command line cannot write it."""
    if option.is_flag != (value == "True"):
        return unchanged
    if option.is_flag:
        return option.opts[0]
    if value[0] == "(":
        separator = next((mark for mark in "/,x" if mark in (option.metavar or "")), ",")
        return f"{option.opts[0]} {separator.join(part.strip() for part in value[1:-1].split(','))}"
    if value[0] in "'\"":
        value = quote(literal_eval(value))
    return f"{option.opts[0]} {value}"
