import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions
from segprep.readers._beside import image_shape
from segprep.readers.yolo import find

SQUARE = "2 0.2 0.25 0.6 0.25 0.6 0.75 0.2 0.75"
"""Pixels 1 and 2 in both directions of a picture of 4 x 5."""
DATA = "path: ../data\ntrain: images/train\nnames:\n  0: cell\n  2: debris\n"


@pytest.fixture
def write(tmp_path):
    """Write a text with a picture, and the names of the classes, and return the data set's folder."""

    def write(text=SQUARE, *, names=("data.yaml", DATA), label="labels/a.txt", picture="images/a.png"):
        for name, content in ((label, text), names):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content, "utf-8")
        if picture is not None:
            (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 4)).save(tmp_path / picture)
        return tmp_path

    return write


def found(path, **options):
    return find(path, ReadOptions(**options))


def test_a_polygon_covers_its_share_of_the_image(write):
    masks = found(write())
    (ref,) = masks.refs
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    np.testing.assert_array_equal(mask.labels, expected)
    assert (masks.format, ref.key, mask.problems) == ("yolo", "labels/a.txt", ())
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [(0, "cell"), (2, "debris")]
    assert mask.classes.tolist() == [0, 2]


def test_the_yaml_file_itself_may_be_given(write):
    assert [ref.key for ref in found(write() / "data.yaml").refs] == ["labels/a.txt"]


@pytest.mark.parametrize("picture", ["a.jpg", "a.JPEG", "a.bmp", "a.tif", "a.png"])
def test_images_of_every_kind_give_the_size(write, picture):
    assert found(write(picture=f"images/{picture}")).refs[0].load().shape == (4, 5)


def test_the_size_is_that_of_the_content_whatever_the_suffix(tmp_path):
    Image.new("L", (5, 4)).save(tmp_path / "a.jpg", "PNG")
    assert image_shape(tmp_path / "a.jpg") == (4, 5)


@pytest.mark.parametrize(("orientation", "shape"), [(1, (4, 5)), (3, (4, 5)), (6, (5, 4)), (8, (5, 4))])
def test_a_photograph_taken_upright_has_the_size_that_viewers_show(tmp_path, orientation, shape):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (5, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert image_shape(tmp_path / "a.jpg") == shape


@pytest.mark.parametrize("layout", ["{kind}/{split}/a", "{split}/{kind}/a"])
def test_folders_of_splits_lie_around_labels_or_inside_of_them(write, layout):
    for split in ("train", "valid", "test"):
        label, picture = (layout.format(kind=kind, split=split) for kind in ("labels", "images"))
        root = write(label=f"{label}.txt", picture=f"{picture}.jpg")
    assert sorted(ref.split for ref in found(root).refs) == ["test", "train", "val"]
    assert all(ref.load().areas.tolist() == [0, 4] for ref in found(root).refs)


NAMES = {
    "list": ("data.yaml", "nc: 3\nnames: ['cell', 'b', 'debris']"),
    "numbers": ("my.yml", "names:\n- 0\n- b\n- debris"),
    "text": ("classes.txt", "cell\nb\ndebris\n\n"),
    "text beside the labels": ("labels/classes.txt", "cell\nb\ndebris"),
    "Darknet": ("obj.names", "cell\r\nb\r\ndebris\r\n"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_classes_have_the_names_of_a_list(write, names):
    masks = found(write(names=names))
    assert [(entry.id, entry.name) for entry in masks.classes.entries[2:]] == [(1, "b"), (2, "debris")]
    assert [ref.load().classes.tolist() for ref in masks.refs] == [[0, 3]]


BAD = {
    "box": ("0 0.5 0.5 0.2 0.2", "a box, not a polygon", "0 0.5 0.5"),
    "odd": (f"{SQUARE} 0.5", "polygon of an odd number of numbers", "9"),
    "short": ("0 0.5 0.5", "polygon of fewer than 6 numbers", "2"),
    "class only": ("0", "polygon of fewer than 6 numbers", "0"),
    "text": ("0 a b c d e f", "line is not of numbers", "'0 a b c"),
    "nan": ("0 nan 0 1 1 0 1", "coordinates are not fractions of the image", "0 nan"),
    "infinite": ("0 inf 0 1 1 0 1", "coordinates are not fractions of the image", "0 inf"),
    "pixels": ("0 1 1 3 1 3 3 1 3", "coordinates are not fractions of the image", "0 1 1 3"),
    "no area": ("0 0.5 0.5 0.5 0.5 0.5 0.5", "no pixel inside the image", "4 x 5"),
    "unknown class": (f"7{SQUARE[1:]}", "class without a name", "7"),
    "gap": (f"1{SQUARE[1:]}", "class without a name", "1"),
    "half a class": (f"0.5{SQUARE[1:]}", "class without a name", "0.5"),
}


@pytest.mark.parametrize(("line", "kind", "value"), BAD.values(), ids=BAD)
def test_a_bad_line_is_left_out_and_recorded(write, line, kind, value):
    mask = found(write(f"{SQUARE}\n\n{line}\n")).refs[0].load()
    assert mask.areas.tolist() == [0, 4]
    (problem,) = mask.problems
    assert problem.kind == kind
    assert problem.where.startswith(f"line 3: {value}")


def test_corners_a_little_outside_are_cut_off(write):
    mask = found(write("0 -0.001 0 1.005 0 1.005 1 0 1.0001")).refs[0].load()
    assert (mask.areas.tolist(), mask.problems) == ([0, 20], ())


def test_an_empty_text_is_a_mask_without_instances(write):
    write("", label="labels/b.txt", picture="images/b.png")
    empty = found(write()).refs[1].load()
    assert (empty.shape, empty.classes.tolist()) == ((4, 5), [0])


def test_a_text_without_an_image_does_not_hide_the_others(write):
    write(label="labels/b.txt", picture=None)
    good, bad = found(write()).refs
    assert good.load().shape == (4, 5)
    with pytest.raises(InputError, match=r"b\.txt: no image of this name in images/"):
        bad.load()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n", b"\xff\xd8\xff"])
def test_a_damaged_image_is_named(write, content):
    (write() / "images/a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"images/a\.png: ") as caught:
        found(write(picture=None)).refs[0].load()
    assert "\n" not in str(caught.value)


def test_an_image_larger_than_allowed_is_not_read(write):
    with pytest.raises(InputError, match=r"a\.png: 4 x 5 pixels are more than max_pixels=19"):
        found(write(), max_pixels=19).refs[0].load()


REFUSED = {
    "no YAML": ("names: [a, b", "names cannot be read: "),
    "nested": ("names: [[a]]", "names cannot be read: Expected `int | str`"),
    "truth": ("names: [yes, no]", "names cannot be read: Expected `int | str`, got `bool`"),
    "empty": ("names: []", "contains no name of a class"),
    "code": ("names: !!python/object/apply:os.getcwd []", "names cannot be read: "),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_names_that_cannot_be_understood_are_refused(write, content, message):
    with pytest.raises(InputError, match=rf"data\.yaml: {re.escape(message)}") as caught:
        found(write(names=("data.yaml", content)))
    assert "\n" not in str(caught.value)


def test_two_tables_of_names_are_refused_unless_one_is_given(write):
    write(names=("a.yaml", DATA))
    root = write(names=("b.yaml", DATA))
    with pytest.raises(InputError, match=r"names of classes in a\.yaml, b\.yaml; give one of these files"):
        found(root)
    assert len(found(root / "b.yaml").refs) == 1


def test_data_yaml_names_the_classes_even_beside_other_tables(write):
    write(names=("another.yaml", "names: [x]"))
    assert len(found(write()).classes) == 3


def test_two_images_of_one_name_are_refused(write):
    write(picture="images/a.jpg")
    with pytest.raises(InputError, match=r"images/a\.png: differs from a\.jpg by its suffix alone"):
        found(write())


OTHERS = {
    "no names": {"names": ("notes.md", "none")},
    "no table of names": {"names": ("data.yaml", "files: 3")},
    "another text": {"text": "these are labels of something else entirely"},
    "no corners": {"text": "0 1 2"},
    "another folder": {"label": "annotations/a.txt"},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_what_is_not_yolo_is_not_claimed(write, changes):
    assert found(write(**changes)) is None


def test_links_out_of_the_folder_are_not_followed(write, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "b.txt"
    outside.write_text(SQUARE)
    root = write()
    (root / "labels/b.txt").symlink_to(outside)
    (root / "labels/again").symlink_to(root / "labels")
    assert [ref.key for ref in found(root).refs] == ["labels/a.txt"]


def test_boxes_of_a_real_data_set_are_faults(data_dir):
    masks = found(data_dir / "formats/yolo_dataset/labels")
    assert [ref.key for ref in masks.refs] == ["labels/train/1.txt", "labels/val/1.txt"]
    assert [entry.name for entry in masks.classes.entries[1:]] == [f"label_{number}" for number in range(10)]
    for ref in masks.refs:
        mask = ref.load()
        with Image.open(
            Path(str(ref.file).replace("/labels/labels/", "/labels/images/")).with_suffix(".jpg")
        ) as picture:
            assert mask.shape == (picture.height, picture.width)
        assert [problem.kind for problem in mask.problems] == ["a box, not a polygon"] * 2


def test_an_image_without_a_text_is_an_empty_mask_with_a_notice(write):
    write(label="labels/train/a.txt", picture="images/train/b.jpg")
    masks = found(write(label="labels/train/a.txt", picture="images/train/a.jpg"))
    assert [(ref.key, ref.split) for ref in masks.refs] == [
        ("labels/train/a.txt", "train"),
        ("labels/train/b.txt", "train"),
    ]
    assert [ref.load().areas.tolist() for ref in masks.refs] == [[0, 4], [0]]
    assert masks.notices == (("labels", Problem("images without a text are empty masks", "b.jpg", False)),)


def test_images_in_a_folder_without_any_text_are_not_read_but_named(write):
    write(label="labels/train/a.txt", picture="images/test/b.jpg")
    masks = found(write(label="labels/train/a.txt", picture="images/train/a.jpg"))
    assert [ref.key for ref in masks.refs] == ["labels/train/a.txt"]
    assert masks.notices == (("labels", Problem("images in folders without any text are not read", "b.jpg", False)),)


def test_a_damaged_image_without_a_text_is_named(write):
    (write() / "images/b.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"images/b\.png: cannot be read as an image"):
        found(write()).refs[1].load()


def test_a_byte_order_mark_in_the_first_text_is_no_part_of_it(write):
    mask = found(write(f"\ufeff{SQUARE}\r\n")).refs[0].load()
    assert (mask.areas.tolist(), mask.problems) == ([0, 4], ())


def test_names_of_classes_may_lie_beside_each_folder_of_texts(write):
    for part in ("train", "val"):
        root = write(
            label=f"labels/{part}/a.txt",
            picture=f"images/{part}/a.png",
            names=(f"labels/{part}/classes.txt", "x\ny\nz"),
        )
    assert [entry.name for entry in found(root).classes.entries] == ["background", "x", "y", "z"]
    (root / "labels/val/classes.txt").write_text("x\nz\ny")
    with pytest.raises(InputError, match=r"names of classes in train/classes\.txt, val/classes\.txt; give one"):
        found(root)


@pytest.mark.parametrize("folder", ["", "train/"])
def test_texts_may_lie_beside_their_images(write, folder):
    root = write(label=f"{folder}a.txt", picture=f"{folder}a.png", names=("classes.txt", "x\ny\nz"))
    (root / folder / "notes.txt").write_text("0 1 2 3 4 5 6 7")
    (ref,) = found(root).refs
    assert (ref.key, ref.load().areas.tolist()) == (f"{folder}a.txt", [0, 4])


@pytest.mark.parametrize("name", ["debris", "größe", "big leaf"])
def test_a_name_in_place_of_the_class_number_is_named(write, name):
    mask = found(write(f"{name}{SQUARE[1:]}\n{SQUARE}\n")).refs[0].load()
    assert mask.areas.tolist() == [0, 4]
    (problem,) = mask.problems
    assert problem.kind == "a name in place of the class number"
    assert problem.where.startswith(f"line 1: '{name} 0.2")


@pytest.mark.parametrize("picture", ["a.gif", "a.webp"])
def test_gif_and_webp_give_the_size(write, picture):
    assert found(write(picture=f"images/{picture}")).refs[0].load().shape == (4, 5)


def test_the_name_of_a_text_may_be_quoted_as_in_an_address(write):
    (ref,) = found(write(label="labels/a%201.txt", picture="images/a 1.png")).refs
    assert (ref.key, ref.load().areas.tolist()) == ("labels/a%201.txt", [0, 4])
