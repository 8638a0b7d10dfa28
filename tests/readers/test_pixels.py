"""Windows of images; `tests/store/test_images.py` has complete ones."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from segprep.errors import InputError
from segprep.masks.tiles import Window
from segprep.readers import image_pixels, image_window

SHAPE = (150, 200)
WINDOWS = [Window(0, 0, 150, 200), Window(10, 60, 70, 70), Window(149, 199, 1, 1), Window(64, 64, 64, 64)]
SAVED = {
    "grey": ((), np.uint8, {}),
    "16 bits, deflate and a predictor": ((), np.uint16, {"compression": "zlib", "predictor": True}),
    "RGB in LZW": ((3,), np.uint8, {"compression": "lzw", "photometric": "rgb"}),
    "RGB with alpha": ((4,), np.uint8, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "JPEG": ((3,), np.uint8, {"compression": "jpeg", "photometric": "ycbcr", "subsampling": (1, 1)}),
    "float": ((), np.float32, {}),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_window_of_a_tiled_tiff_is_the_part_of_the_image(tmp_path, kind):
    channels, dtype, options = SAVED[kind]
    pixels = np.random.default_rng(0).integers(0, 255, (*SHAPE, *channels)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64), **options)
    expected = image_pixels(tmp_path / "a.tif", SHAPE, "a")
    for window in WINDOWS:
        found = image_window(tmp_path / "a.tif", SHAPE, window, "a")
        np.testing.assert_array_equal(found, expected[window.part])
        assert found.dtype == expected.dtype


def test_other_files_have_no_windows(tmp_path):
    pixels = np.zeros(SHAPE, np.uint8)
    tifffile.imwrite(tmp_path / "strips.tif", pixels)
    tifffile.imwrite(tmp_path / "white.tif", pixels, tile=(64, 64), photometric="miniswhite")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name in ("strips.tif", "white.tif", "a.png"):
        assert image_window(tmp_path / name, SHAPE, WINDOWS[1], "a") is None


def test_refuses_an_image_of_another_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((160, 200), np.uint8), tile=(64, 64))
    with pytest.raises(InputError, match=r"a\.tif: 160 x 200 pixels, but the mask 'a' has 150 x 200"):
        image_window(tmp_path / "a.tif", SHAPE, WINDOWS[1], "a")
