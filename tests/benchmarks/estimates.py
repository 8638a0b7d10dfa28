"""Estimates of runs against the runs: bytes, peak memory of the largest process, and time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from benchmarks.made import copies, discs, write_coco
from benchmarks.measure import Figures
from benchmarks.slides import write_slide

COINS = Path(__file__).parents[2] / "examples" / "coins"
IMAGES, MANY_IMAGES = 1_000, 10_000
"""COCO-like images, and with ``--large``."""
COPIES = 5
CUT_SIDE, CUT_INSTANCES, SLIDE_SIDE = 8_192, 20_000, 10_000
TILES = {"tile": 512, "distance_clip": 32}
SIDES = (300, 500, 800, 1300)
TIFFS = 100
ROUNDS = 3
LONG = 10
"""Seconds of a run that is not repeated."""

ESTIMATE = """
import json, msgspec, segprep, sys
if __name__ == "__main__":
    print(msgspec.json.encode(segprep.estimate(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))).decode())
"""
RUN = """
import json, os, resource, segprep, shutil, sys, time
from pathlib import Path
if __name__ == "__main__":
    start = time.perf_counter()
    segprep.preprocess(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
    seconds = time.perf_counter() - start
    files = [path for path in Path(sys.argv[2]).rglob("*") if path.is_file() and not path.name.startswith(".")]
    cpu = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print([seconds, cpu, sum(path.stat().st_size for path in files), len(files)])
    shutil.rmtree(sys.argv[2])
"""
LAUNCH = """
import os, resource, sys
status = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
"""Small process that starts a Python, whose peak memory would otherwise be at least that of the process that starts it."""


def data_sets(settings) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Name and path of each data set, and options; made ones are written when they are asked for."""
    real, folder = settings.dsb2018.parents[1], settings.folder
    yield "coins", COINS, {}
    yield "coins, tiles of 128", COINS, {"tile": 128}
    if settings.dsb2018.is_dir():
        yield "DSB 2018", settings.dsb2018, {}
        yield f"DSB 2018, {COPIES} times", copies(settings.dsb2018, folder / "copies", COPIES), {}
        yield "DSB 2018, tiles of 128", settings.dsb2018, {"tile": 128}
    for name, file in (
        ("TACO", real / "taco" / "annotations_small.json"),
        ("COCO panoptic, examples", real / "panoptic" / "sample_data" / "panoptic_examples.json"),
    ):
        if file.is_file():
            yield name, file, {}
    images = MANY_IMAGES if settings.is_large else IMAGES
    yield f"{images:,} COCO-like", write_coco(folder / "made.json", images), {}
    yield f"{TIFFS} TIFF of {len(SIDES)} sizes", _label_images(folder / "tiff"), {}
    yield from tiles(folder)


def tiles(folder) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """A mask that is cut into tiles of 512, and a slide, which is read in tiles."""
    labels = discs(CUT_SIDE, CUT_SIDE, CUT_INSTANCES)[0]
    tifffile.imwrite(folder / "cut.tif", labels.astype(np.uint16), compression="zlib")
    yield f"{CUT_SIDE:,} x {CUT_SIDE:,}, tiles of 512", folder / "cut.tif", TILES
    write_slide(folder / "slide.tif", SLIDE_SIDE)
    options = TILES | {"max_pixels": CUT_SIDE**2}
    yield f"slide of {SLIDE_SIDE:,} x {SLIDE_SIDE:,}, tiles of 512", folder / "slide.tif", options


def _label_images(folder):
    """Label images of discs, whose sizes only their files tell."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, side in enumerate(rng.choice(SIDES, TIFFS).tolist()):
        labels = discs(side, side, int(rng.integers(5, 200)), seed=number)[0]
        tifffile.imwrite(folder / f"{number:03}.tif", labels.astype(np.uint16), compression="zlib")
    return folder


def estimate(settings) -> Iterator[Figures]:
    """Estimates in new processes, and runs in others."""
    for name, data, options in data_sets(settings):
        store = settings.folder / "estimated.zarr"
        estimates, runs = [], []
        for _ in range(ROUNDS):
            estimates.append(json.loads(_printed(ESTIMATE, data, store, options)[0]))
            runs.append(_run(data, store, options))
            if runs[-1][0] > LONG:
                break
        found, (*_, size, objects, peak) = estimates[0], runs[0]
        assert found["objects"] == objects or found["is_sample"]
        guess, cpu_guess = (min(each[name] for each in estimates) for name in ("seconds", "cpu_seconds"))
        seconds, cpu = (min(each[place] for each in runs) for place in (0, 1))
        figures = {
            "masks": f"{found['masks']:,}",
            "read": f"{found['sampled']:,}",
            **_compared("bytes", found["bytes"] / 1e6, size / 1e6, "MB"),
            **_compared("memory", found["memory"] / 1e6, peak / 1e6, "MB"),
            **_compared("CPU", cpu_guess, cpu, "s"),
            **_compared("time", guess, seconds, "s"),
        }
        yield Figures("estimate", name, figures)


def _compared(name, estimated, true, unit):
    return {name: f"{estimated:,.4g} of {true:,.4g} {unit}", f"{name}, ratio": f"{estimated / true:.2f}"}


def _run(data, store, options):
    """Seconds, bytes and objects of a run, and peak memory of its largest process in bytes."""
    line, peak = _printed(RUN, data, store, options)
    return *json.loads(line), 1024 * int(peak)


def _printed(script, data, store, options):
    """Lines that a script prints, and the peak memory of its largest process in KiB."""
    file = store.with_suffix(".py")
    file.write_text(script)
    command = [sys.executable, "-S", "-c", LAUNCH, file, data, store, json.dumps(options)]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{data}: {ended.stderr}")
    return ended.stdout.splitlines()
