"""Images that the masks of a store belong to: found, read and cropped, and never outside their folder."""

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile
from helpers.buckets import make_bucket, upload
from imagecodecs import png_encode
from PIL import Image

import segprep
from segprep.errors import InputError, IntegrityError, OptionError
from segprep.readers import image_pixels
from segprep.store.images import ImageFolder
from segprep.store.schema import ImagesInfo

SHAPE = (6, 8)


def noise(shape=(*SHAPE, 3), dtype=np.uint8, seed=0):
    """Random image."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def write_mask(file, number=1):
    """Label image of one instance that differs with its number."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, number % 5 : number % 5 + 2] = 1
    labels[5, 6] = 2
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(file)


def write_image(file, pixels):
    """Image without loss."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def data(tmp_path):
    """Label images in masks/ and images in images/, three of each."""
    for number in range(3):
        write_mask(tmp_path / "data" / "masks" / f"{number}.png", number)
        write_image(tmp_path / "data" / "images" / f"{number}.png", noise(seed=number))
    return tmp_path / "data"


def opened(data, **options):
    """Dataset of a data set, in a store beside it."""
    out = data.with_name("out.zarr")
    segprep.preprocess(data, out, workers=1)
    return segprep.open(out, **options)


def test_images_beside_the_masks_are_read_and_cropped_alike(data):
    dataset = opened(data)
    assert dataset.info.images == ImagesInfo("data", is_given=False, known=3)
    for index, key in enumerate(dataset.keys):
        assert dataset.image_path(index) == data.absolute() / "images" / Path(key).name
        np.testing.assert_array_equal(dataset.image(index), noise(seed=index), strict=True)
        part = dataset.image(key, window=(1, 2, 3, 4))
        np.testing.assert_array_equal(part, noise(seed=index)[1:4, 2:6], strict=True)
        assert part.base is None
    with pytest.raises(
        OptionError, match=r"window=\(0, 0, 7, 8\): must be .* within the 6 x 8 pixels of 'masks/0.png'"
    ):
        dataset.image(0, window=(0, 0, 7, 8))


def test_images_of_a_selection_are_those_of_its_masks(data):
    segprep.preprocess(data, data.with_name("out.zarr"), split=(0.4, 0.3, 0.3), stratify=True, workers=1)
    for split in ("train", "val", "test"):
        part = segprep.open(data.with_name("out.zarr"), split=split)
        for index, key in enumerate(part.keys):
            np.testing.assert_array_equal(part.image(index), noise(seed=int(Path(key).stem)))


def test_images_of_a_data_set_that_was_moved_are_found_in_the_folder_that_is_given(data, tmp_path):
    opened(data)
    shutil.move(data, tmp_path / "elsewhere")
    with pytest.raises(OptionError, match=r"the images are not beside the store; .* segprep.open\(..., images=DIR\)"):
        segprep.open(tmp_path / "out.zarr").image(0)
    for folder in (tmp_path / "elsewhere", tmp_path / "elsewhere" / "images", str(tmp_path / "elsewhere/images")):
        dataset = segprep.open(tmp_path / "out.zarr", images=folder)
        np.testing.assert_array_equal(dataset.image(1), noise(seed=1))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).image(2), noise(seed=2))  # noqa: S301


def test_images_of_the_data_science_bowl_are_those_of_the_folders_of_the_masks(tmp_path):
    for number in range(2):
        folder = tmp_path / "stage1_train" / f"id{number}"
        write_image(folder / "images" / f"id{number}.png", noise((*SHAPE, 4), seed=number))
        write_mask(folder / "masks" / "a.png", number)
    dataset = opened(tmp_path / "stage1_train")
    for number in range(2):
        np.testing.assert_array_equal(
            dataset.image(f"id{number}"), noise((*SHAPE, 4), seed=number)[..., :3], strict=True
        )


def coco(folder, names):
    """COCO file of images of these names, each with one instance."""
    height, width = SHAPE
    images = [{"id": i, "file_name": name, "height": height, "width": width} for i, name in enumerate(names)]
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    annotations = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": square, "iscrowd": 0} for i in range(len(names))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    (folder / "instances.json").write_text(json.dumps(document), encoding="utf-8")


def test_images_of_coco_are_those_of_the_file_names(tmp_path):
    coco(tmp_path / "data" / "annotations", ["b/0.png", "b/1.png"])
    for number in range(2):
        write_image(tmp_path / "data" / "images" / "b" / f"{number}.png", noise(SHAPE, seed=number))
    dataset = opened(tmp_path / "data")
    np.testing.assert_array_equal(dataset.image("b/1.png"), noise(SHAPE, seed=1), strict=True)


def test_a_coco_file_alone_knows_the_names_of_its_images(tmp_path):
    coco(tmp_path / "annotations", ["0.png", "1.png"])
    segprep.preprocess(tmp_path / "annotations" / "instances.json", tmp_path / "out.zarr", workers=1)
    write_image(tmp_path / "val2017" / "1.png", noise())
    dataset = segprep.open(tmp_path / "out.zarr", images=tmp_path / "val2017")
    np.testing.assert_array_equal(dataset.image("1.png"), noise())
    with pytest.raises(InputError, match=r"val2017/0\.png: no such image, which '0\.png' belongs to; give the folder"):
        dataset.image("0.png")


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", r"C:\secret.png", "a/../../secret.png"])
def test_a_file_name_that_leads_out_is_not_stored(tmp_path, name):
    coco(tmp_path / "data", [name])
    write_image(tmp_path / "secret.png", noise())
    with pytest.raises(OptionError, match="is not known; preprocess again with images=DIR"):
        opened(tmp_path / "data", images=tmp_path / "data").image(0)


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", r"C:\secret.png", "a/../../secret.png", "a\0.png"])
def test_a_path_in_a_foreign_store_that_leads_out_is_refused(tmp_path, name):
    write_image(tmp_path / "secret.png", noise())
    with pytest.raises(IntegrityError, match=r"leads out of its folder; make the store again"):
        ImageFolder(tmp_path / "data", "").file(name, "a")


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(data, tmp_path):
    dataset = opened(data)
    write_image(tmp_path / "secret.png", noise())
    (data / "images" / "0.png").unlink()
    (data / "images" / "0.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(
        InputError, match=r"images/0\.png: a link out of .*data; give the folder with the files themselves"
    ):
        dataset.image(0)
    (data / "images" / "1.png").unlink()
    (data / "images" / "1.png").symlink_to("2.png")
    np.testing.assert_array_equal(dataset.image(1), noise(seed=2))


@pytest.mark.parametrize("folder", ["..", "/", "../data", "data/images", "\0", ""])
def test_the_folder_in_a_foreign_store_is_a_mere_name(data, folder):
    dataset = opened(data)
    foreign = ImagesInfo(folder, is_given=False, known=3)
    dataset = replace(dataset, info=msgspec.structs.replace(dataset.info, images=foreign))
    with pytest.raises(OptionError, match="the images are not beside the store"):
        dataset.image_path(0)


def test_an_image_of_another_size_is_refused_before_it_is_decoded(data):
    dataset = opened(data)
    write_image(data / "images" / "0.png", noise((8, 6, 3)))
    with pytest.raises(
        InputError, match=r"0\.png: 8 x 6 pixels, but the mask 'masks/0\.png' has 6 x 8; give the image"
    ):
        dataset.image(0)


def test_a_missing_or_damaged_image_is_one_line(data):
    dataset = opened(data)
    (data / "images" / "0.png").unlink()
    with pytest.raises(
        InputError, match=r"images/0\.png and .*data/0\.png: no such image, which 'masks/0\.png' belongs to"
    ):
        dataset.image(0)
    (data / "images" / "1.png").write_bytes((data / "images" / "1.png").read_bytes()[:80])
    with pytest.raises(InputError, match=r"1\.png: cannot be read as an image"):
        dataset.image(1)
    (data / "images" / "2.png").write_bytes(b"GIF?")
    with pytest.raises(InputError, match=r"2\.png"):
        dataset.image(2)


def test_masks_without_images_have_none(tmp_path):
    write_mask(tmp_path / "labels" / "a.png")
    dataset = opened(tmp_path / "labels")
    assert dataset.info.images.known == 0
    with pytest.raises(OptionError, match=r"the image of 'a\.png' is not known; preprocess again with images=DIR"):
        dataset.image(0)


def test_the_store_does_not_say_where_the_data_are(data):
    dataset = opened(data)
    for file in filter(Path.is_file, dataset.root.rglob("*")):
        assert str(data.parent).encode() not in file.read_bytes()


def test_a_pickled_dataset_has_neither_tables_nor_images(data):
    dataset = opened(data, images=data)
    before = len(pickle.dumps(dataset))
    dataset.image(0)
    assert len(pickle.dumps(dataset)) == before < 3000


def test_images_in_a_bucket_are_read(object_store, data, request):  # noqa: ARG001 - a fixture
    bucket = make_bucket(f"bucket-{abs(hash(request.node.nodeid))}")
    upload(data, bucket / "data")
    dataset = opened(data)
    upload(dataset.root, bucket / "out.zarr")
    np.testing.assert_array_equal(segprep.open(bucket / "out.zarr").image(1), noise(seed=1))
    np.testing.assert_array_equal(segprep.open(dataset.root, images=bucket / "data").image(2), noise(seed=2))
    with pytest.raises(InputError, match="no such image"):
        segprep.open(dataset.root, images=bucket / "nothing").image(2)


GREY, RGB, DEEP = noise(SHAPE), noise(), noise(SHAPE, np.uint16)
DEEP_RGB, DEEP_RGBA = noise((*SHAPE, 3), np.uint16), noise((*SHAPE, 4), np.uint16)
RGBA = noise((*SHAPE, 4))
IMAGES = {
    "grey.png": (lambda file: Image.fromarray(GREY).save(file), GREY),
    "rgb.png": (lambda file: Image.fromarray(RGB).save(file), RGB),
    "rgba.png": (lambda file: Image.fromarray(RGBA).save(file), RGBA[..., :3]),
    "grey-alpha.png": (lambda file: Image.fromarray(RGBA[..., :2], "LA").save(file), RGBA[..., 0]),
    "palette.png": (lambda file: Image.fromarray(RGB).quantize(8).save(file), None),
    "black-white.png": (lambda file: Image.fromarray(GREY > 99).save(file), np.uint8(255) * (GREY > 99)),
    "deep.png": (lambda file: Image.fromarray(DEEP).save(file), DEEP),
    "deep-rgb.png": (lambda file: file.write_bytes(png_encode(DEEP_RGB)), DEEP_RGB),
    "deep-rgba.png": (lambda file: file.write_bytes(png_encode(DEEP_RGBA)), DEEP_RGBA[..., :3]),
    "rgb.bmp": (lambda file: Image.fromarray(RGB).save(file), RGB),
    "rgb.webp": (lambda file: Image.fromarray(RGB).save(file, lossless=True), RGB),
    "grey.tif": (lambda file: tifffile.imwrite(file, GREY), GREY),
    "deep.tif": (lambda file: tifffile.imwrite(file, DEEP, compression="zlib"), DEEP),
    "rgb.tif": (lambda file: tifffile.imwrite(file, RGB, photometric="rgb", compression="lzw"), RGB),
    "rgba.tif": (
        lambda file: tifffile.imwrite(file, RGBA, photometric="rgb", extrasamples=["unassalpha"]),
        RGBA[..., :3],
    ),
    "planar.tif": (
        lambda file: tifffile.imwrite(file, np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"),
        RGB,
    ),
    "float.tif": (lambda file: tifffile.imwrite(file, GREY.astype(np.float32)), GREY.astype(np.float32)),
    "inverted.tif": (lambda file: tifffile.imwrite(file, GREY, photometric="miniswhite"), ~GREY),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_any_kind_is_grey_or_rgb_in_the_type_of_the_file(tmp_path, name):
    write, expected = IMAGES[name]
    write(tmp_path / name)
    if expected is None:
        with Image.open(tmp_path / name) as image:
            expected = np.asarray(image.convert("RGB"))
    found = image_pixels(tmp_path / name, SHAPE, "a")
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.flags.writeable
    assert found.flags.c_contiguous


def test_a_jpeg_is_turned_as_viewers_show_it_unless_only_its_stored_pixels_fit(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = np.repeat(np.repeat(noise((2, 3)), 8, axis=0), 8, axis=1)
    Image.fromarray(grey).save(tmp_path / "a.jpg", exif=exif, quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        stored = np.asarray(image)
    np.testing.assert_array_equal(image_pixels(tmp_path / "a.jpg", (16, 24), "a"), stored)
    np.testing.assert_array_equal(image_pixels(tmp_path / "a.jpg", (24, 16), "a"), np.rot90(stored, -1))


@pytest.mark.parametrize("name", ["a.gif", "a.tif"])
def test_an_image_of_several_frames_is_refused(tmp_path, name):
    frames = [Image.fromarray(noise(SHAPE, seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"has 2 (frames|pages); give an image of one"):
        image_pixels(tmp_path / name, SHAPE, "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read_is_one_line(data):
    dataset = opened(data)
    (data / "images" / "0.png").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        dataset.image(0)
