import re
from pathlib import Path

import numpy as np
import pytest
from helpers.terminals import on_terminal
from PIL import Image

from segprep.cli.console import console
from segprep.cli.progress import ProgressBar, Stage, bar

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTROLS = re.compile(r"[\r\x1b]")


@pytest.fixture
def clock(monkeypatch):
    """List of one number, the time in seconds."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console.begin()
    return now


# --- on a terminal ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_shows_a_bar_for_each_stage_and_no_line_is_wider(columns, tmp_path):
    shown = on_terminal("weights", EXAMPLES / "coins", tmp_path / "out.zarr", columns=columns)
    assert shown.status == 0
    read, write, *_ = shown.lines
    counts = "1/1 masks, " if columns > 40 else ""
    for line, name in ((read, "read "), (write, "write")):
        assert re.match(rf"{name} 100% \|(.+)\| {counts}in 00:\d\d(, \d.* masks/s)?$", line), line
        assert len(line) < columns
        assert line.count("█") + line.count("#") >= 12
        assert ("masks/s" in line) == (columns == 120)
    assert not any(line.startswith("segprep: read") for line in shown.lines)


def test_the_status_before_the_bars_leaves_no_trace(tmp_path):
    shown = on_terminal("weights", EXAMPLES / "coins", tmp_path / "out.zarr")
    for status in ("starting", "finding masks in ", "completing "):
        assert status in shown.text
        assert not any(status in line for line in shown.lines)


def test_something_is_visible_before_what_is_heavy_is_imported():
    shown = on_terminal("check", EXAMPLES / "coins", PYTHONPROFILEIMPORTTIME="1")
    before = shown.text.partition("starting")[0]
    assert "segprep.cli.console" in before
    assert not re.search(r"\| +(numpy|click|msgspec|tqdm|segprep\.errors)\r?$", before, re.MULTILINE)


def test_an_error_takes_the_place_of_the_status(tmp_path):
    shown = on_terminal("weights", tmp_path / "nowhere", tmp_path / "out.zarr")
    assert (shown.status, shown.lines) == (3, [f"segprep: {tmp_path / 'nowhere'}: no such file or folder"])


def test_a_result_on_the_terminal_takes_the_place_of_the_status(coins_store):
    shown = on_terminal("classes", coins_store, stdout=None)
    assert shown.text.startswith("\r\x1b[Kstarting\r\x1b[K")
    assert shown.lines[0].startswith("[")


def test_help_and_quiet_runs_show_no_status(coins_store):
    for arguments in (
        ["--version"],
        ["info", "--help"],
        ["verify", coins_store, "--quiet"],
        ["verify", coins_store, "-q"],
    ):
        assert on_terminal(*arguments).text == ""


def test_a_dumb_terminal_gets_lines_without_control_characters(tmp_path):
    shown = on_terminal("weights", EXAMPLES / "coins", tmp_path / "out.zarr", TERM="dumb")
    assert not CONTROLS.search(shown.text.replace("\r\n", "\n"))
    assert shown.lines[:2] == ["segprep: read 1/1 masks", "segprep: write 1/1 masks"]


def test_nothing_is_coloured():
    for variables in ({}, {"NO_COLOR": "1"}):
        shown = on_terminal("check", EXAMPLES / "coins", **variables)
        assert set(re.findall(r"\x1b\[[0-9;]*[A-Za-z]", shown.text)) == {"\x1b[K"}


@pytest.mark.parametrize(
    ("arguments", "stages"),
    [
        (["verify", "STORE", "--deep", "--against", EXAMPLES / "coins"], ["verify", "compute"]),
        (["preview", "STORE", "-o", "FOLDER/a.html"], ["draw"]),
        (["preview", EXAMPLES / "coins", "-o", "FOLDER/b.html"], ["read", "draw"]),
        (["evaluate", "STORE", "STORE"], ["compare"]),
        (["check", EXAMPLES / "coins"], ["read"]),
        (["demo", "FOLDER/demo", "--images", "2", "--size", "64"], ["write"]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) and len(value) > 1 else None,
)
def test_every_command_with_long_work_has_bars(arguments, stages, coins_copy, tmp_path):
    places = {"STORE": coins_copy, "FOLDER/a.html": tmp_path / "a.html", "FOLDER/b.html": tmp_path / "b.html"}
    places["FOLDER/demo"] = tmp_path / "demo"
    shown = on_terminal(*(places.get(word, word) for word in arguments))
    assert [line.split()[0] for line in shown.lines if "100% |" in line] == stages
    assert all("% |" not in line or "100% |" in line for line in shown.lines)


def test_refitting_has_a_bar(tmp_path, segprep_here):
    for name, width in (("a", 4), ("b", 9)):
        pixels = np.zeros((16, 16), np.uint8)
        pixels[2:9, :width] = 1
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "apart.json").write_text('{"train": ["a.png"], "val": ["b.png"]}')
    root = tmp_path / "out.zarr"
    options = ["--class-weights", "inverse", "--instances-from", "as-is"]
    assert segprep_here("weights", tmp_path, root, *options).returncode == 0
    shown = on_terminal("split", root, "--split", tmp_path / "apart.json", "--refit")
    assert (shown.status, [line.split()[0] for line in shown.lines if "100% |" in line]) == (0, ["write"])


# --- elsewhere -------------------------------------------------------------------------------------------------------


def test_elsewhere_there_is_a_line_every_ten_seconds_with_the_time_that_is_left(clock, capsys):
    with ProgressBar() as progress:
        for done in range(41):
            clock[0] = done
            progress("scan", done, 40)
    assert capsys.readouterr().err.splitlines() == [
        "segprep: read 10/40 masks, 00:30 left",
        "segprep: read 20/40 masks, 00:20 left",
        "segprep: read 30/40 masks, 00:10 left",
        "segprep: read 40/40 masks",
    ]


def test_a_stage_that_begins_again_is_another_stage(clock, capsys):
    with ProgressBar() as progress:
        for stage in ("scan", "scan", "write"):
            for done in range(3):
                clock[0] += 1
                progress(stage, done, 2)
    assert capsys.readouterr().err.count("read 2/2 masks\n") == 2
    assert [(stage.name, stage.seconds) for stage in progress.stages] == [("scan", 2), ("scan", 2), ("write", 2)]


def test_what_an_interrupted_run_had_done_is_said_once_and_does_not_count_for_the_time(clock, capsys):
    with ProgressBar("s.zarr") as progress:
        progress("scan", 48, 48)
        progress("write", 8, 48)
        clock[0] = 10
        progress("write", 18, 48)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "segprep: read 48/48 masks"
    assert lines[1] == "segprep: continuing s.zarr: 8 of 48 masks were done"
    assert lines[2] == "segprep: write 18/48 masks, 00:30 left"
    assert (progress.written().masks - progress.written().before) == 40


@pytest.mark.usefixtures("clock")
def test_an_interrupted_scan_is_named_as_such(capsys):
    with ProgressBar("s.zarr") as progress:
        progress("scan", 20, 48)
    assert capsys.readouterr().err == "segprep: continuing s.zarr: 20 of 48 masks were read\n"


@pytest.mark.parametrize("columns", [20, 39, 79, 119, 300])
@pytest.mark.parametrize("masks", [1, 480, 10_000_000])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_a_bar_fits_its_width(columns, masks, share):
    for name in ("scan", "compare", "write"):
        line = bar(Stage(name, masks, 0, done=int(masks * share), seconds=5000), columns)
        assert len(line) <= columns
        assert len(line.split("|")[1]) >= 4 or columns == 20
