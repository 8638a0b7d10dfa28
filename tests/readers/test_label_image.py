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
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, find
from segprep.readers._image import label_values
from segprep.readers._labels import numbered
from segprep.readers.label_image import READER

LABELS = np.array([[0, 7, 7], [300, 0, 2]], np.uint16)
PHOTOGRAPH = np.arange(16 * 24 * 3).reshape(16, 24, 3).astype(np.uint8)


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


def test_classes_are_those_of_the_masks_that_can_be_read(tmp_path):
    write(tmp_path / "a.png", np.array([[0, 9, 4]], np.uint8))
    (tmp_path / "b.png").write_bytes(b"no image")
    masks = find(tmp_path, options=ReadOptions(values="classes"))
    assert [entry.id for entry in masks.classes.entries] == [None, 4, 9]
    assert [ref.key for ref in masks.refs] == ["a.png", "b.png"]
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG"):
        masks.refs[1].load()


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


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".bmp", mode) for mode in ("L", "P", "RGB", "RGBA")),
        *((".gif", mode) for mode in ("L", "P", "RGB")),
        *((".webp", mode) for mode in ("L", "RGB", "RGBA")),
        *((".tif", mode) for mode in ("L", "P")),
    ],
)
def test_every_exact_format_of_images_gives_the_values(tmp_path, suffix, mode):
    values = np.array([[0, 0, 3, 3], [0, 9, 9, 3]], np.uint8)
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    elif mode != "L":
        image = image.convert(mode)
    image.save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    mask = find(tmp_path).refs[0].load()
    assert mask.labels.tolist() == [[0, 0, 1, 1], [0, 2, 2, 1]]


@pytest.mark.parametrize("suffix", [".gif", ".bmp"])
def test_a_palette_of_greys_gives_the_greys_in_whatever_order(tmp_path, suffix):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    image.putpalette([255, 255, 255, 0, 0, 0, 90, 90, 90])
    image.save(tmp_path / f"a{suffix}")
    assert find(tmp_path).refs[0].load().labels.tolist() == [[2, 0, 1]]


def test_an_animation_and_a_cut_file_are_refused(tmp_path):
    frames = [Image.fromarray(np.full((9, 9), value, np.uint8)) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    noise = np.random.default_rng(0).integers(0, 3, (99, 99)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.gif")
    Image.fromarray(noise).save(tmp_path / "c.bmp")
    for name in ("b.gif", "c.bmp"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:900])
    messages = {"a.gif": "an animation of 2 frames", "b.gif": "cannot be read as GIF", "c.bmp": "cannot be read as BMP"}
    for name, message in messages.items():
        with pytest.raises(InputError, match=rf"{name}: {message}"):
            find(tmp_path / name).refs[0].load()


def test_a_bmp_that_pillow_would_misread_is_refused(tmp_path):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 1]))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.bmp")
    with pytest.raises(InputError, match=r"a\.bmp: several bits per pixel, but a palette of two colours"):
        find(tmp_path / "a.bmp").refs[0].load()


def test_channels_of_16_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([LABELS] * 3), photometric="rgb")
    with pytest.raises(InputError, match=r"a\.tif: not a label image but an image of several channels"):
        find(tmp_path / "a.tif")
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in LABELS)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(InputError, match=r"b\.png: not a label image but an image of several channels of 16 bits"):
        find(tmp_path / "b.png")


def squares():
    values = np.zeros((40, 60), np.uint8)
    values[5:15, 5:15] = values[10:30, 30:45] = 255
    return values


@pytest.mark.parametrize(("suffix", "mode"), [(".jpg", "L"), (".jpeg", "RGB"), (".webp", "RGB")])
@pytest.mark.parametrize("quality", [60, 75, 95])
def test_black_and_white_is_thresholded_after_lossy_compression_with_a_notice(tmp_path, suffix, mode, quality):
    (tmp_path / "masks").mkdir()
    Image.fromarray(squares()).convert(mode).save(tmp_path / f"masks/a{suffix}", quality=quality)
    masks = find(tmp_path)
    np.testing.assert_array_equal(masks.refs[0].load().labels, squares() > 0)
    kind = "JPEG and lossy WebP masks are thresholded at 128"
    assert masks.notices == (("masks", Problem(kind, f"a{suffix}", left_out=False)),)


@pytest.mark.parametrize(
    "values", [squares() // 255 * 100, squares() // 2 + 60, np.arange(2400).reshape(40, 60).astype(np.uint8)]
)
def test_other_lossy_images_are_refused(tmp_path, values):
    write(tmp_path / "masks/a.jpg", values)
    with pytest.raises(
        InputError, match=r"a\.jpg: not a label image but a JPG image, .* more greys than black and white"
    ):
        find(tmp_path)


FOLDERS = {
    "mmsegmentation": (["img_dir/train/a.jpg", "img_dir/val/b.jpg"], ["ann_dir/train/a.png", "ann_dir/val/b.png"]),
    "ADE challenge": (["images/training/a.jpg"], ["annotations/training/a.png", "annotations/validation/b.png"]),
    "Pytorch-UNet": (["imgs/a.jpg", "imgs/b.jpg"], ["masks/a_mask.gif", "masks/b_mask.gif"]),
    "LoveDA": (["Train/Urban/images_png/1.png"], ["Train/Rural/masks_png/1.png", "Train/Urban/masks_png/1.png"]),
    "sites": (
        [f"{site}/images/{name}.jpg" for site in "xy" for name in "ab"],
        [f"{site}/masks/{name}.png" for site in "xy" for name in "ab"],
    ),
    "Carvana": (["train/a.jpg"], ["train_masks/a_mask.gif"]),
    "beside images": (["a.jpg", "b.jpg"], ["a.png", "b.png"]),
    "beside images by name": (["a.png", "b.png"], ["a_gt.png", "b_gt.png"]),
    "one file of several words": (["Original/1.tif", "Original/2.tif"], ["Ground Truth/1.tif", "Ground Truth/2.tif"]),
}


@pytest.mark.parametrize(("images", "masks"), FOLDERS.values(), ids=FOLDERS)
def test_folders_of_many_names_are_known_with_their_images(tmp_path, images, masks):
    for name in images:
        write(tmp_path / name, np.arange(40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8))
    if "Rural" in masks[0]:
        write(tmp_path / "Train/Rural/images_png/1.png", PHOTOGRAPH)
    for name in masks:
        write(tmp_path / name, squares())
    found = find(tmp_path)
    assert (found.format, [ref.key for ref in found.refs]) == ("label-image", masks)
    assert all(np.count_nonzero(ref.load().labels) == 400 for ref in found.refs)
    assert found.problems == ()
    pairs = [ref.image.name for ref in found.refs if ref.image is not None and "Rural" not in ref.key]
    assert pairs == [name.rpartition("/")[2] for name in images]
    words = {"train": "train", "training": "train", "val": "val", "validation": "val", "train_masks": "train"}
    assert [ref.split for ref in found.refs] == [
        next((words[part.lower()] for part in name.split("/") if part.lower() in words), None) for name in masks
    ]


def test_what_does_not_fit_among_masks_and_images_is_named(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"images/{name}.png", PHOTOGRAPH)
    for name in ("a.png", "b.png", "b.tif", "x.png"):
        write(
            tmp_path / "masks" / name,
            np.eye(24, 16, dtype=np.uint8) if name == "b.png" else np.eye(16, 24, dtype=np.uint8),
        )
    for name in ("c.bmp", "notes.txt"):
        (tmp_path / "masks" / name).write_bytes(b"-")
    (tmp_path / "masks/d.png").symlink_to("nowhere")
    masks = find(tmp_path)
    assert masks.problems == tuple(
        ("masks", problem)
        for problem in (
            Problem("mask without an image of its name", "x.png", left_out=False),
            Problem("image without a mask", "2 (c.png, d.png)", left_out=False),
            Problem("several masks of one image", "2 (b.png, b.tif)", left_out=False),
            Problem("among the masks, but not read", "2 (c.bmp, d.png (a link or no file))"),
        )
    )
    assert [notice.where for _, notice in masks.notices] == ["notes.txt"]
    problems = {ref.key: ref.load().problems for ref in masks.refs}
    where = "24 x 16 pixels, but b.png has 16 x 24 (transposed)"
    assert problems == {
        "masks/a.png": (),
        "masks/b.png": (Problem("size differs from the image's", where, left_out=False),),
        "masks/b.tif": (),
        "masks/x.png": (),
    }


def test_a_damaged_image_beside_a_mask_is_named(tmp_path):
    write(tmp_path / "masks/a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(b"no image")
    (problem,) = find(tmp_path).refs[0].load().problems
    assert problem.kind == "image beside the mask cannot be read"
    assert problem.where.startswith(f"{tmp_path}/images/a.jpg: ")


def test_a_folder_of_a_data_set_and_of_others_is_not_taken_for_one_of_sites(tmp_path):
    for site in "xy":
        for name in "ab":
            write(tmp_path / f"{site}/images/{name}.png", PHOTOGRAPH)
            write(tmp_path / f"{site}/masks/{name}.png", np.eye(16, 24, dtype=np.uint8))
    assert len(find(tmp_path).refs) == 4
    write(tmp_path / "z/a.png")
    with pytest.raises(InputError, match="no known layout"):
        find(tmp_path)
