"""The README's Python blocks run as they stand, one after the other."""

import re
import shutil
from pathlib import Path

import pytest

from segprep import preprocess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    preprocess("examples/coins", "coins.zarr")
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    assert len(names["masks"]) == 1  # type: ignore[arg-type]
    assert names["info"].status == "complete"  # type: ignore[attr-defined]


def test_first_two_lines_install_run_and_test() -> None:
    assert blocks("bash")[0].splitlines() == [
        "pip install . && segprep weights examples/coins coins.zarr",
        "pip install '.[test]' && pytest",
    ]
