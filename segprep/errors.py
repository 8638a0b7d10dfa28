"""Errors of segprep, one class for each kind of remedy.

A message is a line, rarely several: where, what, the value, the remedy. Parameters are written as in Python, ``sigma=-1``;
the command line writes them as its options, ``--sigma -1``, prints the lines, and ends with `exit_code`.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

IS_A_BUG = "this is a bug in segprep"


class SegprepError(Exception):
    """Base class of the errors that segprep foresees; never raised itself. Its arguments are the lines of the message."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class SegprepWarning(UserWarning):
    """A run continues, but its result may not be what the caller expects."""


class OptionError(SegprepError):
    """A parameter has a value that makes no sense, or does not fit the data or another parameter."""

    exit_code = 2


class InputError(SegprepError):
    """The input is missing, cannot be read, or is ambiguous."""

    exit_code = 3


class OutputError(SegprepError):
    """The output exists with other settings, is locked, or is not a segprep store."""

    exit_code = 4


class IntegrityError(SegprepError):
    """A store is incomplete or damaged."""

    exit_code = 5


class StorageError(SegprepError):
    """A file system, a bucket or a cluster cannot be reached, read or written."""

    exit_code = 6


class JobError(SegprepError):
    """A job failed in an unforeseen way: a bug in segprep."""

    exit_code = 70


def some(items: Iterable[object], *, most: int = 20) -> str:
    """Items with commas between, of which only the first are listed, so that no message grows with the data.

    Examples
    --------
    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = [*map(str, items)]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise OptionError if the value of a parameter is not among its choices.

    Examples
    --------
    >>> check_choice("border_on", "al", ["background", "all"])
    Traceback (most recent call last):
    segprep.errors.OptionError: border_on='al': choose one of background, all; did you mean 'all'?
    """
    choices = list(choices)
    if value in choices:
        return
    close = get_close_matches(str(value), [choice for choice in choices if isinstance(choice, str)], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise OptionError(f"{name}={value!r}: choose one of {', '.join(map(str, choices))}{hint}")
