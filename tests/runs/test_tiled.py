"""Stores of tiles."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from helpers.coco import square
from helpers.labels import discs
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError, OutputError
from segprep.masks import instances
from segprep.masks.splits import SplitRule
from segprep.masks.stats import MaskStats, class_counts
from segprep.masks.tiles import TileRef, Tiling, Window, source_keys
from segprep.runs.entries import decode_entries, encode_entries
from segprep.runs.plan import split_masks
from segprep.store import layout
from segprep.store.tables import read_table
from segprep.targets import parts
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
TARGETS = "weights,border,boundaries,distance"
TILES = {"tile": (64, 80), "targets": TARGETS, "workers": ONE}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Three label images with their images, and the store without tiles."""
    folder = tmp_path_factory.mktemp("slides")
    for name in ("masks", "images"):
        (folder / "data" / name).mkdir(parents=True)
    for index in range(3):
        labels = discs((150, 210 + index), 30, index)
        labels[:70, :90] = 0  # an empty tile
        tifffile.imwrite(folder / "data" / "masks" / f"slide{index}.tif", labels)
        pixels = (labels * 7 % 255).astype(np.uint8)
        if index == 2:  # of which parts are decoded
            tifffile.imwrite(folder / "data" / "images" / f"slide{index}.tif", pixels, tile=(64, 64))
        else:
            Image.fromarray(pixels).save(folder / "data" / "images" / f"slide{index}.png")
    segprep.preprocess(folder / "data", folder / "whole.zarr", targets=TARGETS, workers=ONE)
    return folder


def assert_equal_to_whole(store, whole):
    tiles, masks = segprep.open(store), segprep.open(whole)
    for index, key in enumerate(tiles.keys):
        source, place = tiles.tile_sources[index], tiles.tile(index)
        arrays, expected = tiles[index], masks[source]
        assert key == f"{source}/y{place.y:06}_x{place.x:06}"
        height, width = arrays["labels"].shape
        for name in expected.keys() - {"key", "labels"}:
            part = expected[name][..., place.y : place.y + height, place.x : place.x + width]
            np.testing.assert_array_equal(arrays[name], part, err_msg=f"{key} {name}")
    for key in masks.keys:
        np.testing.assert_equal(tiles.source(key), masks[key])


@pytest.mark.parametrize("overlap", [0, 24])
def test_tiles_are_parts_of_the_maps_of_the_complete_masks_and_join_to_them(slides, tmp_path, overlap):
    info = segprep.preprocess(slides / "data", tmp_path / "out.zarr", tile_overlap=overlap, **TILES)

    assert info.masks == 3 * 3 * 3 if overlap == 0 else 3 * 4 * 4
    assert [bucket.name for bucket in info.buckets] == ["64x80"]
    assert info.touching_pairs == segprep.describe(slides / "whole.zarr").touching_pairs
    assert_equal_to_whole(tmp_path / "out.zarr", slides / "whole.zarr")


def test_tiles_of_overlapping_instances_are_exact(tmp_path):
    squares = [
        square(1, 1 + index % 2, y, x, side)
        for index, (y, x, side) in enumerate(
            [(5, 5, 60), (20, 25, 8), (40, 40, 50), (30, 60, 30), (60, 10, 25), (62, 62, 4)]
        )
    ]
    annotations = [{"id": index, "area": 1, "iscrowd": 0, **each} for index, each in enumerate(squares, start=1)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 100, "width": 110}],
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "gland"}],
        "annotations": annotations,
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    options = {"targets": f"{TARGETS}", "distance_per": "class", "border_between": "same-class", "workers": ONE}
    segprep.preprocess(tmp_path / "a.json", tmp_path / "whole.zarr", **options)
    for overlap in (0, 16):
        store = tmp_path / f"tiles{overlap}.zarr"
        segprep.preprocess(tmp_path / "a.json", store, tile=48, tile_overlap=overlap, **options)
        assert_equal_to_whole(store, tmp_path / "whole.zarr")
        tiles = segprep.open(store)
        for index in range(len(tiles)):  # the instances themselves, and the order in which they hide each other
            assert (tiles.mask(index).labels == tiles[index]["labels"]).all()


def test_instances_that_are_cut_keep_their_number_in_the_table(slides, tmp_path):
    info = segprep.preprocess(slides / "data", tmp_path / "out.zarr", **TILES)
    numbers, mask_of, area = (
        read_table(tmp_path / "out.zarr", info, f"instances/{name}") for name in ("source_number", "mask", "area")
    )
    sources = segprep.open(tmp_path / "out.zarr").tile_sources
    areas = {}
    for number, mask, pixels in zip(numbers.tolist(), mask_of.tolist(), area.tolist(), strict=True):
        areas[sources[mask], number] = areas.get((sources[mask], number), 0) + pixels

    masks = segprep.open(slides / "whole.zarr")
    assert areas == {
        (key, number): int(count)
        for key in masks.keys
        for number, count in enumerate(np.bincount(masks[key]["labels"].ravel()))
        if number
    }
    assert len(numbers) > len(areas)


def test_images_are_cut_as_the_tiles(slides, tmp_path):
    segprep.preprocess(slides / "data", tmp_path / "out.zarr", **TILES)
    tiles = segprep.open(tmp_path / "out.zarr", images=slides / "data")
    for index in range(len(tiles)):
        labels = tiles.source(tiles.tile_sources[index], ["labels"])["labels"]
        place, (height, width) = tiles.tile(index), tiles.sizes[index]
        expected = np.asarray(Image.open(tiles.image_path(index)))
        assert (tiles.image(index) == expected[place.y : place.y + height, place.x : place.x + width]).all()
        assert (
            tiles.image(index, (2, 3, 5, 6)) == expected[place.y + 2 : place.y + 7, place.x + 3 : place.x + 9]
        ).all()
        assert labels.shape == expected.shape


def test_empty_tiles_are_thinned_by_their_names_alone(slides, tmp_path):
    counts = {}
    for share in (1.0, 0.5, 0.0):
        store = tmp_path / f"{share}.zarr"
        info = segprep.preprocess(slides / "data", store, keep_empty=share, **TILES)
        tiles = segprep.open(store)
        counts[share] = set(tiles.keys)
        assert all(tiles[key]["classes"].any() for key in counts[share]) == (share == 0)
        assert info.masks == len(counts[share])
    assert counts[0.0] < counts[0.5] < counts[1.0]
    joined = segprep.open(tmp_path / "0.0.zarr").source("masks/slide0.tif")
    assert (joined["classes"][:64, :80] == 255).all()  # it is not known what was there
    assert (joined["weights"][:64, :80] == 0).all()

    two = tmp_path / "two"
    shutil.copytree(slides / "data", two)
    (two / "masks" / "slide1.tif").unlink()
    segprep.preprocess(two, tmp_path / "two.zarr", keep_empty=0.5, **TILES)
    kept = set(segprep.open(tmp_path / "two.zarr").keys)
    assert kept == {key for key in counts[0.5] if not key.startswith("masks/slide1")}


def test_the_seed_chooses_empty_tiles_also_where_nothing_is_split(tmp_path):
    labels = np.zeros((40, 40), np.uint8)
    labels[2:5, 2:5], labels[4:8, 10:14] = 1, 2
    Image.fromarray(labels).save(tmp_path / "a.png")
    options = {"tile": 10, "targets": "distance", "distance_clip": 5, "workers": ONE}
    keys = []
    for seed in (0, 1):
        info = segprep.preprocess(tmp_path / "a.png", tmp_path / f"{seed}.zarr", keep_empty=0.4, seed=seed, **options)
        keys.append(set(segprep.open(tmp_path / f"{seed}.zarr").keys))
        assert (info.split_rule.seed, info.tiling.seed, info.tiling.keep_empty) == (seed, seed, 0.4)
    assert keys[0] != keys[1]
    with pytest.raises(OptionError, match="seed=1: there is nothing to split"):
        segprep.preprocess(tmp_path / "a.png", tmp_path / "all.zarr", seed=1, **options)


def test_a_store_of_tiles_is_the_same_by_all_workers_and_parts(slides, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "SHARD_PIXELS", 3 * 64 * 80)  # jobs of one worker write several shards
    options = {**TILES, "tile_overlap": 8, "distance_clip": 6.5}
    stores = [tmp_path / name for name in ("one.zarr", "two.zarr", "parts.zarr")]
    segprep.preprocess(slides / "data", stores[0], **options)
    segprep.preprocess(slides / "data", stores[1], **{**options, "workers": 2})
    for part in ("2/2", "1/2", None):
        segprep.preprocess(slides / "data", stores[2], part=part, **options)
    files = [
        {path.relative_to(store): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}
        for store in stores
    ]
    assert files[0] == files[1] == files[2]


def test_a_mask_is_loaded_once_for_all_its_tiles_by_a_single_worker(slides, tmp_path, monkeypatch):
    loaded = []

    def load_mask(ref, *others):
        loaded.append(ref.key)
        return instances.load_mask(ref, *others)

    monkeypatch.setattr(layout, "SHARD_PIXELS", 3 * 64 * 80)
    monkeypatch.setattr(parts, "load_mask", load_mask)
    segprep.preprocess(slides / "data", tmp_path / "out.zarr", **TILES)
    assert len(list((tmp_path / "out.zarr" / "64x80" / "labels" / "c").iterdir())) == 9
    assert loaded == [f"masks/slide{index}.tif" for index in range(3)]


def test_the_journal_of_a_scan_keeps_the_statistics_of_tiles():
    tile = MaskStats((8, 8), 2, class_counts(np.array([1, 1])), b"", (), 0, 0, False, (), b"1" * 16)
    complete = replace(tile, shape=(8, 16), tiles=(replace(tile, ignored=3), replace(tile, hidden=4)))
    ((key, found, _),) = decode_entries(encode_entries({"a": (complete, None)}), 2)
    assert key == "a"
    assert [(each.shape, each.ignored, each.hidden) for each in (found, *found.tiles)] == [
        ((8, 16), 0, 0),
        ((8, 8), 3, 0),
        ((8, 8), 0, 4),
    ]
    damaged = replace(complete, tiles=(replace(tile, source_numbers=b"1234"),))
    assert list(decode_entries(encode_entries({"a": (damaged, None)}), 2)) == []


def test_verify_and_repair_know_tiles(slides, tmp_path):
    store = tmp_path / "out.zarr"
    segprep.preprocess(slides / "data", store, keep_empty=0.5, split=(0.4, 0.3, 0.3), stratify=True, **TILES)
    report = segprep.verify(store, deep=True, against=slides / "data", workers=ONE)
    assert (report.findings, report.compared) == ((), 16)

    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for name in ("64x80/weights/c/0/0/0", "y/c/0", "instances/source_number/c/0"):
        (store / name).unlink()
    repaired = segprep.repair(store, slides / "data", workers=ONE)
    assert (len(repaired.repaired), repaired.findings) == (3, ())
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_tiles_are_evaluated_and_drawn_as_masks(slides, tmp_path):
    store = tmp_path / "out.zarr"
    segprep.preprocess(slides / "data", store, keep_empty=0, tile_overlap=8, **TILES)
    result = segprep.evaluate(store, store, workers=ONE)
    assert result.mean_ap == 1
    made = segprep.preview(store, tmp_path / "page.html", images=slides / "data", workers=ONE)
    assert made.masks == segprep.describe(store).masks


def test_a_preview_of_tiles_shows_what_a_store_of_them_does(slides, tmp_path):
    store, options = tmp_path / "out.zarr", {"keep_empty": 0, "tile_overlap": 8, **TILES}
    segprep.preprocess(slides / "data", store, **options)
    pages = [tmp_path / "store.png", tmp_path / "data.png"]
    for key in segprep.open(store).keys[:3]:
        segprep.preview(store, pages[0], images=slides / "data", key=key, workers=ONE)
        made = segprep.preview(slides / "data", pages[1], key=key, **options)
        assert (made.masks, made.shown) == (segprep.describe(store).masks, (key,))
        assert np.array_equal(*(np.asarray(Image.open(page)) for page in pages))


def test_a_change_of_a_mask_changes_all_its_tiles(slides, tmp_path):
    shutil.copytree(slides / "data", tmp_path / "data")
    segprep.preprocess(tmp_path / "data", tmp_path / "out.zarr", **TILES)
    file = tmp_path / "data" / "masks" / "slide0.tif"
    labels = tifffile.imread(file)
    labels[0, 0] = 77
    tifffile.imwrite(file, labels)
    with pytest.raises(InputError, match="9 of 27 masks that were compared differ"):
        segprep.verify(tmp_path / "out.zarr", against=tmp_path / "data", sample=27, workers=ONE)
    with pytest.raises(OutputError, match=r"has 27: 1 changed \(masks/slide0.tif\); add update=True"):
        segprep.preprocess(tmp_path / "data", tmp_path / "out.zarr", **TILES)


def test_refuses_another_tiling_of_a_store(slides, tmp_path):
    segprep.preprocess(slides / "data", tmp_path / "out.zarr", **TILES)
    with pytest.raises(OutputError, match=r"tile=\(32, 32\) instead of tile=\(64, 80\)"):
        segprep.preprocess(slides / "data", tmp_path / "out.zarr", **{**TILES, "tile": "32"})
    with pytest.raises(OutputError, match=r"tile=None instead of tile=\(64, 80\)"):
        segprep.preprocess(slides / "data", tmp_path / "out.zarr", targets=TARGETS, workers=ONE)


def test_targets_are_added_and_splits_changed_as_in_other_stores(slides, tmp_path):
    store = tmp_path / "out.zarr"
    segprep.preprocess(slides / "data", store, **{**TILES, "targets": "border"})
    segprep.preprocess(slides / "data", store, **TILES)
    assert_equal_to_whole(store, slides / "whole.zarr")

    segprep.resplit(store, (0.4, 0.3, 0.3), stratify=True, workers=ONE)
    tiles = segprep.open(store)
    assert len(set(tiles.splits)) == 3
    assert len(set(zip(tiles.tile_sources, tiles.splits, strict=True))) == 3
    with pytest.raises(OptionError, match="the store has tiles, whose weights depend on pixels beyond them"):
        segprep.resplit(store, (0.4, 0.3, 0.3), refit=True, workers=ONE)


def test_instances_are_found_and_separated_before_the_mask_is_cut(tmp_path):
    foreground = (discs((90, 120), 9, 5) > 0).astype(np.uint8)
    Image.fromarray(foreground * 255).save(tmp_path / "a.png")
    options = {"targets": TARGETS, "workers": ONE, "separate": 1}
    segprep.preprocess(tmp_path / "a.png", tmp_path / "whole.zarr", **options)
    segprep.preprocess(tmp_path / "a.png", tmp_path / "tiles.zarr", tile=40, **options)
    assert_equal_to_whole(tmp_path / "tiles.zarr", tmp_path / "whole.zarr")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile_overlap": 4}, "tile_overlap=4: needs tiles, as tile="),
        ({"keep_empty": 0.1}, "keep_empty=0.1: needs tiles"),
        ({"tile": (0, 4)}, r"tile=\(0, 4\): height and width must be at least 1 pixel"),
        (
            {"tile": 8, "tile_overlap": 8},
            r"tile_overlap=8: must be from 0 to 7, for tile=\(8, 8\)",
        ),
        ({"tile": 8, "keep_empty": 1.5}, "keep_empty=1.5: must be from 0 to 1"),
        ({"tile": "8x"}, r"tile='8x': must be a pair of numbers, as tile=\(512, 512\)"),
    ],
)
def test_refuses_tiles_that_make_no_sense(slides, tmp_path, settings, message):
    with pytest.raises(OptionError, match=message):
        segprep.preprocess(slides / "data", tmp_path / "out.zarr", **settings)
    assert not (tmp_path / "out.zarr").exists()


def test_refuses_to_leave_out_all_tiles(tmp_path):
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"keep_empty=0.0: all tiles are empty, and none is left"):
        segprep.preprocess(tmp_path / "a.png", tmp_path / "out.zarr", tile=20, keep_empty=0, workers=ONE)


@pytest.mark.parametrize("groupings", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_source_is_in_two_splits_or_folds(groupings):
    rng = np.random.default_rng(0)
    stats = MaskStats((8, 8), 2, class_counts(np.array([1, 1])), b"", (), 0, 0, False, (), b"")
    for _ in range(groupings):
        names = [f"slide{number:02}_{rng.integers(3)}.png" for number in range(rng.integers(6, 12))]
        refs = [
            TileRef(Source(name), Window(y, 0, 8, 8), (80, 8))
            for name in names
            for y in range(0, 8 * int(rng.integers(1, 6)), 8)
        ]
        group = [None, r"slide\d+", r"slide\d", r"_\d"][rng.integers(3)]
        rule = SplitRule(
            (0.5, 0.25, 0.25), int(rng.integers(1000)), group, stratify=bool(rng.integers(8) == 0), folds=2
        )
        try:
            split_of, fold_of = split_masks(source_keys(refs), [stats] * len(refs), rule)
        except OptionError:  # too few groups
            continue
        seen = set(zip(source_keys(refs), split_of.tolist(), fold_of.tolist(), strict=True))
        assert len(seen) == len(names)


class Source:
    """A mask of which only the key is known."""

    split = None

    def __init__(self, key):
        self.key = key


def test_tiles_cover_every_pixel_and_none_lies_within_others():
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(int(side) for side in rng.integers(1, 40, 2))
        tile = tuple(int(side) for side in rng.integers(1, 20, 2))
        overlap = int(rng.integers(0, min(tile)))
        windows = Tiling(tile, overlap).windows(shape, "a")
        covered = np.zeros(shape, int)
        for window in windows:
            covered[window.part] += 1
        assert covered.min() >= 1
        assert (covered == 1).all() or overlap
        assert len({(window.y + window.height, window.x + window.width) for window in windows}) == len(windows)
