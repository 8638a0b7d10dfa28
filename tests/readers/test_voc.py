import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, voc

PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128] + [0] * 250 * 3 + [224, 224, 192]
"""Colours of the indices 0 to 4, as the VOC development kit prints them, and of 255."""
OBJECTS = [[1, 1, 1, 255, 2, 2, 0, 0]]
CLASSES = [[3, 3, 4, 255, 3, 3, 0, 2]]


def write(file, values, mode="P"):
    """Write a picture of palette indices."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.array(values, np.uint8))
    if mode != "L":
        picture.putpalette(PALETTE)
    picture.convert(mode).save(file)


def write_pair(folder, name="a", objects=OBJECTS, classes=CLASSES, mode="P"):
    """Write the objects and classes of an image."""
    write(folder / f"SegmentationObject/{name}.png", objects, mode)
    write(folder / f"SegmentationClass/{name}.png", classes, mode)


def write_list(folder, name, *lines):
    """Write a list of images."""
    file = folder / "ImageSets/Segmentation" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def find(path, **options):
    return voc.find(path, ReadOptions(**options))


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_an_object_has_the_most_frequent_class_under_it(tmp_path, mode):
    write_pair(tmp_path, mode=mode)
    masks = find(tmp_path)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key) == ("voc", "a")
    assert mask.labels.tolist() == [[1, 1, 1, 0, 2, 2, 0, 0]]
    assert mask.classes.tolist() == [0, 3, 3]
    assert mask.ignore.tolist() == [[False] * 3 + [True] + [False] * 4]
    assert mask.stuff.tolist() == [[0] * 7 + [2]]
    assert mask.problems == ()


def test_the_classes_are_the_twenty_of_voc(tmp_path):
    write_pair(tmp_path)
    entries = find(tmp_path).classes.entries
    assert len(entries) == 21
    assert [(entry.code, entry.id, entry.name) for entry in (entries[1], entries[15], entries[20])] == [
        (1, 1, "aeroplane"),
        (15, 15, "person"),
        (20, 20, "tvmonitor"),
    ]
    assert all(entry.is_thing for entry in entries[1:])


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_a_labelmap_names_the_classes_by_their_colours(tmp_path, mode):
    write_pair(tmp_path, mode=mode)
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:0,0,128::\ndebris:128,128,0:a,b:c\nignored:224,224,192::"
    )
    masks = find(tmp_path)
    assert [(entry.code, entry.name) for entry in masks.classes.entries[1:]] == [(1, "cell"), (2, "debris")]
    mask = masks.refs[0].load()
    assert mask.classes.tolist() == [0, 2, 2]
    assert mask.ignore.tolist() == [[False] * 3 + [True] + [False] * 3 + [True]]
    assert mask.problems == (Problem("colour is not in the palette", "0,128,0: 1 pixels"),)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
@pytest.mark.parametrize("file", ["class_names.txt", "labels.txt", "Classes.TXT"])
@pytest.mark.parametrize("start", ["_background_\n", "__ignore__\n_background_\n", "background\n"])
def test_a_list_names_the_classes_by_their_indices(tmp_path, mode, file, start):
    write_pair(tmp_path, mode=mode)
    (tmp_path / file).write_text(start + "leaf\n\nstem\r\nroot\n")
    masks = find(tmp_path)
    assert [(entry.code, entry.id, entry.name) for entry in masks.classes.entries[1:]] == [
        *((1, 1, "leaf"), (2, 2, "stem"), (3, 3, "root"))
    ]
    mask = masks.refs[0].load()
    assert mask.classes.tolist() == [0, 3, 3]
    assert (mask.stuff.tolist(), masks.problems) == ([[0] * 7 + [2]], ())
    assert len(mask.problems) == 1  # of the class 4


def test_a_list_without_background_begins_with_the_value_1(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    masks = find(tmp_path)
    assert [entry.name for entry in masks.classes.entries] == ["background", "a", "b", "c", "d"]
    ((file, problem),) = masks.problems
    assert (file, problem.kind, problem.left_out) == ("classes.txt", "names have no background", False)
    assert problem.where.startswith("the first, 'a', has the value 1")


@pytest.mark.parametrize("names", ["", "_background_\n", "__ignore__\n_background_\n"])
def test_a_list_of_no_class_is_refused(tmp_path, names):
    write_pair(tmp_path)
    (tmp_path / "class_names.txt").write_text(names)
    with pytest.raises(InputError, match=r"class_names\.txt: contains no name of a class"):
        find(tmp_path)


def test_a_list_of_more_classes_than_indices_is_refused(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "class_names.txt").write_text("_background_\n" + "a\n" * 255)
    with pytest.raises(InputError, match=r"class_names\.txt: 255 classes; indices from 1 to 254 stand for classes"):
        find(tmp_path)


def test_names_of_voc_that_nothing_proves_are_a_warning(tmp_path):
    write_pair(tmp_path)
    ((file, problem),) = find(tmp_path).problems
    assert (file, problem.kind, problem.left_out) == ("SegmentationClass", "classes are named as VOC's", False)
    assert problem.where.startswith("values up to 4 fit; if they are other classes, name them in class_names.txt")
    write_pair(tmp_path / "voc", "2007_000032")
    assert find(tmp_path / "voc").problems == ()


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_indices_that_are_none_of_voc_have_no_names(tmp_path, mode):
    for name, index in (("a", 1), ("b", 22), ("c", 23)):
        write(tmp_path / f"SegmentationClass/{name}.png", [[0, index, 255]], "L")
        if mode == "RGB":
            values = np.array(voc._COLOURS)[[[0, index, 255]]]
            image = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=2).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / f"SegmentationClass/{name}.png")
    masks = find(tmp_path)
    assert [entry.name for entry in masks.classes.entries[1:]] == [f"class {index}" for index in range(1, 24)]
    assert masks.refs[2].load().stuff.tolist() == [[0, 23, 0]]
    assert all(ref.load().problems == () for ref in masks.refs)
    assert masks.problems[0][1].where.startswith("values up to 23 are not the 20 classes of VOC")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("colors.txt", "neutral 224 224 192\nred leaf 0 0 128\nstem 128 128 0\nroot 0 128 0\n"),
        (
            "meta.json",
            '{"classes": [{"title": "red leaf", "color": "#000080", "shape": "bitmap"}, '
            '{"title": "stem", "color": "#808000"}, {"title": "root", "color": "#008000"}], "tags": []}',
        ),
        (
            "dataset_meta.json",
            '{"label_map": {"0": "nothing", "1": "red leaf", "2": "stem", "3": "root"}, "background_label": "0", '
            '"segmentation_colors": [[0, 0, 0], [0, 0, 128], [128, 128, 0], [0, 128, 0]]}',
        ),
    ],
)
def test_colours_and_names_are_read_from_files_of_other_tools(tmp_path, file, content):
    write_pair(tmp_path, mode="RGB")
    (tmp_path / file).write_text(content)
    masks = find(tmp_path)
    assert [entry.name for entry in masks.classes.entries if entry.code][-3:] == ["red leaf", "stem", "root"]
    mask = masks.refs[0].load()
    assert {masks.classes.entries[code].name for code in mask.classes} == {"background", "stem"}
    assert np.flatnonzero(mask.ignore).tolist() == [3]
    assert (mask.problems, masks.problems) == ((), ())


def test_a_meta_json_of_other_colours_is_refused(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "meta.json").write_text('{"classes": [{"title": "leaf", "color": "red"}]}')
    with pytest.raises(InputError, match=r"meta\.json: colour 1: .*; it needs a name and three numbers"):
        find(tmp_path)


@pytest.mark.parametrize(("file", "content"), [("meta.json", '{"classes": 3}'), ("colors.txt", "red and green\n")])
def test_other_files_of_these_names_have_no_say(tmp_path, file, content):
    write_pair(tmp_path)
    (tmp_path / file).write_text(content)
    assert find(tmp_path).classes.entries[1].name == "aeroplane"


def test_the_folders_of_an_old_labelme2voc_are_read(tmp_path):
    write(tmp_path / "SegmentationClassPNG/a.png", CLASSES)
    write(tmp_path / "SegmentationObjectPNG/a.png", OBJECTS)
    for name in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", CLASSES)
    assert find(tmp_path).refs[0].load().classes.tolist() == [0, 3, 3]


def test_classes_alone_are_stuff(tmp_path):
    write(tmp_path / "SegmentationClass/a.png", CLASSES)
    masks = find(tmp_path)
    mask = masks.refs[0].load()
    assert mask.stuff.tolist() == [[3, 3, 4, 0, 3, 3, 0, 2]]
    assert np.flatnonzero(mask.ignore).tolist() == [3]
    assert mask.classes.tolist() == [0]
    assert not any(entry.is_thing for entry in masks.classes.entries)


def test_an_object_without_a_class_is_left_out_and_ignored(tmp_path):
    write_pair(tmp_path, objects=[[7, 7, 9, 9]], classes=[[0, 255, 1, 0]])
    mask = find(tmp_path).refs[0].load()
    assert mask.labels.tolist() == [[0, 0, 1, 1]]
    assert mask.classes.tolist() == [0, 1]
    assert mask.ignore.tolist() == [[True, True, False, False]]
    assert mask.problems == (Problem("object has no class", "object 7"),)


def test_a_class_that_has_no_name_is_ignored_and_recorded(tmp_path):
    write(tmp_path / "SegmentationClass/2007_000001.png", [[21, 21, 20, 0]])
    mask = find(tmp_path).refs[0].load()
    assert mask.stuff.tolist() == [[0, 0, 20, 0]]
    assert mask.ignore.tolist() == [[True, True, False, False]]
    assert mask.problems == (Problem("class has no name", "21: 2 pixels"),)


def test_objects_may_have_colours_beyond_the_palette(tmp_path):
    write(tmp_path / "SegmentationClass/a.png", [[1, 1, 1, 1]])
    (tmp_path / "SegmentationObject").mkdir()
    colours = np.array([[(128, 0, 0), (0, 0, 1), (0, 0, 1), (224, 224, 192)]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "SegmentationObject/a.png")
    assert find(tmp_path).refs[0].load().labels.tolist() == [[1, 2, 2, 0]]


def test_lists_of_splits_are_obeyed_and_restrict(tmp_path):
    for name in "abcd":
        write_pair(tmp_path, name)
    write_list(tmp_path, "train.txt", "b", "", "a ")
    write_list(tmp_path, "val.txt", "c")
    write_list(tmp_path, "trainval.txt", "a", "b", "c", "d")
    keys = [ref.key for ref in find(tmp_path).refs]
    assert keys == ["train/a", "train/b", "val/c"]
    assert [ref.split for ref in find(tmp_path).refs] == ["train", "train", "val"]


def test_trainval_alone_restricts_and_splits_nothing(tmp_path):
    for name in "abc":
        write_pair(tmp_path, name)
    write_list(tmp_path, "trainval.txt", "a", "c")
    assert [ref.key for ref in find(tmp_path).refs] == ["a", "c"]


def test_test_images_may_lack_their_masks(tmp_path):
    for name in "ab":
        write_pair(tmp_path, name)
    write_list(tmp_path, "train.txt", "a")
    write_list(tmp_path, "test.txt", "b", "2008_000001")
    assert [ref.key for ref in find(tmp_path).refs] == ["test/b", "train/a"]


@pytest.mark.parametrize("split", ["train", "val", "trainval"])
def test_other_images_may_not_lack_their_masks(tmp_path, split):
    write_pair(tmp_path)
    write_list(tmp_path, f"{split}.txt", "a", "b")
    with pytest.raises(InputError, match=rf"{split}\.txt: SegmentationClass/ has no 'b\.png'; add it or drop the line"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["../SegmentationClass/a", "/etc/a", "C:a", "..\\a", "..", ".a"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_name_that_is_a_path_is_refused(tmp_path, split, name):
    write_pair(tmp_path)
    write_list(tmp_path, "train.txt", "a")
    write_list(tmp_path, f"{split}.txt", name)
    with pytest.raises(InputError, match=rf"{split}\.txt: SegmentationClass/ has no "):
        find(tmp_path)


def test_an_image_in_two_splits_is_refused(tmp_path):
    write_pair(tmp_path)
    write_list(tmp_path, "train.txt", "a")
    write_list(tmp_path, "val.txt", "a")
    with pytest.raises(InputError, match=r"val\.txt: 'a' is also in the list of train; an image has one split"):
        find(tmp_path)


def test_an_image_without_its_objects_is_refused(tmp_path):
    write_pair(tmp_path)
    write(tmp_path / "SegmentationClass/b.png", CLASSES)
    with pytest.raises(InputError, match=r"b\.png: SegmentationObject/ has no b\.png; add it, or list"):
        find(tmp_path)


def test_images_of_different_sizes_are_refused(tmp_path):
    write_pair(tmp_path, objects=[[1, 1]])
    with pytest.raises(InputError, match=r"a\.png: 1 x 2 pixels, but .*a\.png has 1 x 8; both must be of one size"):
        find(tmp_path).refs[0].load()


def test_a_list_that_is_no_text_is_refused(tmp_path):
    write_pair(tmp_path)
    write_list(tmp_path, "train.txt")
    (tmp_path / "ImageSets/Segmentation/train.txt").write_bytes(b"\xff\xfea\0")
    with pytest.raises(InputError, match=r"train\.txt: begins with .* as text in UTF-16 does"):
        find(tmp_path)


def test_the_limit_of_pixels_reaches_the_ref(tmp_path):
    write_pair(tmp_path)
    (ref,) = find(tmp_path, max_pixels=7).refs
    with pytest.raises(InputError, match=r"a\.png: 1 x 8 pixels are more than max_pixels=7"):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_other_folders_are_another_layout(tmp_path):
    write(tmp_path / "SegmentationObject/a.png", OBJECTS)
    (tmp_path / "SegmentationClass").mkdir()
    assert find(tmp_path) is None
    assert find(tmp_path / "SegmentationObject/a.png") is None


def test_the_sample_is_one_bicycle_that_fills_the_image(data_dir):
    facts = json.loads((data_dir / "facts/datumaro_assets_labels.json").read_text())["per_file"]
    fact = facts["voc_dataset/voc_dataset1/SegmentationObject/2007_000001.png"]
    masks = find(data_dir / "formats/voc_dataset/voc_dataset1")
    (ref,) = masks.refs
    mask = ref.load()
    assert ref.key == "train/2007_000001"
    assert list(mask.shape) == fact["shape"][:2]
    assert mask.areas.tolist() == [0, fact["foreground_pixels"]]
    assert masks.classes.entries[mask.classes[1]].name == "bicycle"


def test_the_sample_of_boxes_is_another_layout(data_dir):
    assert find(data_dir / "formats/voc_dataset/voc_dataset2") is None


def test_lists_and_folders_of_cvat_are_read(tmp_path):
    for name in ("a", "sub/b", "c"):
        write_pair(tmp_path, name)
    write_list(tmp_path, "Train.txt", "a")
    write_list(tmp_path, "Validation.txt", "sub/b")
    (tmp_path / "labels.txt").write_text("_background_\na\nb\nc\nd\n")
    masks = find(tmp_path)
    assert [ref.key for ref in masks.refs] == ["train/a", "val/sub/b"]
    assert all(len(ref.load().classes) == 3 for ref in masks.refs)
    assert masks.problems == (
        ("ImageSets/Segmentation", Problem("image is in no list", "1 images, 'c' first", left_out=False)),
    )
