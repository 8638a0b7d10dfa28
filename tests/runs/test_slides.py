"""Masks that are larger than the limit of pixels, and are read in tiles."""

import numpy as np
import pytest
import tifffile
import zarr

import segprep
from segprep.errors import InputError, OptionError
from segprep.store.tables import read_table
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
TARGETS = "weights,border,boundaries,distance"
OPTIONS = {"targets": TARGETS, "distance_clip": 9.5, "sigma": 3, "workers": ONE}
LIMIT = {"max_pixels": 20_000}
"""Less than the 210 x 260 pixels of the slides."""


def labels_of_blocks(dtype=np.uint32):
    """Label image of rectangles at random places, some of which touch or are cut."""
    rng = np.random.default_rng(7)
    labels = np.zeros((210, 260), dtype)
    for number in range(1, 90):
        y, x = rng.integers(0, 200), rng.integers(0, 250)
        height, width = rng.integers(4, 30, 2)
        labels[y : y + height, x : x + width] = number
    labels[:70, :90] = 0
    return labels


def as_tiff(path, labels, **options):
    tifffile.imwrite(path.with_suffix(".tif"), labels, **options)
    return path.with_suffix(".tif")


def as_npy(path, labels):
    np.save(path.with_suffix(".npy"), labels)
    return path.with_suffix(".npy")


def as_ome_zarr(path, labels):
    group = zarr.open_group(path.with_suffix(".zarr"), mode="w", zarr_format=3)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    levels = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": []}]}]
    parent = group.create_group("labels")
    parent.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    label = parent.create_group("cells")
    label.attrs["ome"] = {"version": "0.5", "multiscales": levels, "image-label": {}}
    label.create_array("0", shape=labels.shape, chunks=(50, 60), dtype=labels.dtype)[:] = labels
    return path.with_suffix(".zarr")


FILES = {
    "tiled TIFF": lambda path, labels: as_tiff(path, labels, tile=(64, 48), compression="zlib"),
    "TIFF in LZW": lambda path, labels: as_tiff(path, labels, tile=(64, 64), compression="lzw", predictor=True),
    "TIFF in strips": lambda path, labels: as_tiff(path, labels, rowsperstrip=11),
    "NPY": as_npy,
    "OME-Zarr": as_ome_zarr,
}


def arrays_in(store):
    """Arrays of each tile by its key."""
    masks = segprep.open(store)
    return {key: masks[key] for key in masks.keys}


@pytest.mark.parametrize("kind", FILES)
def test_tiles_of_a_slide_are_those_of_the_mask_that_is_loaded(tmp_path, kind):
    file = FILES[kind](tmp_path / "slide", labels_of_blocks())
    segprep.preprocess(file, tmp_path / "loaded.zarr", tile=(64, 80), tile_overlap=8, **OPTIONS)
    info = segprep.preprocess(file, tmp_path / "slide_.zarr", tile=(64, 80), tile_overlap=8, **OPTIONS, **LIMIT)
    np.testing.assert_equal(arrays_in(tmp_path / "slide_.zarr"), arrays_in(tmp_path / "loaded.zarr"))

    joined = segprep.open(tmp_path / "slide_.zarr").source(file.name, ["labels"])["labels"]
    assert (joined == labels_of_blocks()).all()
    assert info.instances > len(np.unique(joined)) - 1
    assert segprep.verify(tmp_path / "slide_.zarr", deep=True, against=file, workers=ONE).findings == ()


@pytest.mark.parametrize("per", ["class", "instance"])
@pytest.mark.parametrize("content", ["blocks", "nothing", "one instance", "two instances"])
def test_distances_know_what_the_other_tiles_show(tmp_path, per, content):
    labels = labels_of_blocks() if content == "blocks" else np.zeros((210, 260), np.uint16)
    labels[:] = {"blocks": labels, "nothing": 0, "one instance": 5}.get(content, 5)
    if content == "two instances":
        labels[3:5, 7] = 9
    file = as_tiff(tmp_path / "slide", labels, tile=(64, 64))
    options = {**OPTIONS, "distance_per": per, "instances_from": "as-is", "tile": 60}
    segprep.preprocess(file, tmp_path / "loaded.zarr", **options)
    segprep.preprocess(file, tmp_path / "slide.zarr", **options, **LIMIT)
    np.testing.assert_equal(arrays_in(tmp_path / "slide.zarr"), arrays_in(tmp_path / "loaded.zarr"))


def test_ids_of_64_bits_are_kept_in_the_table(tmp_path):
    labels = labels_of_blocks(np.uint64)
    labels[labels > 0] += 2**63 + 5
    file = as_npy(tmp_path / "slide", labels)
    info = segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)
    assert set(read_table(tmp_path / "out.zarr", info, "instances/source_number").tolist()) == set(
        np.unique(labels[labels > 0]).tolist()
    )
    assert (segprep.open(tmp_path / "out.zarr").source("slide.npy", ["labels"])["labels"] == labels).all()


def test_is_the_same_by_two_workers_and_after_repair(tmp_path):
    file = as_tiff(tmp_path / "slide", labels_of_blocks(), tile=(64, 64))
    options = {**OPTIONS, **LIMIT, "tile": 48, "keep_empty": 0.5, "separate": "falk2019"}
    segprep.preprocess(file, tmp_path / "one.zarr", **options)
    segprep.preprocess(file, tmp_path / "two.zarr", **{**options, "workers": 2})
    segprep.preprocess(file, tmp_path / "loaded.zarr", **{**options, "max_pixels": 2**28})
    np.testing.assert_equal(arrays_in(tmp_path / "one.zarr"), arrays_in(tmp_path / "loaded.zarr"))

    def files_of(store):
        return {path.relative_to(store): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}

    before = files_of(tmp_path / "one.zarr")
    assert files_of(tmp_path / "two.zarr") == before
    (tmp_path / "one.zarr" / "48x48" / "distance" / "c" / "0" / "0" / "0").unlink()
    assert segprep.repair(tmp_path / "one.zarr", file, workers=ONE).findings == ()
    assert files_of(tmp_path / "one.zarr") == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance_clip": None}, "targets: distance depends on the complete mask.*distance_clip=32 limits it"),
        (
            {"class_weights": "per-image"},
            "targets: weights depends on the complete mask.*leave it out, or raise max_pixels",
        ),
        ({"instances_from": "watershed"}, "instances_from='watershed': needs the complete mask"),
        ({"separate": 1}, "separate=1: needs complete instances.*use separate='falk2019'"),
    ],
)
def test_refuses_what_needs_complete_masks(tmp_path, settings, message):
    file = as_tiff(tmp_path / "slide", labels_of_blocks(), tile=(64, 64))
    with pytest.raises((OptionError, InputError), match=message):
        segprep.preprocess(file, tmp_path / "out.zarr", **{**OPTIONS, **LIMIT, "tile": 64, **settings})
    assert not list(tmp_path.glob("out.zarr/*.json"))


def test_refuses_a_foreground_mask(tmp_path):
    file = as_tiff(tmp_path / "slide", np.uint8(255) * (labels_of_blocks() > 0), tile=(64, 64))
    with pytest.raises(InputError, match=r"slide\.tif: holds one value besides 0, whose connected components need"):
        segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)


def test_refuses_a_large_mask_that_cannot_be_read_in_tiles(tmp_path):
    file = as_tiff(tmp_path / "slide", labels_of_blocks(), rowsperstrip=210)
    with pytest.raises(InputError, match="210 x 260 pixels are more than max_pixels=20000; raise the limit"):
        segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)


def test_names_a_slide_that_is_damaged(tmp_path):
    file = as_tiff(tmp_path / "slide", labels_of_blocks(), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(file) as tiff:
        offset, size = tiff.pages[0].dataoffsets[7], tiff.pages[0].databytecounts[7]
    data = bytearray(file.read_bytes())
    data[offset : offset + size] = b"\xff" * size
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"slide\.tif: cannot be read as TIFF"):
        segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)


def test_names_a_slide_with_negative_values(tmp_path):
    labels = labels_of_blocks(np.int32)
    labels[100, 100] = -4
    for file in (as_tiff(tmp_path / "slide", labels, tile=(64, 64)), as_npy(tmp_path / "slide", labels)):
        with pytest.raises(InputError, match="the value -4; labels are not negative"):
            segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)


def test_reads_level_0_of_a_pyramid(tmp_path):
    labels, file = labels_of_blocks(), tmp_path / "slide.ome.tif"
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(labels, tile=(64, 64), subifds=1, metadata={"axes": "YX"})
        tiff.write(labels[::2, ::2], tile=(64, 64), subfiletype=1)
    segprep.preprocess(file, tmp_path / "out.zarr", tile=64, **OPTIONS, **LIMIT)
    assert (segprep.open(tmp_path / "out.zarr").source("slide.ome.tif", ["labels"])["labels"] == labels).all()


def test_ignored_values_are_ignored_in_every_tile(tmp_path):
    labels = labels_of_blocks()
    labels[50:120, 60:130] = 255
    file = as_tiff(tmp_path / "slide", labels, tile=(64, 64))
    options = {**OPTIONS, "tile": 50, "ignore": 255, "background": 3}
    segprep.preprocess(file, tmp_path / "loaded.zarr", **options)
    segprep.preprocess(file, tmp_path / "out.zarr", **options, **LIMIT)
    np.testing.assert_equal(arrays_in(tmp_path / "out.zarr"), arrays_in(tmp_path / "loaded.zarr"))


def test_a_preview_shows_tiles_of_a_slide_that_is_never_read_completely(tmp_path):
    file = as_tiff(tmp_path / "slide", labels_of_blocks(), tile=(64, 48))
    whole, tiles = tmp_path / "whole.png", tmp_path / "tiles.png"
    options = {**OPTIONS, "tile": (64, 80), "instances_from": "as-is", "key": "slide.tif/y000128_x000080"}
    segprep.preview(file, whole, **options)
    made = segprep.preview(file, tiles, **options, **LIMIT)
    assert (made.masks, made.shown) == (16, (options["key"],))
    assert tiles.read_bytes() == whole.read_bytes()
    with pytest.raises(InputError, match="max_pixels"):
        segprep.preview(file, tiles, **OPTIONS, **LIMIT)
