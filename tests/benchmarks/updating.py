"""Cost of an update of a store, against that of a new one."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.made import discs
from benchmarks.measure import Comparison, Figures, in_new_process
from PIL import Image

import segprep
from segprep.paths.files import DiskPath

MASKS, ADDED, CHANGED, REMOVED = 2_000, 20, 5, 5
SIDES = {False: (256,), True: (256, 512, 1024)}
"""Sides of the masks, and with ``--large``."""


def update(settings) -> Iterator[Comparison | Figures]:
    """2,000 label images, of which 20 are added, 5 changed and 5 removed."""
    for side in SIDES[settings.is_large]:
        data, root = settings.folder / f"masks{side}", settings.folder / f"{side}.zarr"
        images = [discs(side, side, side * side // 2600, seed)[0].astype(np.uint16) for seed in range(10)]
        data.mkdir()
        for number in range(MASKS):
            _draw(data, number, images)
        new = in_new_process(_run, data, root, {})
        for number in range(ADDED):
            _draw(data, MASKS + number, images)
        for number in range(CHANGED):
            _draw(data, 200 + 379 * number, images, step=7)
        for number in range(REMOVED):
            (data / f"{389 * number:05}.png").unlink()
        after = in_new_process(_run, data, root, {"update": True})
        case = f"{MASKS:,} masks of {side}x{side}"
        for name, unit in (("CPU time", "s"), ("wall time", "s"), ("bytes written", "MB")):
            yield Comparison(f"update: {name}", case, unit, {"new store": new[name], "update": after[name]})
        counts = {"new store": new["shards"], "update": after["shards"]}
        yield Figures(
            "update: shards written, of all targets", case, {way: f"{count:,}" for way, count in counts.items()}
        )


def _draw(data, number, images, step=0):
    """Write one of the images, rolled, so that no two are alike."""
    labels = np.roll(images[number % len(images)], (3 * number + step, 5 * number), (0, 1))
    Image.fromarray(labels).save(data / f"{number:05}.png", compress_level=1)


def _run(data, root, given):
    """CPU and wall time of a run by one process, and what it writes."""
    written, put = [], DiskPath.put
    DiskPath.put = lambda path, body: written.append((path.path, len(body))) or put(path, body)
    segprep.preprocess(
        Path(__file__).parents[2] / "examples" / "coins", root.with_name(f"{root.name}-warm.zarr"), workers=1
    )
    written.clear()
    cpu, wall = time.process_time(), time.perf_counter()
    segprep.preprocess(data, root, workers=1, instances_from="as-is", **given)
    return {
        "CPU time": time.process_time() - cpu,
        "wall time": time.perf_counter() - wall,
        "bytes written": sum(size for _, size in written) / 1e6,
        "shards": sum("/c/" in path.as_posix() and path.relative_to(root).parts[0][0].isdigit() for path, _ in written),
    }
