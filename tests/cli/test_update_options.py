import json
import shlex

import numpy as np
import pytest
from PIL import Image

import segprep


@pytest.fixture
def data(tmp_path):
    """Folder of four label images."""
    folder = tmp_path / "cells"
    folder.mkdir()
    for number in range(4):
        labels = np.zeros((20, 30), np.uint8)
        labels[2:9, 2 + number : 9 + number], labels[12:18, 12:20] = 1, 2
        Image.fromarray(labels).save(folder / f"{number}.png")
    return folder


def test_a_store_follows_its_data(data, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    assert segprep_here("weights", data, root, "--workers", 1).returncode == 0
    (data / "2.png").unlink()
    (data / "0.png").rename(data / "9.png")
    refused = segprep_here("weights", data, root, "--workers", 1)
    assert refused.returncode == 4
    assert (
        "1 new (9.png), 2 missing (0.png, 2.png); --update follows the data, and writes 4 of 4 shards" in refused.stderr
    )
    updated = segprep_here("weights", data, root, "--workers", 1, "--update")
    assert updated.stdout.startswith(f"updated {root}: 3 masks (1 added, 2 removed), 6 instances; ")
    assert "continuing" not in updated.stderr
    assert "up to date" in segprep_here("weights", data, root, "--workers", 1, "--update").stdout
    assert "rows" in segprep_here("info", root).stdout
    assert "2: rows without a mask; --update --compact fills them" in segprep_here("info", root).stdout
    again = segprep_here("weights", data, root, "--workers", 1, "--update", "--compact", "--json")
    assert json.loads(again.stdout)["revision"] == 2
    assert "rows without a mask" not in segprep_here("info", root).stdout
    assert segprep_here("verify", root, "--deep").returncode == 0
    comment, command = segprep_here("info", root, "--command").stdout.splitlines()
    assert comment.startswith("# the store was updated")
    assert "up to date" in segprep_here(*shlex.split(command)[1:], "--workers", 1).stdout


def test_an_update_that_was_interrupted_names_all_that_it_has_changed(data, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    segprep.preprocess(data, root, workers=1)
    (data / "2.png").unlink()
    (data / "1.png").write_bytes((data / "0.png").read_bytes())

    def end(stage, done, masks):  # noqa: ARG001 - as Progress has it
        if stage == "write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segprep.preprocess(data, root, workers=1, update=True, progress=end)
    refused = segprep_here("weights", data, root, "--workers", 1)
    assert (refused.returncode, "its update was interrupted; --update completes it" in refused.stderr) == (4, True)
    assert segprep_here("weights", data, root, "--dry-run").returncode == 4
    resumed = segprep_here("weights", data, root, "--workers", 1, "--update")
    assert resumed.stdout.startswith(f"updated {root}: 3 masks (1 changed, 1 removed), 6 instances; ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--compact"], "--compact: belongs to an update; add --update"),
        (["--keep-class-weights"], "--keep-class-weights: belongs to an update; add --update"),
        (["--update", "--overwrite"], "--update and --overwrite exclude each other"),
        (["--update", "--dry-run"], "--dry-run: an update is not estimated"),
        (["--update", "--compact", "--dry-run"], "without --update writes nothing"),
    ],
)
def test_options_that_make_no_sense_together_are_a_usage_error(options, said, data, tmp_path, segprep_here):
    ended = segprep_here("weights", data, tmp_path / "out.zarr", *options)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert not (tmp_path / "out.zarr").exists()
