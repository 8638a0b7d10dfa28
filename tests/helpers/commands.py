"""The command as it is installed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("segprep")
SECONDS = 120
"""How long a command may take before a test gives up; far more than it needs."""


def allow_interrupts():
    """Give SIGINT its default action in the processes that this one starts.

    A shell starts background jobs with SIGINT ignored, and their children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def finished(words, *, cwd=None, seconds=SECONDS, **environment):
    """A process that has run to its end."""
    return subprocess.run(
        words,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def has_ended(process):
    """Whether a process ends within a moment."""
    try:
        process.wait(0.1)
    except subprocess.TimeoutExpired:
        return False
    return True


def segprep_(*arguments, cwd=None, **environment):
    """The command, run to its end."""
    return finished([COMMAND, *arguments], cwd=cwd, **environment)
