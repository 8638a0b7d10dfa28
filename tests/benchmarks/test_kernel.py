"""CPU time of the kernel on one thread, and as multiples of one OpenCV distance transform in the same run.

``pytest tests/benchmarks --benchmark-only -n 0`` ends with the table of ratios.
"""

import time

import cv2
import numpy as np
import pytest
from benchmarks.made import discs
from oracles import unet as oracles

from segprep.kernels.border import border_weights
from segprep.kernels.distance import signed_distance
from segprep.kernels.nearest import nearest_two_squared

IMAGES = [(480, 640, 8), (512, 512, 100), (1024, 1024, 500), (1024, 1024, 6500), (2048, 2048, 2900)]
"""Height, width, instances."""


def one_opencv_pass(planes):
    background = (planes[0] == 0).astype(np.uint8)
    return lambda: cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


WAYS = {
    "one OpenCV pass": one_opencv_pass,
    "nearest_two": lambda planes: lambda: nearest_two_squared(planes, reach=31),
    "border_weights": lambda planes: lambda: border_weights(planes),
    "signed_distance, foreground": lambda planes: lambda: signed_distance(np.minimum(planes[0], 1)),
    "signed_distance, instances": lambda planes: lambda: signed_distance(planes),
    "one SciPy EDT per instance": lambda planes: lambda: oracles.nearest_two(planes),
}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.mark.benchmark(timer=time.process_time, min_rounds=7, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("image", IMAGES, ids=lambda image: "{}x{}/{}".format(*image))
def test_cpu_time(benchmark, cpu_times, image, way):
    if way == "one SciPy EDT per instance" and image not in IMAGES[:2]:
        pytest.skip("one distance transform per instance takes too long for this many")
    planes = discs(*image)
    benchmark.group = "{}x{}, {} instances, {:.0%} foreground".format(*image, np.mean(planes > 0))
    result = benchmark(WAYS[way](planes))
    assert result.shape[-2:] == image[:2]
    assert len(np.unique(planes)) == image[2] + 1
    if benchmark.stats:
        cpu_times.setdefault(benchmark.group, {})[way] = benchmark.stats.stats.min
