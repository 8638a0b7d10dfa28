"""CPU time of loading a sample of four arrays, in four ways; a compressed ``.npz`` per mask is one.

``pytest tests/benchmarks/test_loading.py --benchmark-only -n 0`` ends with the table of ratios. tensorstore and zarr-python
keep their arrays open; their times are those of all threads.
"""

import itertools
import time
from functools import partial

import numpy as np
import pytest
import tensorstore
import zarr
from benchmarks.test_kernel import discs
from PIL import Image

import segprep

SIDES = {256: 25, 512: 100, 2048: 400}
"""Height and width of the masks, and their instances."""
MASKS = 4
CROP = 256


@pytest.fixture(scope="module", params=SIDES)
def stored(request, tmp_path_factory):
    """Dataset of `MASKS` masks of one size, the paths of its arrays, and the folder of a ``.npz`` of each mask."""
    side, folder = request.param, tmp_path_factory.mktemp("loading")
    (folder / "labels").mkdir()
    for number in range(MASKS):
        Image.fromarray(discs(side, side, SIDES[side], seed=number)[0].astype(np.uint16)).save(
            folder / "labels" / f"{number}.png"
        )
    segprep.preprocess(folder / "labels", folder / "out.zarr", workers=1)
    dataset = segprep.open(folder / "out.zarr")
    for number in range(MASKS):
        np.savez_compressed(folder / f"{number}.npz", **dataset[number])
    bucket = folder / "out.zarr" / dataset.info.buckets[0].name
    return dataset, [bucket / target.name for target in dataset.info.targets], folder


def by_segprep(dataset, _arrays, _folder, index, window):
    return dataset.read(index, window)


def slices(window):
    y, x, height, width = window
    return slice(y, y + height), slice(x, x + width)


def open_tensorstore(path):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return tensorstore.open(spec, read=True, open=True).result()


def by_tensorstore(_dataset, arrays, _folder, index, window):
    return [future.result() for future in [array[(index, *slices(window))].read() for array in arrays]]


def by_zarr(_dataset, arrays, _folder, index, window):
    return [array[(index, *slices(window))] for array in arrays]


def by_npz(_dataset, _arrays, folder, index, window):
    with np.load(folder / f"{index}.npz") as file:
        return [file[name][slices(window)] for name in ("labels", "classes", "weights", "distance")]


WAYS = {
    "segprep": (by_segprep, str),
    "tensorstore": (by_tensorstore, open_tensorstore),
    "zarr-python": (by_zarr, partial(zarr.open_array, mode="r")),
    ".npz": (by_npz, str),
}


@pytest.mark.benchmark(timer=time.process_time, min_rounds=5, max_time=1, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize("crop", [False, True], ids=["complete", "crop"])
@pytest.mark.parametrize("way", WAYS)
def test_cpu_time_of_a_sample(benchmark, cpu_times, stored, way, crop):
    dataset, paths, folder = stored
    read, opened = WAYS[way]
    arrays, rng = list(map(opened, paths)), np.random.default_rng(0)
    side = int(dataset.sizes[0, 0])
    size = CROP if crop else side
    windows = [(*rng.integers(0, side - size + 1, 2).tolist(), size, size) for _ in range(MASKS)]
    samples = itertools.cycle(enumerate(windows))
    benchmark.group = f"{side} x {side}, {f'crop of {size} x {size}' if crop else 'complete'}"

    def load():
        for _ in range(MASKS):
            sample = read(dataset, arrays, folder, *next(samples))
        return sample

    assert len(benchmark(load)) >= len(paths)
    if benchmark.stats:
        cpu_times.setdefault(benchmark.group, {})[way] = benchmark.stats.stats.min / MASKS
