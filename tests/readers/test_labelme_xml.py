import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, labelme_xml
from segprep.readers import find as find_any

SQUARE = "1 1 4 1 4 4 1 4"
FAR = "5 0 6 0 6 1 5 1"


def polygon(points=SQUARE):
    numbers = points.split()
    corners = zip(numbers[::2], numbers[1::2], strict=True)
    inside = "".join(f"<pt><x> {x} </x><y>{y}</y></pt>" for x, y in corners)
    return f"<polygon><username>me</username>{inside}</polygon>"


def thing(inside, name="leaf", deleted=0):
    parts = "<parts><hasparts/><ispartof/></parts>"
    return f"<object><name>\n{name}\n</name><deleted>{deleted}</deleted><verified>0</verified>{parts}{inside}</object>"


def document(*objects, size="<imagesize><nrows>5</nrows><ncols>6</ncols></imagesize>"):
    source = "<source><sourceAnnotation>LabelMe Webtool</sourceAnnotation></source>"
    return f"<annotation><filename>a.jpg</filename><folder>x</folder>{source}{size}{''.join(objects)}</annotation>"


MASK = "<segm><username>me</username><box><xmin>1</xmin></box><mask>a_mask_0.png</mask></segm>"


@pytest.fixture
def write(tmp_path):
    """Write a file and return the data set's folder."""

    def write(text, name="a.xml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return labelme_xml.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write objects of one image and load its mask."""
    return lambda *objects: find(write(document(*objects))).refs[0].load()


def test_polygons_are_instances_unless_they_are_deleted(write):
    objects = [thing(polygon()), thing(polygon(FAR), "", 0), thing(polygon("0 0 1 0 1 1 0 1"), "old", 1)]
    masks = find_any(write(document(*objects)))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    expected = np.zeros((5, 6), int)
    expected[1:4, 1:4] = 1
    expected[0, 5] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert [entry.name for entry in masks.classes.entries[1:]] == ["instance", "leaf"]
    assert (masks.format, ref.key, mask.classes.tolist(), mask.problems) == ("labelme-xml", "a", [0, 2, 1], ())


@pytest.mark.parametrize(
    ("name", "key", "split"),
    [
        ("Annotations/x/a.xml", "Annotations/x/a", None),
        ("Annotations/a.xml", "Annotations/a", None),
        ("train/a.xml", "train/a", "train"),
    ],
)
def test_folders_of_annotations_are_looked_into(write, name, key, split):
    folder = write(document(thing(polygon())), name)
    assert [(ref.key, ref.split) for ref in find_any(folder).refs] == [(key, split)]
    assert find_any(folder / name).refs[0].key == "a"


def test_a_file_without_a_size_takes_that_of_its_image(write):
    folder = write(document(thing(polygon()), size=""), "Annotations/a.xml")
    with pytest.raises(InputError, match=r"a\.xml: no image of this name beside the file"):
        find(folder).refs[0].load()
    (folder / "Images").mkdir()
    Image.new("RGB", (6, 5)).save(folder / "Images/a.jpg")
    mask = find(folder).refs[0].load()
    assert (mask.shape, mask.areas.tolist()) == ((5, 6), [0, 9])


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (thing(MASK), "object with a mask, which is not read", "object 0: 'leaf'"),
        (thing(polygon("1 1 2 2")), "polygon of fewer than 6 numbers", "4"),
        (thing(polygon("1 1 2 2 3 nan")), "polygon with a coordinate that is not finite or far off", "nan"),
        (thing("<polygon><pt><x>1</x></pt></polygon>"), "polygon with a point that has no x and y", "y"),
        (thing(polygon("1 1 2 2 3 b")), "polygon with a point that has no x and y", "could not convert"),
        (thing(polygon("9 9 12 9 12 12")), "no pixel inside the image", "5 x 6"),
    ],
)
def test_bad_objects_are_left_out_and_named(load, damaged, kind, where):
    mask = load(damaged, thing(polygon()))
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(thing(polygon()))[:-20], r"a\.xml: not valid XML: .*; fix it or export it again"),
        (document("<a>" * 40 + "</a>" * 40), r"a\.xml: elements are nested deeper than 32"),
        (document(thing("&x;")), r"a\.xml: not valid XML: undefined entity"),
    ],
)
def test_a_damaged_or_dangerous_file_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        find(write(text))


def test_a_document_type_is_refused(write):
    bomb = '<!DOCTYPE annotation [<!ENTITY x "xxxxxxxx">]>'
    with pytest.raises(InputError, match=r"a\.xml: has a document type, which may define entities; remove"):
        find(write(bomb + document(thing(polygon()))))


def test_files_of_pascal_voc_are_not_recognised(write):
    voc = (
        "<annotation><filename>a</filename><object><name>x</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    )
    assert find(write(voc)) is None
    assert find(write("<annotations><version>1.1</version></annotations>")) is None
