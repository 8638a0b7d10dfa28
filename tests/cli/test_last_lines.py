import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.cli.last_lines import in_python, report_of
from segprep.paths.anypath import parse_path

EXAMPLES = Path(__file__).parents[2] / "examples"
SUMMARY = "labels, classes, weights, distance; "


@pytest.fixture
def cells(tmp_path):
    """Twelve label images in three sizes, so that a store has three shards."""
    folder = tmp_path / "cells"
    folder.mkdir()
    for number in range(12):
        pixels = np.zeros((64, 64 * (1 + number % 3)), np.uint8)
        pixels[2:9, 2:9], pixels[20:30, 20:30] = 1, 2
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def lines(text):
    return text.splitlines()


def test_the_first_run_says_what_was_written_and_what_to_run_next(cells, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    ended = segprep_here("weights", cells, root, "--workers", 1)
    (line,) = lines(ended.stdout)
    assert re.fullmatch(rf"wrote {root}: 12 masks, 24 instances; {SUMMARY}0\.\d MB in \d+\.\d s", line)
    assert lines(ended.stderr)[-2:] == [
        f"look: segprep preview {root} -o {tmp_path}/out.html",
        f'use:  segprep.open("{root}")[0]["weights"]',
    ]


def test_the_commands_that_are_named_run_whatever_the_name(tmp_path, segprep_here):
    root = tmp_path / 'it\'s "mine".zarr'
    ended = segprep_here("weights", EXAMPLES / "coins", root, "--targets", "distance")
    look, use = lines(ended.stderr)[-2:]
    program, *arguments = shlex.split(look.removeprefix("look: "))
    shown = segprep_here(*arguments)
    assert (program, shown.returncode, (tmp_path / 'it\'s "mine".html').is_file()) == ("segprep", 0, True)
    assert eval(use.removeprefix("use:  "), {"segprep": segprep}).shape == (303, 384)  # noqa: S307 - our own line
    assert use.endswith('["distance"]')
    assert (
        lines(shown.stderr)[-1]
        == f"look: open {(tmp_path / 'it%27s%20%22mine%22.html').as_uri().replace('%25', '%')} in a browser"
    )


def test_the_second_run_is_up_to_date_and_prints_nothing_twice(cells, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    segprep_here("weights", cells, root, "--workers", 1)
    again = segprep_here("weights", cells, root, "--workers", 1)
    assert re.fullmatch(
        rf"{root} is up to date: nothing to do \(12 masks, 24 instances; {SUMMARY}0\.\d MB\)\n", again.stdout
    )
    assert [line.split()[0] for line in lines(again.stderr)] == ["look:", "use:"]


def test_a_resumed_run_says_what_was_done_before_and_what_now(cells, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"

    def end(stage, done, masks):  # noqa: ARG001 - as Progress has it
        if stage == "write" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segprep.preprocess(cells, root, workers=1, progress=end)
    ended = segprep_here("weights", cells, root, "--workers", 1)
    assert lines(ended.stderr)[0] == f"segprep: continuing {root}: 4 of 12 masks were done"
    assert ended.stdout.startswith(f"wrote {root}: 12 masks (8 written now), 24 instances; ")


def test_a_part_names_the_command_that_completes_the_store(cells, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    for part in ("1/2", "2/2"):
        ended = segprep_here("weights", cells, root, "--part", part, "--workers", "1", "--sigma", "4")
        assert re.fullmatch(rf"wrote part {part} of {root}: [48] of 12 masks; 0\.\d MB in \d+\.\d s\n", ended.stdout)
        message, following = lines(ended.stderr)[-2:]
        assert message.endswith(
            "once all parts are written, run the same command without --part to complete the store:"
        )
        assert following == f"next: segprep weights {cells} {root} --workers 1 --sigma 4"
    program, *arguments = shlex.split(following.removeprefix("next: "))
    ended = segprep_here(*arguments)
    assert (program, ended.returncode, segprep.describe(root).status) == ("segprep", 0, "complete")
    assert lines(ended.stderr)[0] == f"segprep: continuing {root}: 12 of 12 masks were done"


def test_masks_that_were_left_out_come_first_each_in_one_line_with_its_path_once(cells, tmp_path, segprep_here):
    shutil.copytree(EXAMPLES / "coins" / "labels", cells, dirs_exist_ok=True)
    for name in "abcd":
        (cells / f"{name}.png").write_bytes(b"no image")
    root = tmp_path / "out.zarr"
    command = ["weights", cells, root, "--workers", 1]
    refused = segprep_here(*command)
    assert (refused.returncode, refused.stdout) == (3, "")
    *reasons, last = [line for line in lines(refused.stderr) if not line.startswith("segprep: read ")]
    assert reasons == [f"segprep: {cells}/{name}.png: cannot be read as PNG: not a PNG file" for name in "abcd"]
    assert last == (
        "segprep: 4 of 17 masks cannot be read; nothing was written. Fix them, or add --on-error skip-mask to leave these "
        "masks out"
    )
    ended = segprep_here(*command, "--on-error", "skip-mask")
    assert ended.stdout.startswith(f"wrote {root}: 13 masks (4 left out), ")
    assert [line for line in lines(ended.stderr) if not line.startswith("segprep: read ")][1:6] == [
        "segprep: warning: left out 4 masks that cannot be read:",
        *(f"    {cells}/{name}.png: cannot be read as PNG: not a PNG file" for name in "abc"),
        f"    and 1 more (segprep info {root}, or --problems FILE)",
    ]
    assert f"    {cells}/d.png: cannot be read as PNG: not a PNG file\n" in segprep_here("info", root).stdout
    listed = segprep_here(*command, "--on-error", "skip-mask", "--problems", tmp_path / "all.jsonl").stderr
    assert f"    and 1 more ({tmp_path}/all.jsonl)\n" in listed
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 4


def test_one_mask_that_cannot_be_read_is_named_in_the_singular(tmp_path, segprep_here):
    file = tmp_path / "a.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n")
    ended = segprep_here("weights", file, tmp_path / "out.zarr")
    assert lines(ended.stderr)[-1] == (
        "segprep: 1 of 1 masks cannot be read; nothing was written. Fix it, or add --on-error skip-mask to leave this mask out"
    )


def test_check_ends_with_the_numbers_and_the_exit_code(tmp_path, segprep_here):
    segprep_here("demo", tmp_path / "data", "--images", 2, "--size", 64, "--with-problems")
    ended = segprep_here("check", tmp_path / "data", "--workers", 1)
    first = next(
        line for line in lines(ended.stdout)[1:] if not re.match(r"sizes|classes|identical|\d+ pairs|masks", line)
    )
    assert first == "mask left out: 3"
    assert lines(ended.stdout)[-1] == "7 problems of 5 kinds in 6 masks; exit code 1"
    assert all(line.count("cells002.png") <= 1 for line in lines(ended.stdout))


@pytest.mark.parametrize("layout", ["labels", "instances", "masks", "coco"])
def test_no_line_about_a_data_set_with_mistakes_is_long(layout, tmp_path, segprep_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    segprep_here("demo", "data", "--as", layout, "--images", 2, "--size", 64, "--with-problems")
    for command in (
        ["check", "data"],
        ["weights", "data", "out.zarr", "--on-error", "skip-mask"],
        ["info", "out.zarr"],
    ):
        ended = segprep_here(*command, *[] if command[0] == "info" else ["--workers", "1"])
        assert [line for line in lines(ended.stdout + ended.stderr) if len(line) > 205] == []
        assert len(set(lines(ended.stderr))) == len(lines(ended.stderr))


def test_a_new_split_says_how_to_use_it(cells, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    segprep_here("weights", cells, root, "--workers", 1)
    ended = segprep_here("split", root, "--split", "0.5,0.5")
    assert lines(ended.stderr)[-1] == f'use:  segprep.open("{root}", split="train")'
    assert segprep_here("split", root, "--split", "0.5,0.5", "--json").stderr == ""


def test_a_repair_verifies_again(coins_copy, segprep_here):
    (coins_copy / "320x384/labels/c/0/0/0").unlink()
    ended = segprep_here("verify", coins_copy, "--repair", EXAMPLES / "coins")
    assert lines(ended.stderr) == [
        f"segprep: {stage} 1/1 masks" for stage in ("verify", "read", "write", "verify again")
    ]


def test_foreground_masks_are_read_once_and_then_divided(tmp_path, segprep_here):
    for name in "ab":
        Image.fromarray(np.array([[255, 0, 0, 255]] * 4, np.uint8)).save(tmp_path / f"{name}.png")
    ended = segprep_here("check", tmp_path)
    assert lines(ended.stderr) == ["segprep: read 2/2 masks", "segprep: components 2/2 masks"]


def test_json_is_all_of_stdout_and_names_no_command(cells, tmp_path, segprep_here):
    ended = segprep_here("weights", cells, tmp_path / "out.zarr", "--json", "--workers", 1)
    assert json.loads(ended.stdout)["masks"] == 12
    assert lines(ended.stderr) == ["segprep: read 12/12 masks", "segprep: write 12/12 masks"]


def test_the_repair_of_a_damaged_store_is_named_with_quotes(coins_copy, tmp_path, segprep_here):
    root = coins_copy.rename(tmp_path / "my coins.zarr")
    (root / "320x384/labels/c/0/0/0").unlink()
    assert lines(segprep_here("verify", root).stdout)[-1] == (
        f"{root}: damaged: 1 problem. Repair it with: segprep verify '{root}' --repair DATA"
    )


def test_reports_of_stores_lie_beside_them_or_here():
    names = ("a.zarr", "b/a", ".", "s3://bucket/folder/a.zarr", "s3://bucket")
    assert [report_of(parse_path(name)) for name in names] == [
        "a.html",
        "b/a.html",
        "preview.html",
        "a.html",
        "bucket.html",
    ]
    assert in_python("a\\b") == r"'a\\b'"
