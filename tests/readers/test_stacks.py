"""Label images in an array of three dimensions."""

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, find

IMAGES = np.zeros((3, 5, 6, 3), np.uint8)


def stack(dtype=np.uint16):
    """Three masks of 5 x 6 pixels, the last with instances of 6 and 10 pixels."""
    values = np.zeros((3, 5, 6), dtype)
    values[2, :2, :3] = 1
    values[2, :, 4:] = 3
    return values


def areas(found):
    return [ref.load().areas.tolist() for ref in found.refs]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, ">i8"])
@pytest.mark.parametrize(("masks", "images"), [("masks", "images"), ("y", "X"), ("y_train", "X_train")])
def test_masks_beside_as_many_images_are_a_stack(tmp_path, masks, images, dtype):
    np.save(tmp_path / f"{masks}.npy", stack(dtype))
    np.save(tmp_path / f"{images}.npy", IMAGES)
    found = find(tmp_path)
    assert (found.format, [ref.key for ref in found.refs]) == ("label-image", [f"{masks}/0000{n}" for n in range(3)])
    assert areas(found) == [[0], [0], [0, 6, 10]]
    assert areas(find(tmp_path / f"{masks}.npy")) == areas(found)


def test_arrays_of_one_archive_are_a_stack(tmp_path):
    np.savez(tmp_path / "a.npz", X=IMAGES, y=stack()[..., np.newaxis])
    found = find(tmp_path)
    assert ([ref.key for ref in found.refs], areas(found)) == (
        [f"a/y/0000{n}" for n in range(3)],
        [[0], [0], [0, 6, 10]],
    )


def test_arrays_and_folders_of_splits_are_splits(tmp_path):
    np.savez(tmp_path / "a.npz", X_train=IMAGES, y_train=stack(), X_val=IMAGES[:1], y_val=stack()[:1])
    assert [ref.split for ref in find(tmp_path).refs] == ["train"] * 3 + ["val"]
    (tmp_path / "a.npz").unlink()
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "masks.npy", stack()[:2])
        np.save(tmp_path / split / "images.npy", IMAGES[:2])
    assert [ref.split for ref in find(tmp_path).refs] == ["test"] * 2 + ["train"] * 2


def test_values_may_be_classes(tmp_path):
    np.savez(tmp_path / "a.npz", X=IMAGES, y=stack())
    found = find(tmp_path, options=ReadOptions(values="classes"))
    assert [entry.name for entry in found.classes.entries] == ["background", "class 1", "class 3"]
    assert found.refs[2].load().classes.tolist() == [0, 1, 2]


@pytest.mark.parametrize("images", [None, IMAGES[:2], IMAGES[:, :4]])
def test_an_array_without_its_images_may_be_a_volume(tmp_path, images):
    np.save(tmp_path / "masks.npy", stack())
    if images is not None:
        np.save(tmp_path / "images.npy", images)
    with pytest.raises(InputError, match=r"masks\.npy: .* array of shape \(3, 5, 6\) .* volumes are not supported yet"):
        find(tmp_path / "masks.npy")


def test_a_value_that_is_no_label_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", X=IMAGES, y=stack(np.float32) / 2)
    with pytest.raises(InputError, match=r"a\.npz: item 2: the value 0.5; labels are integers from 0 on"):
        areas(find(tmp_path))
