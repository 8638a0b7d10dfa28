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
    refused = segprep_here("weights", data, root, "--workers", 1, "--json")
    assert refused.returncode == 4
    assert "the store has 4 masks, and cells has 3: 1 new (9.png), 2 missing (0.png, 2.png); add" in refused.stderr
    assert json.loads(refused.stdout)["remedy"] == (
        "add --update to follow the data (writes 4 of 4 shards, computes 1 of 3 masks), --overwrite to replace the store, or "
        "choose another name"
    )
    updated = segprep_here("weights", data, root, "--workers", 1, "--update", "-v")
    first, *below = updated.stdout.splitlines()
    assert first.startswith(f"updated {root}: 3 masks (1 added, 2 removed), 6 instances; ")
    assert below == [
        "    added: 9.png",
        "    removed: 0.png, 2.png",
        "    4 of 4 shards written; masks: 1 computed, 2 copied",
    ]
    step = "update: 1 added (9.png); 2 removed (0.png, 2.png); 4 of 4 shards written; masks: 1 computed, 2 copied"
    assert step in updated.stderr
    assert "continuing" not in updated.stderr
    assert "up to date" in segprep_here("weights", data, root, "--workers", 1, "--update").stdout
    assert "rows" in segprep_here("info", root).stdout
    assert "2: rows without a mask; --update --compact fills them" in segprep_here("info", root).stdout
    again = segprep_here("weights", data, root, "--workers", 1, "--update", "--compact", "--json")
    document = json.loads(again.stdout)
    assert (document["revision"], document["update"]["removed"]) == (2, {"masks": 0, "first": []})
    same = segprep_here("weights", data, root, "--workers", 1, "--update", "--json")
    assert json.loads(same.stdout)["update"] is None
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


def test_the_document_of_each_part_of_an_update_is_about_all_of_it(data, tmp_path, segprep_here):
    root = tmp_path / "out.zarr"
    segprep.preprocess(data, root, workers=1)
    Image.fromarray(np.ones((40, 40), np.uint8)).save(data / "new.png")
    (data / "1.png").write_bytes((data / "0.png").read_bytes())
    updates = []
    for part in (["--part", "1/2"], ["--part", "2/2"], []):
        ended = segprep_here("weights", data, root, "--workers", 1, "--update", "--json", *part)
        updates.append(json.loads(ended.stdout)["update"])
    assert updates == [updates[0]] * 3
    assert updates[0] == {
        "added": {"masks": 1, "first": ["new.png"]},
        "changed": {"masks": 1, "first": ["1.png"]},
        "removed": {"masks": 0, "first": []},
        "computed": 2,
        "copied": 3,
        "written": 8,
        "shards": 8,
    }
