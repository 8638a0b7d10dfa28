"""A misspelled value, command or path is answered by the closest one."""

import shutil
from pathlib import Path

import pytest

import segprep

COINS = Path(__file__).parents[2] / "examples" / "coins"


@pytest.mark.parametrize(
    ("arguments", "close"),
    [
        (["--targets", "weigths"], "weights"),
        (["--targets", "weights,distanse"], "distance"),
        (["--class-weights", "inverze"], "inverse"),
        (["--class-weights", "Inverse_Sqrt"], "inverse-sqrt"),
        (["--format", "labelimage"], "label-image"),
        (["--preset", "crowed"], "crowded"),
        (["--instances-from", "watershd"], "watershed"),
        (["--dtype", "Float32"], "float32"),
        (["--on-error", "skip_mask"], "skip-mask"),
    ],
    ids=" ".join,
)
def test_a_misspelled_value_is_answered_by_the_closest_one(arguments, close, tmp_path, segprep_here):
    ended = segprep_here("weights", COINS, tmp_path / "out.zarr", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"did you mean '{close}'?" in ended.stderr


def test_a_value_that_is_close_to_none_gets_no_proposal(tmp_path, segprep_here):
    ended = segprep_here("weights", COINS, tmp_path / "out.zarr", "--preset", "mine")
    assert "choose one of paper, crowded, deshpande2018, falk2019." in ended.stderr
    assert "did you mean" not in ended.stderr


@pytest.mark.parametrize(
    ("command", "status"), [(["weights", "coinz", "a.zarr"], 3), (["check", "coinz"], 3), (["info", "coinz"], 5)]
)
def test_a_missing_path_is_answered_by_one_beside_it(command, status, tmp_path, segprep_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(COINS, "coins")
    ended = segprep_here(*command)
    assert ended.returncode == status
    assert ended.stderr.endswith("no such file or folder; did you mean coins?\n")


def test_python_gets_the_same_answers(tmp_path):
    with pytest.raises(segprep.OptionError, match=r"preset='Crowed': .* did you mean 'crowded'\?"):
        segprep.preprocess(COINS, tmp_path / "out.zarr", preset="Crowed")
    shutil.copytree(COINS, tmp_path / "coins")
    with pytest.raises(segprep.InputError, match=f"did you mean {tmp_path / 'coins'}?"):
        segprep.check(tmp_path / "coin")


def test_american_spellings_are_read(tmp_path, segprep_here):
    assert segprep_here("weights", COINS, tmp_path / "out.zarr", "--normalize", "-j", "1").returncode == 0
    (parameters,) = [t.parameters for t in segprep.describe(tmp_path / "out.zarr").targets if t.name == "weights"]
    assert parameters["normalise"] is True
    ended = segprep_here("check", COINS, "--format", "color-png", "-j", "1")
    assert "colour-png" in ended.stderr + ended.stdout
    assert "choose one of" not in ended.stderr
