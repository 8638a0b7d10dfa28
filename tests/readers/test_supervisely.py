import base64
import io
import json
import pickle
import zlib

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, supervisely
from segprep.readers import find as find_any

SQUARE = {"exterior": [[1, 1], [4, 1], [4, 4], [1, 4]], "interior": [[[2, 2], [3, 2], [3, 3], [2, 3]]]}
META = {"classes": [{"title": "stem", "shape": "bitmap"}, {"title": "leaf", "shape": "polygon"}], "tags": []}


def polygon(points=SQUARE, **changes):
    return {"geometryType": "polygon", "classTitle": "leaf", "points": points, "tags": []} | changes


def packed(pixels, mode="P", *, compress=zlib.compress):
    """Base64 of a PNG of these pixels."""
    pixels = np.array(pixels, np.uint8)
    if mode == "P":
        image, more = Image.fromarray(pixels), {"transparency": 0}
        image.putpalette([0, 0, 0, 255, 255, 255])
    else:
        image, more = Image.fromarray(pixels * 255).convert("L"), {}
        if mode == "RGBA":
            image = Image.merge("RGBA", [Image.new("L", image.size, 9)] * 3 + [image])
    out = io.BytesIO()
    image.save(out, "PNG", **more)
    return base64.b64encode(compress(out.getvalue())).decode()


def bitmap(data, origin=(3, 0), **changes):
    return {"geometryType": "bitmap", "classTitle": "stem", "bitmap": {"data": data, "origin": list(origin)}} | changes


def document(*objects, **size):
    return {"description": "", "tags": [], "size": {"height": 5, "width": 6} | size, "objects": list(objects)}


@pytest.fixture
def write(tmp_path):
    """Write files and return the project's folder."""

    def write(content, name="ds0/ann/a.png.json", meta=META):
        for path, one in ((name, content), ("meta.json", meta)):
            if one is not None:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(one if isinstance(one, str) else json.dumps(one), "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return supervisely.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write objects of one image and load its mask."""
    return lambda *objects: find(write(document(*objects))).refs[0].load()


CORNER = [[0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    "data",
    [
        packed(CORNER),
        packed(CORNER, "L"),
        packed(CORNER, "RGBA"),
        packed(CORNER, compress=bytes),
    ],
    ids=["palette", "grey", "alpha", "not compressed"],
)
def test_polygons_with_holes_and_bitmaps_are_instances(write, data):
    masks = find_any(write(document(polygon(), bitmap(data))))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    expected = np.zeros((5, 6), int)
    expected[1:4, 1:4] = 1
    expected[2, 2] = 0
    expected[0, 4:] = expected[1, 5] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["stem", "leaf"]
    assert (masks.format, ref.key, mask.classes.tolist(), mask.problems) == ("supervisely", "ds0/a.png", [0, 2, 1], ())


def test_old_files_have_the_kind_of_shape_in_the_class(write):
    old = [polygon(geometryType=None), polygon(classTitle="way", geometryType=None)]
    meta = {"classes": [*META["classes"], {"title": "way", "shape": "line"}]}
    mask = find(write(document(*old, bitmap(packed([[1]]), geometryType=None, points=None)), meta=meta)).refs[0].load()
    assert mask.areas.tolist() == [0, 8, 1]
    assert [problem[:2] for problem in mask.problems] == [
        ("object is neither a polygon nor a bitmap", "object 1: 'line'")
    ]


def test_data_sets_are_splits_by_their_names_and_may_be_nested(write):
    write(document(polygon()), "train/ann/a.png.json", meta=None)
    masks = find(write(document(polygon(classTitle="x")), "val/datasets/b/ann/a.png.json", meta=None))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("train/a.png", "train"), ("val/datasets/b/a.png", "val")]
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "x"]


def test_a_data_set_or_a_file_may_be_given_itself(write):
    folder = write(document(polygon()))
    assert [ref.key for ref in find_any(folder / "ds0").refs] == ["a.png"]
    assert [ref.key for ref in find_any(folder / "ds0/ann").refs] == ["a.png"]
    assert [ref.key for ref in find_any(folder / "ds0/ann/a.png.json").refs] == ["a.png"]


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (polygon(geometryType="rectangle"), "object is neither a polygon nor a bitmap", "object 0: 'rectangle'"),
        (polygon(points=None), "object is neither a polygon nor a bitmap", "'polygon'"),
        (polygon({"exterior": [[1, 1]]}), "polygon of fewer than 6 numbers", "2"),
        (polygon({"exterior": [["1", 1]]}), "object cannot be understood", "Expected `float`, got `str`"),
        (bitmap("?"), "bitmap cannot be decoded", "base64"),
        (bitmap(base64.b64encode(b"no zlib").decode()), "bitmap cannot be decoded", "Error -3"),
        (bitmap(packed([[1, 1, 1, 1]])), "bitmap does not lie inside the image", "1 x 4 for 5 x 3"),
        (bitmap(packed([[1]]), [6, 0]), "bitmap does not lie inside the image", "row 0, column 6 of 5 x 6"),
        (bitmap(packed([[0, 0]])), "no pixel inside the image", "5 x 6"),
        (
            bitmap(base64.b64encode(zlib.compress(bytes(10**6))).decode()),
            "bitmap cannot be decoded",
            "not a PNG file",
        ),
    ],
)
def test_bad_objects_are_left_out_and_named(load, damaged, kind, where):
    mask = load(damaged, polygon())
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 8]


def test_a_damaged_file_does_not_keep_others_from_being_read(write):
    write('{"size": {"height": 5, "width": 6}, "objects": [', "ds0/ann/b.png.json")
    good, bad = find(write(document(polygon()))).refs
    assert good.load().areas.tolist() == [0, 8]
    with pytest.raises(InputError, match=r"b\.png\.json: not a valid Supervisely annotation: .*; fix it or export it"):
        bad.load()


def test_a_damaged_meta_is_refused(write):
    with pytest.raises(InputError, match=r"meta\.json: not a valid Supervisely meta: Object missing required field"):
        find(write(document(), meta={}))


@pytest.mark.parametrize("content", [{"objects": [], "size": 3}, document() | {"framesCount": 3, "frames": []}])
def test_other_json_is_not_recognised(write, content):
    assert find(write(content)) is None
