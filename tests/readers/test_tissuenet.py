import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, tissuenet
from segprep.readers import find as find_any


def labels(count=3):
    """Labels of 6 x 7 pixels: cells of 12 and 4 pixels with a nucleus of 2, the first cell larger in each further mask."""
    y = np.zeros((count, 6, 7, 2), np.int32)
    for index in range(count):
        y[index, :3, : 4 - (count - 1 - index) % 2, 0] = 7
    y[:, 4:, 5:, 0] = 9
    y[:, 0, 1:3, 1] = 7
    return y


@pytest.fixture
def write(tmp_path):
    """Write one split and return the data set's folder."""

    def write(labels, name="tissuenet_v1.1_val.npz", save=np.savez_compressed, **arrays):
        save(
            tmp_path / name,
            **({"X": np.zeros(labels.shape, np.float32), "y": labels, "tissue_list": np.array(["a"])} | arrays),
        )
        return tmp_path

    return write


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_cells_are_read(write, save):
    found = find_any(write(labels(), save=save))
    masks = [ref.load() for ref in pickle.loads(pickle.dumps(found.refs))]  # noqa: S301
    assert (found.format, [entry.name for entry in found.classes.entries]) == (
        "tissuenet",
        ["background", "cell"],
    )
    assert [ref.key for ref in found.refs] == [f"tissuenet_v1.1_val/0000{index}" for index in range(3)]
    assert [mask.areas.tolist() for mask in masks] == [[0, 12, 4], [0, 9, 4], [0, 12, 4]]
    assert masks[0].classes.tolist() == [0, 1, 1]
    assert {ref.split for ref in found.refs} == {None}


def test_nuclei_are_read_on_request(write):
    found = find_any(write(labels()), format="tissuenet-nuclear")
    assert (found.format, found.classes.entries[1].name) == ("tissuenet-nuclear", "nucleus")
    assert [ref.load().areas.tolist() for ref in found.refs] == [[0, 2]] * 3


def test_masks_of_a_compressed_file_are_read_in_any_order(write):
    refs = find_any(write(labels(20))).refs
    for index in (3, 4, 19, 0, 7, 7):
        assert refs[index].load().areas.tolist() == [0, 9 if index % 2 == 0 else 12, 4]


def test_a_compressed_file_that_changes_is_read_again(write):
    folder = write(labels())
    assert find_any(folder).refs[0].load().areas.tolist() == [0, 12, 4]
    refs = find_any(write(np.zeros((4, 6, 7, 2), np.int32))).refs
    assert [ref.load().areas.tolist() for ref in refs] == [[0]] * 4


def test_files_are_splits(write):
    for split in ("test", "train", "val"):
        folder = write(labels(1), f"tissuenet_v1.1_{split}.npz")
    assert [ref.split for ref in find_any(folder).refs] == ["test", "train", "val"]
    assert len(find_any(folder / "tissuenet_v1.1_train.npz").refs) == 1


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_named(write, save):
    folder = write(labels(), save=save)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"tissuenet_v1\.1_val\.npz: cannot be read as NPZ: File is not a zip file"):
        find_any(file)


def test_damaged_pixels_are_named(write):
    folder = write(labels(), X=np.zeros((3, 6, 7, 2), bool))
    (file,) = folder.iterdir()
    refs = find_any(folder).refs
    content = bytearray(file.read_bytes())
    place = content.find(b"y.npy") + 60
    content[place : place + 20] = bytes(20)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"tissuenet_v1\.1_val\.npz: cannot be read as NPZ: "):
        [ref.load() for ref in refs]


@pytest.mark.parametrize(
    "arrays", [{"X": np.zeros((3, 9, 7, 2))}, {"y": np.zeros((3, 6, 7), int)}, {"y": np.array([{}], object)}]
)
def test_other_archives_are_not_recognised(write, arrays):
    assert tissuenet.find(write(labels(), **arrays), ReadOptions()) is None


def test_an_archive_without_masks_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", values=np.zeros(3))
    with pytest.raises(InputError, match=r"a\.npz: a NumPy archive without images X and masks y"):
        find_any(tmp_path)
