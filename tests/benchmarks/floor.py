"""Least work of a run: decode each image once, and compress its arrays once, in two processes."""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from numcodecs import zstd

import segprep
from segprep.store.encoding import LEVEL

PROCESSES = 2


def cpu_seconds(data, store):
    """CPU time of decoding the images of a data set, and of compressing their arrays, which a store has."""
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        return sum(pool.map(partial(_of_part, data, store), range(PROCESSES)))


def _of_part(data, store, part):
    dataset, seconds = segprep.open(store, dtype="stored"), 0.0
    for ref in segprep.find(data).refs[part::PROCESSES]:
        arrays = [values for name, values in dataset[ref.key].items() if name != "key"]
        start = time.process_time()
        ref.load()
        for values in arrays:
            zstd.compress(values, LEVEL)
        seconds += time.process_time() - start
    return seconds
