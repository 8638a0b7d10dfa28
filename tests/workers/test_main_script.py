"""Runs with several workers, started by scripts that the workers cannot import, or must not, and by notebooks."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.commands import SECONDS

import segprep
from segprep.errors import OptionError
from segprep.workers.calls import call, pickled

COINS = Path(__file__).parents[2] / "examples" / "coins"
TWO = segprep.Workers(processes=2)

PLAIN = """
import sys
import segprep
segprep.preprocess(sys.argv[1], sys.argv[2], workers=segprep.Workers(processes=2))
"""
GUARDED = PLAIN.replace("segprep.preprocess", "if __name__ == '__main__': segprep.preprocess")

OWN = """
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import segprep


class TooDark(Exception):
    pass


@dataclass(frozen=True)
class Half:
    name: ClassVar[str] = "half"
    dtype: ClassVar[str] = "float32"
    fill: ClassVar[float] = float("nan")

    def compute(self, mask):
        return half(mask.labels)


def half(labels):
    return (labels > 0) / np.float32(2)


@dataclass(frozen=True)
class Square:
    key: str
    is_dark: bool = False
    split: str | None = None

    def load(self):
        if self.is_dark:
            raise TooDark("too dark")
        planes = np.zeros((1, 8, 9), np.int32)
        planes[0, 2:6, 2:7] = 1
        return segprep.InstanceMask(planes, np.array([0, 1], np.int32))


out, squares = sys.argv[1], [Square(name) for name in "abcd"]
segprep.preprocess(squares, out, targets=[Half()], workers=2)
assert (segprep.open(out)["c"]["half"][3, 2:4] == 0.5).all()
assert not segprep.verify(out, deep=True, workers=2).findings
assert not segprep.check(squares, workers=2).problems
assert segprep.evaluate(squares, squares, workers=2).missing == ()
print(*segprep.check([*squares, Square("z", is_dark=True)], workers=2).problems)
"""
TOO_DARK = "TooDark: too dark"


def ran(words, script, folder):
    """Result of Python with these arguments, and a script on standard input."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, input=script, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS
    )


def words_of(way, script, folder):
    """Arguments with which Python runs a script."""
    if way == "file":
        (folder / "script.py").write_text(script)
        return ["script.py"]
    return {"standard input": ["-"], "-c": ["-c", script]}[way]


@pytest.mark.parametrize("way", ["standard input", "-c", "file"])
@pytest.mark.parametrize("script", [PLAIN, pytest.param(GUARDED, marks=pytest.mark.slow)], ids=["plain", "guarded"])
def test_a_script_makes_the_same_store_without_a_word(way, script, varied, varied_store, files_of, tmp_path):
    ended = ran([*words_of(way, script, tmp_path), varied, "out.zarr"], script, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


@pytest.mark.parametrize("way", ["standard input", pytest.param("file", marks=pytest.mark.slow)])
def test_workers_use_the_classes_of_a_script(way, tmp_path):
    ended = ran([*words_of(way, OWN, tmp_path), "out.zarr"], OWN, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert TOO_DARK in ended.stdout


@pytest.mark.slow
def test_workers_use_the_classes_of_a_notebook(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("import sys; sys.argv = ['', 'out.zarr']", OWN)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (printed,) = notebook.cells[1].outputs
    assert TOO_DARK in printed["text"]


def test_what_cannot_be_sent_is_an_option_error_with_the_remedy():
    with pytest.raises(OptionError, match=r"cannot be sent to workers: .*lock.*; use workers=1"):
        pickled(print, (threading.Lock(),))


def test_a_function_that_no_module_has_is_sent_by_value():
    factor = 3
    assert call(pickled(lambda number: factor * number, (4,))) == 12
