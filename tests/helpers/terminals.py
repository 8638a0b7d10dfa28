"""Commands on a pseudo-terminal, and what its screen shows."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import NamedTuple

from helpers.commands import COMMAND, SECONDS


class Shown(NamedTuple):
    """Result of a command on a terminal: exit code, what was written, the lines at the end, seconds to the first text."""

    status: int
    text: str
    lines: list[str]
    first: float


def on_terminal(*arguments, columns=80, stdout=subprocess.DEVNULL, **environment):
    """A command run to its end with stderr on a terminal; `stdout` is None to have it there, too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    started, first, text = time.monotonic(), None, b""
    environment = {"TERM": "xterm"} | environment
    with subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env=os.environ | environment,
    ) as process:
        os.close(theirs)
        try:
            while select.select([ours], [], [], SECONDS)[0] and (piece := os.read(ours, 4096)):
                first = time.monotonic() - started if first is None else first
                text += piece
        except OSError:  # Linux: no process holds the other end any more
            pass
        finally:
            os.close(ours)
    return Shown(process.returncode, text.decode(), screen(text.decode()), first)


def screen(text):
    """Lines that a terminal shows after a text: ``\\r`` goes to the start of the line, and ``ESC [K`` erases the rest.

    >>> screen("starting\\r\\x1b[Kread 100%\\r\\nwrote")
    ['read 100%', 'wrote']
    """
    lines = []
    for written in text.replace("\r\n", "\n").split("\n"):
        line, place = "", 0
        for part in re.split(r"(\r|\x1b\[K)", written):
            if part == "\r":
                place = 0
            elif part == "\x1b[K":
                line = line[:place]
            else:
                line = line[:place] + part + line[place + len(part) :]
                place += len(part)
        lines.append(line.rstrip())
    return [line for line in lines if line]
