"""Errors of a command as typed data: what is printed on stderr, and the document that ``--json`` prints."""

import signal
import sys
from collections.abc import Iterable
from typing import Literal, TypeAlias

import click
import msgspec

from segprep.errors import IS_A_BUG, JobError, SegprepError, StorageError

from .commands import COMMANDS
from .spelling import in_options

Kind: TypeAlias = Literal[
    "usage", "input", "output", "integrity", "storage", "bug", "interrupted", "terminated", "other"
]
DEBUG = "--debug shows where"
RESUME = "run the same command again to resume"
_KINDS: dict[int, Kind] = {2: "usage", 3: "input", 4: "output", 5: "integrity", 6: "storage", 70: "bug"}
_KINDS |= {128 + signal.SIGINT: "interrupted", 128 + signal.SIGTERM: "terminated"}
"""Kinds of errors, by exit code."""


class Failure(msgspec.Struct, frozen=True):
    """An error that ended a command.

    Attributes
    ----------
    kind : str
        Kind of the error; each has its exit code.
    error : str
        Class of the error in Python.
    message : str
        Text of the error, as on stderr.
    lines : list of str
        The lines of the text.
    remedy : str or null
        The part of the last line, after its last semicolon, that gives a rule or a remedy.
    exit_code : int
        Exit code of the command.
    command : str or null
        Name of the command.
    """

    kind: Kind
    error: str
    message: str
    lines: tuple[str, ...]
    remedy: str | None
    exit_code: int
    command: str | None


def failure_of(error: BaseException) -> Failure:
    """Lines, exit code and remedy of an error."""
    if isinstance(error, click.ClickException):
        path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "segprep"
        message, see = error.format_message(), f"See '{path} --help'."
        end = "" if message.endswith((".", "?", "?)")) else "."
        return _failure(error, [f"{message}{end} {see}"], error.exit_code, see)
    if isinstance(error, OSError) and isinstance(error.filename, str) and "://" in error.filename:
        error = StorageError(f"{error.filename}: {error.strerror}")  # a bucket that does not answer
    if isinstance(error, SegprepError):
        lines = [in_options(str(line)) for line in error.args or (type(error).__name__,)]
        if isinstance(error, JobError):
            lines[-1] += f"; {DEBUG}"
        return _failure(error, lines, error.exit_code, remedy_in(lines[-1], sys.argv))
    if isinstance(error, MemoryError):
        return _failure(error, [f"there is not enough memory; {DEBUG}"], StorageError.exit_code, None)
    line = f"{type(error).__name__}: {error}: {IS_A_BUG}; {DEBUG}"
    return _failure(error, [line], JobError.exit_code, DEBUG)


def interruption(error: BaseException, number: int, word: str) -> Failure:
    """Failure by a signal, after the word for it."""
    return _failure(error, [f"{word}; {RESUME}"], 128 + number, RESUME)


def remedy_in(line: str, given: Iterable[str] = ()) -> str | None:
    """Last part of a message, after a semicolon; None if it has none, or if a word of the command line contains one.

    Examples
    --------
    >>> remedy_in("a.png: 12 pixels are more than --max-pixels 11; raise the limit")
    'raise the limit'
    """
    before, mark, last = line.rpartition("; ")
    return last if before and mark and not any("; " in word for word in given) else None


def _failure(error: BaseException, lines: list[str], exit_code: int, remedy: str | None) -> Failure:
    shown = (*lines[:-1], " ".join(lines[-1].split()))
    name = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    command = name if name in COMMANDS else None
    kind = _KINDS.get(exit_code, "other")
    return Failure(kind, type(error).__name__, "\n".join(shown), shown, remedy, exit_code, command)
