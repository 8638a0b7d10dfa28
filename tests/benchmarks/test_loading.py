"""CPU time of loading a sample of four arrays, in four ways; a compressed ``.npz`` per mask is one.

``pytest tests/benchmarks/test_loading.py --benchmark-only -n 0`` ends with the table of ratios. tensorstore and zarr-python
keep their arrays open; their times are those of all threads.
"""

import itertools
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorstore
import zarr
from benchmarks.made import write_labels

import segprep
from segprep.store.dataset import Dataset

SIDES = {256: 25, 512: 100, 2048: 400}
"""Height and width of the masks, and their instances."""
MASKS = 4
CROP = 256
CASES = [(256, 256), (512, 512), (512, CROP), (2048, 2048), (2048, CROP)]
"""Side of the masks, and of the crop that is loaded."""


class Stored(NamedTuple):
    """Store of `MASKS` masks, the paths of its arrays, and the folder of a ``.npz`` of each mask."""

    dataset: Dataset
    arrays: list[Path]
    folder: Path


def stored_in(folder, side):
    """`Stored` masks of one size, made in a folder."""
    write_labels(folder / "labels", side, SIDES[side], MASKS)
    segprep.preprocess(folder / "labels", folder / "out.zarr", workers=1)
    dataset = segprep.open(folder / "out.zarr", dtype="stored")  # as the others read it
    for number in range(MASKS):
        np.savez_compressed(folder / f"{number}.npz", **dataset[number])
    bucket = folder / "out.zarr" / dataset.info.buckets[0].name
    return Stored(dataset, [bucket / target.name for target in dataset.info.targets], folder)


@pytest.fixture(scope="module")
def stored_of(tmp_path_factory):
    """Callable: `Stored` masks of a side, made once."""
    made = {}

    def stored_of(side):
        if side not in made:
            made[side] = stored_in(tmp_path_factory.mktemp("loading"), side)
        return made[side]

    return stored_of


def by_segprep(stored, _arrays, index, window):
    return stored.dataset.read(index, window)


def slices(window):
    y, x, height, width = window
    return slice(y, y + height), slice(x, x + width)


def open_tensorstore(path):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    return tensorstore.open(spec, read=True, open=True).result()


def by_tensorstore(_stored, arrays, index, window):
    return [future.result() for future in [array[(index, *slices(window))].read() for array in arrays]]


def by_zarr(_stored, arrays, index, window):
    return [array[(index, *slices(window))] for array in arrays]


def by_npz(stored, _arrays, index, window):
    with np.load(stored.folder / f"{index}.npz") as file:
        return [file[name][slices(window)] for name in ("labels", "classes", "weights", "distance")]


WAYS = {
    "tensorstore": (by_tensorstore, open_tensorstore),
    "segprep": (by_segprep, str),
    "zarr-python": (by_zarr, partial(zarr.open_array, mode="r")),
    ".npz": (by_npz, str),
}


def loader(way, stored, size):
    """Callable that loads a crop of every mask, at places that change from call to call."""
    read, opened = WAYS[way]
    arrays, rng = list(map(opened, stored.arrays)), np.random.default_rng(0)
    side = int(stored.dataset.sizes[0, 0])
    places = itertools.cycle(rng.integers(0, side - size + 1, (8, 2)).tolist())
    return lambda: [read(stored, arrays, index, (*next(places), size, size)) for index in range(MASKS)]


def title(side, size):
    return f"{side} x {side}, {f'crop of {size} x {size}' if size < side else 'complete'}"


@pytest.mark.benchmark(timer=time.process_time, min_rounds=5, max_time=1, warmup=True, warmup_iterations=1)
@pytest.mark.parametrize(("side", "size"), CASES)
@pytest.mark.parametrize("way", WAYS)
def test_cpu_time_of_a_sample(benchmark, cpu_times, stored_of, way, side, size):
    benchmark.group = title(side, size)
    assert len(benchmark(loader(way, stored_of(side), size))) == MASKS
    if benchmark.stats:
        cpu_times.setdefault(benchmark.group, {})[way] = benchmark.stats.stats.min / MASKS
