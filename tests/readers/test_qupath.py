import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, qupath
from segprep.readers import find as find_any

SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]
HOLE = [[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]
TUMOR = {"name": "Tumor", "colorRGB": -3670016}


def feature(*rings, classification=TUMOR, kind="Polygon", **more):
    geometry = {"type": kind, "coordinates": list(rings)} | more
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": {"classification": classification}}


@pytest.fixture
def write(tmp_path):
    """Write a file of objects and an image of 5 x 6 pixels, and return the data set's folder."""

    def write(content, *, name="a.geojson", image="a.tif"):
        for path in filter(None, (name, image)):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        if image:
            Image.new("RGB", (6, 5)).save(tmp_path / image)
        return tmp_path

    return write


def find(path, **options):
    return qupath.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write objects of one image and load its mask."""
    return lambda *features: find(write(list(features))).refs[0].load()


def test_a_polygon_with_a_hole_is_an_instance(write):
    other = feature([[0, 0], [2, 0], [2, 1], [0, 1]], classification=None)
    masks = find_any(write({"type": "FeatureCollection", "features": [feature(SQUARE, HOLE), other]}))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    expected = np.zeros((5, 6), int)
    expected[1:4, 1:4] = 1
    expected[2, 2] = 0
    expected[0, :2] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["Tumor", "instance"]
    assert (masks.format, ref.key, mask.classes.tolist(), mask.problems) == ("qupath", "a", [0, 1, 2], ())


def test_all_parts_of_a_geometry_are_one_instance(load):
    outside = [[[9, 9], [12, 9], [12, 12]]]
    parts = [[SQUARE, HOLE], [[[5, 0], [6, 0], [6, 1], [5, 1]]], outside]
    assert load(feature(*parts, kind="MultiPolygon")).areas.tolist() == [0, 9]


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        ("Tumor", "Tumor"),
        ({"names": ["CD3", "CD8"], "color": [1, 2, 3]}, "CD3: CD8"),
        (None, "instance"),
        ({"name": None}, "instance"),
    ],
)
def test_a_classification_has_several_forms(write, classification, name):
    masks = find(write([feature(SQUARE, classification=classification)]))
    assert [entry.name for entry in masks.classes.entries[1:]] == [name]


def test_a_file_without_objects_is_a_mask_without_instances(load):
    assert load().areas.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "image", "key"),
    [
        ("a.geojson", "images/a.png", "a"),
        ("a.tif.geojson", "a.tif", "a.tif"),
        ("a.ome.geojson", "a.ome.tif", "a.ome"),
        ("train/a.geojson", "train/a.png", "train/a"),
        ("annotations/a.geojson", "images/a.bmp", "annotations/a"),
    ],
)
def test_the_image_of_the_same_name_has_the_size(write, name, image, key):
    (ref,) = find(write([feature(SQUARE)], name=name, image=image)).refs
    assert (ref.key, ref.load().shape) == (key, (5, 6))


@pytest.mark.parametrize("image", [None, "b.tif", "a.svs.tif"])
def test_a_missing_image_is_named_with_the_remedy(write, image):
    folder = write([feature(SQUARE)], image=image)
    with pytest.raises(InputError, match=r"a\.geojson: no image of this name beside the file, or several; add the one"):
        find(folder).refs[0].load()


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (feature([1, 1], kind="Point"), "object has no area", "feature 0: 'Point'"),
        ({"type": "Feature", "geometry": None}, "object has no area", "feature 0: None"),
        (feature(SQUARE, plane={"c": -1, "z": 2, "t": 0}), "object of another plane than the first", "z=2, t=0"),
        (feature([[1, 1], [2]]), "polygon with a point that has no x and y", "[[2.0]]"),
        (feature([[1, 1], [2, 2]]), "polygon of fewer than 6 numbers", "feature 0: 4"),
        (feature([[1, 1], [1e9, 2], [3, 3]]), "polygon with a coordinate that is not finite or far off", "1000000000"),
        (feature(SQUARE, SQUARE), "no pixel inside the image", "5 x 6"),
        (feature([[8, 8], [9, 8], [9, 9]]), "no pixel inside the image", "5 x 6"),
        (feature(kind="MultiPolygon"), "object of no part", "feature 0: []"),
        (feature(SQUARE, kind="MultiPolygon"), "coordinates of a wrong type", "Expected `array`, got `int`"),
        (7, "object cannot be understood", "Expected `object`, got `int`"),
    ],
)
def test_bad_objects_are_left_out_and_named(load, damaged, kind, where):
    mask = load(damaged, feature(SQUARE))
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 9]


@pytest.mark.parametrize("content", ['{"features": [', '{"type": "FeatureCollection"}', "7"])
def test_a_damaged_file_is_refused(write, content):
    with pytest.raises(InputError, match=r"a\.geojson: not a valid GeoJSON of QuPath: .*; fix it or export it again"):
        find(write(content))


def test_a_damaged_file_does_not_keep_others_from_being_read(write):
    write("[", name="b.geojson")
    good, bad = find(write([feature(SQUARE)])).refs
    assert good.load().areas.tolist() == [0, 9]
    with pytest.raises(InputError, match=r"b\.geojson: not a valid GeoJSON"):
        bad.load()
