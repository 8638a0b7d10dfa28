import io
import re
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, find
from segprep.readers._image import label_values
from segprep.readers._labels import numbered
from segprep.readers.label_image import READER

LABELS = np.array([[0, 7, 7], [300, 0, 2]], np.uint16)
PHOTOGRAPH = np.zeros((2, 3, 3), np.uint8)


def write(file, values=LABELS):
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, values)
        return
    if file.suffix == ".tif":
        tifffile.imwrite(file, values)
    else:
        Image.fromarray(values).save(file)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_a_file_is_one_mask_with_an_instance_per_value(tmp_path, name):
    write(tmp_path / name)
    masks = find(tmp_path / name)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key) == ("label-image", name)
    np.testing.assert_array_equal(mask.planes, [[[0, 2, 2], [3, 0, 1]]])
    assert mask.classes.tolist() == [0, 1, 1, 1]


def test_an_image_of_zeros_has_no_instance(tmp_path):
    write(tmp_path / "a.png", np.zeros((2, 3), np.uint8))
    assert find(tmp_path / "a.png").refs[0].load().classes.tolist() == [0]


@pytest.mark.parametrize("folder", ["labels", "masks", "Masks", "."])
def test_a_folder_holds_masks_sorted_by_name(tmp_path, folder):
    for name in ("b.tif", "c.npy", "a.png", "._a.png"):
        write(tmp_path / folder / name)
    (tmp_path / folder / "Thumbs.db").write_text("litter")
    keys = [ref.key for ref in find(tmp_path).refs]
    assert keys == [(tmp_path / folder / name).relative_to(tmp_path).as_posix() for name in ("a.png", "b.tif", "c.npy")]


def test_photographs_may_lie_in_images(tmp_path):
    for name in ("a.png", "b.png"):
        write(tmp_path / "images" / name, PHOTOGRAPH)
        write(tmp_path / "masks" / name)
    assert [ref.key for ref in find(tmp_path).refs] == ["masks/a.png", "masks/b.png"]


@pytest.mark.parametrize("names", [["a.png"], ["a.jpg"], ["masks/a.png"], ["labels/a.png", "images/a.png"]])
def test_photographs_are_no_label_images(tmp_path, names):
    for name in names:
        write(tmp_path / name, PHOTOGRAPH)
    with pytest.raises(InputError, match=rf"{names[0]}: not a label image but an? .*; give PNG, TIFF or NPY files"):
        find(tmp_path)


def test_a_folder_with_photographs_and_other_things_is_another_layout(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.jpg", PHOTOGRAPH)
    (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="no known layout"):
        find(tmp_path)


def test_two_folders_of_label_images_are_refused(tmp_path):
    write(tmp_path / "labels/a.png")
    write(tmp_path / "masks/a.png")
    with pytest.raises(InputError, match="label images in both labels/ and masks/; give one of them"):
        find(tmp_path)


def test_a_damaged_file_does_not_hide_the_others(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    good, bad = find(tmp_path).refs
    assert good.load().shape == (2, 3)
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG"):
        bad.load()


@given(
    arrays.arrays(
        np.int64, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 5) | st.integers(0, 2**40)
    )
)
def test_numbers_have_no_gaps_and_keep_the_order(values):
    labels, found = numbered(values)
    assert labels.dtype == np.int32
    distinct = sorted(set(values.ravel().tolist()) - {0})
    assert found.tolist() == distinct
    expected = {0: 0} | {value: number for number, value in enumerate(distinct, start=1)}
    np.testing.assert_array_equal(labels, np.vectorize(expected.get)(values))


@pytest.mark.parametrize("step", [1, 50_000], ids=["small values", "large values"])
def test_an_image_may_hold_more_instances_than_16_bits_count(tmp_path, step):
    values = (np.arange(280_000, dtype=np.uint32) // 4 * step).reshape(400, 700)
    write(tmp_path / "a.tif", values)
    mask = find(tmp_path / "a.tif").refs[0].load()
    assert len(mask.classes) == 70_000
    assert (mask.areas[1:] == 4).all()


def test_stardist_labels_have_the_counts_of_an_independent_reader(data_dir):
    mask = find(data_dir / "stardist/stardist/data/images/mask2d.tif").refs[0].load()
    assert len(mask.classes) - 1 == mask.labels.max() == 125
    assert np.count_nonzero(mask.labels) == 52_226


def test_a_stack_is_refused(data_dir):
    (ref,) = find(data_dir / "stardist/stardist/data/images/mask3d.tif").refs
    with pytest.raises(InputError, match="a stack of 31 x 61 x 57; volumes are not supported yet"):
        ref.load()


@pytest.mark.parametrize("layout", ["{split}/{name}", "{split}/labels/{name}", "masks/{split}/{name}"])
def test_folders_of_splits_are_looked_into(tmp_path, layout):
    keys = []
    for split, name in (("test", "a.png"), ("train", "a.png"), ("train", "b.png"), ("val", "c.png")):
        keys.append(layout.format(split=split, name=name))
        file = tmp_path / keys[-1]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(file)
    masks = find(tmp_path)
    assert masks.format == "label-image"
    assert [ref.key for ref in masks.refs] == keys
    assert [ref.split for ref in masks.refs] == ["test", "train", "train", "val"]


@pytest.mark.parametrize("dtype", ["?", "i1", "<u2", ">i4", "u8", "i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_integer_type_and_order_are_read(tmp_path, dtype, order):
    values = np.array([[0, 1, 1], [0, 0, 1]])
    write(tmp_path / "a.npy", values.astype(dtype, order=order))
    np.testing.assert_array_equal(find(tmp_path / "a.npy").refs[0].load().labels, values)


def test_values_of_arrays_can_be_classes(tmp_path):
    write(tmp_path / "a.npy", np.array([[0, 9, 4]]))
    masks = find(tmp_path, options=ReadOptions(values="classes"))
    assert [entry.id for entry in masks.classes.entries] == [None, 4, 9]
    assert masks.refs[0].load().class_map.tolist() == [[0, 2, 1]]


def damaged_array(shape):
    """Header of an array whose numbers are missing."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": shape})
    return file.getvalue()


DAMAGED = {
    "empty": (b"", "cannot be read as NPY: "),
    "no array": (b"PK\3\4 a zip archive", "cannot be read as NPY: "),
    "cut header": (damaged_array((2, 3))[:40], "cannot be read as NPY: "),
    "no numbers": (damaged_array((2, 3)), "cannot be read as NPY: "),
    "huge": (damaged_array((2**40, 2**40)), "1099511627776 x 1099511627776 pixels are more than max_pixels"),
    "no pixel": (damaged_array((0, 3)), "0 x 3 pixels; height and width must be at least 1"),
    "backwards": (damaged_array((-2, 3)), "-2 x 3 pixels; height and width must be at least 1"),
    "named fields": (b"\x93NUMPY\3\0" + damaged_array((2, 3))[8:], "NPY of version "),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_array_does_not_hide_the_others(tmp_path, content, message):
    write(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(content)
    good, bad = find(tmp_path).refs
    assert good.load().shape == (2, 3)
    with pytest.raises(InputError, match=rf"b\.npy: {message}") as caught:
        bad.load()
    assert "\n" not in str(caught.value)


def test_negative_values_of_an_array_are_refused(tmp_path):
    write(tmp_path / "a.npy", np.array([[0, -1]]))
    with pytest.raises(InputError, match=r"a\.npy: the value -1; labels are not negative"):
        find(tmp_path / "a.npy").refs[0].load()


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((2, 3, 4), int), np.zeros(3, int)])
def test_arrays_of_fractions_or_other_dimensions_are_no_label_images(tmp_path, values):
    write(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"a\.npy: not a label image"):
        find(tmp_path)


def test_pickled_objects_are_never_loaded(tmp_path):
    write(tmp_path / "a.npy", np.array({"masks": LABELS}, dtype=object))
    with pytest.raises(InputError, match="no known layout"):
        find(tmp_path / "a.npy")
    write(tmp_path / "b.png")
    assert [ref.key for ref in find(tmp_path).refs] == ["b.png"]


def test_images_beside_a_document_of_the_same_name_are_no_labels(tmp_path):
    write(tmp_path / "a.png")
    assert READER.find(tmp_path, ReadOptions()) is not None
    (tmp_path / "a.json").write_text("{}")
    assert READER.find(tmp_path, ReadOptions()) is None


@pytest.mark.parametrize("names", [("x_img.png", "x_masks.png"), ("x.tif", "x_cp_masks.png", "x_cp_output.png")])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_of_cellpose_are_read_beside_their_images(tmp_path, names, mode):
    for name in names:
        Image.new("L" if name.endswith("_masks.png") else mode, (4, 3), 7).save(tmp_path / name)
    np.save(tmp_path / "x_seg.npy", np.array([{"masks": 1}], object))
    assert [ref.key for ref in find(tmp_path).refs] == [name for name in names if name.endswith("_masks.png")]


def grey_png(values, bits):
    """PNG of grey values of a few bits, as optimisers write label images."""
    height, width = values.shape
    padded = np.pad(values, ((0, 0), (0, -width % (8 // bits)))).astype(np.uint8)
    rows = np.packbits(np.unpackbits(padded[..., np.newaxis], axis=2)[:, :, -bits:].reshape(height, -1), axis=1)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", content), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_a_few_bits_have_the_values_of_the_file(tmp_path, bits):
    values = np.arange(5 * 9).reshape(5, 9) % 2**bits
    (tmp_path / "a.png").write_bytes(grey_png(values, bits))
    np.testing.assert_array_equal(label_values(tmp_path / "a.png", max_pixels=100), values)


def test_values_of_the_background_and_without_truth_are_options(tmp_path):
    write(tmp_path / "a.png", np.array([[1, 0, 255, 9]], np.uint8))
    mask = find(tmp_path / "a.png", options=ReadOptions(background=1, ignore=255)).refs[0].load()
    assert mask.planes.tolist() == [[[0, 0, 0, 1]]]
    assert mask.ignore.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("shape", [(4, 5, 1), (2, 4, 5)])
def test_the_shape_of_an_array_that_is_no_label_image_is_named(tmp_path, shape):
    write(tmp_path / "a.npy", np.zeros(shape, np.uint16))
    with pytest.raises(
        InputError, match=re.escape(f"a.npy: not a label image but an array of shape {shape} and type uint16")
    ):
        find(tmp_path)
