"""Blocks of pages with commands and their output; ``python tests/helpers/consoles.py PAGE`` writes the output into a page."""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path


def consoles(block):
    """Command lines of a block, and the standard output that it shows for each."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def rewritten(page, folder):
    """Page whose console blocks have the real output; the commands run in order in a folder."""

    def run(match):
        shown = ""
        for line, _ in consoles(match[1]):
            ended = subprocess.run(shlex.split(line), cwd=folder, capture_output=True, text=True, check=True)
            shown += f"$ {line}\n{ended.stdout}"
        return f"```console\n{shown}```\n"

    return re.sub(r"^```console\n(.*?)^```\n", run, page, flags=re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        file.write_text(rewritten(file.read_text(encoding="utf-8"), scratch), encoding="utf-8")
