"""The README is short, and its Python blocks run in order."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.consoles import consoles
from PIL import Image

from segprep import demo, preprocess
from segprep.cli.commands import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def write_tiles(folder: Path) -> None:
    """Label images of several masks: the rows of the coins, cut into six tiles each."""
    folder.mkdir()
    coins = np.array(Image.open(ROOT / "examples" / "coins" / "labels" / "coins.png"))
    for number, row in enumerate(np.array_split(coins, 4)):
        for tile, pixels in enumerate(np.array_split(row, 6, axis=1)):
            Image.fromarray(pixels).save(folder / f"{number}_{tile}.png")


def test_is_at_most_130_lines() -> None:
    assert len(README.splitlines()) <= 130


def test_commands_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo("nuclei")
    preprocess("nuclei", "nuclei.zarr", preset="crowded")
    shown = [pair for block in blocks("console") for pair in consoles(block)]
    assert len(shown) == 3
    for line, output in shown:
        assert CliRunner().invoke(main, shlex.split(line)[1:]).stdout == output, line


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo("nuclei")
    preprocess("nuclei", "nuclei.zarr", preset="crowded")
    write_tiles(tmp_path / "data")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks("python"):
        if "import torch" in block and not find_spec("torch"):
            continue
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    if find_spec("torch"):
        assert len(names["masks"]) == 16  # type: ignore[arg-type]
    assert names["info"].status == "complete"  # type: ignore[attr-defined]


def test_first_two_lines_install_run_and_test() -> None:
    assert blocks("bash")[0].splitlines() == [
        "pip install . && segprep demo nuclei && segprep weights nuclei nuclei.zarr --preset crowded",
        "pip install '.[test]' && pytest",
    ]
