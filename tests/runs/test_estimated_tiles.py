"""Estimates of stores of tiles: exact for a complete sample, close for a part, refused as the run."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from helpers.estimates import ONE, array_bytes, assert_exact, entries, label_images, refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import segprep
from segprep.errors import InputError, OutputError, SegprepWarning
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import mask_stats
from segprep.masks.tiles import Tiling, tile_stats
from segprep.runs import costs, sample, spread
from segprep.runs.memory import bytes_of
from segprep.runs.spread import nearest
from segprep.runs.tiled import with_shape
from segprep.store.metadata import bytes_on_disk

CUT = {"tile": 64, "keep_empty": 0, "targets": "distance", "workers": ONE}
SLIDE = {"tile": 64, "distance_clip": 8, "max_pixels": 128 * 128, "targets": "distance", "workers": ONE}


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch):
    """No limit of time, so that a busy machine reads and computes as many masks as any other."""
    monkeypatch.setattr(costs, "ENCODE_SECONDS", 1e6)
    monkeypatch.setattr(sample, "SCAN_SECONDS", 1e6)
    monkeypatch.setattr(spread, "MOST_SECONDS", 1e6)


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """Label images of two sizes, of which the last is empty."""
    data = label_images(tmp_path_factory.mktemp("cut") / "cut", [(70, 100)] * 5 + [(100, 120)] * 3)
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(data / "999.png")
    return data


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """TIFF in tiles that is read as a slide: squares in its upper half."""
    folder, labels = tmp_path_factory.mktemp("slide"), np.zeros((320, 256), np.uint16)
    for number, (y, x) in enumerate(np.ndindex(7, 12), start=1):
        labels[20 * y + 2 : 20 * y + 16, 20 * x + 2 : 20 * x + 17] = number
    tifffile.imwrite(folder / "slide.tif", labels, tile=(64, 64), compression="zlib")
    return folder / "slide.tif"


def made_and_estimated(data, root, **options):
    """Estimate of a store that is then made."""
    found = segprep.estimate(data, root, **options)
    assert not root.exists()
    segprep.preprocess(data, root, **{name: value for name, value in options.items() if name != "sample"})
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"keep_empty": 0.3, "distance_clip": 4, "tile_overlap": 16, "separate": 1},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"targets": "border,distance", "distance_clip": 4}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_tiles_of_masks_that_were_all_read_are_exact(cut, tmp_path, options):
    found = made_and_estimated(cut, tmp_path / "out.zarr", sample=1000, **{**CUT, "keep_empty": 1.0, **options})
    assert (found.status, found.is_sample, found.sampled) == ("new", False, found.masks)
    assert_exact(found, tmp_path / "out.zarr")


@pytest.mark.parametrize("options", [{"keep_empty": 0.25}, pytest.param({"tile_overlap": 8}, marks=pytest.mark.slow)])
def test_a_slide_that_was_completely_read_is_exact(slide, tmp_path, options):
    found = made_and_estimated(slide, tmp_path / "out.zarr", sample=1000, **SLIDE, **options)
    assert not found.is_sample
    assert_exact(found, tmp_path / "out.zarr")


def test_counts_of_a_slide_are_exact_from_a_sample(slide, tmp_path):
    found = made_and_estimated(slide, tmp_path / "out.zarr", sample=8, **SLIDE)
    info = segprep.open(tmp_path / "out.zarr").info
    assert (found.masks, found.sampled, found.is_sample) == (info.masks, 8, True)
    assert found.canvases == {bucket.name: bucket.rows for bucket in info.buckets}
    assert found.bytes == pytest.approx(bytes_on_disk(tmp_path / "out.zarr"), rel=0.25)


def test_tiles_that_are_left_out_are_estimated_from_a_sample(slide):
    found = segprep.estimate(slide, sample=10, keep_empty=0, **SLIDE)
    assert found.masks == pytest.approx(12, rel=0.25)


def test_tiles_of_masks_are_close_from_a_sample(cut, tmp_path):
    root = tmp_path / "out.zarr"
    found = made_and_estimated(cut, root, sample=4, **CUT)
    assert found.is_sample
    assert found.masks == pytest.approx(segprep.open(root).info.masks, rel=0.2)
    for target in found.targets:
        assert target.bytes == pytest.approx(array_bytes(root, target.name), rel=0.25)


@pytest.fixture(scope="module")
def cut_store(cut, tmp_path_factory):
    """Store of tiles, of which the empty ones are left out."""
    root = tmp_path_factory.mktemp("store") / "out.zarr"
    segprep.preprocess(cut, root, **CUT)
    return root


@pytest.fixture
def made(cut, cut_store, tmp_path):
    """Data and their store, to be changed."""
    shutil.copytree(cut, tmp_path / "cut")
    shutil.copytree(cut_store, tmp_path / "out.zarr")
    return tmp_path / "cut", tmp_path / "out.zarr"


def test_a_finished_store_of_tiles_is_up_to_date(made):
    before = entries(made[1])
    found = segprep.estimate(*made, **CUT)
    assert (found.status, found.done, found.is_sample) == ("up to date", found.masks, False)
    assert_exact(found, made[1])
    assert entries(made[1]) == before


@pytest.mark.parametrize("is_touched", [True, False])
def test_tiles_that_are_not_read_are_those_of_the_store(made, is_touched):
    if is_touched:
        os.utime(made[0] / "003.png", ns=(1, 1))
    found = segprep.estimate(*made, sample=5, reread=not is_touched, **CUT)
    assert (found.status, found.done) == ("up to date", found.masks)
    assert 0 < found.sampled < found.masks
    added = segprep.estimate(*made, sample=5, **{**CUT, "targets": "border"})
    assert (added.status, added.masks) == ("continued", found.masks)
    assert {target.name for target in added.targets if target.shards_to_write} == {"border"}


def test_tiles_of_a_slide_that_are_not_read_are_those_of_the_store(slide, tmp_path):
    segprep.preprocess(slide, tmp_path / "out.zarr", keep_empty=0.3, **SLIDE)
    found = segprep.estimate(slide, tmp_path / "out.zarr", keep_empty=0.3, sample=8, reread=True, **SLIDE)
    assert (found.status, found.bytes) == ("up to date", bytes_on_disk(tmp_path / "out.zarr"))


@pytest.mark.parametrize(
    "options", [{"tile": 32}, {"tile": 64, "keep_empty": 1.0}, {"tile": None, "keep_empty": 1.0}], ids=str
)
def test_another_tiling_is_refused_as_by_the_run(made, options):
    options = {"keep_empty": 0, "targets": "distance", **options}
    error = refused(segprep.estimate, *made, **options)
    assert error == refused(segprep.preprocess, *made, **options)
    assert error[0] is OutputError


def test_a_new_mask_is_refused_as_by_the_run(made):
    shutil.copy(made[0] / "001.png", made[0] / "new.png")
    error = refused(segprep.estimate, *made, tile=64, keep_empty=0, targets="distance", sample=5)
    assert error[0] is OutputError
    assert "1 new (new.png)" in error[1][0]
    assert error == refused(segprep.estimate, *made, tile=64, keep_empty=0, targets="distance", sample=100)


def test_a_slide_that_is_a_foreground_mask_is_refused_as_by_the_run(slide, tmp_path):
    tifffile.imwrite(tmp_path / "slide.tif", np.uint8(tifffile.imread(slide) > 0), tile=(64, 64), compression="zlib")
    options = {name: value for name, value in SLIDE.items() if name != "workers"}
    error = refused(segprep.estimate, tmp_path / "slide.tif", sample=100, **options)
    assert error[0] is InputError
    assert error == refused(segprep.preprocess, tmp_path / "slide.tif", tmp_path / "out.zarr", **options)
    with pytest.warns(SegprepWarning, match="one value besides 0.*the run reads all"):
        segprep.estimate(tmp_path / "slide.tif", sample=8, **SLIDE)


def test_a_distance_of_a_slide_without_a_limit_is_refused_as_by_the_run(slide, tmp_path):
    options = {"tile": 64, "max_pixels": 128 * 128}
    error = refused(segprep.estimate, slide, **options)
    assert error == refused(segprep.preprocess, slide, tmp_path / "out.zarr", **options)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.data())
def test_a_mask_that_is_made_up_has_the_tiles_of_its_size(height, width, other_height, other_width, side, data):
    tiling = Tiling((side, side), data.draw(st.integers(0, side - 1)))
    mask = InstanceMask(np.ones((1, height, width), np.int32), np.array([0, 1], np.int32))
    stats = mask_stats(mask, 2)
    alike = with_shape(
        _with_tiles(stats, tile_stats(mask, mask, tiling, "a", stats)), (other_height, other_width), tiling, "b"
    )
    assert alike.shape == (other_height, other_width)
    assert [tile.shape for tile in alike.tiles] == [window[2:] for window in tiling.windows(alike.shape, "b")]


def _with_tiles(stats, tiles):
    return type(stats)(*(tiles if name == "tiles" else getattr(stats, name) for name in stats.__slots__))


@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.data())
def test_the_nearest_of_a_sample_stands_for_a_tile(order, data):
    sample = data.draw(st.lists(st.sampled_from(order), unique=True, min_size=1))
    found = nearest(order, sample)
    assert set(found) == set(order)
    for place, item in enumerate(order):
        far = [abs(place - order.index(each)) for each in sample]
        assert abs(place - order.index(found[item])) == min(far)


def test_a_mask_that_is_cut_needs_less_memory_where_its_targets_see_a_part():
    mask = InstanceMask(np.zeros((1, 1000, 1000), np.int32), np.zeros(1, np.int32))
    names, stats = ["weights", "distance"], mask_stats(mask, 2)
    all_at_once, small, large = (bytes_of(stats, names, part=part) for part in (None, 10_000, 1_000_000))
    assert small < 0.65 * all_at_once
    assert all_at_once < large
