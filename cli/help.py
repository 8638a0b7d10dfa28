"""Help that fits its terminal, from 40 columns on: words stay in one piece, options stand in groups, and examples end it."""

import re
import shutil
from collections.abc import Iterable, Sequence

import click
from click import formatting

NARROWEST, WIDEST = 40, 100
"""Columns of the terminals that a help fits; wider ones do not make it wider."""
SHORT = 36
"""Length of an option with its choices beyond which these are listed in its help text."""
_HYPHEN, _SPACE = "\N{NON-BREAKING HYPHEN}", "\N{NO-BREAK SPACE}"


class Formatter(click.HelpFormatter):
    """Formatter that breaks no word at a hyphen, so that options and their values can be copied."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        columns = min(shutil.get_terminal_size().columns, max_width or WIDEST)
        super().__init__(indent_increment, width or formatting.FORCED_WIDTH or max(columns, NARROWEST) - 1)

    def write(self, string: str) -> None:
        """Write text with its hyphens and spaces."""
        super().write(string.replace(_HYPHEN, "-").replace(_SPACE, " "))

    def write_text(self, text: str) -> None:
        """Write paragraphs, indented and wrapped."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write two columns; the first takes at most a third of the width."""
        texts = [
            (first, text.replace("-", _HYPHEN).replace("[default: ", f"[default:{_SPACE}")) for first, text in rows
        ]
        super().write_dl(texts, min(col_max, self.width // 3), col_spacing)

    def write_command(self, line: str) -> None:
        """Write a command line, continued by backslashes where it is too long; an option keeps its value."""
        words = re.findall(r"--?[a-z]\S* [^-\s]\S*|\S+", line)
        indent, most = " " * self.current_indent, self.width - self.current_indent - len("     \\")
        lines = [words[0]]
        for word in words[1:]:
            if len(lines[-1]) + 1 + len(word) <= most:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        self.write(indent + f" \\\n{indent}    ".join(lines) + "\n")


class Context(click.Context):
    """Context whose help is written by `Formatter`."""

    formatter_class = Formatter


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write the section of examples: what a command line does, and the line itself."""
    if not examples:
        return
    with formatter.section("Examples"):
        for number, (text, line) in enumerate(examples):
            if number:
                formatter.write_paragraph()
            formatter.write_text(f"{text}:")
            with formatter.indentation():
                formatter.write_command(line) if isinstance(formatter, Formatter) else formatter.write_text(line)
