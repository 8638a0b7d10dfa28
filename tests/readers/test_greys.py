"""Images of grey levels are refused as label images, and real label images never are."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from segprep.errors import InputError
from segprep.readers import _greys, find

EDGES = (
    r"b\.png: not a label image: \d+ values, most of them on edges, .*threshold it \(at 128\), or .*nearest neighbour"
)
TEXTURE = r"b\.png: not a label image: \d+ values, which change from pixel to pixel .*give the folder of the masks"


def discs(height=90, width=130):
    y, x = np.mgrid[:height, :width]
    return ((np.hypot(y - 30, x - 35) < 17) | (np.hypot(y - 60, x - 95) < 21)).astype(np.uint8) * 255


def load(folder, pixels):
    file = folder / "labels" / "b.png"
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(file)
    (ref,) = find(folder).refs
    return ref.load()


def as_jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [40, 75, 90, 96])
def test_a_mask_that_was_a_jpeg_is_refused(tmp_path, quality):
    with pytest.raises(InputError, match=EDGES):
        load(tmp_path, as_jpeg(discs(), quality))


@pytest.mark.parametrize("method", ["BILINEAR", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("size", [(60, 41), (200, 140)])
def test_a_mask_resized_with_interpolation_is_refused(tmp_path, method, size):
    with pytest.raises(InputError, match=EDGES):
        load(tmp_path, np.asarray(Image.fromarray(discs()).resize(size, Image.Resampling[method])))


def test_a_mask_resized_with_nearest_neighbour_is_read(tmp_path):
    resized = Image.fromarray(discs()).resize((60, 41), Image.Resampling.NEAREST)
    assert len(load(tmp_path, np.asarray(resized)).classes) == 2


@pytest.mark.parametrize("smoothness", [0, 1, 5, 12])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_photographs_and_probability_maps_are_refused(tmp_path, smoothness, kind):
    texture = gaussian_filter(np.random.default_rng(3).normal(size=(120, 150)), smoothness)
    texture -= texture.min()
    with pytest.raises(InputError, match=TEXTURE):
        load(tmp_path, (texture / texture.max() * np.iinfo(kind).max / 3).astype(kind))


def test_the_message_names_the_folder_of_masks_beside(tmp_path):
    texture = np.random.default_rng(3).integers(0, 200, (50, 60), np.uint8)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(texture).save(tmp_path / folder / "b.png")
    with pytest.raises(InputError, match=r"give the folder of the masks, .*masks$"):
        find(tmp_path / "images").refs[0].load()


@given(st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_packed_instances_of_a_few_pixels_are_labels(tmp_path_factory, height, width, has_gaps):
    rows, columns = 30 // height, 40 // width
    labels = np.arange(1, rows * columns + 1, dtype=np.uint16).reshape(rows, columns)
    labels = labels.repeat(height, axis=0).repeat(width, axis=1)
    if has_gaps:
        labels[::2] = 0
    mask = load(tmp_path_factory.mktemp("packed"), labels)
    assert len(mask.classes) == 1 + np.count_nonzero(np.unique(labels))


def test_thin_lines_are_labels(tmp_path):
    labels = np.zeros((120, 120), np.uint8)
    for number in range(20):
        labels[np.arange(100), (np.arange(100) // 2 + 3 * number) % 120] = number + 200
    labels[np.arange(120), np.arange(120)[::-1]] = 255
    assert len(load(tmp_path, labels).classes) == 22


def test_void_borders_around_classes_are_labels(tmp_path):
    values = np.zeros((60, 60), np.uint8)
    values[9:41, 9:41] = 255
    values[10:40, 10:25], values[10:40, 26:40] = 3, 7
    assert len(load(tmp_path, values).classes) == 4


def test_bands_of_a_large_image_count_as_the_image(monkeypatch):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 40, (30, 12)).repeat(3, axis=0).repeat(2, axis=1)
    ramp = np.add.outer(np.arange(40), np.arange(50))
    images = [image.astype(np.int32) for image in (blocks, ramp, ramp % 7 * 9, rng.integers(0, 3, (5, 5)))]
    values = [np.arange(1, image.max() + 1) for image in images]

    def judged():
        smooth = [_greys._is_smooth(*image) for image in zip(images, values, strict=True)]
        return smooth, [_greys._is_thin(image.astype(np.uint16), image.max()).tolist() for image in images]

    complete = judged()
    assert complete[0] == [False, True, False, True]
    monkeypatch.setattr(_greys, "_BAND", 1)
    assert judged() == complete
