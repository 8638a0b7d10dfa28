"""Every option of every command is documented, and runs with a value."""

import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.commands import commands_by_name
from helpers.examples import mostly_slow
from PIL import Image

from segprep.cli.commands import main
from segprep.cli.spelling import long_name
from segprep.runs.settings import RULES, setting_names
from segprep.targets import TARGETS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "docs" / "command_line.py"
PAGE = ROOT / "docs" / "command-line.md"
COMMON = {"--json": "", "--debug": "", "--config": "segprep.toml"}
COMMON |= {"--quiet": "", "--verbose": "", "--log-file": "run.log"}
RUN = {"--workers": "1"}
READING = {
    "--format": "label-image",
    "--crowd": "instance DATA=coco.json",
    "--boxes-as-masks": "DATA=boxes.json",
    "--max-pixels": "2000",
    "--max-instances": "9",
    "--background": "3",
    "--ignore": "3",
    "--class-pattern": "(?P<class>[a-z]+) DATA=files",
    "--roi": "files/x/masks",
    "--without-roi": "ignored --roi files/x/masks",
}
INSTANCES = {
    "--instances-from": "watershed",
    "--connectivity": "4 --instances-from components",
    "--min-distance": "3 --instances-from watershed",
    "--overlap": "last",
    "--separate": "1",
    "--downsample": "2",
    "--downsample-by": "nearest --downsample 2",
}
TARGET_OPTIONS = {
    "--targets": "weights,border,boundaries,distance",
    "--preset": "crowded",
    "--w0": "3.5",
    "--sigma": "3.5",
    "--border-on": "all",
    "--single-instance": "d1",
    "--border-between": "same-class",
    "--class-weights": "inverse",
    "--absent-class": "cap",
    "--normalise": "",
    "--clip-class-weights": "0.5,2",
    "--beta": "0.9 --class-weights effective-number",
    "--dtype": "float32",
    "--mantissa-bits": "7",
    "--boundary-width": "2 --targets boundaries",
    "--distance-per": "class",
    "--distance-clip": "9.5",
}
SPLITS = {
    "--split": "0.5,0.25,0.25",
    "--seed": "3 --folds 2",
    "--group": "[a-z]+ --folds 2",
    "--stratify": "--split 0.5,0.25,0.25",
    "--folds": "2",
}
TILES = {"--tile": "6x8", "--tile-overlap": "2 --tile 8", "--keep-empty": "0.5 --tile 8"}
NO_CLUSTER = {"--scheduler": "nowhere.json EXIT=2"}  # tests of clusters use it
OF_DATA = COMMON | RUN | NO_CLUSTER | READING | INSTANCES
VALUES = {
    "demo": ("new", COMMON | {"--as": "coco", "--images": "2", "--size": "80", "--seed": "1", "--with-problems": ""}),
    "weights": (
        "DATA new.zarr",
        OF_DATA
        | TARGET_OPTIONS
        | SPLITS
        | TILES
        | {
            "--canvas": "64x64",
            "--on-error": "skip-mask",
            "--problems": "problems.jsonl",
            "--images": "images",
            "--overwrite": "",
            "--update": "",
            "--keep-class-weights": "--update",
            "--compact": "--update",
            "--part": "1/2",
            "--reread": "",
            "--dry-run": "",
        },
    ),
    "check": ("DATA", OF_DATA),
    "preview": (
        "DATA",
        OF_DATA
        | TARGET_OPTIONS
        | TILES
        | {"--output": "b.png", "--key": "b.png", "--count": "2", "--choice-seed": "1", "--images": "images"},
    ),
    "info": ("out.zarr", COMMON | {"--command": "", "--config": ""}),
    "verify": (
        "out.zarr",
        COMMON
        | RUN
        | NO_CLUSTER
        | {
            "--scheduler": "nowhere.json --against data EXIT=2",
            "--deep": "",
            "--against": "data",
            "--sample": "2 --against data",
            "--seed": "3 --against data",
            "--repair": "data",
        },
    ),
    "classes": (
        "out.zarr",
        COMMON
        | {"--formula": "enet", "--absent-class": "cap", "--normalise": "", "--clip-class-weights": "0.5,2"}
        | {"--beta": "0.9 --formula effective-number"},
    ),
    "split": (
        "out.zarr",
        COMMON
        | RUN
        | NO_CLUSTER
        | SPLITS
        | {"--refit": "", "--seed": "3 --split 0.5,0.25,0.25"}
        | {"--group": "[a-z]+ --stratify --split 0.5,0.25,0.25"},
    ),
    "evaluate": (
        "data out.zarr",
        COMMON
        | RUN
        | NO_CLUSTER
        | {
            "--threshold": "0.75",
            "--tolerance": "1.5",
            "--per-class": "",
            "--split": "train",
            "--min-score": "0.5 ARGS=results.json:coco.json",
        }
        | {"--annotations": "coco.json ARGS=results.json:coco.zarr", "--per-image": "scores.csv"},
    ),
    "completion": ("bash", COMMON),
    "formats": ("", COMMON),
    "schema": ("weights", COMMON),
    "doctor": ("", COMMON),
}
"""Arguments of each command, and of each option; DATA=... replaces the data, ARGS=...:... all
arguments of the command, and EXIT=... is the exit code if it is not 0."""
ALL = [
    (name, option)
    for name, command in commands_by_name().items()
    for option in command.params
    if option.param_type_name == "option"
]
IDS = [f"{name} {long_name(option)}" for name, option in ALL]
QUICK = ["weights --sigma", "check --background", "info --command", "formats --json", "completion --json"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folder with the data that the table names."""
    folder = tmp_path_factory.mktemp("every_option")
    for number, name in enumerate("abcdefgh"):
        labels = np.zeros((24, 32), np.uint8)
        labels[2:9, 2:9], labels[2:9, 9:20], labels[15:20, 3 : 20 + number] = 1, 2, 3
        for parent, values in (
            ("data", labels),
            ("images", 10 * labels),
            ("files/x/masks", np.minimum(labels, 1) * 255),
        ):
            (folder / parent).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / parent / f"{name}.png")
    (folder / "boxes.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32}], "categories": [{"id": 1, "name": "cell"}],'
        ' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 7, 7], "iscrowd": 0}]}'
    )
    shape = [[2, 2, 9, 2, 9, 9, 2, 9]]
    coco = json.loads((folder / "boxes.json").read_text())
    coco["annotations"][0] |= {"segmentation": shape, "area": 49}
    (folder / "coco.json").write_text(json.dumps(coco))
    results = [{"image_id": 1, "category_id": 1, "segmentation": shape, "score": 0.9}]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "segprep.toml").write_text("".join(f"[{name}]\n" for name in VALUES))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for data, store in (("data", "out.zarr"), ("coco.json", "coco.zarr")):
            CliRunner().invoke(main, ["weights", data, store, "-j", "1"], catch_exceptions=False)
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run_with(segprep_here, name, option, words):
    """Result of a command with an option from the table."""
    data = next((word.removeprefix("DATA=") for word in words if word.startswith("DATA=")), "data")
    status = next((int(word.removeprefix("EXIT=")) for word in words if word.startswith("EXIT=")), 0)
    arguments = next((word.removeprefix("ARGS=").split(":") for word in words if word.startswith("ARGS=")), None)
    arguments = arguments or [data if word == "DATA" else word for word in VALUES[name][0].split()]
    words = [word for word in words if not re.match("DATA=|ARGS=|EXIT=", word)]
    ended = segprep_here(name, *arguments, option, *words)
    assert ended.returncode == status, ended
    return ended


@pytest.mark.parametrize(("name", "option"), ALL, ids=IDS)
def test_every_option_has_a_value_in_the_table(name, option):
    spelled = long_name(option)
    assert name in VALUES, f"add the command {name} to VALUES in {Path(__file__).name}"
    assert spelled in VALUES[name][1], (
        f"add a value of segprep {name} {spelled} to VALUES in {Path(__file__).name}, with which the command runs"
    )


@pytest.mark.parametrize("case", mostly_slow(IDS, *QUICK))
def test_every_option_runs_with_its_value(case, folder, segprep_here):
    name, option = case.split()
    words = VALUES[name][1].get(option, "").split()
    ended = run_with(segprep_here, name, option, words)
    if (
        name == "weights"
        and option[2:].replace("-", "_") in setting_names(*TARGETS, *RULES)
        and (folder / "new.zarr").exists()
    ):
        printed = segprep_here("info", "new.zarr", "--config").stdout
        if option not in ("--crowd", "--format", "--on-error", "--boxes-as-masks", "--class-pattern", "--absent-class"):
            assert re.search(rf"^{option[2:]} = ", printed, re.MULTILINE), printed
    assert "Traceback" not in ended.stderr or option == "--debug"


def test_the_page_lists_all_commands_and_options_as_they_are():
    written = PAGE.read_text(encoding="utf-8")
    assert runpy.run_path(str(SCRIPT))["page"](written) == written, (
        "docs/command-line.md is stale: run python tests/docs/command_line.py"
    )


def test_the_file_of_the_page_is_that_of_the_examples():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert text == (ROOT / "examples" / "segprep.toml").read_text(encoding="utf-8")
