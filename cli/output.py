"""Output of the commands: results on stdout, everything else on stderr, without the control codes of terminals.

All of it except results is also in the file of ``--log-file``.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import click

from segprep.errors import StorageError, escape_controls

from . import log
from .console import console


def print_result(result: str) -> None:
    """Print a result. A reader that has gone away, as ``head`` does, is no error."""
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
