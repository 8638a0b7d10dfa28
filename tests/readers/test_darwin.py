import json
import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, darwin
from segprep.readers import find as find_any

SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4]]
HOLE = [[2, 2], [3, 2], [3, 3], [2, 3]]
FAR = [[5, 0], [6, 0], [6, 1], [5, 1]]


def points(path):
    return [{"x": x, "y": y} for x, y in path]


def polygon(*paths, name="leaf", **changes):
    return {"id": "p", "name": name, "polygon": {"paths": list(map(points, paths))}, "slot_names": ["0"]} | changes


def mask(id_="m", name="stem"):
    return {"id": id_, "name": name, "mask": {}, "properties": [], "slot_names": ["0"]}


def layer(*dense, **values):
    content = {"dense_rle": list(dense), "mask_annotation_ids_mapping": values, "total_pixels": 30}
    return {"id": "l", "name": "__raster_layer__", "raster_layer": content, "slot_names": ["0"]}


def second(*annotations, **slot):
    slots = [{"slot_name": "0", "type": "image", "width": 6, "height": 5} | slot, {"slot_name": "1"}]
    return {"version": "2.0", "item": {"name": "a.png", "path": "/", "slots": slots}, "annotations": list(annotations)}


def first(*annotations):
    image = {"width": 6, "height": 5, "original_filename": "a.png", "filename": "a.png", "url": "https://x"}
    return {"dataset": "x", "image": image, "annotations": list(annotations)}


@pytest.fixture
def write(tmp_path):
    """Write a file and return the data set's folder."""

    def write(content, name="a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return darwin.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write annotations of one image and load its mask."""
    return lambda *annotations: find(write(second(*annotations))).refs[0].load()


OUTER, *INNER = map(points, [SQUARE, HOLE, FAR])


@pytest.mark.parametrize(
    "document",
    [
        second(polygon(SQUARE, HOLE, FAR), polygon([[0, 0], [2, 0], [2, 1], [0, 1]], name="stem")),
        first(
            {"name": "leaf", "polygon": {"path": OUTER, "additional_paths": INNER}},
            {"name": "stem", "polygon": {"path": points([[0, 0], [2, 0], [2, 1], [0, 1]])}},
        ),
        first(
            {"name": "leaf", "complex_polygon": {"path": [OUTER, *INNER]}},
            {"name": "stem", "polygon": {"path": points([[0, 0], [2, 0], [2, 1], [0, 1]])}},
        ),
        second(
            mask("x", "leaf"),
            mask("y"),
            layer(2, 2, 0, 3, 1, 1, 0, 1, 1, 3, 0, 3, 1, 1, 0, 1, 1, 1, 0, 3, 1, 3, 0, 8, x=1, y=2),
        ),
    ],
    ids=["2", "1", "1 complex", "2 masks"],
)
def test_polygons_of_several_paths_and_masks_are_instances(write, document):
    masks = find_any(write(document))
    (ref,) = masks.refs
    loaded = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    expected = np.zeros((5, 6), int)
    expected[1:4, 1:4] = expected[0, 5] = 1
    expected[2, 2] = 0
    expected[0, :2] = 2
    np.testing.assert_array_equal(loaded.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "stem"]
    assert (masks.format, ref.key, loaded.classes.tolist(), loaded.problems) == ("darwin", "a", [0, 1, 2], ())


def test_tags_are_no_problem_and_other_slots_are(load):
    found = load({"name": "old", "tag": {}}, polygon(SQUARE), polygon(SQUARE, slot_names=["1"]))
    assert found.areas.tolist() == [0, 9]
    assert [problem[:2] for problem in found.problems] == [
        ("annotation of another slot than the first", "annotation 2: '1'")
    ]


def test_splits_are_folders(write):
    write(second(polygon(SQUARE)), "train/a.json")
    masks = find_any(write(second(polygon(FAR)), "val/annotations/a.json"))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("train/a", "train"), ("val/annotations/a", "val")]


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (
            {"name": "a\n", "bounding_box": {"x": 1}},
            "annotation is neither a polygon nor a mask",
            r"annotation 0: 'a\n'",
        ),
        (mask("z"), "mask that is in no raster layer", "'z'"),
        (layer(0, 29, m=1), "runs do not fit the image", "29 pixels for 5 x 6"),
        (layer(0, 40, 1, -10, m=1), "run lengths do not fit the image", "-10"),
        (layer(0, 30, 1, m=1), "runs do not fit the image", "30 pixels for 5 x 6"),
        (layer("0", 30), "annotation cannot be understood", "Expected `int`, got `str`"),
        (polygon(), "polygon of fewer than 6 numbers", "annotation 0: 0"),
        (polygon(SQUARE, SQUARE), "no pixel inside the image", "5 x 6"),
        (polygon([[8, 8], [9, 8], [9, 9]]), "no pixel inside the image", "5 x 6"),
        (polygon(SQUARE, [[1, 1]]), "polygon of fewer than 6 numbers", "2"),
    ],
)
def test_bad_annotations_are_left_out_and_named(load, damaged, kind, where):
    found = load(damaged, polygon(SQUARE))
    assert [problem.kind for problem in found.problems] == [kind]
    assert where in found.problems[0].where
    assert found.areas.tolist() == [0, 9]


def test_a_mask_without_a_pixel_is_a_problem(load):
    found = load(mask(), layer(0, 30, m=1))
    assert [problem[:1] for problem in found.problems] == [("no pixel inside the image",)]


def test_a_damaged_file_does_not_keep_others_from_being_read(write):
    write('{"item": {"slots": []}, "annotations": [', "b.json")
    good, bad = find(write(second(polygon(SQUARE)))).refs
    assert good.load().areas.tolist() == [0, 9]
    with pytest.raises(InputError, match=r"b\.json: not a valid Darwin file: .*; fix it or export it again"):
        bad.load()


def test_an_image_without_a_size_is_named(write):
    with pytest.raises(InputError, match=r"a\.json: no width and height of the image; export it again"):
        find(write(second(width=None))).refs[0].load()


def test_other_json_is_not_recognised(write):
    assert find(write({"images": [], "annotations": [], "categories": []})) is None
