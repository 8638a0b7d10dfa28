"""Rewrite the tables of docs/command-line.md from the commands: ``python tests/docs/command_line.py``."""

import re
from pathlib import Path

import click

from segprep.cli.commands import COMMANDS, main
from segprep.cli.examples import EXAMPLES
from segprep.cli.options import HEADINGS, heading_of

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
MARK = "<!-- What follows is written by `python tests/docs/command_line.py`; do not edit it. -->\n"
PIPE = "\\|"
"""Bar within a cell of a table."""


def page(before):
    """Page with the text before the mark as it is, and all commands after it."""
    sections = [section(name, main.get_command(None, name)) for name in COMMANDS]
    return before.partition(MARK)[0] + MARK + "".join(f"\n{text}" for text in sections)


def section(name, command):
    """Usage, help, options by heading, and examples of a command."""
    ctx = command.make_context(name, [], resilient_parsing=True)
    arguments = " ".join(param.make_metavar(ctx) for param in command.params if isinstance(param, click.Argument))
    lines = [f"## segprep {name}", "", f"`{' '.join(['segprep', name, '[OPTIONS]', arguments]).strip()}`", ""]
    lines += paragraphs(command.help)
    groups = {}
    for option in command.params:
        if isinstance(option, click.Option):
            groups.setdefault(heading_of(option), []).append(row(ctx, option))
    for heading in sorted(groups, key=HEADINGS.index):
        lines += [f"| {heading} | default | description | variable |", "|---|---|---|---|", *groups[heading], ""]
    lines += ["```sh", *(line for words, line in EXAMPLES.get(name, ())), "```", ""]
    return "\n".join(lines)


def paragraphs(text):
    """Paragraphs of a help text; those whose lines are kept become blocks."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^ {4}", "", text, flags=re.MULTILINE).strip()):
        kept = paragraph.startswith("\b\n")
        yield f"```text\n{paragraph[2:]}\n```\n" if kept else " ".join(paragraph.split()) + "\n"


def row(ctx, option):
    """Row of the table for an option."""
    names, text = option.get_help_record(ctx)
    found = re.search(r"  \[default: (.*)\]$", text)
    text = text[: found.start()] if found else text
    default = f"`{found[1]}`" if found and " " not in found[1] else found[1] if found else ""
    variables = ", ".join(f"`{name}`" for name in option.variables(ctx))
    cells = (f"`{names}`", default, text.replace("<", "&lt;"), variables)
    return f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
