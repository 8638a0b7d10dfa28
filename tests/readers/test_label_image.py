import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segprep.errors import InputError
from segprep.readers import find_masks
from segprep.readers.label_image import numbered
from segprep.splits import by_folder

LABELS = np.array([[0, 7, 7], [300, 0, 2]], np.uint16)
PHOTOGRAPH = np.zeros((2, 3, 3), np.uint8)


def write(file, values=LABELS):
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".tif":
        tifffile.imwrite(file, values)
    else:
        Image.fromarray(values).save(file)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_is_one_mask_with_an_instance_per_value(tmp_path, name):
    write(tmp_path / name)
    masks = find_masks(tmp_path / name)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key) == ("label-image", name)
    np.testing.assert_array_equal(mask.planes, [[[0, 2, 2], [3, 0, 1]]])
    assert mask.classes.tolist() == [0, 1, 1, 1]


def test_an_image_of_zeros_has_no_instance(tmp_path):
    write(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    assert find_masks(tmp_path / "a.png").refs[0].load().classes.tolist() == [0]


@pytest.mark.parametrize("folder", ["labels", "masks", "Masks", "."])
def test_a_folder_holds_masks_sorted_by_name(tmp_path, folder):
    for name in ("b.tif", "a.png", "._a.png"):
        write(tmp_path / folder / name)
    (tmp_path / folder / "Thumbs.db").write_text("litter")
    keys = [ref.key for ref in find_masks(tmp_path).refs]
    assert keys == [(tmp_path / folder / name).relative_to(tmp_path).as_posix() for name in ("a.png", "b.tif")]


def test_photographs_may_lie_in_images(tmp_path):
    for name in ("a.png", "b.png"):
        write(tmp_path / "images" / name, PHOTOGRAPH)
        write(tmp_path / "masks" / name)
    assert [ref.key for ref in find_masks(tmp_path).refs] == ["masks/a.png", "masks/b.png"]


@pytest.mark.parametrize("names", [["a.png"], ["a.jpg"], ["masks/a.png"], ["labels/a.png", "images/a.png"]])
def test_photographs_are_no_label_images(tmp_path, names):
    for name in names:
        write(tmp_path / name, PHOTOGRAPH)
    with pytest.raises(
        InputError, match=rf"{names[0]}: a picture, no label image; give PNG or TIFF files of one channel"
    ):
        find_masks(tmp_path)


def test_a_folder_with_photographs_and_other_things_is_another_layout(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.jpg", PHOTOGRAPH)
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="no known layout"):
        find_masks(tmp_path)


def test_two_folders_of_label_images_are_refused(tmp_path):
    write(tmp_path / "labels/a.png")
    write(tmp_path / "masks/a.png")
    with pytest.raises(InputError, match="label images in both labels/ and masks/; give one of them"):
        find_masks(tmp_path)


def test_a_damaged_file_does_not_hide_the_others(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    good, bad = find_masks(tmp_path).refs
    assert good.load().shape == (2, 3)
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG"):
        bad.load()


@given(
    arrays.arrays(
        np.int64, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 5) | st.integers(0, 2**40)
    )
)
def test_numbers_have_no_gaps_and_keep_the_order(values):
    labels = numbered(values)
    assert labels.dtype == np.int32
    distinct = sorted(set(values.ravel().tolist()) - {0})
    expected = {0: 0} | {value: number for number, value in enumerate(distinct, start=1)}
    np.testing.assert_array_equal(labels, np.vectorize(expected.get)(values))


@pytest.mark.parametrize("step", [1, 50_000], ids=["small values", "large values"])
def test_an_image_may_hold_more_instances_than_16_bits_count(tmp_path, step):
    values = (np.arange(280_000, dtype=np.uint32) // 4 * step).reshape(400, 700)
    write(tmp_path / "a.tif", values)
    mask = find_masks(tmp_path / "a.tif").refs[0].load()
    assert len(mask.classes) == 70_000
    assert (mask.areas[1:] == 4).all()


def test_stardist_labels_have_the_counts_of_an_independent_reader(data_dir):
    mask = find_masks(data_dir / "stardist/stardist/data/images/mask2d.tif").refs[0].load()
    assert len(mask.classes) - 1 == mask.labels.max() == 125
    assert np.count_nonzero(mask.labels) == 52_226


def test_a_stack_is_refused(data_dir):
    (ref,) = find_masks(data_dir / "stardist/stardist/data/images/mask3d.tif").refs
    with pytest.raises(InputError, match="a stack of 31 x 61 x 57; a label image is one 2-D page"):
        ref.load()


@pytest.mark.parametrize("layout", ["{split}/{name}", "{split}/labels/{name}", "masks/{split}/{name}"])
def test_folders_of_splits_are_looked_into(tmp_path, layout):
    keys = []
    for split, name in (("test", "a.png"), ("train", "a.png"), ("train", "b.png"), ("val", "c.png")):
        keys.append(layout.format(split=split, name=name))
        file = tmp_path / keys[-1]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(file)
    masks = find_masks(tmp_path)
    assert masks.format == "label-image"
    assert [ref.key for ref in masks.refs] == keys
    assert by_folder(keys).tolist() == [2, 0, 0, 1]
