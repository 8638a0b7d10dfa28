"""Bytes and CPU time of compressed distances, by the level of zstd and the bits of the mantissa."""

import time
from collections.abc import Iterator

import numpy as np
from benchmarks.made import write_coco
from benchmarks.measure import Figures
from numcodecs import zstd

import segprep
from segprep.targets import Distance

LEVELS = (1, 3, 5, 7)
BITS = (10, 9, 8, 7, 6)
IMAGES = {False: 100, True: 1000}
"""COCO-like images that are measured, and with ``--large``."""


def distance_bytes(settings) -> Iterator[Figures]:
    """Distances of COCO-like images in float16, of which 10 bits are all."""
    refs = segprep.find(write_coco(settings.folder / "bytes.json", IMAGES[settings.is_large])).refs
    sizes, seconds, errors = (
        np.zeros((len(BITS), len(LEVELS))),
        np.zeros((len(BITS), len(LEVELS))),
        np.zeros((len(BITS), 2)),
    )
    for mask in (ref.load() for ref in refs):
        exact = Distance(dtype="float32").compute(mask)
        for row, bits in enumerate(BITS):
            kept = Distance(mantissa_bits=bits).compute(mask)
            error = np.abs(kept - exact)
            errors[row] = np.maximum(errors[row], [error.max(), (error / np.maximum(np.abs(exact), 1)).max()])
            for column, level in enumerate(LEVELS):
                start = time.process_time()
                sizes[row, column] += len(zstd.compress(kept, level))
                seconds[row, column] += time.process_time() - start
    for row, bits in enumerate(BITS):
        cells = {
            f"level {level}": f"{size / len(refs) / 1024:.1f} KiB, {1e3 * time_of / len(refs):.2f} ms"
            for level, size, time_of in zip(LEVELS, sizes[row], seconds[row], strict=True)
        }
        largest = {"largest error": f"{errors[row, 0]:.3g} px", "relative": f"{errors[row, 1]:.2g}"}
        yield Figures("bytes: distance of a COCO-like image", f"{bits} bits", cells | largest)
