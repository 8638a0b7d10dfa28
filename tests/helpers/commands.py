"""The command as it is installed."""

import os
import subprocess
import sys
from pathlib import Path

from segprep.cli.commands import COMMANDS, main

COMMAND = Path(sys.executable).with_name("segprep")
SECONDS = 120
"""How long a command may take before a test gives up; far more than it needs."""


def commands_by_name():
    """All commands, by name."""
    return {name: main.get_command(None, name) for name in COMMANDS}


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
