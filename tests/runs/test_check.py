"""What becomes of bad input: in `check`, and in a run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError
from segprep.runs.check import check
from segprep.runs.scan import LEFT_OUT
from segprep.store.metadata import read_info
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)


@pytest.fixture(params=["1 process", "2 processes"])
def anywhere(request):
    return Workers(processes=int(request.param[0]))


@pytest.fixture
def data(tmp_path):
    """Ten images of two instances each; d and h cannot be read, and b has an empty file."""
    folder = tmp_path / "data"
    for name in "abcdefghij":
        for number in range(2):
            file = folder / name / "masks" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((12, 12 + ord(name) % 2), np.uint8)
            pixels[1:5, 1 + 4 * number : 4 + 4 * number] = 255
            Image.fromarray(pixels).save(file)
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(folder / "b" / "masks" / "2.png")
    for name in "dh":
        file = folder / name / "masks" / "1.png"
        file.write_bytes(file.read_bytes()[:50])
    return folder


def test_check_reports_what_is_there_and_all_that_is_wrong(data, anywhere):
    report = check(data, workers=anywhere)
    assert (report.format, report.masks, report.instances) == ("instance-png", 10, 16)
    assert report.sizes == {"12x12": 3, "12x13": 5}
    assert [(each.name, each.instances, each.pixels) for each in report.classes] == [
        ("background", 0, 3 * 144 + 5 * 156 - 16 * 12),
        ("instance", 16, 16 * 12),
    ]
    assert report.kinds == {"no foreground": 1, LEFT_OUT: 2}
    assert [(problem.kind, problem.key) for problem in report.problems] == [
        ("no foreground", "b"),
        (LEFT_OUT, "d"),
        (LEFT_OUT, "h"),
    ]
    assert report.problems[1].where == f"{data}/d/masks/1.png: cannot be read as PNG: image file is truncated"


def test_check_counts_overlapping_and_ignored_pixels(varied):
    report = check(varied, workers=ONE)
    assert (report.overlap_pixels, report.ignored_pixels) == (108, 64)


def test_a_run_names_every_mask_that_cannot_be_read_and_writes_nothing(data, anywhere, tmp_path):
    with pytest.raises(InputError) as caught:
        segprep.preprocess(data, tmp_path / "out.zarr", workers=anywhere)
    *reasons, remedy = caught.value.args
    assert [reason.partition(":")[0] for reason in reasons] == [f"{data}/d/masks/1.png", f"{data}/h/masks/1.png"]
    assert remedy.startswith("2 of 10 masks cannot be read; nothing was written. Fix them, or ")
    assert not (tmp_path / "out.zarr").exists()


def test_masks_that_cannot_be_read_are_left_out_on_request(data, anywhere, tmp_path):
    info = segprep.preprocess(data, tmp_path / "out.zarr", on_error="skip-mask", workers=anywhere)
    dataset = segprep.open(tmp_path / "out.zarr")
    assert (info.masks, info.instances, dataset.keys) == (8, 16, list("abcefgij"))
    assert [(problem.kind, problem.key) for problem in read_info(tmp_path / "out.zarr").problems] == [
        ("no foreground", "b"),
        (LEFT_OUT, "d"),
        (LEFT_OUT, "h"),
    ]


def test_a_bad_annotation_ends_the_run_on_request(varied, tmp_path):
    with pytest.raises(InputError, match="annotation None: 3") as caught:
        segprep.preprocess(varied, tmp_path / "out.zarr", on_error="fail", workers=ONE)
    assert caught.value.args[1].startswith("1 problem with on_error='fail'; nothing was written. ")
    assert not (tmp_path / "out.zarr").exists()


def test_a_run_needs_a_mask_that_can_be_read(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=r"bad\.png"):
        segprep.preprocess(tmp_path / "bad.png", tmp_path / "out.zarr", on_error="skip-mask")


def test_an_unknown_way_to_go_about_bad_input_is_an_option_error(data, tmp_path):
    with pytest.raises(OptionError, match="on_error='never': choose one of skip-annotation, skip-mask, fail"):
        segprep.preprocess(data, tmp_path / "out.zarr", on_error="never", workers=ONE)


def run(*arguments):
    """The command as it is installed."""
    command = [Path(sys.executable).with_name("segprep"), *arguments, "--workers", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_check_command_prints_every_fault_and_ends_with_1(data):
    ended = run("check", data)
    assert ended.returncode == 1
    for line in ("no foreground: 1", "    b: 2.png", f"{LEFT_OUT}: 2", f"    {data}/h/masks/1.png: cannot be read"):
        assert line in ended.stdout


def test_check_command_prints_its_report_as_json(data):
    ended = run("check", data, "--json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["kinds"] == {"no foreground": 1, LEFT_OUT: 2}


def test_check_command_ends_with_0_where_nothing_is_wrong(data):
    ended = run("check", data / "a" / "masks" / "0.png")
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "no problems found")


def test_command_lists_what_it_has_left_out_and_ends_with_1(data, tmp_path):
    ended = run(
        "weights", data, tmp_path / "out.zarr", "--on-error", "skip-mask", "--problems", tmp_path / "errors.jsonl"
    )
    assert ended.returncode == 1
    lines = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["key"]) for line in lines] == [
        ("no foreground", "b"),
        (LEFT_OUT, "d"),
        (LEFT_OUT, "h"),
    ]


def test_a_bad_annotation_alone_is_a_warning(varied, tmp_path):
    ended = run("weights", varied, tmp_path / "out.zarr")
    assert ended.returncode == 0
    assert "1 left out" in ended.stderr


def test_what_faults_quote_from_a_file_is_printed_on_one_line(tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 5}],
        "annotations": [
            {"id": "ü\n\x1b[2J", "image_id": 1, "category_id": 1, "segmentation": {"size": [4, 5], "counts": "\r!"}}
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    (problem,) = check(tmp_path / "a.json", workers=ONE).problems
    assert problem.where == r"annotation '\xfc\n\x1b[2J': '\r!'"


def test_a_class_name_that_would_move_the_cursor_is_shown_on_one_line(segprep_here, tmp_path):
    square = {"image_id": 0, "category_id": 1, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}
    image = {"id": 0, "file_name": "a.jpg", "height": 4, "width": 5}
    category = {"id": 1, "name": "x\x1b[2Jy\nz"}
    (tmp_path / "a.json").write_text(json.dumps({"images": [image], "annotations": [square], "categories": [category]}))
    checked = segprep_here("check", tmp_path / "a.json")
    assert "x\\x1b[2Jy\\nz (1)" in checked.stdout
    segprep_here("weights", tmp_path / "a.json", tmp_path / "out.zarr")
    for command in ("info", "classes"):
        assert "x\\x1b[2Jy\\nz" in segprep_here(command, tmp_path / "out.zarr").stdout


def test_no_text_of_a_foreign_store_moves_the_cursor(segprep_here, coins_copy):
    root = json.loads((coins_copy / "zarr.json").read_text())
    moves = "x\x1b[2J\ny\x9bz"
    problem = {"kind": moves, "key": moves, "where": moves, "left_out": False}
    own = {
        "name": "own",
        "version": 1,
        "dtype": "uint8",
        "channels": 0,
        "fingerprint": "",
        "parameters": {moves: moves},
    }
    attributes = root["attributes"]
    attributes |= {
        "source": moves,
        "source_format": moves,
        "segprep": moves,
        "splits": [moves] * 3,
        "problems": [problem],
    }
    attributes["targets"].append(own)
    (coins_copy / "zarr.json").write_text(json.dumps(root))
    for arguments in (["info"], ["info", "--json"], ["classes"], ["verify"], ["split", "--split", "0.5,0.5"]):
        ended = segprep_here(arguments[0], coins_copy, *arguments[1:])
        assert (ended.stdout + ended.stderr).replace("\n", "").isprintable()
        assert not [line for line in ended.stdout.splitlines() if line.startswith("y")]
    assert json.loads(segprep_here("info", coins_copy, "--json").stdout)["source"] == moves
    (coins_copy / "zarr.json").write_text(json.dumps(root).replace('"labels"', json.dumps(moves)))
    ended = segprep_here("info", coins_copy, "--debug")
    assert "Traceback" in ended.stderr
    assert ended.stderr.replace("\n", "").isprintable()
