import base64
import io
import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions
from segprep.readers.labelme import find

SQUARE = [[1, 1], [3, 1], [3, 3], [1, 3]]
SIZE = {"imageHeight": 4, "imageWidth": 6}


def shape(points=SQUARE, kind="polygon", **changes):
    return {"label": "cell", "points": points, "group_id": None, "shape_type": kind, "flags": {}} | changes


def document(*shapes, **changes):
    return {"version": "5.5.0", "shapes": shapes, "imagePath": "..\\a.jpg", "imageData": "?" * 99} | SIZE | changes


def bitmap(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, bool)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def write(tmp_path):
    """Write a document, or text, and return the data set's folder."""

    def write(content, name="a.json"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return tmp_path

    return write


def found(path, **options):
    return find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write shapes of one image and load its mask."""
    return lambda *shapes: found(write(document(*shapes))).refs[0].load()


def test_classes_are_the_sorted_labels_of_all_files(write):
    write(document(shape(label="zebra"), shape([[3, 0], [5, 0], [5, 1], [3, 1]], label="ant")), "b.json")
    masks = found(write(document(shape())))
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [
        (None, "ant"),
        (None, "cell"),
        (None, "zebra"),
    ]
    assert [(ref.key, ref.load().classes.tolist()) for ref in masks.refs] == [("a.json", [0, 2]), ("b.json", [0, 3, 1])]
    assert masks.format == "labelme"


SHAPES = {
    "polygon": shape(),
    "old polygon": {"label": "cell", "points": SQUARE},
    "null type": shape(kind=None),
    "rectangle": shape([[3, 1], [1, 3]], "rectangle"),
    "rectangle of four corners": shape(SQUARE, "rectangle"),
    "circle": shape([[2, 2], [2, 2.8]], "circle"),
    "mask": shape([[0, 1], [2, 3]], "mask", mask=bitmap([[0, 1, 1], [0, 1, 1], [0, 0, 0]])),
}


@pytest.mark.parametrize("drawn", SHAPES.values(), ids=SHAPES)
def test_every_kind_of_shape_gives_the_same_pixels(load, drawn):
    expected = np.zeros((4, 6), int)
    expected[1:3, 1:3] = 1
    mask = load(drawn)
    np.testing.assert_array_equal(mask.labels, expected)
    assert mask.problems == ()


def test_a_circle_holds_the_pixels_whose_centres_it_holds(load):
    (y, x), (cy, cx, radius) = np.mgrid[:4, :6] + 0.5, (1.2, 4.9, 2.3)
    expected = np.hypot(y - cy, x - cx) <= radius
    np.testing.assert_array_equal(load(shape([[cx, cy], [cx + radius, cy]], "circle")).labels, expected)


def test_a_group_joins_the_shapes_of_one_label(load):
    far = [[4, 0], [6, 0], [6, 2], [4, 2]]
    mask = load(shape(group_id=1), shape(far, group_id=1), shape(group_id=2), shape(label="x", group_id=1), shape())
    assert mask.areas.tolist() == [0, 8, 4, 4, 4]
    assert mask.classes.tolist() == [0, 1, 1, 2, 1]


def test_shapes_without_group_are_instances_of_their_own(load):
    assert load(shape(), shape()).areas.tolist() == [0, 4, 4]


def test_an_image_without_shapes_is_a_mask_without_instances(load):
    mask = load()
    assert (mask.shape, mask.classes.tolist(), mask.problems) == ((4, 6), [0], ())


def test_regions_to_ignore_are_ignored_where_no_instance_is(write):
    wide = [[0, 1], [6, 1], [6, 3], [0, 3]]
    masks = found(
        write(document(shape(wide, label="__ignore__"), shape(), shape(wide, label="__ignore__", group_id=1)))
    )
    mask = masks.refs[0].load()
    assert [entry.name for entry in masks.classes.entries] == ["background", "cell"]
    assert (mask.areas.tolist(), mask.problems) == ([0, 4], ())
    assert np.argwhere(mask.ignore).tolist() == [[y, x] for y in (1, 2) for x in (0, 3, 4, 5)]


def test_background_erases_the_shapes_before_it(write):
    hole = shape([[1, 1], [2, 1], [2, 2], [1, 2]], label="_background_")
    masks = found(write(document(shape(), hole, shape())))
    mask = masks.refs[0].load()
    assert [entry.name for entry in masks.classes.entries] == ["background", "cell"]
    assert (mask.areas.tolist(), mask.ignore, mask.problems) == ([0, 3, 4], None, ())


BAD = {
    "line": (shape([[0, 0], [5, 3]], "line"), "shape is not a polygon, rectangle, circle or mask", "line"),
    "unknown": (shape(kind="spline"), "shape is not a polygon, rectangle, circle or mask", "spline"),
    "two points": (shape(SQUARE[:2]), "polygon of fewer than 6 numbers", "4"),
    "no points": (shape([]), "polygon of fewer than 6 numbers", "0"),
    "far": (shape([*SQUARE, [1e9, 1]]), "polygon with a coordinate that is not finite or far off", "1000000000"),
    "outside": (shape([[9, 9], [12, 9], [12, 12]]), "no pixel inside the image", "4 x 6"),
    "three corners": (shape(SQUARE[:3], "rectangle"), "shape of a wrong number of points", "3"),
    "one point of a circle": (shape(SQUARE[:1], "circle"), "shape of a wrong number of points", "1"),
    "far circle": (
        shape([[0, 0], [1e300, 0]], "circle"),
        "shape with a coordinate that is not finite or far off",
        "1e+300",
    ),
    "empty circle": (shape([[1, 1], [1, 1]], "circle"), "no pixel inside the image", "4 x 6"),
    "circle outside": (shape([[50, 50], [51, 50]], "circle"), "no pixel inside the image", "4 x 6"),
    "no bitmap": (shape([[0, 0], [1, 1]], "mask"), "mask without a bitmap", "None"),
    "mask outside": (
        shape([[5, 0], [6, 0]], "mask", mask=bitmap([[1, 1]])),
        "mask does not lie inside the image",
        "[(5.0, 0.0), (6.0, 0.0)] in 4 x 6",
    ),
    "mask of another size": (
        shape([[0, 0], [1, 1]], "mask", mask=bitmap([[1, 1]])),
        "bitmap's size differs from its points'",
        "1 x 2",
    ),
    "empty mask": (shape([[0, 0], [1, 0]], "mask", mask=bitmap([[0, 0]])), "no pixel inside the image", "4 x 6"),
    "no base64": (shape([[0, 0], [1, 0]], "mask", mask="?!"), "bitmap cannot be decoded", "Only base64"),
    "no PNG": (shape([[0, 0], [1, 0]], "mask", mask=bitmap([[1, 1]], "BMP")), "bitmap cannot be decoded", "not a PNG"),
    "points as text": (shape([["1", "1"]]), "shape cannot be understood", "Expected `float`, got `str`"),
    "three numbers": (shape([[1, 2, 3]]), "shape cannot be understood", "Expected `array` of length 2"),
    "no shape": (7, "shape cannot be understood", "Expected `object`, got `int`"),
}


def test_a_shape_that_is_no_utf8_is_left_out_and_recorded(write):
    folder = write(document(shape(), shape(label="caf")))
    (folder / "a.json").write_bytes((folder / "a.json").read_bytes().replace(b"caf", b"caf\xe9"))
    masks = found(folder)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["cell"]
    (problem,) = masks.refs[0].load().problems
    assert problem.kind == "shape cannot be understood"


@pytest.mark.parametrize(("drawn", "kind", "value"), BAD.values(), ids=BAD)
def test_a_bad_shape_is_left_out_and_recorded(load, drawn, kind, value):
    mask = load(shape(), drawn)
    assert mask.areas.tolist() == [0, 4]
    (problem,) = mask.problems
    assert problem.kind == kind
    assert problem.where.startswith(f"shape 1: {value}")


REFUSED = {
    "cut off": (json.dumps(document(shape()))[:-5], "not a valid labelme file: Input data was truncated"),
    "not JSON": (json.dumps(document(shape([[float("nan"), 0]]))), "not a valid labelme file: JSON is malformed"),
    "size as text": (document(imageHeight="4"), "not a valid labelme file: Expected `int | null`, got `str`"),
    "nested": (json.dumps(document("?")).replace('"?"', "[" * 200_000), "not a valid labelme file: "),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_understood_is_refused(write, content, message):
    with pytest.raises(InputError, match=rf"a\.json: {re.escape(message)}") as caught:
        found(write(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"imageHeight": None}, "no imageHeight and imageWidth; open it in labelme"),
        ({"imageWidth": 0}, "4 x 0 pixels; height and width must be at least 1"),
        ({"imageWidth": 200_000, "imageHeight": 200_000}, "200000 x 200000 pixels are more than max_pixels"),
    ],
)
def test_an_image_of_impossible_size_cannot_be_loaded_but_the_others_can(write, size, message):
    write(document(shape()))
    good, bad = found(write(document(shape(), **size), "b.json")).refs
    assert good.load().shape == (4, 6)
    with pytest.raises(InputError, match=rf"b\.json: {message}"):
        bad.load()


@pytest.mark.parametrize("layout", ["{split}/a.json", "{split}/annotations/a.json", "annotations/{split}/a.json"])
def test_folders_of_splits_are_looked_into(write, layout):
    for split in ("train", "val"):
        root = write(document(shape()), layout.format(split=split))
    keys = [ref.key for ref in found(root).refs]
    assert keys == [layout.format(split=split) for split in ("train", "val")]
    assert [ref.split for ref in found(root).refs] == ["train", "val"]


def test_a_file_may_be_given_itself_and_its_ref_is_small(write):
    (ref,) = found(write(document(shape())) / "a.json").refs
    assert ref.key == "a.json"
    assert len(pickle.dumps(ref)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ref)).load().labels, ref.load().labels)  # noqa: S301


def test_a_byte_order_mark_is_accepted(write):
    assert len(found(write("\ufeff" + json.dumps(document(shape())))).refs) == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", {"shapes": []}, {"images": [], "annotations": [], "imagePath": ""}]
)
def test_what_is_not_labelme_is_not_claimed(write, content):
    assert found(write(content)) is None


def test_other_documents_beside_are_skipped(write):
    write({"train": ["a.json"]}, "splits.json")
    assert [ref.key for ref in found(write(document(shape()))).refs] == ["a.json"]
