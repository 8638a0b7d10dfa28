"""Annotated regions on the command line."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two masks of 20 x 40 pixels with an instance each, and the region of one, its left half."""
    for folder in ("masks", "regions"):
        (tmp_path / folder).mkdir()
    labels = np.zeros((20, 40), np.uint8)
    labels[4:9, 4:9], labels[4:9, 10:15] = 1, 2
    for name in "ab":
        Image.fromarray(labels).save(tmp_path / "masks" / f"{name}.png")
    region = np.zeros((20, 40), np.uint8)
    region[:, :20] = 255
    Image.fromarray(region).save(tmp_path / "regions" / "a.png")
    Image.fromarray(region).save(tmp_path / "regions" / "c.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("data")
def test_the_share_of_ignored_pixels_is_shown(segprep_here):
    options = ["--roi", "regions", "--without-roi", "annotated", "-j", "1"]
    ended = segprep_here("weights", "masks", "out.zarr", *options)
    assert "2 masks (25.0% of the pixels ignored), 4 instances" in ended.stdout
    assert "warning: mask without an annotated region: b.png: completely annotated" in ended.stderr
    assert "regions without a mask of their name: regions: c.png" in ended.stderr
    shown = segprep_here("info", "out.zarr").stdout
    assert "\nannotated  regions in regions; masks without one annotated; 25.0% of the pixels ignored\n" in shown
    found = json.loads(segprep_here("info", "out.zarr", "--json").stdout)
    assert (found["ignored_pixels"], found["ignored_share"]) == (400, 0.25)
    assert found["regions"] == {"roi": "regions", "without_roi": "annotated", "code": None}
    command = segprep_here("info", "out.zarr", "--command").stdout
    assert "--roi regions --without-roi annotated" in command
    assert "400 ignored pixels (25.0%)" in segprep_here("check", "masks", *options).stdout
    found = json.loads(segprep_here("check", "masks", "--json", *options).stdout)
    assert (found["ignored_pixels"], found["ignored_share"]) == (400, 0.25)
    assert segprep_here("verify", "out.zarr", "--against", "masks", "-j", "1").returncode == 0


def test_a_mask_without_a_region_is_refused_in_options(data, segprep_here):
    ended = segprep_here("weights", "masks", "out.zarr", "--roi", "regions", "-j", "1")
    assert ended.returncode == 3
    assert "b.png: has no annotated region (no mask of this name in regions); draw one, or say" in ended.stderr
    assert "--without-roi ignored or --without-roi annotated" in ended.stderr
    assert not (data / "out.zarr").exists()


@pytest.mark.usefixtures("data")
def test_masks_without_a_region_that_are_left_out_name_options(segprep_here):
    options = ["--roi", "regions", "--on-error", "skip-mask", "-j", "1"]
    for words in (["weights", "masks", "out.zarr", *options], ["info", "out.zarr"]):
        ended = segprep_here(*words)
        assert "--without-roi ignored or --without-roi annotated" in ended.stdout + ended.stderr
        assert "without_roi" not in ended.stdout + ended.stderr


@pytest.mark.usefixtures("data")
def test_an_unknown_region_names_the_classes(segprep_here):
    ended = segprep_here("check", "masks", "--roi", "region")
    assert ended.returncode == 2
    assert "--roi region: neither a class of the data (instance) nor a file or folder" in ended.stderr
