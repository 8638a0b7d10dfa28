"""The terminal: its status line, which later output replaces, and how much a command prints.

It imports nothing that takes time, so that the first status is visible before anything else is imported.
"""

import os
import sys
import time

_ERASE = "\r\x1b[K"
_WIDTH = 80
"""Columns of a terminal that does not know its width."""


class Console:
    """State of stderr during a command.

    Attributes
    ----------
    started : float
        Time at which the command began, by `time.monotonic`.
    is_quiet, is_verbose : bool
        True with ``--quiet`` and ``--verbose``.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget an earlier command of this process."""
        self.started = time.monotonic()
        self.is_quiet = self.is_verbose = False
        self._has_status = False

    @property
    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self.started

    def is_terminal(self) -> bool:
        """True if stderr is a terminal that can replace a line."""
        return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def columns(self) -> int:
        """Width of the terminal."""
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def show(self, status: str) -> None:
        """Replace the status line, on a terminal and without ``--quiet``; what does not fit is cut."""
        if not self.is_quiet and self.is_terminal():
            self._write(_ERASE + status[: self.columns() - 1])
            self._has_status = True

    def keep(self) -> None:
        """Leave the status line on the screen, and begin another line."""
        if self._has_status:
            self._write("\n")
        self._has_status = False

    def clear(self) -> None:
        """Remove the status line."""
        if self._has_status:
            self._write(_ERASE)
        self._has_status = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            self.is_quiet = True


console = Console()
"""The terminal of this process."""
