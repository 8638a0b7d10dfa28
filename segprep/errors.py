"""What can go wrong, told apart by what the user can do about it.

A message is one line: where, what, the value, how to mend it. The command line prints it and ends with `exit_code`.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

IS_A_BUG = "this is a bug in segprep; --debug shows where"


class SegprepError(Exception):
    """Any failure that segprep foresees; never raised itself."""

    exit_code: ClassVar[int] = 1


class SegprepWarning(UserWarning):
    """What is done as asked, though the caller may not know what it means."""


class OptionError(SegprepError):
    """The caller asked for something that makes no sense, whatever the data."""

    exit_code = 2


class InputError(SegprepError):
    """The input is missing, or cannot be read, or it cannot be known what it means."""

    exit_code = 3


class OutputError(SegprepError):
    """The output is there already, or is not ours to write."""

    exit_code = 4


class IntegrityError(SegprepError):
    """A store is incomplete or damaged."""

    exit_code = 5


class StorageError(SegprepError):
    """The place of the output cannot be written or read."""

    exit_code = 6


class JobError(SegprepError):
    """A job failed in a way that nobody has foreseen: a bug."""

    exit_code = 70


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
