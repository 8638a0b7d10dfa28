"""`segprep demo`: its output, and the commands that it names."""

import inspect
import json
import shlex
from typing import get_args

import pytest
from helpers.commands import commands_by_name

import segprep
from segprep.cli.demo import LAYOUTS
from segprep.runs.demo_files import DemoLayout

DEMO = commands_by_name()["demo"]


def test_options_are_the_parameters_and_have_their_defaults():
    parameters = inspect.signature(segprep.demo).parameters
    options = {option.name: option for option in DEMO.params if getattr(option, "heading", "") == "Data"}
    assert parameters.keys() - {"folder", "progress"} == options.keys()
    for name, option in options.items():
        assert option.default == parameters[name].default, name
    assert get_args(DemoLayout) == LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("more", [[], ["--with-problems"]], ids=["right", "with problems"])
def test_the_last_lines_are_commands_that_run(layout, more, tmp_path, segprep_here):
    folder = tmp_path / "it's nuclei"
    ended = segprep_here("demo", folder, "--as", layout, "--images", 3, "--size", 64, *more)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{folder}: {layout}: ")
    lines = ended.stderr.splitlines()
    assert lines[-3].startswith("next: segprep check ")
    for line in (lines[-3].removeprefix("next:"), lines[-2], lines[-1]):
        program, *arguments = shlex.split(line)
        again = segprep_here(*arguments, "--workers", 1)
        has_findings = "--on-error" in arguments or (arguments[0] == "check" and more)
        assert (program, again.returncode) == ("segprep", int(bool(has_findings))), again.stderr
    assert segprep.describe(f"{folder}.zarr").status == "complete"


def test_the_store_that_is_named_lies_beside_the_working_directory(tmp_path, segprep_here, monkeypatch):
    (tmp_path / "nuclei").mkdir()
    monkeypatch.chdir(tmp_path / "nuclei")
    ended = segprep_here("demo", ".", "--images", 1, "--size", 64)
    assert ended.stderr.splitlines()[-2].split()[2:4] == [f"{tmp_path}/nuclei", f"{tmp_path}/nuclei.zarr"]


def test_every_listed_mistake_is_in_the_report_of_check(tmp_path, segprep_here):
    ended = segprep_here("demo", tmp_path / "data", "--images", 2, "--size", 64, "--with-problems")
    found = segprep_here("check", tmp_path / "data", "--json")
    assert (ended.returncode, found.returncode) == (0, 1)
    _, _, *mistakes = ended.stdout.splitlines()
    assert {line.rpartition(": ")[0] for line in mistakes} == {
        f"    {each['kind']}: {each['key']}" for each in json.loads(found.stdout)["problems"]
    }


def test_json_is_the_description(tmp_path, segprep_here):
    ended = segprep_here("demo", tmp_path / "data", "--as", "coco", "--images", 3, "--size", 64, "--seed", 5, "--json")
    assert (ended.returncode, ended.stderr) == (0, "segprep: write 3/3 masks\n")
    described = json.loads(ended.stdout)
    assert (described["layout"], described["images"], described["problems"]) == ("coco", 3, [])
    assert described["instances"] == sum(described["classes"].values())


def test_a_folder_that_is_not_empty_is_refused_with_code_4(tmp_path, segprep_here):
    (tmp_path / "mine").touch()
    ended = segprep_here("demo", tmp_path)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr == f"segprep: {tmp_path}: is not empty; give a new folder\n"


def test_a_bad_value_is_named_as_the_option(tmp_path, segprep_here):
    ended = segprep_here("demo", tmp_path / "data", "--images", "0")
    assert (ended.returncode, ended.stderr) == (2, "segprep: --images 0: must be an integer from 1 to 100000\n")


def test_masks_that_cannot_be_read_can_be_left_out_where_values_are_classes(tmp_path, segprep_here):
    segprep_here("demo", tmp_path / "data", "--as", "masks", "--images", 3, "--size", 64, "--with-problems")
    options = ["--instances-from", "watershed", "--workers", 1]
    refused = segprep_here("weights", tmp_path / "data", tmp_path / "out.zarr", *options)
    assert (refused.returncode, refused.stderr.count("cells003.png: cannot be read")) == (3, 1)
    ended = segprep_here("weights", tmp_path / "data", tmp_path / "out.zarr", *options, "--on-error", "skip-mask")
    assert (ended.returncode, segprep.describe(tmp_path / "out.zarr").status) == (1, "complete")
    assert [entry.name for entry in segprep.describe(tmp_path / "out.zarr").classes] == ["background", "foreground"]
