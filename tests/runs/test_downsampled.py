"""Stores at a lower resolution than their data."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from helpers.coco import square
from helpers.labels import discs
from oracles.downsampling import downsampled_slowly
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError, OutputError
from segprep.masks.downsampling import VANISHED
from segprep.masks.mask import InstanceMask
from segprep.readers import image_pixels
from segprep.readers._area import area_means
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
TARGETS = "weights,border,boundaries,distance"
OPTIONS = {"targets": TARGETS, "workers": ONE, "background": 0}


def image_of(labels):
    return np.stack([labels * 7 % 255, labels * 3 % 255, labels % 255], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three label images with their images, the same downsampled by the oracle, and the stores of both."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("data/masks", "data/images", "small/masks"):
        (folder / name).mkdir(parents=True)
    for index in range(3):
        labels = discs((73, 90 + index), 24, index)
        labels[3, 4] = 200  # a pixel that vanishes
        tifffile.imwrite(folder / "data" / "masks" / f"m{index}.tif", labels)
        _, numbers = np.unique(labels, return_inverse=True)
        mask = InstanceMask(
            numbers[None].astype(np.int32), np.minimum(np.arange(numbers.max() + 1), 1).astype(np.int32)
        )
        small, _ = downsampled_slowly(mask, 3, "majority")
        tifffile.imwrite(folder / "small" / "masks" / f"m{index}.tif", small.planes[0].astype(np.uint16))
        if index == 2:  # of which parts are decoded
            file = folder / "data" / "images" / f"m{index}.tif"
            tifffile.imwrite(file, image_of(labels), tile=(16, 32), photometric="rgb")
        else:
            Image.fromarray(image_of(labels)).save(folder / "data" / "images" / f"m{index}.png")
    segprep.preprocess(folder / "small", folder / "small.zarr", **OPTIONS)
    segprep.preprocess(folder / "data", folder / "out.zarr", downsample=3, **OPTIONS)
    segprep.preprocess(folder / "data", folder / "full.zarr", **OPTIONS)
    return folder


def means(pixels, factor):
    """Mean of each block, slowly."""
    shape = [-(-side // factor) for side in pixels.shape[:2]]
    found = np.zeros((*shape, *pixels.shape[2:]))
    for y, x in np.ndindex(*shape):
        block = pixels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        found[y, x] = block.reshape(-1, *pixels.shape[2:]).astype(float).mean(axis=0)
    return found


def test_targets_are_those_of_masks_that_were_downsampled_before(made):
    store, small = segprep.open(made / "out.zarr"), segprep.open(made / "small.zarr")
    assert store.keys == small.keys
    assert store.sizes.tolist() == [[25, 30], [25, 31], [25, 31]]
    for key in store.keys:
        np.testing.assert_equal(store[key], small[key])
    assert store.info.classes == small.info.classes


def test_instances_that_vanish_are_problems_of_their_mask(made):
    info = segprep.describe(made / "out.zarr")
    problems = [problem for problem in info.problems if problem.kind == VANISHED]
    assert [problem.key for problem in problems] == segprep.open(made / "out.zarr").keys
    for problem in problems:
        assert "(1 pixel at y=3, x=4)" in problem.where
    with pytest.raises(InputError, match=VANISHED):
        segprep.preprocess(made / "data", made / "no.zarr", downsample=3, on_error="fail", **OPTIONS)


def test_only_a_store_at_a_lower_resolution_says_so(made):
    attributes = (made / "out.zarr" / "zarr.json").read_text(), (made / "full.zarr" / "zarr.json").read_text()
    assert [text.count("downsampl") > 0 for text in attributes] == [True, False]
    rule = json.loads(attributes[0])["attributes"]["instance_rule"]
    assert rule["downsampling"] == {"downsample": 3, "downsample_by": "majority"}


def test_images_are_the_means_of_blocks_also_in_windows_and_tiles(made, tmp_path):
    store = segprep.open(made / "out.zarr", images=made / "data")
    segprep.preprocess(made / "data", tmp_path / "tiles.zarr", downsample=3, tile=(12, 14), **OPTIONS)
    tiles = segprep.open(tmp_path / "tiles.zarr", images=made / "data")
    for index in range(len(store)):
        file = store.image_path(index)
        pixels = tifffile.imread(file) if file.suffix == ".tif" else np.asarray(Image.open(file))
        image = store.image(index)
        assert (image.dtype, image.shape[:2]) == (np.uint8, tuple(store.sizes[index]))
        assert np.abs(image - means(pixels, 3)).max() <= 0.5
        np.testing.assert_array_equal(store.image(index, (20, 9, 5, 21)), image[20:25, 9:30])
    for index in range(len(tiles)):
        image, place = store.image(tiles.tile_sources[index]), tiles.tile(index)
        height, width = tiles.sizes[index]
        part = image[place.y : place.y + height, place.x : place.x + width]
        np.testing.assert_array_equal(tiles.image(index), part)
        np.testing.assert_array_equal(tiles.image(index, (0, 1, height, width - 1)), part[:, 1:])


def test_tiles_have_sizes_in_pixels_of_the_result(made, tmp_path):
    segprep.preprocess(made / "data", tmp_path / "tiles.zarr", downsample=3, tile=(12, 14), tile_overlap=4, **OPTIONS)
    tiles, whole = segprep.open(tmp_path / "tiles.zarr"), segprep.open(made / "out.zarr")
    for key in whole.keys:
        np.testing.assert_equal(tiles.source(key), whole[key])
    assert segprep.verify(tmp_path / "tiles.zarr", against=made / "data", workers=ONE).findings == ()


def test_an_image_of_another_size_is_refused(tmp_path):
    Image.new("L", (8, 9)).save(tmp_path / "a.png")
    assert image_pixels(tmp_path / "a.png", (5, 4), "a", 2).shape == (5, 4)
    with pytest.raises(InputError, match=r"9 x 8 pixels, but the mask 'a' has 5 x 5, each of 2 x 2 pixels,"):
        image_pixels(tmp_path / "a.png", (5, 5), "a", 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.int8])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (7,)])
def test_means_of_blocks_have_the_type_of_the_image(dtype, channels):
    pixels = np.random.default_rng(0).integers(0, 100, (11, 8, *channels)).astype(dtype)
    for factor in (2, 3, 9, 20):
        found = area_means(pixels, factor)
        assert found.dtype == dtype
        tolerance = 0.5 + 1e-9 if np.dtype(dtype).kind in "iu" else 1e-4
        assert np.abs(found - means(pixels, factor)).max() <= tolerance


def test_resume_verify_and_repair_keep_the_resolution(made, tmp_path):
    store = tmp_path / "out.zarr"
    shutil.copytree(made / "out.zarr", store)
    before = segprep.open(store)[0]
    assert segprep.verify(store, against=made / "data", workers=ONE).findings == ()
    chunk = next(path for path in store.rglob("distance/c/**/*") if path.is_file())
    chunk.write_bytes(b"damaged")
    assert segprep.verify(store, deep=True, workers=ONE).findings
    assert segprep.repair(store, made / "data", workers=ONE).findings == ()
    np.testing.assert_equal(segprep.open(store)[0], before)

    segprep.preprocess(made / "data", store, downsample=3, **OPTIONS)
    with pytest.raises(OutputError, match="downsample=None instead of downsample=3"):
        segprep.preprocess(made / "data", store, **OPTIONS)
    with pytest.raises(OutputError, match="downsample_by='nearest' instead of downsample_by='majority'"):
        segprep.preprocess(made / "data", store, downsample=3, downsample_by="nearest", **OPTIONS)
    segprep.resplit(store, split=(0.5, 0.5), seed=1, refit=True, workers=ONE)
    np.testing.assert_equal(segprep.open(store)[0]["distance"], before["distance"])


def test_predictions_have_the_size_of_the_store(made):
    scores = segprep.evaluate(made / "small" / "masks", made / "out.zarr", workers=ONE)
    assert scores.mean_ap == 1
    with pytest.raises(InputError, match=r"the prediction has 73 x 90 pixels, the truth 25 x 30; resize predictions"):
        segprep.evaluate(made / "data" / "masks", made / "out.zarr", workers=ONE)


def test_instances_that_overlap_are_downsampled_each_by_itself(tmp_path):
    squares = [square(index, 1, 4 * index, 6 * index, 20) for index in range(1, 4)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 50}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"area": 1, "iscrowd": 0, **each, "image_id": 1} for each in squares],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    for name, options in (("whole.zarr", {}), ("small.zarr", {"downsample": 2})):
        segprep.preprocess(tmp_path / "a.json", tmp_path / name, targets="distance", workers=ONE, **options)
    whole, small = (segprep.open(tmp_path / name).mask(0) for name in ("whole.zarr", "small.zarr"))
    assert len(whole.planes) > 1
    expected, _ = downsampled_slowly(whole, 2, "majority")
    np.testing.assert_array_equal(small.areas, expected.areas)
    np.testing.assert_array_equal(small.labels, expected.labels)


def test_a_slide_that_is_read_in_tiles_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    tifffile.imwrite(tmp_path / "data" / "a.tif", discs((96, 96), 9, 0), tile=(16, 16))
    with pytest.raises(OptionError, match="downsample=2: needs the complete mask"):
        segprep.preprocess(
            tmp_path / "data",
            tmp_path / "o.zarr",
            downsample=2,
            tile=32,
            max_pixels=2000,
            targets="border",
            workers=ONE,
        )


def test_an_estimate_and_a_preview_are_at_the_resolution(made, tmp_path):
    found = segprep.estimate(made / "data", tmp_path / "new.zarr", downsample=3, **OPTIONS)
    assert found.canvases == {bucket.name: bucket.rows for bucket in segprep.describe(made / "out.zarr").buckets}
    segprep.preview(made / "data", tmp_path / "a.png", downsample=3, targets="distance", workers=ONE, background=0)
    segprep.preview(made / "out.zarr", tmp_path / "b.png", images=made / "data")
    assert (tmp_path / "b.png").exists()
