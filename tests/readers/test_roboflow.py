import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, roboflow
from segprep.readers import find as find_any

CLASSES = "Pixel Value, Class\n0, background\n1, leaf\n2, stem, old\n3, void\n"
PIXELS = [[0, 1, 1], [2, 3, 0]]


@pytest.fixture
def write(tmp_path):
    """Write a mask, an image and the classes, and return the data set's folder."""

    def write(pixels=PIXELS, *, name="train/a_jpg.rf.1_mask.png", classes=CLASSES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.array(pixels, np.uint8)).save(tmp_path / name)
        Image.new("RGB", (3, 2)).save(tmp_path / name.replace("_mask.png", ".jpg"))
        (tmp_path / name).with_name("_classes.csv").write_text(classes)
        return tmp_path

    return write


def find(path, **options):
    return roboflow.find(path, ReadOptions(**options))


def test_values_are_classes_without_instances(write):
    write()
    masks = find_any(write(name="valid/b_mask.png"))
    mask = pickle.loads(pickle.dumps(masks.refs[0])).load()  # noqa: S301
    assert [(entry.id, entry.name, entry.is_thing) for entry in masks.classes.entries[1:]] == [
        (1, "leaf", False),
        (2, "stem, old", False),
    ]
    assert (masks.format, [(ref.key, ref.split) for ref in masks.refs]) == (
        "roboflow",
        [("train/a_jpg.rf.1_mask.png", "train"), ("valid/b_mask.png", "val")],
    )
    assert mask.class_map.tolist() == [[0, 1, 1], [2, 0, 0]]
    assert mask.ignore.tolist() == [[False, False, False], [False, True, False]]
    assert (mask.classes.tolist(), mask.problems) == ([0], ())


def test_one_folder_may_be_given_itself(write):
    assert [ref.key for ref in find_any(write() / "train").refs] == ["a_jpg.rf.1_mask.png"]


def test_values_that_are_not_listed_are_ignored_and_named(write):
    mask = find(write([[7, 1]])).refs[0].load()
    assert mask.problems == (("value is not in _classes.csv", "value 7", True),)
    assert (mask.class_map.tolist(), mask.ignore.tolist()) == ([[0, 1]], [[True, False]])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("Pixel Value, Class\nleaf\n", r"_classes\.csv: class 1: 'leaf'; it needs a value and a name, as 1, cell"),
        ("Pixel Value, Class\n1, a\n1, b\n", r"_classes\.csv: 'a' and 'b' have the value 1; give each its own"),
        ("Pixel Value, Class\n", r"_classes\.csv: contains no class; give each class a line"),
    ],
)
def test_damaged_classes_are_refused(write, classes, message):
    with pytest.raises(InputError, match=message):
        find(write(classes=classes))


def test_splits_with_other_classes_are_refused(write):
    write()
    with pytest.raises(InputError, match=r"valid/_classes\.csv: other classes than in .*train/_classes\.csv; give the"):
        find(write(name="valid/b_mask.png", classes="Pixel Value, Class\n1, leaf\n"))


def test_a_damaged_mask_is_named(write):
    folder = write()
    file = folder / "train/a_jpg.rf.1_mask.png"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"a_jpg\.rf\.1_mask\.png: cannot be read as PNG"):
        find(folder).refs[0].load()


@pytest.mark.parametrize("classes", ["filename, cat, dog\na.jpg, 0, 1\n", ""])
def test_classes_of_other_exports_are_not_recognised(write, classes):
    assert find(write(classes=classes)) is None
