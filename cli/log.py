"""Log of a command: the steps of the library as status, lines of ``--verbose``, and the file of ``--log-file``.

The library logs its steps to the logger ``segprep``. A step is the status on a terminal, and a line with ``--verbose``. The
file has everything, with times.
"""

import logging
import platform
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from segprep.errors import StorageError, escape_controls

from .console import console

LINE_SECONDS = 10
"""Least time between two lines of progress."""
STATUS_SECONDS = 0.1
"""Least time between two changes of the status line."""
_LIBRARY = logging.getLogger("segprep")
_LISTING = logging.getLogger("segprep.paths")
_OWN = logging.getLogger("segprep.cli")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class _Lines(logging.Formatter):
    """Lines with date, time and time zone, without control codes."""

    default_time_format = "%Y-%m-%dT%H:%M:%S%z"
    default_msec_format = None

    def format(self, record: logging.LogRecord) -> str:
        """Message with its further lines, and perhaps a traceback."""
        return "\n".join(map(escape_controls, super().format(record).split("\n")))


class _File(logging.FileHandler):
    """File of ``--log-file``; each line is in it as soon as it is logged."""

    def __init__(self, path: Path, show: Callable[[str], None]) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._show = show

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as logging calls it
        """Give up the file, as when the disk is full: the run continues."""
        _LIBRARY.removeHandler(self)
        with suppress(OSError):
            self.close()
        self._show(f"warning: --log-file {shlex.quote(self.baseFilename)}: cannot be written; the run continues")


class _Steps(logging.Handler):
    """Steps of the library on the console."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show
        self.level_before = _LIBRARY.level
        self._step, self._files, self._last = "", 0, 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Show a step, or the number of files that were listed in it."""
        if record.name.startswith(_OWN.name):
            return
        if (files := getattr(record, "files", None)) is not None:
            self._files += files
            if time.monotonic() - self._last >= STATUS_SECONDS:
                self._last = time.monotonic()
                console.show(f"{self._step or 'listing files'}: {self._files:,} files")
            return
        self._step, self._files = escape_controls(record.getMessage()), 0
        if console.is_verbose:
            self._show(f"{console.seconds:.1f} s: {self._step}")
        console.show(self._step)


def start(show: Callable[[str], None]) -> None:
    """Follow the library until `stop`; `show` prints a line."""
    stop()
    _LIBRARY.addHandler(_Steps(show))
    _LIBRARY.setLevel(logging.INFO)
    if console.is_terminal():
        _LISTING.setLevel(logging.DEBUG)


def stop() -> None:
    """Close the file, if there is one."""
    for handler in [*_LIBRARY.handlers]:
        if isinstance(handler, _Steps | _File):
            _LIBRARY.removeHandler(handler)
            if isinstance(handler, _Steps):
                _LIBRARY.setLevel(handler.level_before)
            with suppress(OSError):
                handler.close()
    _LISTING.setLevel(logging.NOTSET)


def write_to(path: Path, show: Callable[[str], None]) -> None:
    """Append everything to a file from now on; StorageError if that cannot be written."""
    try:
        handler = _File(path, show)
    except OSError as error:
        raise StorageError(f"log_file={str(path)!r}: cannot be written: {error.strerror}") from error
    handler.setFormatter(_Lines(_FORMAT))
    _LIBRARY.addHandler(handler)
    from importlib.metadata import version  # noqa: PLC0415 - takes time, and few commands need it

    info(f"segprep {version('segprep')}, Python {platform.python_version()}, {platform.platform()}")
    info(f"command: segprep {shlex.join(sys.argv[1:])}")


info: Callable[[str], None] = _OWN.info
warning: Callable[[str], None] = _OWN.warning
error: Callable[[str], None] = _OWN.error


def traceback() -> None:
    """Log the traceback of the exception that is handled."""
    _OWN.error("traceback:", exc_info=True)
