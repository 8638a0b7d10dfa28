"""Output of the commands: results on stdout, everything else on stderr, without the control codes of terminals."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO

import click

from segprep.errors import StorageError, escape_controls

_state = {"shows_tracebacks": False}


def show_tracebacks(*, is_on: bool) -> None:
    """Show a traceback for an error from now on, or none."""
    _state["shows_tracebacks"] = is_on


def shows_tracebacks() -> bool:
    """True if an error shows a traceback."""
    return _state["shows_tracebacks"]


def print_result(result: str) -> None:
    """Print a result. A reader that has gone away, as ``head`` does, is no error."""
    try:
        click.echo("\n".join(map(escape_controls, result.split("\n"))))
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise StorageError(f"standard output: cannot be written: {error.strerror}") from error


def print_message(line: str) -> None:
    """Print a line on stderr, if possible."""
    print_details([f"segprep: {line}"])


def print_details(lines: Iterable[str]) -> None:
    """Print lines on stderr, if possible, such as those of a traceback."""
    try:
        click.echo("\n".join(map(escape_controls, lines)), err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what a stream holds and what is written to it from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
