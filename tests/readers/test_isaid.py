import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, isaid
from segprep.readers import find as find_any

SHIP, PLANE, OTHER = (0, 0, 63), (0, 127, 255), (9, 9, 9)


@pytest.fixture
def write(tmp_path):
    """Write the two files of an image of 4 x 6 pixels, with one column for each pair of colours; the data set's folder."""

    def write(*columns, name="images/P0001", colours=None, mode="RGB"):
        for number, end in enumerate(("_instance_id_RGB.png", "_instance_color_RGB.png")):
            pixels = np.zeros((4, 6, 3), np.uint8)
            for column, pair in enumerate(columns):
                pixels[:, column] = pair[number]
            file = tmp_path / f"{colours if colours and number else name}{end}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).convert(mode).save(file)
        return tmp_path

    return write


def test_numbers_are_instances_and_colours_are_classes(write):
    folder = write(((1, 2, 3), PLANE), ((1, 2, 3), PLANE), ((3, 2, 1), SHIP), ((2, 0, 0), SHIP))
    Image.new("RGB", (6, 4)).save(folder / "images/P0001.png")
    found = find_any(folder)
    mask = pickle.loads(pickle.dumps(found.refs[0])).load()  # noqa: S301
    names = [entry.name for entry in found.classes.entries]
    assert (found.format, found.refs[0].key, len(names), names[14]) == ("isaid", "images/P0001", 16, "plane")
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1, 14], [0, 4, 4, 8])
    assert mask.labels[0].tolist() == [3, 3, 2, 1, 0, 0]
    assert mask.class_map[0].tolist() == [14, 14, 1, 1, 0, 0]
    assert (mask.ignore, mask.problems) == (None, ())


def test_pixels_with_only_a_class_or_only_a_number_are_ignored(write):
    mask = (
        find_any(write(((1, 0, 0), SHIP), ((2, 0, 0), (0, 0, 0)), ((0, 0, 0), PLANE), ((3, 1, 0), OTHER)))
        .refs[0]
        .load()
    )
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1], [0, 4])
    assert mask.ignore[0].tolist() == [False, True, True, True, False, False]
    assert mask.problems == (
        ("class without a number of an instance", "plane", True),
        ("instance without a class", "instance 2", True),
        ("colour is no class of iSAID", "instance 259", True),
    )


def test_a_number_of_two_classes_is_two_instances(write):
    mask = find_any(write(((1, 0, 0), SHIP), ((1, 0, 0), PLANE))).refs[0].load()
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 14], [0, 4, 4])


def test_splits_and_separate_folders(write):
    write(((1, 0, 0), SHIP), name="train/Instance_masks/images/P1", colours="train/Semantic_masks/images/P1")
    folder = write(((1, 0, 0), PLANE), name="val/Instance_masks/images/P1", colours="val/Semantic_masks/images/P1")
    refs = find_any(folder).refs
    assert [ref.split for ref in refs] == ["train", "val"]
    assert [ref.load().classes.tolist() for ref in refs] == [[0, 1], [0, 14]]


def test_a_missing_file_of_classes_is_named(write):
    folder = write(((1, 0, 0), SHIP))
    (folder / "images/P0001_instance_color_RGB.png").unlink()
    with pytest.raises(InputError, match=r"P0001_instance_id_RGB\.png: has no P0001_instance_color_RGB\.png"):
        find_any(folder)


def test_files_of_different_sizes_are_refused(write):
    folder = write(((1, 0, 0), SHIP))
    Image.new("RGB", (6, 5)).save(folder / "images/P0001_instance_color_RGB.png")
    with pytest.raises(InputError, match=r"color_RGB\.png: 5 x 6 pixels, but P0001_instance_id_RGB\.png has 4 x 6"):
        find_any(folder).refs[0].load()


def test_other_modes_of_colour_are_refused(write):
    with pytest.raises(InputError, match=r"id_RGB\.png: an image in P; iSAID's colours are RGB"):
        find_any(write(((1, 0, 0), SHIP), mode="P")).refs[0].load()


def test_classes_alone_are_not_recognised(write):
    folder = write(((1, 0, 0), SHIP))
    (folder / "images/P0001_instance_id_RGB.png").unlink()
    assert isaid.find(folder, ReadOptions()) is None


def test_there_is_a_limit_of_instances(write):
    with pytest.raises(InputError, match="2 instances are more than max_instances=1"):
        find_any(write(((1, 0, 0), SHIP), ((2, 0, 0), SHIP)), options=ReadOptions(max_instances=1)).refs[0].load()
