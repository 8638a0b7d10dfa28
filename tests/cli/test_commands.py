import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zarr
from helpers.commands import COMMAND, SECONDS, allow_interrupts, commands_by_name, finished, has_ended, segprep_
from helpers.examples import mostly_slow
from PIL import Image

import segprep
from segprep.cli.commands import COMMANDS, main
from segprep.readers import READERS
from segprep.store.metadata import INPUT_STAMP, read_info
from segprep.targets import Weights

EXAMPLES = Path(__file__).parents[2] / "examples"
HELPS = [[], *([name] for name in COMMANDS)]
HEAVY = {"cv2", "dask", "distributed", "numba", "scipy", "skimage", "tifffile", "zarr"}


def spelled(value):
    """Test id of a list of arguments; of anything else, what pytest makes of it."""
    return " ".join(["segprep", *value]) if isinstance(value, list) else None


def state(folder):
    """Bytes and time of the last change of every file but the lock, by path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def assert_one_line(ended, status):
    """The command has failed as it should: one line, no traceback, no result; returns the line."""
    lines = [line for line in ended.stderr.splitlines() if not re.fullmatch(r"segprep: read \d+/\d+ masks", line)]
    assert (ended.returncode, ended.stdout, len(lines)) == (status, "", 1), ended
    assert lines[0].startswith("segprep: ")
    return lines[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of two stores, made by the command from the two forms of the coins, and what it said."""
    folder = tmp_path_factory.mktemp("made")
    said = {name: segprep_("weights", EXAMPLES / name, folder / f"{name}.zarr") for name in ("coins", "coins_coco")}
    return folder, said


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coins", "coins_coco"])
def test_weights_prints_one_line_of_result_and_plain_lines_of_the_rest(made, name):
    folder, said = made
    assert said[name].returncode == 0
    (line,) = said[name].stdout.splitlines()
    assert line.startswith(f"wrote {folder / name}.zarr: 1 mask, 24 instances; ")
    assert said[name].stderr.splitlines() == [
        *("segprep: read 1/1 masks", "segprep: write 1/1 masks"),
        f"look: segprep preview {folder / name}.zarr -o {folder / name}.html",
        f'use:  segprep.open("{folder / name}.zarr")[0]["weights"]',
    ]


def test_both_forms_of_the_coins_give_the_same_arrays(made):
    folder, _ = made
    label_image, coco = (segprep.open(folder / f"{name}.zarr")[0] for name in ("coins", "coins_coco"))
    for target in ("labels", "classes", "weights"):
        np.testing.assert_array_equal(label_image[target], coco[target])


def test_the_store_of_the_command_is_that_of_preprocess(made, coins_store, files_of):
    folder, _ = made
    assert files_of(folder / "coins.zarr") == files_of(coins_store)


def test_options_reach_the_store(tmp_path):
    options = ["--w0", "3", "--sigma", "2.5", "--class-weights", "none", "--dtype", "float32", "--canvas", "400x500"]
    ended = segprep_("weights", EXAMPLES / "coins", tmp_path / "out.zarr", "--format", "label-image", *options)
    assert ended.returncode == 0, ended
    info = read_info(tmp_path / "out.zarr")
    (parameters,) = [target.parameters for target in info.targets if target.name == "weights"]
    chosen = {"w0": 3, "sigma": 2.5, "class_weights": "none", "dtype": "float32", "vector": [1, 1]}
    assert parameters.items() > chosen.items()
    array = zarr.open_array(tmp_path / "out.zarr", path="400x500/weights", mode="r")
    assert (array.dtype, array.shape, array.attrs["parameters"]) == ("float32", (1, 400, 500), parameters)


def test_json_of_weights_is_json_of_info_and_complete(tmp_path):
    root = tmp_path / "out.zarr"
    made, found = segprep_("weights", EXAMPLES / "coins", root, "--json"), segprep_("info", root, "--json")
    assert (made.returncode, found.returncode, found.stderr) == (0, 0, "")
    summary = json.loads(made.stdout)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and path != root / INPUT_STAMP)
    attributes = json.loads(msgspec.json.encode(read_info(root)))
    assert summary.pop("update") is None
    assert json.loads(found.stdout) == summary | {"schema": "info"}
    assert summary == {
        "schema": "weights",
        "schema_version": 1,
        "store": str(root),
        "bytes": size,
        "tiling": None,
        "regions": None,
        "ignored_share": 0.0,
        "revision": 0,
        **attributes,
    }


def test_info_shows_what_a_store_contains(varied_store):
    ended = segprep_("info", varied_store)
    info = read_info(varied_store)
    assert (ended.returncode, ended.stderr) == (0, "")
    for word in (
        str(varied_store),
        "complete",
        "13 masks",
        "36 instances",
        "varied (coco)",
        "64 ignored",
        "108 hidden",
        "--sigma 5 ",
        "warning: ",
        *(each.name for each in (*info.classes, *info.targets, *info.buckets)),
        *(f"{each.all.pixels:,}" for each in info.classes),
    ):
        assert word in ended.stdout


def test_what_was_left_out_is_a_warning_on_stderr(varied, tmp_path):
    ended = segprep_("weights", varied, tmp_path / "out.zarr", "--workers", "1")
    (problem,) = read_info(tmp_path / "out.zarr").problems
    (warning,) = [line for line in ended.stderr.splitlines() if problem.kind in line]
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 1)
    assert warning == f"segprep: warning: {problem.kind}: 1 left out: {problem.key}: {problem.where}"


def test_version_is_that_of_the_package():
    ended = segprep_("--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.split()[-1] == segprep.__version__


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", HELPS, ids=spelled)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_a_result(command, option):
    ended = segprep_(*command, option)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: {' '.join(['segprep', *command])} [OPTIONS]")
    assert "\\b" not in ended.stdout


def test_help_keeps_the_lines_of_the_formula():
    assert re.search(
        r"^ +d1, d2: distances to the nearest two instances ", segprep_("weights", "--help").stdout, re.MULTILINE
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help(name):
    assert commands_by_name()[name].help.splitlines()[0] == COMMANDS[name]


def test_help_of_the_program_imports_no_command():
    assert "numpy" not in imported("--help")


def imported(*arguments):
    """Top-level names of all modules that a run of the command imports."""
    lines = segprep_(*arguments, PYTHONPROFILEIMPORTTIME="1").stderr.splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}


@pytest.mark.parametrize("command", [*HELPS, ["--version"]], ids=spelled)
def test_help_imports_nothing_heavy(command):
    modules = imported(*command, "--help")
    assert {"click", "segprep"} <= modules
    assert not modules & HEAVY


def test_work_imports_what_is_heavy_and_needed(coins_store):
    modules = imported("info", coins_store)
    assert {"numpy", "numcodecs"} <= modules
    assert not modules & {"zarr", "numba", "scipy", "dask"}


@pytest.mark.parametrize("command", [main, *commands_by_name().values()], ids=lambda command: command.name)
def test_every_command_and_every_option_has_a_help_text(command):
    assert command.help
    for param in command.params:
        assert param.param_type_name == "argument" or param.help, param.name


# --- options and what they stand for ---------------------------------------------------------------------------------


def options(command):
    return {param.name: param for param in command.params if param.param_type_name == "option"}


def test_a_pattern_of_classes_reaches_the_reader(tmp_path):
    (tmp_path / "cell/masks").mkdir(parents=True)
    Image.new("L", (5, 4), 255).save(tmp_path / "cell/masks/7-nucleus.png")
    assert "nucleus (1)" in segprep_("check", tmp_path, "--class-pattern", "-(?P<class>[a-z]+)[.]").stdout


@pytest.mark.parametrize("command", commands_by_name().values(), ids=lambda command: command.name)
def test_every_command_has_json_and_debug(command):
    assert {"--json", "--debug"} <= {name for option in options(command).values() for name in option.opts}


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--canvas", "512"], "--canvas 512: must be a pair of numbers, as --canvas 512x512"),
        (["--canvas", "0x512"], "--canvas 0x512: height and width must be at least 1 pixel each"),
        (["--canvas", "axb"], "--canvas"),
        (["--canvas", "300x300"], "--canvas 300x300: too small for the masks; use at least --canvas 303x384"),
        (["--sigma", "wide"], "--sigma"),
        (["--sigma", "0"], "--sigma 0: must be"),
        (["--sigma", "nan"], "--sigma nan"),
        (["--sigma", "-1"], "--sigma -1: must be"),
        (["--w0", "-1"], "--w0 -1: must be"),
        (["--w0", "inf"], "--w0 inf"),
        (["--w0", "70000"], "float16"),
        (["--dtype", "float64"], "--dtype"),
        (["--class-weights", "some"], "--class-weights"),
        (["--format", "tiff"], "--format"),
        (["--workers", "0"], "--workers 0"),
        (["--workers", "two"], "--workers"),
        (["--workers", "1", "--scheduler", "tcp://127.0.0.1:1"], "--scheduler"),
        (["--max-pixels", "0"], "max"),
        (["--max-instances", "0"], "--max-instances 0"),
        (["--targets", "weights,labels"], "--targets labels"),
        (["--targets", "weights,weights"], "--targets: weights is named twice"),
        (["--preset", "mine"], "--preset"),
        (["--class-weights", "mine.json"], "--class-weights mine.json: cannot be read"),
        (["--clip-class-weights", "1"], "a pair of numbers, as --clip-class-weights 0.1,10"),
        (
            ["--clip-class-weights", "2,1"],
            "--clip-class-weights 2,1: must be finite and at least 0, the smaller one first",
        ),
        (["--separate", "-1"], "--separate"),
        (["--instances-from", "watershed", "--min-distance", "0"], "--min-distance 0"),
        (["--min-distance", "9"], "--min-distance 9: needs --instances-from components or --instances-from watershed"),
        (
            ["--targets", "weights", "--distance-clip", "20"],
            "--distance-clip 20: belongs to the target distance; use --targets weights,distance",
        ),
        (
            ["--targets", "distance", "--w0", "5"],
            "--w0 5: belongs to the target weights; use --targets distance,weights",
        ),
        (["--group", "a{99999999999999}", "--folds", "2"], "not a regular expression"),
        (["--targets", "distance", "--distance-clip", "0"], "--distance-clip 0: must be"),
        (["--targets", "boundaries", "--boundary-width", "0"], "--boundary-width 0"),
        (["--split", "0.5,0.4,0.2"], "--split 0.5,0.4,0.2: the shares sum to 1.1"),
        (["--split", "0.5"], "--split 0.5"),
        (["--split", "0,1"], "nothing would be left for training"),
        (["--split", "0.5,0.5"], "--split 0.5,0.5,0: 2 splits need at least 2 masks or groups; the data set has 1"),
        (["--stratify"], "--stratify: needs shares or folds"),
        (["--folds", "1"], "--folds 1"),
        (["--split", "missing.csv"], "--split missing.csv: cannot be read: No such file"),
        (["--beta", "0.9"], "--beta 0.9: belongs to the formula effective-number, not to none"),
        (["--class-weights", "effective-number", "--beta", "1"], "--beta 1: must be at least 0 and less than 1"),
        (["--group", "("], "--group"),
        (["--folds", "2"], "--folds 2: more than the 1 masks or groups outside test"),
        (["--seed", "3"], "there is nothing to split; add shares, as --split 0.8,0.1,0.1, or --folds 5"),
        (
            ["--class-weights", "falk2019", "--normalise"],
            "takes weights from each image alone; leave out --normalise",
        ),
        (["--group", "slide"], "--group slide: does not match 'labels/coins.png'"),
        (["one too many"], "one too many"),
    ],
    ids=spelled,
)
def test_a_usage_error_is_one_line_that_names_what_is_wrong(tmp_path, segprep_here, arguments, named):
    ended = segprep_here("weights", EXAMPLES / "coins", tmp_path / "out.zarr", *arguments)
    assert named in assert_one_line(ended, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--sigma", "0"]], ids=spelled)
def test_a_usage_error_of_the_installed_command_is_one_line_too(tmp_path, arguments):
    assert_one_line(segprep_("weights", EXAMPLES / "coins", tmp_path / "out.zarr", *arguments), 2)


@pytest.mark.parametrize("arguments", [["weights"], ["info"], ["weights", "data"], ["nonsense"], ["--nonsense"]])
def test_a_missing_argument_or_unknown_command_is_a_usage_error(arguments):
    assert_one_line(segprep_(*arguments), 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing.json", None),
        ("no json.json", "{"),
        ("no address.json", "{}"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_one_line_that_names_it(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    ended = segprep_("weights", EXAMPLES / "coins", "out.zarr", "--scheduler", name, cwd=tmp_path)
    line = assert_one_line(ended, 2)
    assert f"--scheduler {shlex.quote(name)}: cannot be used" in line
    assert ("no such file" in line) == (text is None)
    assert not (tmp_path / "out.zarr").exists()


def test_a_missing_input_is_one_line_that_names_it(tmp_path):
    ended = segprep_("weights", tmp_path / "nowhere", tmp_path / "out.zarr")
    assert assert_one_line(ended, 3) == f"segprep: {tmp_path / 'nowhere'}: no such file or folder"
    assert list(tmp_path.iterdir()) == []


def test_an_input_without_masks_is_named_and_described(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").touch()
    ended = segprep_("weights", tmp_path / "data", tmp_path / "out.zarr")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines() == [
        f"segprep: {tmp_path / 'data'}: no known layout: 1 TXT",
        "segprep: the command 'segprep formats' lists all layouts that are read",
    ]
    assert not (tmp_path / "out.zarr").exists()


def test_formats_lists_every_reader():
    ended = segprep_("formats", "--json")
    assert list(json.loads(ended.stdout)["formats"]) == list(READERS)
    lines = segprep_("formats").stdout.splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] == list(READERS)


@pytest.mark.parametrize("workers", mostly_slow(["1", "2"], "1"))
def test_a_corrupt_mask_is_one_line_that_names_the_file_and_one_with_the_remedy(tmp_path, workers):
    good = (EXAMPLES / "coins" / "labels" / "coins.png").read_bytes()
    (tmp_path / "data").mkdir()
    for name in "abcdefghi":
        (tmp_path / "data" / f"{name}.png").write_bytes(good if name != "d" else good[: len(good) // 2])
    ended = segprep_("weights", tmp_path / "data", tmp_path / "out.zarr", "--workers", workers)
    reason, remedy = [line for line in ended.stderr.splitlines() if not line.startswith("segprep: read ")]
    assert (ended.returncode, ended.stdout) == (3, "")
    assert reason.startswith(f"segprep: {tmp_path / 'data' / 'd.png'}: cannot be read as PNG")
    assert remedy.startswith("segprep: 1 of 9 masks cannot be read, nothing was written; ")
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.slow
def test_workers_import_nothing_from_the_working_directory(tmp_path):
    for name in ("segprep", "numpy", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')")
    shutil.copytree(EXAMPLES / "coins" / "labels", tmp_path / "data")
    for number in range(2):
        shutil.copy(tmp_path / "data" / "coins.png", tmp_path / "data" / f"{number}.png")
    ended = segprep_("weights", "data", "out.zarr", "--workers", "2", cwd=tmp_path)
    assert ended.returncode == 0, ended


def _store(root):
    segprep.preprocess(EXAMPLES / "coins", root, targets=(Weights(sigma=4),))


def _folder(root):
    root.mkdir()
    (root / "notes.txt").write_text("mine")


def _zarr(root):
    zarr.create_group(root, attributes={"title": "mine"})


@pytest.mark.parametrize(
    "make", mostly_slow([_store, _folder, _zarr, Path.touch], _store), ids=["other store", "folder", "zarr", "file"]
)
def test_an_existing_output_is_named_in_one_line_and_stays_untouched(tmp_path, make):
    root = tmp_path / "out.zarr"
    make(root)
    before = state(tmp_path)
    line = assert_one_line(segprep_("weights", EXAMPLES / "coins", root), 4)
    assert line.startswith(f"segprep: {root}: exists ")
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_info_of_no_store_is_an_integrity_error_of_one_line(tmp_path, name):
    assert "not a segprep store" in assert_one_line(segprep_("info", tmp_path / name), 5)


def test_an_output_that_cannot_be_written_is_a_storage_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    line = assert_one_line(segprep_("weights", EXAMPLES / "coins", tmp_path / "file" / "out.zarr"), 6)
    assert line.startswith(f"segprep: {tmp_path / 'file'}")
    assert "cannot be written" in line


def test_a_repeated_command_is_up_to_date_and_touches_nothing(tmp_path):
    root = tmp_path / "out.zarr"
    first = segprep_("weights", EXAMPLES / "coins", root)
    before = state(tmp_path)
    again = segprep_("weights", EXAMPLES / "coins", root)
    assert again.returncode == 0
    assert again.stdout.startswith(f"{root} is up to date: nothing to do (1 mask, 24 instances; ")
    assert first.stdout.startswith(f"wrote {root}: 1 mask, 24 instances; ")
    assert state(tmp_path) == before


@pytest.mark.slow
def test_a_repeated_command_loads_masks_only_on_request(tmp_path):
    command = ("weights", EXAMPLES / "coins", tmp_path / "out.zarr")
    for more, stages in (([], ["read", "write"]), ([], []), (["--reread"], ["read"])):
        lines = [line for line in segprep_(*command, *more).stderr.splitlines() if line.startswith("segprep: ")]
        assert lines == [f"segprep: {stage} 1/1 masks" for stage in stages]


def test_classes_prints_a_vector_for_a_loss(made):
    folder, _ = made
    ended = segprep_("classes", folder / "coins.zarr", "--formula", "pos-weight")
    assert (ended.returncode, ended.stderr) == (0, "")
    vector = json.loads(ended.stdout.splitlines()[0])
    pixels = [each.train.pixels for each in read_info(folder / "coins.zarr").classes]
    np.testing.assert_allclose(vector, [pixels[1] / pixels[0], pixels[0] / pixels[1]], rtol=1e-5)
    in_json = json.loads(segprep_("classes", folder / "coins.zarr", "--formula", "pos-weight", "--json").stdout)
    np.testing.assert_allclose(in_json["vector"], vector, rtol=1e-5)
    assert list(in_json["weights"]) == ["background", "instance"]


def test_class_weights_may_stand_in_a_file(tmp_path):
    (tmp_path / "mine.json").write_text('{"background": 0.5, "instance": 3}')
    data, root = EXAMPLES / "coins", tmp_path / "out.zarr"
    ended = segprep_("weights", data, root, "--class-weights", str(tmp_path / "mine.json"))
    assert ended.returncode == 0, ended
    assert read_info(root).targets[2].parameters["vector"] == [0.5, 3]


def test_a_preset_sets_the_options_that_are_not_given(tmp_path):
    ended = segprep_("weights", EXAMPLES / "coins", tmp_path / "a.zarr", "--preset", "falk2019", "--sigma", "4")
    assert ended.returncode == 0, ended
    info = read_info(tmp_path / "a.zarr")
    said = {"w0": 50, "sigma": 4, "border_between": "same-class", "class_weights": "falk2019"}
    assert info.targets[2].parameters.items() > said.items()
    assert info.instance_rule.separate == "falk2019"


def test_an_option_goes_before_that_of_the_preset(tmp_path):
    assert segprep_("weights", EXAMPLES / "coins", tmp_path / "a.zarr", "--preset", "crowded").returncode == 0
    ended = segprep_("weights", EXAMPLES / "coins", tmp_path / "b.zarr", "--preset", "crowded", "--separate", "0")
    assert ended.returncode == 0, ended
    crowded, own = read_info(tmp_path / "a.zarr"), read_info(tmp_path / "b.zarr")
    assert (crowded.instance_rule.separate, own.instance_rule.separate) == (1, 0)
    said = {"w0": 10, "sigma": 2.5, "class_weights": "none", "vector": [1, 1]}
    assert crowded.targets[2].parameters.items() > said.items()
    assert crowded.targets[2].parameters == own.targets[2].parameters


def test_a_lack_of_memory_is_no_bug(tmp_path, segprep_here, monkeypatch):
    def read_info(_):
        raise MemoryError

    monkeypatch.setattr("segprep.runs.describe.read_info", read_info)
    line = assert_one_line(segprep_here("info", tmp_path), 6)
    assert line == "segprep: there is not enough memory; --debug shows where"


def test_debug_shows_a_traceback(tmp_path):
    ended = segprep_("weights", tmp_path / "nowhere", tmp_path / "out.zarr", "--debug")
    assert ended.returncode == 3
    assert "Traceback (most recent call last)" in ended.stderr
    assert f"InputError: {tmp_path / 'nowhere'}: no such file or folder" in ended.stderr


# --- terminals and signals -------------------------------------------------------------------------------------------


def test_no_bar_is_drawn_elsewhere(made):
    _, said = made
    assert "\r" not in said["coins"].stderr
    assert "%" not in said["coins"].stderr


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """COCO file of two small masks, whose shards are written first, and of one that keeps a core busy long after."""
    sides = [64, 128, 5000]
    images = [{"id": n, "file_name": f"{n}.jpg", "height": side, "width": side} for n, side in enumerate(sides)]
    annotations = [
        {"image_id": n, "category_id": 1, "segmentation": [[8, 8, side - 8, 8, side - 8, side - 8, 8, side - 8]]}
        for n, side in enumerate(sides)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    file = tmp_path_factory.mktemp("squares") / "squares.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "3"], ids=["in this process", "idle workers"])
def test_an_interrupt_is_one_line_and_leaves_an_incomplete_store(squares, tmp_path, workers):
    root = tmp_path / "out.zarr"
    command = [COMMAND, "weights", squares, root, "--workers", workers]
    allow_interrupts()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr.readline() == "segprep: read 3/3 masks\n"
        deadline = time.monotonic() + SECONDS
        while len(list(root.glob("*/weights/records/0.json"))) < 2:
            assert not has_ended(process)
            assert time.monotonic() < deadline, "the small shards are not written"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout, stderr.strip()) == (
        130,
        "",
        "segprep: interrupted; run the same command again to resume",
    )
    assert read_info(root).status == "incomplete"
    assert not list(root.rglob("*.partial"))


def test_a_reader_of_stdout_that_goes_away_is_no_error(coins_store):
    with subprocess.Popen([COMMAND, "info", coins_store], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        stderr = process.stderr.read()
    assert stderr == b""


SIGNAL_DURING_IMPORT = """
import signal, sys, threading
from segprep.cli.main import run

{late_timer}

class Late:
    def {method}(self, *_):
        signal.raise_signal(signal.SIGTERM)

class Finder:
    def find_spec(self, name, *_):
        if name == "segprep.runs.preprocess":
            {use}

sys.meta_path.insert(0, Finder())
run()
"""


@pytest.mark.parametrize(
    ("method", "use"),  # what is raised there Python 3.11 wraps, and drops
    [("__set_name__", 'type("Any", (), {"late": Late()})'), ("__del__", "Late()")],
)
@pytest.mark.parametrize("late_timer", ["", "threading.Timer = lambda *_: threading.Thread()"])  # it never comes again
def test_a_signal_that_comes_while_modules_are_imported_ends_the_command(method, use, late_timer, tmp_path):
    script = SIGNAL_DURING_IMPORT.format(method=method, use=use, late_timer=late_timer)
    words = [sys.executable, "-c", script, "weights", EXAMPLES / "coins", tmp_path / "out.zarr"]
    # Elsewhere than in the repository, whose folder segprep/ is not all that is installed.
    process = finished(words, cwd=tmp_path)
    assert process.stderr.splitlines()[-1] == "segprep: terminated; run the same command again to resume"
    assert late_timer or "wrote" not in process.stdout
    assert process.returncode == 143


# --- streams that cannot be written ----------------------------------------------------------------------------------


def in_bash(line, *words):
    """A line of bash, whose $1, $2, ... are these words and whose ``segprep`` is the command."""
    return finished(["bash", "-c", f'segprep() {{ "$0" "$@"; }}; {line}', COMMAND, *words])


@pytest.mark.slow
@pytest.mark.parametrize("stderr", ["2> /dev/full", "2>&-", "2> >(head -n 1 > /dev/null)"])
def test_a_run_continues_if_its_progress_cannot_be_written(stderr, tmp_path):
    ended = in_bash(f'segprep weights "$1" "$2" {stderr}', EXAMPLES / "coins", tmp_path / "out.zarr")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"wrote {tmp_path / 'out.zarr'}: 1 mask, 24 instances; ")


@pytest.mark.parametrize("stderr", ["2> /dev/full", "2>&-"])
def test_the_exit_code_of_an_error_is_the_same_where_nobody_can_read_it(stderr, tmp_path):
    assert in_bash(f'segprep check "$1" {stderr}', tmp_path / "nothing").returncode == 3


@pytest.mark.parametrize("stdout", ["| true", ">&-"])
def test_the_exit_code_of_a_result_is_the_same_where_nobody_reads_it(stdout, coins_copy):
    (coins_copy / "320x384/labels/c/0/0/0").unlink()
    ended = in_bash(f'segprep verify "$1" {stdout}; exit "${{PIPESTATUS[0]}}"', coins_copy)
    assert (ended.returncode, ended.stderr) == (5, "segprep: verify 1/1 masks\n")


def test_a_result_that_cannot_be_written_is_a_storage_error(coins_store):
    ended = in_bash('segprep info "$1" > /dev/full', coins_store)
    assert ended.returncode == 6
    assert ended.stderr == "segprep: standard output: cannot be written: No space left on device\n"


# --- notices ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def classed(tmp_path):
    """Semantic masks in folders of splits: class 1 in train and val, class 2 in train alone, class 3 in val alone."""
    for name, values in (("train/a", [1, 0, 2]), ("train/b", [1, 1, 0]), ("val/c", [0, 1, 3])):
        file = tmp_path / "masks" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([values] * 4, np.uint8)).save(file)
    return tmp_path / "masks"


def test_classes_that_train_or_val_lacks_are_warned_about(classed, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    ended = segprep_here("weights", classed, root, "--instances-from", "components", "--workers", "1")
    assert ended.returncode == 0
    lines = ["1 class of val without a pixel in train: class 3", "1 class of train without a pixel in val: class 2"]
    assert all(f"segprep: warning: {line}\n" in ended.stderr for line in lines)
    shown = segprep_here("info", root).stdout
    assert all(f"warning: {line}\n" in shown for line in lines)
    assert "splits     train 2, val 1, test 0\n" in shown
    folded = segprep_here("split", root, "--folds", "3", "--stratify", "--workers", "1")
    assert folded.stdout == f"{root}: train 2, val 1, test 0; folds 1, 1, 1\n"


def test_folders_that_put_no_mask_into_train_are_warned_about(classed, tmp_path, segprep_here):
    (classed / "train").rename(classed / "test")
    ended = segprep_here("weights", classed, tmp_path / "out.zarr", "--class-weights", "none", "--workers", "1")
    warning = "warning: no mask is in train; --split 1,0,0 puts all masks there\n"
    assert f"segprep: {warning}" in ended.stderr
    assert warning in segprep_here("info", tmp_path / "out.zarr").stdout
    ended = segprep_here("split", tmp_path / "out.zarr", "--split", "1,0,0")
    assert "no mask is in train" not in ended.stderr


def test_an_error_of_a_store_is_spelled_in_the_options_that_made_it(classed, tmp_path, segprep_here):
    root, together, apart = tmp_path / "out.zarr", tmp_path / "together.json", tmp_path / "apart.json"
    together.write_text('{"train": ["train/a.png", "train/b.png", "val/c.png"]}')
    apart.write_text('{"train": ["train/a.png", "train/b.png"], "val": ["val/c.png"]}')
    options = ["--instances-from", "components", "--absent-class", "error", "--workers", "1"]
    assert segprep_here("weights", classed, root, "--split", together, *options).returncode == 0
    line = assert_one_line(segprep_here("split", root, "--split", apart, "--refit"), 2)
    remedy = "use --absent-class zero or --absent-class cap"
    assert line == f"segprep: --absent-class error: no pixel of class 3 in the train split; {remedy}"


def test_info_shows_the_options_that_make_the_targets_again(tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    (tmp_path / "mine.json").write_text('{"background": 0.5, "instance": 3}')
    options = [
        "--sigma",
        "2.5",
        "--class-weights",
        str(tmp_path / "mine.json"),
        "--normalise",
        "--distance-per",
        "class",
    ]
    segprep_here("weights", EXAMPLES / "coins", root, "--clip-class-weights", "0.1,4", *options)
    shown = segprep_here("info", root).stdout
    for line in (
        "--sigma 2.5 ",
        "--class-weights {background: 0.5, instance: 3} --absent-class zero --normalise --clip-class-weights 0.1,4",
        "distance   --distance-per class --dtype float16\n",
        "labels\n",
    ):
        assert line in shown
    assert "vector" not in shown
    assert "channels" not in shown


@pytest.mark.parametrize(
    ("arguments", "notice"),
    [
        (["--crowd", "instance"], "--crowd instance: has no effect: label-image has no crowds"),
        (["--targets", "distance", "--preset", "paper"], "--preset paper: has no effect without weights or border"),
    ],
)
def test_an_option_without_effect_is_a_warning(tmp_path, arguments, notice):
    ended = segprep_("weights", EXAMPLES / "coins", tmp_path / "out.zarr", *arguments)
    assert ended.returncode == 0
    assert f"segprep: warning: {notice}" in ended.stderr


@pytest.fixture
def crowded(tmp_path):
    """Label image of three instances, of which two touch."""
    file = tmp_path / "cells.png"
    Image.fromarray(np.array([[1, 1, 2, 2, 0, 0, 3]] * 4, np.uint8)).save(file)
    return file


def test_touching_instances_end_a_run_with_the_preset_for_them(crowded, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    advice = (
        "1 pair of instances touches; without background between, a network learns to merge them: use --preset crowded"
    )
    assert advice in segprep_here("check", crowded).stdout
    for _ in range(2):  # the second run knows it from the store
        assert segprep_here("weights", crowded, root).stderr.splitlines()[-3] == f"segprep: {advice}"
    ended = segprep_here("weights", crowded, root, "--json")
    assert (json.loads(ended.stdout)["touching_pairs"], advice in ended.stderr) == (1, False)
    assert json.loads(segprep_here("check", crowded, "--json").stdout)["touching_pairs"] == 1
    separated = segprep_here("weights", crowded, root, "--preset", "crowded", "--overwrite")
    assert (separated.returncode, "instances touch" in separated.stderr, read_info(root).touching_pairs) == (
        0,
        False,
        1,
    )
    assert (
        "instances touch" not in segprep_here("weights", crowded, tmp_path / "b.zarr", "--targets", "boundaries").stderr
    )
    assert "instances touch" not in segprep_here("weights", EXAMPLES / "coins", tmp_path / "c.zarr").stderr


def test_a_class_weight_far_above_the_border_is_warned_about_once(tmp_path, segprep_here):
    pixels = np.zeros((40, 60), np.uint8)
    pixels[2, 3], pixels[5:9, 5:9] = 1, 2
    Image.fromarray(pixels).save(tmp_path / "cells.png")
    (tmp_path / "by_name.json").write_text('{"background": 1, "instance": 2000}')
    root, options = tmp_path / "out.zarr", ["--class-weights", str(tmp_path / "by_name.json")]
    line = "warning: --class-weights: 'instance' has the weight 2,000, far above --w0 10, so the border term has hardly any "
    ended = segprep_("weights", tmp_path / "cells.png", root, *options)
    remedy = "influence; use --class-weights none or --clip-class-weights 0.1,10"
    assert f"segprep: {line}{remedy}\n" in ended.stderr
    assert ended.stderr.count("2,000") == 1
    assert f"{line}{remedy}\n" in segprep_here("info", root).stdout
    for further in (["--w0", "0"], ["--clip-class-weights", "0.1,10"]):
        clipped = segprep_here("weights", tmp_path / "cells.png", tmp_path / further[0], *options, *further)
        assert (clipped.returncode, "far above" in clipped.stderr) == (0, False)


def test_a_store_of_the_former_default_is_refused_by_name_and_kept_by_the_option(tmp_path, segprep_here):
    root, inverse = tmp_path / "out.zarr", ["--class-weights", "inverse"]
    assert segprep_here("weights", EXAMPLES / "coins", root, *inverse).returncode == 0
    line = assert_one_line(segprep_here("weights", EXAMPLES / "coins", root), 4)
    assert line.startswith(
        f"segprep: {root}: exists with other settings: --class-weights none instead of --class-weights inverse; "
    )
    assert segprep.open(root)[0]["weights"].min() < 1
    assert "up to date" in segprep_here("weights", EXAMPLES / "coins", root, *inverse).stdout


def test_a_store_in_place_of_the_data_is_named_with_the_order(coins_store, tmp_path, segprep_here):
    for arguments in (["weights", coins_store, tmp_path / "data"], ["check", coins_store]):
        line = assert_one_line(segprep_here(*arguments), 3)
        assert line.startswith(f"segprep: {coins_store}: is a segprep store, made from coins, not a data set; ")
        assert "give the data set first" in line
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_problems_is_tried_before_the_run(tmp_path, segprep_here):
    file = tmp_path / "no" / "problems.jsonl"
    ended = segprep_here("weights", EXAMPLES / "coins", tmp_path / "out.zarr", "--problems", file)
    assert f"--problems {file}: cannot be written" in assert_one_line(ended, 6)
    assert list(tmp_path.iterdir()) == []
    kept = tmp_path / "problems.jsonl"
    kept.write_text("former")
    assert segprep_here("weights", "nowhere", tmp_path / "out.zarr", "--problems", kept).returncode == 3
    assert kept.read_text() == "former"


def test_masks_that_are_left_out_are_counted_once(tmp_path, segprep_here):
    shutil.copytree(EXAMPLES / "coins", tmp_path / "data")
    (tmp_path / "data/labels/bad.png").write_bytes(b"no image")
    ended = segprep_here("weights", tmp_path / "data", tmp_path / "out.zarr", "--on-error", "skip-mask")
    assert ended.returncode == 1
    assert "segprep: warning: left out 1 mask that cannot be read:\n" in ended.stderr
    assert ended.stderr.count("left out") == 1


def test_no_line_grows_with_the_sizes_of_the_data(tmp_path, segprep_here):
    (tmp_path / "data").mkdir()
    for size in range(1, 60):
        Image.fromarray(np.ones((1, size), np.uint8)).save(tmp_path / "data" / f"{size}.png")
    (line,) = [
        line for line in segprep_here("check", tmp_path / "data").stdout.splitlines() if line.startswith("sizes ")
    ]
    assert len(line) < 200
    assert re.search(r" and 4\d more$", line)


def test_texts_of_results_do_not_import_what_draws():
    heavy = {"cv2", "segprep.report", "segprep.runs.cells"}
    code = f"import sys, segprep.cli.render; print(sorted({heavy} & sys.modules.keys()))"
    assert (
        subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
    )
