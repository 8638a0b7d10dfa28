"""The command that prints all figures, and the script that it compares runs with."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import usual_script
from benchmarks.measure import Comparison, tables
from benchmarks.parts import COINS, PARTS

import segprep

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def test_a_table_has_the_figure_of_the_first_way_and_ratios_of_the_others_to_it():
    rows = [Comparison("CPU time", case, "ms", {"theirs": 4.0, "ours": ours}) for case, ours in (("a", 1), ("bc", 8))]
    other = Comparison("size", "a", "KiB", {".npz": 2.0, "ours": 1.0})
    assert tables([rows[0], other, rows[1]]) == [
        "",
        "| CPU time | theirs | ours |",
        "|----------|-------:|-----:|",
        "| a        |   4 ms | 0.25 |",
        "| bc       |   4 ms | 2.00 |",
        "",
        "| size |  .npz | ours |",
        "|------|------:|-----:|",
        "| a    | 2 KiB | 0.50 |",
    ]


def test_the_page_explains_every_part_and_no_other():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(PARTS)


@pytest.mark.slow
def test_the_command_prints_and_saves_the_figures_of_a_part(tmp_path):
    command = [sys.executable, "-m", "tests.benchmarks", "size", "--json", tmp_path / "figures.json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert ended.stdout.startswith(document["machine"])
    for each in document["comparisons"]:
        theirs, ours = each["figures"].values()
        assert re.search(rf"^\| {each['case']} +\| .* KiB \| +{ours / theirs:.2f} \|$", ended.stdout, re.MULTILINE)
        assert f"| {each['case']}" in PAGE


@pytest.mark.slow
def test_the_usual_script_computes_the_arrays_of_a_store(tmp_path):
    usual_script.main(COINS, tmp_path / "npz")
    segprep.preprocess(COINS, tmp_path / "coins.zarr", class_weights="inverse", workers=1)
    stored = segprep.open(tmp_path / "coins.zarr")[0]
    with np.load(tmp_path / "npz" / "coins.npz") as arrays:
        assert arrays.keys() | {"key"} == stored.keys()
        for name in ("labels", "classes", "distance"):
            np.testing.assert_array_equal(arrays[name], stored[name])
        np.testing.assert_allclose(arrays["weights"], stored["weights"], rtol=2e-3)
