"""CPU time of decoding a PNG: by segprep, by Pillow with and without the check for missing pixels, and by OpenCV.

``pytest tests/benchmarks/test_png.py --benchmark-only -n 0`` ends with the table of ratios.
"""

import time

import cv2
import numpy as np
import pytest
from benchmarks.made import PNGS, write_png
from PIL import Image

from segprep.readers._image import png_foreground, png_pixels
from segprep.readers._png import common_png

MAX_PIXELS = 2**28


def by_pillow(file):
    with Image.open(file) as image:
        return np.asarray(image)


def by_pillow_checked(file):
    with png_pixels(file, max_pixels=MAX_PIXELS) as image:
        return np.asarray(image)


WAYS = {
    "Pillow": by_pillow,
    "segprep": lambda file: common_png(file, max_pixels=MAX_PIXELS).pixels,
    "segprep, foreground": lambda file: png_foreground(file, max_pixels=MAX_PIXELS),
    "Pillow, checked": by_pillow_checked,
    "OpenCV": lambda file: cv2.imread(str(file), cv2.IMREAD_UNCHANGED),
}


@pytest.mark.benchmark(timer=time.process_time, min_rounds=7, max_time=0.2, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("image", PNGS)
def test_cpu_time_of_a_png(benchmark, cpu_times, tmp_path, image, way):
    write_png(image, tmp_path / "a.png")
    benchmark.group = image
    assert benchmark(WAYS[way], tmp_path / "a.png") is not None
    if benchmark.stats:
        cpu_times.setdefault(image, {})[way] = benchmark.stats.stats.min
