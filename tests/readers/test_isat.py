import json
import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, isat
from segprep.readers import find as find_any

SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4]]
FAR = [[5, 0], [6, 0], [6, 1], [5, 1]]
CENTRE = [[2, 2], [3, 2], [3, 3], [2, 3]]


def polygon(points=SQUARE, category="leaf", group=1, layer=1.0, **changes):
    return {
        "category": category,
        "group": group,
        "segmentation": points,
        "area": 9.0,
        "layer": layer,
        "bbox": [1, 1, 4, 4],
        "iscrowd": False,
        "note": "",
    } | changes


def document(*objects, **changes):
    info = {"description": "ISAT", "folder": "../x", "name": "a.png", "width": 6, "height": 5, "depth": 3, "note": ""}
    return {"info": info | changes, "objects": list(objects)}


@pytest.fixture
def write(tmp_path):
    """Write a file and return the data set's folder."""

    def write(content, name="a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return isat.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write objects of one image and load its mask."""
    return lambda *objects, **options: find(write(document(*objects)), **options).refs[0].load()


def test_polygons_of_one_category_and_group_are_an_instance(write):
    stem = polygon(CENTRE, "stem", 1, layer=2.0)
    masks = find_any(write(document(stem, polygon(), polygon(FAR), polygon([[0, 0], [2, 0], [2, 1], [0, 1]], group=2))))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "stem"]
    assert (masks.format, ref.key, mask.shape, mask.problems) == ("isat", "a", (5, 6), ())
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1, 2], [0, 10, 2, 1])
    expected = np.zeros((5, 6), int)
    expected[0, :2] = expected[1:4, 1:4] = expected[0, 5] = 1
    expected[2, 2] = 2
    np.testing.assert_array_equal(mask.class_map, expected)


def test_objects_without_a_group_are_instances_by_themselves(load):
    assert load(polygon(group=None), polygon(FAR, group=""), polygon(CENTRE, group=None)).areas.tolist() == [0, 9, 1, 1]


def test_background_erases_lower_layers(load):
    hole = polygon(CENTRE, "__background__", 3, layer=2.0)
    hidden = polygon(CENTRE, "stem", 4, layer=1.0)
    mask = load(hole, polygon(), polygon(CENTRE, "stem", 2, layer=3.0), hidden)
    assert (mask.areas.tolist(), mask.classes.tolist()) == ([0, 8, 1], [0, 1, 2])
    assert [problem[:2] for problem in mask.problems] == [
        ("region that background over it hides", "object 3: 1 pixels")
    ]


@pytest.mark.parametrize(("crowd", "areas", "ignored"), [("ignore", [0, 1], 8), ("instance", [0, 9, 1], 0)])
def test_crowds_are_ignored_or_instances(load, crowd, areas, ignored):
    mask = load(polygon(iscrowd=True), polygon(CENTRE, group=2, layer=2, iscrowd=0), crowd=crowd)
    assert mask.areas.tolist() == areas
    assert np.count_nonzero(mask.ignore) == ignored if ignored else mask.ignore is None


def test_splits_are_folders(write):
    write(document(polygon()), "train/a.json")
    masks = find_any(write(document(polygon(category="b")), "val/a.json"))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("train/a", "train"), ("val/a", "val")]
    assert find_any(write(document(polygon()), "val/a.json") / "val/a.json").refs[0].key == "a"


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (polygon(shape_type="line"), "object is not a polygon", "object 0: 'line'"),
        (polygon([[1, 1], [2, 2]]), "polygon of fewer than 6 numbers", "4"),
        (polygon([[9, 9], [12, 9], [12, 12]]), "no pixel inside the image", "5 x 6"),
        (polygon(group=1.5), "object cannot be understood", "Expected `int | str | null`, got `float`"),
        ({"category": "leaf"}, "object cannot be understood", "missing required field `segmentation`"),
    ],
)
def test_bad_objects_are_left_out_and_named(load, damaged, kind, where):
    mask = load(damaged, polygon())
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 9]


def test_a_damaged_file_does_not_keep_others_from_being_read(write):
    write('{"info": {"description": "ISAT"}, "objects": [', "b.json")
    good, bad = find(write(document(polygon()))).refs
    assert good.load().areas.tolist() == [0, 9]
    with pytest.raises(InputError, match=r"b\.json: not a valid ISAT file: .*; fix it or export it again"):
        bad.load()


def test_other_json_is_not_recognised(write):
    assert find(write(document() | {"info": {"description": "COCO"}})) is None
