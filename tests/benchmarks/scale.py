"""Time, memory and bytes of runs over many masks, which are small and made where they are loaded."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from benchmarks.measure import Figures, in_new_process, peak_memory
from helpers.clusters import scheduler, wait_for_workers, workers_of

import segprep
from segprep.masks.mask import InstanceMask
from segprep.store import layout

SIDE = 32
"""Height and width of a mask: so few pixels that the time of a mask hardly depends on them."""
CELL = 8
"""Side of the cells of a mask, each of which has at most one instance."""
INSTANCES, CLASSES = 7, 80
"""Instances of a mask, and classes, as in COCO."""
MASKS = (10_000, 100_000)
MANY_MASKS = 1_000_000
SHARDS, FEW_SHARDS = 10_000, 1_000
MIB = 2**20


@dataclass(frozen=True)
class MadeRef:
    """Mask of `INSTANCES` rectangles, whose places and classes follow from its number."""

    number: int
    split = None

    @property
    def key(self):
        """Number of twelve digits."""
        return f"{self.number:012}"

    def load(self):
        """Make the mask."""
        rng = np.random.default_rng(self.number)
        planes = np.zeros((1, SIDE, SIDE), np.int32)
        cells = planes[0].reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).swapaxes(1, 2)
        places = rng.choice((SIDE // CELL) ** 2, INSTANCES, replace=False)
        for instance, place in enumerate(places.tolist(), start=1):
            height, width = rng.integers(2, CELL, 2)
            cells[*divmod(place, SIDE // CELL)][:height, :width] = instance
        return InstanceMask(planes, np.append(0, rng.integers(1, CLASSES + 1, INSTANCES)).astype(np.int32))


class Load(NamedTuple):
    """CPU seconds of the process that runs segprep, by stage, and of its workers; wall seconds; peak and stored bytes."""

    scan: float
    write: float
    rest: float
    workers: float
    wall: float
    peak: int
    stored: int

    @property
    def parent(self):
        """CPU seconds of the process that runs segprep."""
        return self.scan + self.write + self.rest


def load_of(masks, store, workers, targets=(), shard_pixels=None):
    """Load of a run; to be called in a process that does nothing else. Labels and classes are always written."""
    if shard_pixels is not None:
        layout.SHARD_PIXELS = shard_pixels  # of this process alone, which makes the layout
    seconds, last = {"scan": 0.0, "write": 0.0}, [("", 0.0)]

    def progress(stage, _done, _masks):
        (stage_before, before), now = last[0], time.process_time()
        if stage == stage_before:  # between the stages is the plan
            seconds[stage] += now - before
        last[0] = stage, now

    refs = list(map(MadeRef, range(masks)))
    classes = [f"class {number}" for number in range(1, CLASSES + 1)]
    of_children, cpu, wall = _children(), time.process_time(), time.perf_counter()
    segprep.preprocess(refs, store, targets=targets, classes=classes, workers=workers, progress=progress)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    rest = cpu - seconds["scan"] - seconds["write"]
    return Load(
        **seconds, rest=rest, workers=_children() - of_children, wall=wall, peak=peak_memory(), stored=_bytes(store)
    )


def _children():
    """CPU seconds of the processes that this one has started and that have ended."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _bytes(folder):
    return sum((Path(parent) / name).stat().st_size for parent, _, names in os.walk(folder) for name in names)


def scale(settings) -> Iterator[Figures]:
    """Runs over more and more masks: the figures of a mask should not grow."""
    for masks in (*MASKS, *([MANY_MASKS] if settings.is_large else [])):
        load = in_new_process(load_of, masks, settings.folder / f"{masks}.zarr", 2)
        yield Figures("scale: a mask", f"{masks:,} masks", _of_mask(load, masks))


def _of_mask(load, masks):
    return {
        "CPU, parent": f"{1e6 * load.parent / masks:,.0f} us",
        "of it scan": f"{1e6 * load.scan / masks:,.0f} us",
        "CPU, 2 workers": f"{1e6 * load.workers / masks:,.0f} us",
        "wall": f"{1e6 * load.wall / masks:,.0f} us",
        "stored": f"{load.stored / masks:,.0f} bytes",
        "peak of the parent": f"{load.peak / MIB:,.0f} MiB",
    }


def scheduling(settings) -> Iterator[Figures]:
    """Runs over many shards of one mask each, of four arrays: CPU time of a shard where no work is done."""
    shards = SHARDS if settings.is_large else FEW_SHARDS
    for name, executor in (("2 processes", _processes), ("Dask, 2 workers", _dask)):
        folder = settings.folder / name.partition(",")[0].replace(" ", "")
        folder.mkdir()
        with executor(folder) as (workers, cluster):
            before = cluster()
            load = in_new_process(load_of, shards, folder / "out.zarr", workers, "weights,distance", SIDE**2)
            of_scheduler = cluster() - before
        figures = {
            "CPU, parent, writing": f"{1e6 * load.write / shards:,.0f} us",
            "before and after": f"{1e6 * load.rest / shards:,.0f} us",
            "CPU, scheduler": f"{1e6 * of_scheduler / shards:,.0f} us",
            "wall": f"{1e6 * load.wall / shards:,.0f} us",
        }
        yield Figures("scheduling: a shard", f"{shards:,} shards, {name}", figures)


@contextmanager
def _processes(_folder):
    yield 2, lambda: 0.0


@contextmanager
def _dask(folder):
    """Scheduler file of a cluster, and the CPU time of its scheduler so far."""
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}  # the scheduler too decodes the refs
    with ExitStack() as stack:
        process, file = stack.enter_context(scheduler(folder, **path))
        stack.enter_context(workers_of(file, folder, count=2, **path))
        wait_for_workers(file, 2)
        yield str(file), lambda: sum(psutil.Process(process.pid).cpu_times()[:2])
