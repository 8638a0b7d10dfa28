import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, bdd100k
from segprep.readers import find as find_any

CAR = (3, 0b1100, 1, 4)
RIDER = (2, 0, 0, 1)
CROWD = (1, 0b10, 0, 2)
IGNORED = (3, 0b1, 0, 3)


@pytest.fixture
def write(tmp_path):
    """Write a bitmask of 4 x 5 pixels with one column for each value, and return the data set's folder."""

    def write(*values, name="bitmasks/train/a.png", mode="RGBA"):
        pixels = np.zeros((4, 5, 4), np.uint8)
        for column, value in enumerate(values):
            pixels[:, column] = value
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        (image if mode == "RGBA" else image.convert(mode)).save(tmp_path / name)
        return tmp_path

    return write


def find(path, **options):
    return bdd100k.find(path, ReadOptions(**options))


def test_a_bitmask_has_category_attributes_and_instance(write):
    masks = find_any(write(CAR, RIDER, CROWD, IGNORED))
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    names = [entry.name for entry in masks.classes.entries]
    assert names == ["background", *["pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]]
    assert all(entry.is_thing for entry in masks.classes.entries[1:])
    assert (masks.format, ref.key, ref.split) == ("bdd100k", "bitmasks/train/a.png", "train")
    assert (mask.classes.tolist(), mask.areas.tolist(), mask.stuff) == ([0, 2, 3], [0, 4, 4], None)
    assert mask.labels[0].tolist() == [2, 1, 0, 0, 0]
    assert mask.ignore[0].tolist() == [False, False, True, True, False]
    assert mask.problems == ()


def test_a_crowd_may_be_an_instance(write):
    mask = find(write(CAR, CROWD), crowd="instance").refs[0].load()
    assert (mask.classes.tolist(), mask.areas.tolist(), mask.ignore) == ([0, 1, 3], [0, 4, 4], None)


def test_categories_above_8_are_those_of_panoptic_segmentation(write):
    masks = find_any(write((7, 0, 0, 1), (30, 0, 0, 2), (35, 0, 0, 3), (35, 0, 0, 4)))
    mask = masks.refs[0].load()
    entries = masks.classes.entries
    assert (len(entries), entries[7].name, entries[30].name, entries[40].name) == (41, "road", "sky", "truck")
    assert [entry.code for entry in entries if entry.is_thing] == list(range(31, 41))
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 35, 35], [0, 4, 4])
    assert mask.class_map[0].tolist() == [7, 30, 35, 35, 0]
    assert np.count_nonzero(mask.ignore) == 4


def test_an_unknown_category_is_ignored_and_named(write):
    for number in range(8):
        folder = write(CAR, name=f"labels/ins_seg/bitmasks/val/{number}.png")
    write((99, 0, 0, 1), CAR, name="labels/ins_seg/bitmasks/val/9.png")
    mask = find_any(folder).refs[8].load()
    assert mask.problems == (("category is unknown", f"value {99 << 24 | 1}", True),)
    assert (mask.areas.tolist(), np.count_nonzero(mask.ignore)) == ([0, 4], 4)


@pytest.mark.parametrize("inside", ["labels/ins_seg", "labels/ins_seg/bitmasks", "labels/ins_seg/bitmasks/train"])
def test_any_folder_around_may_be_given(write, inside):
    folder = write(CAR, name="labels/ins_seg/bitmasks/train/video/a.png")
    assert len(find_any(folder / inside).refs) == 1


def test_several_tasks_are_refused(write):
    write(CAR, name="labels/ins_seg/bitmasks/train/a.png")
    folder = write(CAR, name="labels/pan_seg/bitmasks/train/a.png")
    with pytest.raises(
        InputError, match=r"bitmasks of several tasks: labels/ins_seg/bitmasks, labels/pan_seg/bitmasks"
    ):
        find(folder)


def test_a_damaged_file_does_not_keep_others_from_being_read(write):
    folder = write(CAR)
    write(CAR, name="bitmasks/train/b.png")
    content = (folder / "bitmasks/train/b.png").read_bytes()
    (folder / "bitmasks/train/b.png").write_bytes(content[:-20])
    good, bad = find(folder).refs
    assert good.load().areas.tolist() == [0, 4]
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG: .*"):
        bad.load()


@pytest.mark.parametrize("values", [[(200, 10, 3, 255)], [(3, 200, 0, 1)]])
def test_other_images_with_an_alpha_channel_are_not_recognised(write, values):
    assert find(write(*values)) is None


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_other_modes_are_not_recognised(write, mode):
    assert find(write(CAR, mode=mode)) is None
