import json
import math
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, via
from segprep.readers import find as find_any

SQUARE = {"name": "polygon", "all_points_x": [1, 3, 3, 1], "all_points_y": [1, 1, 3, 3]}
RECT = {"name": "rect", "x": 3, "y": 0, "width": 2, "height": 1}


def region(shape=SQUARE, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def file(*regions, name="a.png"):
    return {"filename": name, "size": 99, "regions": list(regions), "file_attributes": {}}


def third(*metadata, **changes):
    """Project of VIA 3 of one image."""
    attribute = {"1": {"aname": "kind", "options": {"0": "leaf", "1": "stem"}}, "2": {"aname": "note", "options": {}}}
    return {
        "project": {},
        "config": {},
        "attribute": attribute,
        "file": {"7": {"fid": "7", "fname": "a.png", "type": 2, "loc": 1, "src": "../a.png"}},
        "view": {"5": {"fid_list": ["7"]}},
        "metadata": {f"5_{number}": one for number, one in enumerate(metadata)},
    } | changes


def drawn(*xy, **av):
    return {"vid": "5", "flg": 0, "z": [], "xy": list(xy), "av": {key[1:]: value for key, value in av.items()}}


@pytest.fixture
def write(tmp_path):
    """Write a file and images of 4 x 5 pixels, and return the data set's folder."""

    def write(content, *, name="via_region_data.json", images=("a.png",)):
        for path in (name, *images):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        for image in images:
            Image.new("RGB", (5, 4)).save(tmp_path / image)
        return tmp_path

    return write


def find(path, **options):
    return via.find(path, ReadOptions(**options))


def load(path):
    return find(path).refs[0].load()


FIRST = file() | {"regions": {"0": region(**{"class": "leaf"}), "1": region(RECT, **{"class": "stem"})}}
SECOND = file(region(**{"class": "leaf"}), region(RECT, **{"class": "stem"}))


@pytest.mark.parametrize(
    "content",
    [
        {"a.png99": FIRST},
        {"a.png99": SECOND},
        {"_via_settings": {}, "_via_img_metadata": {"a.png99": SECOND}, "_via_attributes": {}},
        third(drawn(7, 1, 1, 3, 1, 3, 3, 1, 3, _1="0"), drawn(2, 3, 0, 2, 1, _1="1"), drawn(_2="blurred")),
    ],
    ids=["1", "2", "2 project", "3"],
)
def test_every_version_is_read(write, content):
    masks = find_any(write(content))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    expected[0, 3:] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "stem"]
    assert (masks.format, ref.key, mask.classes.tolist(), mask.problems) == ("via", "a.png", [0, 1, 2], ())


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ({"name": "circle", "cx": 1.5, "cy": 1.5, "r": 1.1}, 5),
        ({"name": "ellipse", "cx": 2.5, "cy": 2, "rx": 2.1, "ry": 0.6}, 6),
        ({"name": "ellipse", "cx": 2.5, "cy": 2, "rx": 2.1, "ry": 0.6, "theta": math.pi / 2}, 4),
        ({"name": "polyline", "all_points_x": [1, 3, 3, 1, 1], "all_points_y": [1, 1, 3, 3, 1]}, 4),
    ],
)
def test_every_shape_with_an_area_is_an_instance(write, shape, area):
    mask = load(write({"a": file(region(shape))}))
    assert (mask.areas.tolist(), mask.problems) == ([0, area], ())


@pytest.mark.parametrize(
    ("shape", "kind", "where"),
    [
        ({"name": "point", "cx": 1, "cy": 1}, "region has no area", "region 0: 'point'"),
        ({"name": "a\nb"}, "region has no area", r"region 0: 'a\nb'"),
        (SQUARE | {"name": "polyline"}, "polyline that is not closed", "region 0: 4 points; draw a polygon"),
        (SQUARE | {"all_points_x": [1]}, "points without x or y", "region 0: 1 x, 4 y"),
        ({"name": "rect", "x": 1, "y": 1}, "shape without some of its numbers", "region 0: 'rect'"),
        (
            {"name": "circle", "cx": 1e9, "cy": 1, "r": 1},
            "ellipse with a number that is not finite or far off",
            "1000000000",
        ),
        ({"name": "circle", "cx": 1, "cy": 1, "r": -1}, "ellipse with a radius that is not positive", "-1"),
        (RECT | {"x": 50}, "no pixel inside the image", "4 x 5"),
        (RECT | {"x": "3"}, "region cannot be understood", "Expected `float | null`, got `str`"),
    ],
)
def test_bad_regions_are_left_out_and_named(write, shape, kind, where):
    mask = load(write({"a": file(region(shape), region())}))
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ([{}, {}], ["instance"]),
        ([{"kind": "b"}, {"kind": "a"}], ["a", "b"]),
        ([{"name": "x", "Class": "b"}, {"Class": "a"}], ["a", "b"]),
        ([{"class": "", "name": "b"}, {"name": 7}], ["7", "b"]),
        ([{"type": {"a": True, "b": False}}, {"type": {"b": True}}], ["a", "b"]),
    ],
)
def test_the_class_is_an_attribute(write, attributes, names):
    masks = find(write({"a": file(*(region(**each) for each in attributes))}))
    assert [entry.name for entry in masks.classes.entries[1:]] == names
    assert len(masks.refs[0].load().classes) == 3


def test_a_region_without_a_class_is_a_problem(write):
    mask = load(write({"a": file(region(kind="leaf"), region(kind=" "))}))
    assert [problem[:2] for problem in mask.problems] == [("region without a class", "region 1: no value of 'kind'")]


def test_splits_have_a_file_each_beside_their_images(write):
    write({"a": file(region())}, name="train/via_region_data.json", images=["train/a.png"])
    masks = find(write({"a": file()}, name="val/via_region_data.json", images=["val/a.png"]))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("train/a.png", "train"), ("val/a.png", "val")]
    assert [ref.load().areas.tolist() for ref in masks.refs] == [[0, 4], [0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": {"filename": "a.png", "regions": [, "file_attributes"', r"via_region_data\.json: not a valid VIA file"),
        ({"a": file(region(one="a", two="b"))}, r"regions have the attributes 'one', 'two'; rename the one"),
        ({"a": file(), "b": file()}, r"the image name 'a\.png' is listed twice; rename the image"),
        (third(view={"5": {"fid_list": ["7", "7"]}}), r"view .5. is of 2 files; give a project with one image in each"),
        (third(drawn(2, 1, 1, 1, 1) | {"vid": "9"}), r"metadata '5_0' is of the view '9', which is not listed"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(write, content, message):
    with pytest.raises(InputError, match=message):
        find(write(content))


def test_an_image_that_is_missing_or_no_path_inside_is_named(write):
    folder = write({"a": file(name="../a.png")}, images=())
    Image.new("RGB", (5, 4)).save(folder.parent / "a.png")
    with pytest.raises(
        InputError, match=r"json: image \.\./a\.png: no image of this name beside the file, or several; add"
    ):
        load(folder)


def test_other_json_is_not_recognised(write):
    assert find(write({"images": [], "annotations": [], "categories": []})) is None
