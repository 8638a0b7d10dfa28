"""QuPath's polygons on images that are larger than the limit of pixels: every tile is the part of the complete mask."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.updates import assert_same, assert_sound
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import NO_REGION, OUTSIDE, RegionRef, RegionRule
from segprep.masks.tiles import SlideFacts, TileRef, Window, slide_of
from segprep.readers import ReadOptions, qupath
from segprep.runs import scan
from segprep.store.tables import read_table
from segprep.targets import Border, Boundaries, Distance, Labels
from segprep.targets.parts import Loader
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
SHAPE = (110, 132)
OPTIONS = {
    "targets": "weights,border,boundaries,distance",
    "distance_clip": 9.5,
    "sigma": 3,
    "workers": ONE,
    "tile": (64, 80),
    "tile_overlap": 6,
}
LIMIT = {"max_pixels": 14_000}
"""Less than the pixels of the images."""
TARGETS = [Labels(), Border(sigma=2), Boundaries(), Distance(distance_clip=5)]
RULES = ["smallest", "last", "first"]
ONE_RULE = ["smallest", *[pytest.param(rule, marks=pytest.mark.slow) for rule in RULES[1:]]]


def ring(points):
    return [[round(float(x), 3), round(float(y), 3)] for x, y in points]


def ellipse(rng, centre, radii, corners=12):
    """Outline around a point, not quite convex."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    lengths = np.array(radii) * rng.uniform(0.7, 1, (corners, 1))
    return ring(centre + lengths * np.column_stack([np.cos(angles), np.sin(angles)]))


def feature(geometry, name="cell"):
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def polygon(*rings, name="cell"):
    return feature({"type": "Polygon", "coordinates": list(rings)}, name)


def box(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def cells(*, overlap, count=60, seed=3):
    """Polygons, with holes and of several parts, some out of the image, some bad; without `overlap`, one in each cell."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        name = ["cell", "nucleus"][number % 3 == 0]
        if overlap:
            centre, size = rng.uniform(-10, [SHAPE[1] + 10, SHAPE[0] + 10]), rng.uniform(2, 25, 2)
        else:
            centre, size = np.array([13 + 26 * (number % 5), 13 + 26 * (number // 5)]), rng.uniform(3, 13, 2)
        outline = ellipse(rng, centre, size)
        if number % 10 == 4:
            found.append(polygon(outline, ring((np.array(outline) - centre) / 3 + centre), name=name))
        elif number % 10 == 7 and overlap:
            other = [[box(*np.append(centre + 30, centre + 45.3).tolist())]]
            found.append(feature({"type": "MultiPolygon", "coordinates": [[outline], *other]}, name))
        else:
            found.append(polygon(outline, name=name))
    bad = [
        polygon([[1, 1], [2, 2]]),
        polygon(box(-50, -50, -20, -20)),
        feature({"type": "Point", "coordinates": [1, 2]}),
        7,
    ]
    return [bad[0], *found[:20], *bad[1:], *found[20:]]


def data_of(folder, features, shape=SHAPE, name="slide"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    Image.new("1", shape[::-1]).save(folder / f"{name}.png")
    return folder


def arrays_in(store):
    """Arrays of each tile by its key."""
    masks = segprep.open(store, dtype="stored")
    return {key: masks[key] for key in masks.keys}


def require_equal_stores(folder, data, **settings):
    """Raise unless the tiles of a slide are those of the mask that is loaded; return the contents of the store."""
    options = {**OPTIONS, **settings}
    loaded = segprep.preprocess(data, folder / "loaded.zarr", **options)
    info = segprep.preprocess(data, folder / "slide.zarr", **options, **LIMIT)
    np.testing.assert_equal(arrays_in(folder / "slide.zarr"), arrays_in(folder / "loaded.zarr"))
    numbers = [read_table(folder / f"{name}.zarr", each, "instances/source_number") for name, each in
               (("loaded", loaded), ("slide", info))]  # fmt: skip
    np.testing.assert_array_equal(*numbers)
    assert info.problems == loaded.problems
    assert info.classes == loaded.classes
    return info


@pytest.mark.parametrize("overlap", ONE_RULE)
def test_tiles_of_a_slide_are_those_of_the_mask_that_is_loaded(tmp_path, overlap):
    data = data_of(tmp_path / "data", cells(overlap=True))
    info = require_equal_stores(tmp_path, data, overlap=overlap)
    assert len({problem.kind for problem in info.problems}) == 4
    if overlap == "smallest":
        assert segprep.verify(tmp_path / "slide.zarr", deep=True, against=data, workers=ONE).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("overlap", ["error"])
def test_cells_that_touch_are_separated_as_in_the_mask_that_is_loaded(tmp_path, overlap):
    data = data_of(tmp_path / "data", cells(overlap=False, count=20))
    require_equal_stores(tmp_path, data, overlap=overlap, separate="falk2019", keep_empty=0.5)


def test_overlaps_are_refused_where_they_are_not_allowed(tmp_path):
    data = data_of(tmp_path / "data", cells(overlap=True))
    with pytest.raises(InputError, match=r"slide/y0.*: instances overlap in \d+ pixels; use overlap='smallest'"):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, overlap="error")
    with pytest.raises(InputError, match=r"separate='falk2019' with overlap='smallest' needs.*use overlap='last'"):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, separate="falk2019")


@pytest.mark.slow
def test_cells_that_overlap_are_separated_by_other_rules(tmp_path):
    data = data_of(tmp_path / "data", cells(overlap=True))
    require_equal_stores(tmp_path, data, separate="falk2019", overlap="last")


def regions(*, overlap=True):
    """Cells, and annotated regions: one around many, one that cuts some, and one with a hole."""
    around = polygon(box(10.3, 8, 60.6, 75), name="roi")
    ring_shaped = polygon(box(70, 10, 125, 100), box(80, 20.5, 115, 90), name="roi")
    found = cells(overlap=overlap)
    return [around, *found[:30], ring_shaped, polygon(box(50, 50, 75, 130), name="roi"), *found[30:]]


@pytest.mark.parametrize("overlap", ONE_RULE)
def test_regions_of_a_class_are_decided_by_complete_instances(tmp_path, overlap):
    data = data_of(tmp_path / "data", regions())
    info = require_equal_stores(tmp_path, data, overlap=overlap, roi="roi")
    assert OUTSIDE in {problem.kind for problem in info.problems}
    assert info.ignored_pixels > 0


@pytest.mark.slow
@pytest.mark.parametrize("without_roi", ["ignored", "annotated"])
def test_a_slide_without_a_region_is_as_the_rule_says(tmp_path, without_roi):
    data = data_of(tmp_path / "data", cells(overlap=True))
    data_of(data, [polygon(box(1, 1, 9, 9), name="roi")], (20, 20), "small")
    settings = {"roi": "roi", "without_roi": without_roi}
    info = require_equal_stores(tmp_path, data, **settings)
    assert NO_REGION in {problem.kind for problem in info.problems}
    with pytest.raises(InputError, match="slide: has no annotated region"):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, roi="roi")


def test_regions_of_a_path_are_refused(tmp_path):
    data = data_of(tmp_path / "data", cells(overlap=True))
    other = data_of(tmp_path / "regions", [polygon(box(1, 1, 99, 99))])
    with pytest.raises(
        OptionError, match=r"roi=.*needs the complete mask, but slide, of 110 x 132.*only a class of Qu"
    ):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, roi=str(other))


def test_regions_of_label_images_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(SHAPE, np.uint8))
    other = data_of(tmp_path / "regions", [polygon(box(1, 1, 99, 99))], name="a")
    with pytest.raises(OptionError, match=r"roi=.*needs the complete mask, but a.npy, of 110 x 132"):
        segprep.preprocess(tmp_path / "a.npy", tmp_path / "a.zarr", **OPTIONS, **LIMIT, roi=str(other))


@pytest.mark.slow
def test_one_polygon_alone_is_an_instance_of_several_tiles(tmp_path):
    data = data_of(tmp_path / "data", [polygon(box(20, 20, 110, 90))])
    require_equal_stores(tmp_path, data)


@pytest.mark.slow
def test_no_polygon_makes_empty_tiles(tmp_path):
    require_equal_stores(tmp_path, data_of(tmp_path / "data", []))


EVERYWHERE = polygon(box(0, 0, SHAPE[1], SHAPE[0]), name="tissue")
HALVES = [polygon(box(0, 0, 80, SHAPE[0]), name="tissue"), polygon(box(60, 0, SHAPE[1], SHAPE[0]), name="tissue")]


@pytest.mark.slow
@pytest.mark.parametrize("per", ["class", "instance"])
@pytest.mark.parametrize("all_of_it", [[EVERYWHERE, EVERYWHERE], [EVERYWHERE, *HALVES]])
def test_distances_know_what_covers_the_complete_slide(tmp_path, per, all_of_it):
    hidden = polygon(box(30, 30, 34, 34), name="hidden"), polygon(box(30, 30, 34, 34))
    data = data_of(tmp_path / "data", [*all_of_it, *hidden, *cells(overlap=True, count=10)])
    require_equal_stores(tmp_path, data, distance_per=per)


def test_a_class_that_may_cover_the_slide_by_overlaps_is_refused(tmp_path):
    data = data_of(tmp_path / "data", [*HALVES, polygon(box(10, 10, 20, 20))])
    with pytest.raises(OptionError, match=r"distance_per='class': instances of the class 2 overlap and may cover"):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, distance_per="class")


@pytest.mark.slow
def test_is_the_same_by_two_workers_and_after_repair(tmp_path):
    data = data_of(tmp_path / "data", regions())
    options = {**OPTIONS, **LIMIT, "roi": "roi"}
    segprep.preprocess(data, tmp_path / "one.zarr", **options)
    segprep.preprocess(data, tmp_path / "two.zarr", **{**options, "workers": 2})
    np.testing.assert_equal(arrays_in(tmp_path / "two.zarr"), arrays_in(tmp_path / "one.zarr"))
    before = arrays_in(tmp_path / "one.zarr")
    next((tmp_path / "one.zarr").rglob("distance/c/0/0/0")).unlink()
    assert segprep.repair(tmp_path / "one.zarr", data, workers=ONE).findings == ()
    np.testing.assert_equal(arrays_in(tmp_path / "one.zarr"), before)


def test_more_instances_in_a_tile_than_allowed_are_refused(tmp_path):
    data = data_of(tmp_path / "data", cells(overlap=True))
    with pytest.raises(InputError, match=r"instances of a tile are more than max_instances=5; raise the limit"):
        segprep.preprocess(data, tmp_path / "a.zarr", **OPTIONS, **LIMIT, max_instances=5)


TENTHS = st.integers(-30, 330).map(lambda number: number / 10)
POINTS = st.lists(st.tuples(TENTHS, TENTHS), min_size=3, max_size=6).map(lambda points: [*map(list, points)])
OBJECTS = st.lists(st.lists(st.lists(POINTS, min_size=1, max_size=2), min_size=1, max_size=2), max_size=8)


@settings(max_examples=15 if settings.get_current_profile_name() == "quick" else 100)
@given(OBJECTS, st.data())
def test_every_window_of_any_polygons_is_the_part_of_the_complete_mask(tmp_path_factory, objects, data):
    names = data.draw(st.lists(st.sampled_from(["cell", "roi"]), min_size=len(objects), max_size=len(objects)))
    features = [
        feature({"type": "MultiPolygon", "coordinates": parts}, name)
        for parts, name in zip(objects, names, strict=True)
    ]
    folder = data_of(tmp_path_factory.getbasetemp() / "any", features, (24, 29))
    (ref,) = qupath.find(folder, ReadOptions()).refs
    ref = replace(ref, names=("cell", "roi"))
    with_regions = data.draw(st.booleans())

    def limited(ref):
        rule = RegionRule("roi", "ignored", code=2)
        return RegionRef(ref, rule, 3) if with_regions else ref

    complete, slide = limited(ref), limited(replace(ref, options=ReadOptions(max_pixels=24 * 29 - 1)))
    assert slide_of(complete) is None
    assert slide_of(slide).problems == complete.load().problems
    rule = InstanceRule(overlap=data.draw(st.sampled_from(RULES)), instances_from="as-is")
    loaders = [Loader(rule, reach=12), Loader(rule, reach=12)]
    codes = tuple(np.unique(complete.load().class_map[complete.load().class_map > 0]).tolist())
    facts = SlideFacts(codes)
    for y, x in ((0, 0), (0, 17), (11, 5)):
        window = Window(y, x, 13, 12)
        parts = [TileRef(complete, window, (24, 29)), TileRef(slide, window, (24, 29), facts)]
        expected, found = (loader.load(part) for loader, part in zip(loaders, parts, strict=True))
        np.testing.assert_array_equal(found.numbers, expected.numbers)
        np.testing.assert_array_equal(found.complete.classes, expected.complete.classes)
        for target in TARGETS[:3]:
            np.testing.assert_array_equal(found.array(target), expected.array(target), err_msg=target.name)


def test_an_update_reads_only_the_slide_that_has_changed_and_gives_a_new_store(tmp_path, monkeypatch):
    data = data_of(tmp_path / "data", cells(overlap=True, count=30), name="first")
    for seed, name in ((5, "changed"), (6, "gone")):
        data_of(data, cells(overlap=True, count=30, seed=seed), name=name)
    root, options = tmp_path / "a.zarr", OPTIONS | LIMIT | {"targets": "weights,distance"}
    segprep.preprocess(data, root, **options)
    (data / "gone.geojson").unlink()
    (data / "gone.png").unlink()
    data_of(data, cells(overlap=True, count=25, seed=5), name="changed")
    data_of(data, cells(overlap=True, count=30, seed=7), name="new")
    scanned = []
    monkeypatch.setattr(
        scan, "_tile_of_slide", lambda tile, *rest, of=scan._tile_of_slide: scanned.append(tile.key) or of(tile, *rest)
    )
    info = segprep.preprocess(data, root, update=True, **options)
    assert {key.partition("/")[0] for key in scanned} == {"changed", "new"}
    new = segprep.preprocess(data, tmp_path / "b.zarr", **options)
    assert info.problems == new.problems
    assert {problem.key for problem in info.problems} >= {"first", "changed", "new"}
    assert_same(root, tmp_path / "b.zarr")
    assert_sound(root, data)


def test_an_estimate_of_a_slide_is_refused(tmp_path):
    data = data_of(tmp_path / "data", cells(overlap=False, count=5))
    with pytest.raises(OptionError, match="slide: an estimate does not know slides of polygons"):
        segprep.estimate(data, **OPTIONS, **LIMIT)
