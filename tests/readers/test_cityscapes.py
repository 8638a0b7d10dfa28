import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions
from segprep.readers.cityscapes import EVALUATED, class_meaning, find, instance_meaning

VALUES = np.array([[0, 7, 26, 26000], [26001, 24001, 4, 23]], np.uint16)
ROAD, SKY, PERSON, CAR = 1, 11, 12, 14


def write(file, values=VALUES):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file)


def load(folder, **options):
    (ref,) = find(folder, ReadOptions(**options)).refs
    return pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_values_from_1000_on_are_instances_of_their_class(tmp_path):
    write(tmp_path / "a_gtFine_instanceIds.png")
    mask = load(tmp_path)
    np.testing.assert_array_equal(mask.planes, [[[0, 0, 0, 2], [3, 1, 0, 0]]])
    assert mask.classes.tolist() == [0, PERSON, CAR, CAR]
    assert mask.problems == ()


def test_values_below_1000_are_stuff_or_groups_of_things(tmp_path):
    write(tmp_path / "a_gtFine_instanceIds.png")
    mask = load(tmp_path)
    np.testing.assert_array_equal(mask.stuff, [[0, ROAD, 0, 0], [0, 0, 0, SKY]])
    np.testing.assert_array_equal(mask.ignore, [[1, 0, 1, 0], [0, 0, 1, 0]])


def test_a_group_of_things_is_an_instance_on_request(tmp_path):
    write(tmp_path / "a_gtFine_instanceIds.png")
    mask = load(tmp_path, crowd="instance")
    assert mask.classes.tolist() == [0, CAR, PERSON, CAR, CAR]
    assert not mask.ignore[0, 2]


def test_a_class_code_is_the_train_id_plus_one(tmp_path):
    write(tmp_path / "a_instanceIds.png")
    entries = find(tmp_path, ReadOptions()).classes.entries
    assert len(entries) == 20
    assert [(entry.id, entry.name, entry.is_thing) for entry in entries[1:]] == list(EVALUATED)
    assert [entry.name for entry in entries if entry.is_thing] == [
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"
    ]  # fmt: skip


@pytest.mark.parametrize("meaning", [instance_meaning, class_meaning])
def test_classes_that_are_not_evaluated_are_ignored_without_a_fault(meaning):
    ignored = {id_ for id_ in range(34) if meaning(id_) == ("ignore", 0, "")}
    assert ignored == {0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30}


@pytest.mark.parametrize("value", [34, 34000, 999, 65535])
def test_a_value_of_no_class_is_ignored_and_recorded(tmp_path, value):
    write(tmp_path / "a_instanceIds.png", np.array([[7, value]], np.uint16))
    mask = load(tmp_path)
    assert mask.ignore.tolist() == [[False, True]]
    assert mask.problems == (Problem("class is not one of Cityscapes", f"value {value}"),)


def test_label_ids_alone_are_all_stuff(tmp_path):
    write(tmp_path / "a_gtFine_labelIds.png", np.array([[0, 7, 26]], np.uint8))
    write(tmp_path / "a_gtFine_labelTrainIds.png", np.array([[255, 0, 13]], np.uint8))
    mask = load(tmp_path)
    assert mask.stuff.tolist() == [[0, ROAD, CAR]]
    assert mask.ignore.tolist() == [[True, False, False]]
    assert mask.classes.tolist() == [0]
    assert not any(entry.is_thing for entry in find(tmp_path, ReadOptions()).classes.entries)


def test_label_ids_are_skipped_where_there_are_instances(tmp_path):
    for name in ("a_gtFine_labelIds.png", "a_gtFine_instanceIds.png", "a_gtFine_color.png"):
        write(tmp_path / name)
    assert [ref.key for ref in find(tmp_path, ReadOptions()).refs] == ["a_gtFine_instanceIds.png"]


def test_keys_keep_the_folders_of_splits_and_cities(tmp_path):
    names = [f"gtFine/{split}/x/a_gtFine_instanceIds.png" for split in ("test", "train", "val")]
    for name in names:
        write(tmp_path / name)
        write(tmp_path / name.replace("gtFine", "leftImg8bit"), np.zeros((2, 4, 3), np.uint8))
    keys = [ref.key for ref in find(tmp_path / "gtFine", ReadOptions()).refs]
    assert keys == [name.removeprefix("gtFine/") for name in names]
    assert [ref.split for ref in find(tmp_path / "gtFine", ReadOptions()).refs] == ["test", "train", "val"]


def test_fine_and_coarse_annotations_together_are_refused(tmp_path):
    write(tmp_path / "gtFine/train/x/a_gtFine_instanceIds.png")
    write(tmp_path / "gtCoarse/train/x/a_gtCoarse_instanceIds.png")
    with pytest.raises(InputError, match="files of both gtFine and gtCoarse; give one of these folders"):
        find(tmp_path, ReadOptions())


def test_links_are_skipped(tmp_path):
    write(tmp_path / "outside/b_instanceIds.png")
    write(tmp_path / "data/a_instanceIds.png")
    (tmp_path / "data/b_instanceIds.png").symlink_to(tmp_path / "outside/b_instanceIds.png")
    (tmp_path / "data/c").symlink_to(tmp_path / "outside")
    assert [ref.key for ref in find(tmp_path / "data", ReadOptions()).refs] == ["a_instanceIds.png"]


@pytest.mark.parametrize("name", ["a.png", "instanceIds.png", "a_instanceIds.tif.json", "a_gtFine_labelTrainIds.png"])
def test_other_names_are_another_layout(tmp_path, name):
    (tmp_path / name).touch()
    assert find(tmp_path, ReadOptions()) is None
    assert find(tmp_path / name, ReadOptions()) is None


def test_the_size_is_checked_before_pixels_are_decoded(tmp_path):
    write(tmp_path / "a_instanceIds.png")
    with pytest.raises(InputError, match="2 x 4 pixels are more than max_pixels=7"):
        load(tmp_path, max_pixels=7)


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path / "a_instanceIds.png")
    (tmp_path / "a_instanceIds.png").write_bytes((tmp_path / "a_instanceIds.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"a_instanceIds\.png: cannot be read as PNG"):
        load(tmp_path)


def test_a_sample_of_cityscapes_has_the_values_of_its_files(data_dir):
    masks = find(data_dir / "formats/cityscapes_dataset/train_dataset", ReadOptions())
    names = {entry.code: entry.name for entry in masks.classes.entries}
    found = {}
    for ref in masks.refs:
        mask = ref.load()
        assert mask.problems == ()
        stuff = set() if mask.stuff is None else {names[code] for code in np.unique(mask.stuff).tolist() if code}
        found[ref.key.rpartition("/")[2][:25]] = ([names[code] for code in mask.classes[1:].tolist()], stuff)
    assert found == {
        "defaultcity_000001_000031": (["truck", "truck"], set()),
        "defaultcity_000001_000032": (["train"], {"wall"}),
        "defaultcity_000002_000045": (["person"], set()),
        "defaultcity_000001_000019": ([], set()),
    }
    assert [ref.split for ref in masks.refs] == ["test", "test", "train", "val"]


def test_instances_in_8_bits_are_groups(data_dir):
    folder = data_dir / "formats/cityscapes_dataset/dataset/gtFine/test/defaultcity"
    first = find(folder, ReadOptions()).refs[0].load()
    assert (first.classes.tolist(), first.ignore.all()) == ([0], True)
    assert len(find(folder, ReadOptions(crowd="instance")).refs[0].load().classes) == 2


def test_custom_classes_that_lie_beside_are_refused_by_name(tmp_path):
    write(tmp_path / "gtFine/train/a_gtFine_instanceIds.png")
    (tmp_path / "label_colors.txt").write_text(
        "0 0 0 background\n128 64 128 road\n250 170 30 trafficlight\n1 2 3 license plate\n"
    )
    assert len(find(tmp_path, ReadOptions()).refs) == 1
    (tmp_path / "label_colors.txt").write_text("0 0 0 background\n1 2 3 black cat\n")
    with pytest.raises(InputError, match=r"label_colors\.txt: has the class 'black cat', .* export the data as COCO"):
        find(tmp_path, ReadOptions())
