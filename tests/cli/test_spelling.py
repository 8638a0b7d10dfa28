"""Parameters in messages of the library are spelled as options of the command."""

import pytest
from helpers.commands import commands_by_name

from segprep.cli.spelling import as_options

WEIGHTS = commands_by_name()["weights"].params


@pytest.mark.parametrize(
    ("message", "spelled"),
    [
        ("sigma=-1: must be from 0.001 to 1000 pixels", "--sigma -1: must be from 0.001 to 1000 pixels"),
        ("sigma=1e-05: too small", "--sigma 1e-05: too small"),
        ("w0=inf: must be finite", "--w0 inf: must be finite"),
        ("use dtype='float32'", "use --dtype float32"),
        ("use dtype='float32'.", "use --dtype float32."),
        ("use dtype='float32', or normalise=True", "use --dtype float32, or --normalise"),
        ("replace it by overwrite=True", "replace it by --overwrite"),
        ("(overwrite=True replaces it)", "(--overwrite replaces it)"),
        ("canvas=(300, 400): too small", "--canvas 300x400: too small"),
        ("clip_class_weights=(2.0, 1.0): must rise", "--clip-class-weights 2,1: must rise"),
        ("part=(2, 8): excludes overwrite=True", "--part 2/8: excludes --overwrite"),
        ("split=(0.8, 0.2): no mask", "--split 0.8,0.2: no mask"),
        ("group='a b': does not match", "--group 'a b': does not match"),
        (r"group='\\d+': does not match", r"--group '\d+': does not match"),
        ('group="it\'s": does not match', "--group 'it'\"'\"'s': does not match"),
        ("w0=-1.0: must rise", "--w0 -1: must rise"),
        ("sigma=3.0 instead of sigma=None", "--sigma 3 instead of no --sigma"),
        ("normalise=True instead of normalise=False", "--normalise instead of no --normalise"),
        ("class_weights: missing: a", "--class-weights: missing: a"),
        ("targets: weights is named twice", "--targets: weights is named twice"),
        ("use absent_class, or clip_class_weights", "use --absent-class, or --clip-class-weights"),
        ("instances_from='as-is': has no centres", "--instances-from as-is: has no centres"),
    ],
)
def test_parameters_are_spelled_as_options(message, spelled):
    assert as_options(message, WEIGHTS) == spelled


@pytest.mark.parametrize(
    "message",
    [
        "data/sigma=5/a.png: cannot be read",
        "sigma=5/a.png: cannot be read",
        "/data/w0=1,sigma=5: no such file or folder",
        "sigma=5.png: cannot be read as PNG",
        "my sigma=5.png: cannot be read as PNG",
        "s3://bucket/sigma=5: no such file or folder",
        "year=2026: cannot be read",
        "deep=True: is of another command",
        "data/class_weights/a.png: cannot be read",
        "the split: no mask is in it",
        "class_weights.json: cannot be read",
        "x.sigma=5: has no such attribute",
        "--sigma=5: is an option already",
    ],
)
def test_paths_and_other_words_stay(message):
    assert as_options(message, WEIGHTS) == message


def test_a_path_of_the_command_line_stays_though_it_looks_like_a_parameter():
    message = "sigma=5: no such file or folder"
    assert as_options(message, WEIGHTS, ["segprep", "weights", "sigma=5", "out.zarr"]) == message


@pytest.mark.parametrize("name", ["sigma=5", "dtype='float32'", "overwrite=True"])
def test_an_input_with_such_a_name_is_named_as_it_is(name, tmp_path, monkeypatch, segprep_here):
    monkeypatch.chdir(tmp_path)
    ended = segprep_here("weights", name, "out.zarr")
    assert (ended.returncode, ended.stderr) == (3, f"segprep: {name}: no such file or folder\n")
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.png").write_bytes(b"no image")
    assert f"segprep: {name}/a.png: " in segprep_here("weights", name, "out.zarr").stderr


def test_an_error_names_the_option_that_was_given(tmp_path, segprep_here):
    ended = segprep_here("weights", tmp_path, tmp_path / "out.zarr", "--part", "9/8")
    assert ended.stderr == "segprep: --part 9/8: must be of the form '2/8', the second of eight parts\n"


@pytest.mark.parametrize(("arguments", "path"), [(["weights", "a", "b", "--x"], "segprep weights"), (["x"], "segprep")])
def test_a_usage_error_says_where_help_is(arguments, path, segprep_here):
    ended = segprep_here(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.endswith(f" See '{path} --help'.\n")
