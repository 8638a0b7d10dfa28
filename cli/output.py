"""Output of the commands: results on stdout, everything else on stderr, without the control codes of terminals.

All of it except results is also in the file of ``--log-file``.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import TextIO

import click

from segprep.errors import StorageError, escape_controls

from . import log
from .console import console


class _State:
    """State of the output: `is_json` is None until the option ``--json`` is parsed."""

    is_json: bool | None = None
    has_result: bool = False
    shows_tracebacks: bool = False


def begin() -> None:
    """Forget what an earlier command of this process has printed."""
    _State.is_json, _State.has_result, _State.shows_tracebacks = None, False, False


def show_tracebacks(*, is_on: bool) -> None:
    """Show a traceback for an error from now on, or none."""
    _State.shows_tracebacks = is_on


def shows_tracebacks() -> bool:
    """True if an error shows a traceback."""
    return _State.shows_tracebacks


def expect_json(value: bool) -> None:
    """Decide by the option ``--json`` in which form errors are printed on stdout."""
    _State.is_json = value


def wants_document() -> bool:
    """True if stdout is to hold JSON, and holds nothing yet; also before or where the options cannot be parsed."""
    words = takewhile(lambda word: word != "--", sys.argv[1:])
    return not _State.has_result and (_State.is_json if _State.is_json is not None else "--json" in words)


def print_result(result: str) -> None:
    """Print a result. A reader that has gone away, as ``head`` does, is no error."""
    _State.has_result = True
    console.clear()
    try:
        click.echo("\n".join(map(escape_controls, result.split("\n"))))
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise StorageError(f"standard output: cannot be written: {error.strerror}") from error


def print_message(line: str) -> None:
    """Print a line on stderr, if possible, such as an error."""
    log.error(line)
    print_step(line)


def print_warning(line: str, details: Sequence[str] = ()) -> None:
    """Print a warning, and its details below, each in one line."""
    log.warning("\n    ".join([line, *details]))
    print_details([f"segprep: warning: {line}", *(f"    {detail}" for detail in details)])


def print_advice(line: str, *, prefix: str = "segprep: ") -> None:
    """Print a line that ``--quiet`` leaves out."""
    log.info(line)
    if not console.is_quiet:
        print_details([prefix + line])


def print_progress(line: str) -> None:
    """Print a line of progress where no bar is drawn; ``--quiet`` leaves it out."""
    log.info(line)
    if not console.is_quiet and not console.is_terminal():
        print_step(line)


def print_step(line: str) -> None:
    """Print a line that is in the log already."""
    print_details([f"segprep: {line}"])


def print_details(lines: Iterable[str]) -> None:
    """Print lines on stderr, if possible, such as those of a traceback."""
    console.clear()
    try:
        click.echo("\n".join(map(escape_controls, lines)), err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what a stream holds and what is written to it from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
