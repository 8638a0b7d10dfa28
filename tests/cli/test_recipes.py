"""The command and the file that `segprep info` prints make the same store again."""

import json
import shlex
import shutil

import numpy as np
import pytest
from helpers.examples import mostly_slow
from PIL import Image

import segprep
from segprep.targets import Distance


@pytest.fixture
def folder(varied, tmp_path, monkeypatch):
    """Working folder with several data sets."""
    shutil.copytree(varied, tmp_path / "varied")
    for name, values in (("cells", (1, 2)), ("foreground", (255, 255)), ("single", (7, 7))):
        for mask in range(6):
            image = np.zeros((30, 40 + 10 * (mask % 2)), np.uint8)
            image[2:9, 2:9], image[2:9, 9:20] = (values[0], values[1])
            path = tmp_path / name / f"slide{mask // 2}_{mask}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
    for mask in range(6):
        path = tmp_path / "regions of cells" / f"slide{mask // 2}_{mask}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((30, 40 + 10 * (mask % 2)), 255 * (mask > 0), np.uint8)).save(path)
        path = tmp_path / "images" / f"slide{mask // 2}_{mask}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((30, 40 + 10 * (mask % 2)), mask, np.uint8)).save(path)
    (tmp_path / "splits.csv").write_text(
        "".join(f"slide{m // 2}_{m}.png,{'train' if m < 4 else 'val'}\n" for m in range(6))
    )
    (tmp_path / "bad").mkdir()
    shutil.copy(tmp_path / "cells" / "slide0_0.png", tmp_path / "bad")
    (tmp_path / "bad" / "b.png").write_bytes(b"none")
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUNS = [
    "cells",
    "varied",
    "foreground",
    "single",
    "cells --preset crowded",
    "cells --preset falk2019 --sigma 4",
    "cells --preset deshpande2018",
    "varied --preset paper --absent-class cap --normalize --clip-class-weights 0.1,10.5",
    "varied --class-weights effective-number --beta 0.9 --dtype float32 --crowd instance",
    "cells --targets border,boundaries --boundary-width 3 --w0 2.5 --border-on all --single-instance d1 --mantissa-bits 7",
    "cells --targets weights",
    "varied --targets distance --distance-per class --distance-clip 20.5",
    "cells --split 0.5,0.25,0.25 --seed 7 --stratify",
    "cells --split splits.csv",
    "cells --group slide[0-9] --folds 3",
    "cells --canvas 64x70",
    "single --canvas 30x50",
    "foreground --instances-from as-is",
    "foreground --instances-from components --connectivity 4",
    "foreground --instances-from watershed --min-distance 3",
    "single --instances-from as-is",
    "cells --background 2 --max-pixels 5000 --max-instances 50 --overlap last",
    "cells --ignore 2",
    "bad --on-error skip-mask",
    "cells --images images",
    "cells --tile 16x20 --tile-overlap 4 --targets border",
    "cells --tile 8 --keep-empty 0.5 --split 0.5,0.5 --seed 3",
    "cells --tile 16x20 --canvas 32x64",
    "cells --downsample 2",
    "cells --roi 'regions of cells' --without-roi ignored --tile 16 --downsample 2 --separate 1",
    "varied --downsample 3 --downsample-by nearest",
]

QUICK = ["cells --preset crowded", "cells --split splits.csv", "single --canvas 30x50", "cells --downsample 2"]


@pytest.mark.parametrize("line", mostly_slow(RUNS, *QUICK))
def test_the_command_and_the_file_make_the_same_store(line, folder, segprep_here, files_of):
    data, *options = shlex.split(line)
    made = segprep_here("weights", data, "out.zarr", *options, "-j", "1")
    assert made.returncode == ("skip-mask" in options), made.stderr
    printed = segprep_here("info", "out.zarr", "--command").stdout
    (command,) = printed.splitlines()
    words = shlex.split(command)
    assert words[:4] == ["segprep", "weights", data, "out.zarr"]
    assert "up to date" in segprep_here(*words[1:], "-j", "1").stdout
    segprep_here("weights", data, "again.zarr", *words[4:], "-j", "1")
    assert files_of(folder / "again.zarr") == files_of(folder / "out.zarr")
    (folder / "segprep.toml").write_text(segprep_here("info", "out.zarr", "--config").stdout)
    segprep_here("weights", data, "third.zarr", "--config", "segprep.toml", "-j", "1")
    assert files_of(folder / "third.zarr") == files_of(folder / "out.zarr")


@pytest.mark.usefixtures("folder")
def test_only_what_differs_from_the_defaults_is_printed(segprep_here):
    segprep_here(
        "weights", "cells", "out.zarr", "--sigma", "5", "--w0", "3", "--targets", "weights,distance", "-j", "1"
    )
    assert segprep_here("info", "out.zarr", "--command").stdout == (
        "segprep weights cells out.zarr --w0 3 --format label-image\n"
    )
    assert segprep_here("info", "out.zarr", "--config").stdout.splitlines() == [
        "# segprep weights cells out.zarr --config FILE",
        "[weights]",
        "w0 = 3",
        'format = "label-image"',
    ]


def test_targets_of_other_settings_take_a_further_command(folder, segprep_here, files_of):
    for options in (["--targets", "weights,boundaries"], ["--targets", "distance", "--dtype", "float32"]):
        assert segprep_here("weights", "cells", "out.zarr", *options, "-j", "1").returncode == 0
    lines = segprep_here("info", "out.zarr", "--command").stdout.replace("out.zarr", "again.zarr").splitlines()
    assert len(lines) == 2
    for line in lines:
        assert segprep_here(*shlex.split(line)[1:], "-j", "1").returncode == 0
    assert files_of(folder / "again.zarr") == files_of(folder / "out.zarr")
    text = segprep_here("info", "out.zarr", "--config").stdout
    assert '# a further run, for which the table is:\n#     [weights]\n#     targets = "distance"\n' in text


def test_weights_by_name_stand_in_the_file_and_in_a_comment_of_the_command(folder, segprep_here, files_of):
    weights = {"background": 0.5, "instance": 3.25}
    (folder / "mine.json").write_text(json.dumps(weights))
    segprep_here("weights", "cells", "out.zarr", "--class-weights", "mine.json", "-j", "1")
    comment, command = segprep_here("info", "out.zarr", "--command").stdout.splitlines()
    assert comment.startswith("# first write this to class-weights.json: ")
    (folder / "class-weights.json").write_text(comment.partition(": ")[2])
    assert "up to date" in segprep_here(*shlex.split(command)[1:], "-j", "1").stdout
    (folder / "segprep.toml").write_text(segprep_here("info", "out.zarr", "--config").stdout)
    segprep_here("weights", "cells", "again.zarr", "--config", "segprep.toml", "-j", "1")
    assert files_of(folder / "again.zarr") == files_of(folder / "out.zarr")


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_given_again_is_a_comment(segprep_here):
    class Halves(Distance):
        """Own target."""

        name = "halves"

    segprep.preprocess("cells", "out.zarr", targets=["weights", Halves()], workers=1)
    comment, command = segprep_here("info", "out.zarr", "--command").stdout.splitlines()
    assert comment == "# the target 'halves' is not part of segprep: pass its object in Python"
    assert "--targets weights " in command
    refs = segprep.readers.find("cells").refs
    segprep.preprocess(refs, "refs.zarr", classes=["instance"], workers=1)
    assert segprep_here("info", "refs.zarr", "--command").stdout.startswith("# the masks were given in Python")


def test_data_beside_the_store_are_found_and_others_are_named(folder, segprep_here, monkeypatch):
    segprep_here("weights", "cells", "out.zarr", "-j", "1")
    (folder / "sub folder").mkdir()
    monkeypatch.chdir(folder / "sub folder")
    assert "segprep weights ../cells ../out.zarr" in segprep_here("info", "../out.zarr", "--command").stdout
    shutil.move(folder / "out.zarr", "out.zarr")
    assert segprep_here("info", "out.zarr", "--command").stdout.startswith(
        "# cells stands for the data set: give its path\n"
    )


@pytest.mark.usefixtures("folder")
def test_json_has_the_text(segprep_here):
    segprep_here("weights", "cells", "out.zarr", "-j", "1")
    for name in ("command", "config"):
        text = segprep_here("info", "out.zarr", f"--{name}").stdout
        document = json.loads(segprep_here("info", "out.zarr", f"--{name}", "--json").stdout)
        assert {key: value for key, value in document.items() if key in ("command", "config") and value} == {
            name: text.removesuffix("\n")
        }
    assert segprep_here("info", "out.zarr", "--command", "--config").returncode == 2
