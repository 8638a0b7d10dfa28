"""The page for contributors names what exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_files_that_the_page_names_exist():
    names = re.findall(r"(?:segprep|tests|docs|examples|\.ci)/[\w/.-]*\w", PAGE)
    assert len(names) > 20
    assert [name for name in names if "NAME" not in name and not (ROOT / name).exists()] == []


def test_every_endurance_loop_is_on_the_page():
    loops = {path.name for path in (ROOT / "tests" / "endurance").glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert set(re.findall(r"^python tests/endurance/(\w+\.py)", PAGE, re.MULTILINE)) == loops
