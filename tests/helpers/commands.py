"""The installed command."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from segprep.cli.commands import COMMANDS, main

COMMAND = Path(sys.executable).with_name("segprep")
SECONDS = 120
"""Timeout of a command; far more than it needs."""


def allow_interrupts():
    """Give SIGINT its default action in the processes that this one starts.

    A shell starts background jobs with SIGINT ignored, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def commands_by_name():
    """All commands, by name."""
    return {name: main.get_command(None, name) for name in COMMANDS}


def finished(words, *, cwd=None, seconds=SECONDS, **environment):
    """Result of a command, run to its end."""
    return subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


@contextmanager
def ended_after(process):
    """Context of a process, which ends with it also where the test fails."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_ended(process):
    """True if a process ends within 0.1 s."""
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return False
    return True


def segprep_(*arguments, cwd=None, **environment):
    """The command, run to its end."""
    return finished([COMMAND, *arguments], cwd=cwd, **environment)
