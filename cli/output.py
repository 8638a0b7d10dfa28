"""What commands print: results on stdout, everything else on stderr."""

import os
import sys
from typing import TextIO

import click

from segprep.errors import StorageError


def print_result(result: str) -> None:
    """Print a result; that its reader has gone away, as ``head`` does, is no error.

    Raises
    ------
    StorageError
        Where it cannot be written.
    """
    try:
        click.echo(result)
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise StorageError(f"standard output: cannot be written: {error.strerror}") from error


def print_message(line: str) -> None:
    """Print a line besides; no work stops because nobody can read it."""
    try:
        click.echo(f"segprep: {line}", err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let what goes to a stream from now on, and what it holds still, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
