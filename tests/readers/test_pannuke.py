import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, pannuke
from segprep.readers import find as find_any


def masks(dtype=np.float64, count=2):
    """Masks of 8 x 9 pixels, of which the last has nuclei of 3 classes, and one number in two of them."""
    values = np.zeros((count, 8, 9, 6), dtype)
    values[-1, :2, :3, 0] = 4
    values[-1, 4:6, :2, 0] = 9
    values[-1, 3:, 5:, 2] = 4
    values[-1, 0, 8, 4] = 30
    values[..., 5] = ~values[..., :5].any(axis=3)
    return values


@pytest.fixture
def write(tmp_path):
    """Write a fold and return the data set's folder."""

    def write(values, name="Fold 1/masks/fold1/masks.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name, values)
        return tmp_path

    return write


@pytest.mark.parametrize("dtype", [np.float64, np.int32, ">i2"])
def test_each_channel_has_the_instances_of_a_class(write, dtype):
    folder = write(masks(dtype))
    np.save(folder / "Fold 1/masks/fold1/types.npy", np.array(["Breast", "Colon"]))
    found = find_any(folder)
    empty, mask = (pickle.loads(pickle.dumps(ref)).load() for ref in found.refs)  # noqa: S301
    assert (found.format, [ref.key for ref in found.refs]) == (
        "pannuke",
        ["Fold 1/masks/fold1/masks/00000", "Fold 1/masks/fold1/masks/00001"],
    )
    names = ["background", "Neoplastic", "Inflammatory", "Connective", "Dead", "Epithelial"]
    assert [entry.name for entry in found.classes.entries] == names
    assert (mask.shape, mask.classes.tolist(), mask.areas.tolist()) == ((8, 9), [0, 1, 1, 3, 5], [0, 6, 4, 20, 1])
    assert np.bincount(mask.class_map.ravel()).tolist() == [72 - 31, 10, 0, 20, 0, 1]
    assert len(mask.planes) == 1
    assert (empty.classes.tolist(), empty.class_map.any()) == ([0], False)


def test_instances_of_overlapping_channels_are_complete(write):
    values = masks(count=1)
    values[0, 1:3, 2:4, 3] = 1
    mask = find_any(write(values)).refs[0].load()
    assert mask.areas.tolist() == [0, 6, 4, 20, 4, 1]
    assert mask.classes.tolist() == [0, 1, 1, 3, 4, 5]
    assert len(mask.planes) == 4


def test_several_folds_are_one_data_set(write):
    write(masks())
    folder = write(masks(count=1), "Fold 2/masks/fold2/masks.npy")
    assert [ref.key[:6] for ref in find_any(folder).refs] == ["Fold 1", "Fold 1", "Fold 2"]
    assert len(find_any(folder / "Fold 2/masks/fold2/masks.npy").refs) == 1


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.5"), (-1, "-1.0"), (np.nan, "nan"), (2.0**60, "1.15.*e.18")])
def test_a_value_that_is_no_label_is_named(write, value, shown):
    values = masks()
    values[0, 0, 0, 0] = value
    bad, good = find_any(write(values)).refs
    with pytest.raises(InputError, match=rf"masks.npy: item 0: the value {shown}; labels are integers"):
        bad.load()
    assert good.load().areas.sum() == 31


def test_a_file_that_ends_early_is_refused(write):
    folder = write(masks())
    file = folder / "Fold 1/masks/fold1/masks.npy"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"masks\.npy: ends before the last of the 2 x 8 x 9 x 6 numbers"):
        find_any(folder)


def test_an_array_by_columns_is_refused(write):
    with pytest.raises(InputError, match=r"masks\.npy: no array of numbers in C order; save it again"):
        find_any(write(np.asfortranarray(masks())))


def test_a_large_mask_is_refused_before_it_is_read(write):
    with pytest.raises(InputError, match=r"masks\.npy: item 0: 8 x 9 pixels are more than max_pixels=71"):
        find_any(write(masks()), options=ReadOptions(max_pixels=71)).refs[0].load()


@pytest.mark.parametrize("values", [np.zeros((2, 8, 9, 5)), np.zeros((2, 8, 9)), np.array([[{}]], object)])
def test_other_arrays_are_not_recognised(write, values):
    assert pannuke.find(write(values), ReadOptions()) is None
