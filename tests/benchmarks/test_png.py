"""CPU time of decoding a PNG: by segprep, by Pillow with and without the check for missing pixels, and by OpenCV.

``pytest tests/benchmarks/test_png.py --benchmark-only -n 0`` ends with the table of ratios.
"""

import time

import cv2
import numpy as np
import pytest
from benchmarks.test_kernel import discs
from PIL import Image

from segprep.readers._image import png_foreground, png_pixels
from segprep.readers._png import common_png

MAX_PIXELS = 2**28


def instance(side):
    return ((discs(side, side, 30)[0] == 7) * 255).astype(np.uint8)


def labels(dtype):
    return discs(512, 512, 100)[0].astype(dtype)


def palette(bits):
    image = Image.fromarray((labels(np.int32) % 2**bits).astype(np.uint8)).convert("P")
    image.putpalette(list(range(3 * 2**bits)) if bits < 8 else list(range(256)) * 3)
    return image


def colours(channels):
    table = np.random.default_rng(0).integers(0, 256, (101, channels), np.uint8)
    return table[labels(np.uint8)]


def noise():
    rng = np.random.default_rng(0)
    return (labels(np.int32) + rng.integers(0, 8, (512, 512))).astype(np.uint8)


IMAGES = {
    "one instance, 256x256": lambda: Image.fromarray(instance(256)),
    "one instance, 256x256, by OpenCV": lambda: instance(256),
    "1 bit": lambda: Image.fromarray(labels(np.bool_)),
    "8 bits": lambda: Image.fromarray(labels(np.uint8)),
    "8 bits, by OpenCV": lambda: labels(np.uint8),
    "16 bits": lambda: Image.fromarray(labels(np.uint16)),
    "16 bits, by OpenCV": lambda: labels(np.uint16),
    **{f"palette, {bits} bits": lambda bits=bits: palette(bits) for bits in (1, 2, 4, 8)},
    "RGB": lambda: Image.fromarray(colours(3)),
    "RGB, by OpenCV": lambda: colours(3),
    "RGBA": lambda: Image.fromarray(colours(4)),
    "8 bits of noise": lambda: Image.fromarray(noise()),
}
"""Images of 256 x 256 or 512 x 512 pixels, saved by Pillow if not by OpenCV, which choose different filters."""


def by_pillow(file):
    with Image.open(file) as image:
        return np.asarray(image)


def by_pillow_checked(file):
    with png_pixels(file, max_pixels=MAX_PIXELS) as image:
        return np.asarray(image)


WAYS = {
    "one OpenCV pass": lambda file: cv2.imread(str(file), cv2.IMREAD_UNCHANGED),
    "segprep": lambda file: common_png(file, max_pixels=MAX_PIXELS).pixels,
    "segprep, foreground": lambda file: png_foreground(file, max_pixels=MAX_PIXELS),
    "Pillow": by_pillow,
    "Pillow, checked": by_pillow_checked,
}


@pytest.mark.benchmark(timer=time.process_time, min_rounds=7, max_time=0.2, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("image", IMAGES)
def test_cpu_time_of_a_png(benchmark, cpu_times, tmp_path, image, way):
    made, file = IMAGES[image](), tmp_path / "a.png"
    if isinstance(made, np.ndarray):
        cv2.imwrite(str(file), made)
    else:
        made.save(file, bits=int(image.split()[1])) if image.startswith("palette") else made.save(file)
    benchmark.group = image
    result = benchmark(WAYS[way], file)
    assert result is not None
    if benchmark.stats:
        cpu_times.setdefault(image, {})[way] = benchmark.stats.stats.min
