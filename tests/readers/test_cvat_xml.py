import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, cvat_xml
from segprep.readers import find as find_any

POLYGON = '<polygon label="leaf" source="manual" occluded="1" points="1.0,1.0;3.0,1.0;3.0,3.0;1.0,3.0" z_order="0"/>'
MASK = '<mask label="stem" occluded="0" rle="1, 1" left="3" top="0" width="2" height="1" z_order="0"></mask>'


def image(*shapes, name="a.jpg", height="4", width="5", more=""):
    size = f'height="{height}" width="{width}"' if height is not None else ""
    return f'<image id="0" name="{name}" {size} {more}>{"".join(shapes)}</image>'


def document(*images, meta="", head=""):
    start = f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations>\n  <version>1.1</version>'
    return f"{start}{meta}{''.join(images)}</annotations>\n"


def labels(*names):
    return (
        f"<meta><task><labels>{''.join(f'<label><name>{name}</name></label>' for name in names)}</labels></task></meta>"
    )


@pytest.fixture
def write(tmp_path):
    """Write a file and return the data set's folder."""

    def write(text, name="annotations.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return cvat_xml.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write shapes of one image and load its mask."""
    return lambda *shapes: find(write(document(image(*shapes)))).refs[0].load()


def test_shapes_are_instances_of_their_labels(write):
    masks = find_any(write(document(image(POLYGON, MASK), image(name="b.jpg", height="7", width="6"))))
    mask = pickle.loads(pickle.dumps(masks.refs[0])).load()  # noqa: S301
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    expected[0, 4] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "stem"]
    assert (masks.format, mask.classes.tolist(), mask.problems) == ("cvat-xml", [0, 1, 2], ())
    assert [(ref.key, ref.load().shape) for ref in masks.refs] == [("a.jpg", (4, 5)), ("b.jpg", (7, 6))]


def test_labels_of_the_task_come_first(write):
    masks = find(write(document(image(POLYGON, MASK), meta=labels("wall &amp; roof", "stem"))))
    assert [entry.name for entry in masks.classes.entries[1:]] == ["wall & roof", "stem", "leaf"]


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ('<box label="a" xtl="1" ytl="1" xbr="4" ybr="2"/>', [(1, 1), (1, 2), (1, 3)]),
        ('<box label="a" xtl="1" ytl="1" xbr="4" ybr="2" rotation="90"/>', [(0, 2), (1, 2), (2, 2)]),
        ('<ellipse label="a" cx="1.5" cy="1.5" rx="1.1" ry="0.4"/>', [(1, 0), (1, 1), (1, 2)]),
        ('<ellipse label="a" cx="1.5" cy="1.5" rx="1.1" ry="0.4" rotation="270"/>', [(0, 1), (1, 1), (2, 1)]),
        ('<mask label="a" rle="1,2,1" left="1" top="2" width="2" height="2"/>', [(2, 2), (3, 1)]),
    ],
)
def test_every_shape_with_an_area_is_an_instance(load, shape, area):
    mask = load(shape)
    assert [tuple(pixel) for pixel in np.argwhere(mask.labels).tolist()] == area
    assert mask.problems == ()


def test_shapes_of_one_group_and_label_are_one_instance(load):
    parts = [POLYGON, POLYGON.replace("1.0", "0.0"), POLYGON.replace("leaf", "stem"), POLYGON]
    mask = load(*(part.replace("z_order", 'group_id="3" z_order') for part in parts[:3]), parts[3])
    assert mask.areas.tolist() == [0, 9, 4, 4]


def test_instances_are_ordered_by_depth(load):
    front = MASK.replace('z_order="0"', 'z_order="2"')
    assert load(front, POLYGON).areas.tolist() == [0, 4, 1]
    assert load(MASK, POLYGON).areas.tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("shape", "kind", "where"),
    [
        ('<polyline label="a" points="1,1;2,2;3,1"/>', "shape has no area", "shape 0: polyline"),
        ('<skeleton label="a"><points label="b" points="1,1"/></skeleton>', "shape has no area", "shape 0: skeleton"),
        (POLYGON.replace("z_order", 'outside="1" z_order'), "shape that is marked outside", "shape 0: polygon"),
        (POLYGON.replace("1.0,1.0;", "1.0;"), "points are not pairs of numbers", "'1.0;3.0,1.0;3.0,3.0;1.0,3.0'"),
        (POLYGON.replace("3.0", "nan"), "polygon with a coordinate that is not finite or far off", "nan"),
        ('<box label="a" xtl="1" ytl="1" xbr="x" ybr="2"/>', "attribute is not a number", "shape 0: xbr='x'"),
        ('<box label="a" xtl="1" ytl="1" xbr="2"/>', "attribute is not a number", "shape 0: ybr=None"),
        (
            MASK.replace('left="3"', 'left="4"'),
            "mask does not lie inside the image",
            "1 x 2 at row 0, column 4 of 4 x 5",
        ),
        (MASK.replace("1, 1", "1, 2"), "run lengths do not fit the mask", "3 pixels for 1 x 2"),
        (MASK.replace("1, 1", "1, -1"), "run lengths are not numbers", "'1, -1'"),
    ],
)
def test_bad_shapes_are_left_out_and_named(load, shape, kind, where):
    mask = load(shape, POLYGON)
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 4]


def test_splits_are_subsets_or_files(write):
    masks = find(write(document(image(more='subset="Train"'), image(name="b.jpg", more='subset="default"'))))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("Train/a.jpg", "train"), ("b.jpg", None)]
    (write(document()) / "annotations.xml").unlink()
    write(document(image()), "train/annotations.xml")
    masks = find(write(document(image()), "val/annotations.xml"))
    assert [(ref.key, ref.split) for ref in masks.refs] == [("train/a.jpg", "train"), ("val/a.jpg", "val")]


BOMB = '<!DOCTYPE annotations [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(image(POLYGON))[:-20], r"annotations\.xml: not valid XML: .*line \d+, column \d+; fix it or export"),
        (document(head=BOMB), r"annotations\.xml: has a document type, which may define entities; remove <!DOCTYPE"),
        (document(head='<!DOCTYPE a SYSTEM "file:///etc/passwd">'), r"has a document type"),
        (document(image("&undefined;")), r"not valid XML: undefined entity"),
        (document("<a>" * 40 + "</a>" * 40), r"elements are nested deeper than 32; export it again"),
        (document("<track/>"), r"CVAT for video; export the annotations as CVAT for images 1\.1"),
        (document(image(name="")), r"the image name '' is empty or too long; rename the image"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        find(write(text))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((None, None), r"image a\.jpg: height=None and width=None; write them as numbers of pixels, or export"),
        (("4.5", "5"), r"image a\.jpg: height='4\.5' and width='5'"),
        (("99999", "99999"), r"image a\.jpg: 99999 x 99999 pixels are more than max_pixels="),
    ],
)
def test_a_size_that_makes_no_sense_is_named(write, size, message):
    with pytest.raises(InputError, match=message):
        find(write(document(image(height=size[0], width=size[1])))).refs[0].load()


def test_other_xml_is_not_recognised(write):
    assert find(write("<annotation><folder>VOC2007</folder></annotation>")) is None
