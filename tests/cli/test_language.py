"""Help texts, source and pages are in plain technical English."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers.commands import commands_by_name

import segprep
from segprep.cli.commands import main

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "cli").glob("*.py"), *(ROOT / "segprep").rglob("*.py")])
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BANNED = re.compile(
    r"\b(anew|goes? on|mend(s|ed|ing)?|told|said|heard|passed over|so many|whole|what is wrong with|of its own|pictures?"
    r"|found out)\b"
)
HELPS = {"": main, **commands_by_name()}


def help_of(name):
    return " ".join(CliRunner().invoke(main, [*filter(None, [name]), "--help"]).output.split())


@pytest.mark.parametrize("name", HELPS)
def test_help_is_in_plain_english(name):
    assert not BANNED.search(help_of(name))
    assert "Whether" not in help_of(name)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source_is_in_plain_english(path):
    text = path.read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if BANNED.search(line)]
    assert not re.search(r'"""(Whether|What)\b', text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page_is_in_plain_english(path):
    assert not [line for line in path.read_text(encoding="utf-8").splitlines() if BANNED.search(line)]


def test_public_names_are_documented():
    for name in segprep.__all__:
        if name not in ("__version__", "PRESETS"):
            assert getattr(segprep, name).__doc__, name
