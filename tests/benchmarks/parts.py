"""Parts of ``python -m tests.benchmarks``: generators of comparisons, or of the reason why one is skipped."""

import io
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
from benchmarks import floor, test_kernel, test_loading, test_png, usual_script
from benchmarks.estimates import estimate
from benchmarks.made import copies, discs, write_coco, write_png
from benchmarks.measure import (
    SCRATCH,
    Comparison,
    Figures,
    cpu_and_peak,
    in_new_process,
    least_cpu,
    least_of_commands,
)
from benchmarks.profiles import profiles
from benchmarks.scale import scale, scheduling
from benchmarks.sizes import distance_bytes
from benchmarks.slides import slides
from benchmarks.tiled import tiles
from benchmarks.updating import update
from helpers.commands import COMMAND

import segprep
from segprep.training.metrics import boundary_f, iou_matrix, mean_ap, overlaps, separated_pairs

COINS = Path(__file__).parents[2] / "examples" / "coins"
MANY = [(1024, 1024, count) for count in (0, 50, 500, 5_000, 50_000)]
"""Images of one size, to see that the time does not grow with the instances."""
EPOCHS = 3
USUAL_IMAGES = 250
"""COCO-like images that the usual script does."""
INDEX_IMAGES = 53_400
"""Images of a COCO file of about 200 MB."""


class Settings(NamedTuple):
    """Folder of scratch files; folder of DSB 2018, which may not exist; and whether long measurements are wanted."""

    folder: Path
    dsb2018: Path
    is_large: bool


def kernels(_settings) -> Iterator[Comparison]:
    """One thread; the last rows show that the time does not depend on the number of instances."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    ways = ["one OpenCV pass", "border_weights", "signed_distance, foreground", "signed_distance, instances"]
    for image in dict.fromkeys([*test_kernel.IMAGES, (4096, 4096, 12000), *MANY]):
        planes = discs(*image)
        calls = {way: test_kernel.WAYS[way](planes) for way in ways}
        yield Comparison("kernels: CPU time", "{}x{}, {:,} instances".format(*image), "ms", least_cpu(calls))
    cv2.setNumThreads(threads)


def png(settings) -> Iterator[Comparison]:
    """Decoding of PNG, which segprep does itself for the common kinds."""
    for kind in test_png.PNGS:
        file = settings.folder / "a.png"
        write_png(kind, file)
        calls = {way: partial(decode, file) for way, decode in test_png.WAYS.items()}
        yield Comparison("png: CPU time", kind, "ms", least_cpu(calls))


def loader(settings) -> Iterator[Comparison | str]:
    """Loading of a sample of four arrays, which are kept open, and two workers of PyTorch that load complete samples."""
    stored = {}
    for side, size in test_loading.CASES:
        if side not in stored:
            folder = settings.folder / f"loader{side}"
            folder.mkdir()
            stored[side] = test_loading.stored_in(folder, side)
        calls = {way: test_loading.loader(way, stored[side], size) for way in test_loading.WAYS}
        times = {way: milliseconds / test_loading.MASKS for way, milliseconds in least_cpu(calls).items()}
        yield Comparison("loader: CPU time of a sample", test_loading.title(side, size), "ms", times)
    for side, (_, _, folder) in stored.items():
        try:
            times = in_new_process(_by_pytorch, folder, 1_000 if side < 2048 else 50)
        except ModuleNotFoundError as error:
            yield f"loader in PyTorch: skipped, {error}"
            return
        yield Comparison("loader: wall time of a sample of PyTorch's, 2 workers", f"{side} x {side}", "ms", times)


class _Npz(NamedTuple):
    """``.npz`` files as a data set of PyTorch."""

    folder: Path

    def __getitem__(self, index):
        with np.load(self.folder / f"{index}.npz") as file:
            return {name: file[name] for name in ("labels", "classes", "weights", "distance")}


def _by_pytorch(folder, samples):
    """Least milliseconds of a sample in an epoch, by data set; in a separate process, because the workers are forked."""
    from torch.utils.data import DataLoader  # noqa: PLC0415 - an optional package

    indices = np.arange(samples) % test_loading.MASKS
    data_sets = {".npz": _Npz(folder), "segprep": segprep.open(folder / "out.zarr", dtype="stored")}
    options = {"num_workers": 2, "persistent_workers": True, "multiprocessing_context": "fork"}
    loaders = {
        way: DataLoader(data, batch_size=None, sampler=indices.tolist(), **options) for way, data in data_sets.items()
    }
    rounds = [{way: _epoch(loader) for way, loader in loaders.items()} for _ in range(EPOCHS)]
    return {way: 1000 * min(times[way] for times in rounds) / samples for way in loaders}


def _epoch(loader):
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def training(settings) -> Iterator[Comparison | str]:
    """A random crop of an image, its classes, weights and distance, as tensors."""
    try:
        from benchmarks import training_samples  # noqa: PLC0415 - PyTorch is an optional package
    except ModuleNotFoundError as error:
        yield f"training: skipped, {error}"
        return
    for side, instances, crop in training_samples.CASES:
        folder = settings.folder / f"training{side}"
        times = in_new_process(training_samples.cpu_times, folder, side, instances, crop)
        for image, figures in times.items():
            case = test_loading.title(side, crop) + (", RGB image in PNG" if image else ", no image")
            yield Comparison("training: CPU time of a sample of PyTorch", case, "ms", figures)


def run(settings) -> Iterator[Comparison | str]:
    """``segprep weights`` with weights and distance, which decodes each image twice, and `usual_script`."""
    if not settings.dsb2018.is_dir():
        yield f"run on DSB 2018: skipped, there is no {settings.dsb2018}; set SEGPREP_TEST_DATA or give --data"
    else:
        yield from _against_usual("48 of DSB 2018", settings.dsb2018, 48, 48, settings)
        if settings.is_large:
            data = copies(settings.dsb2018, settings.folder / "dsb480", 10)
            yield from _against_usual("480 of DSB 2018", data, 480, 48, settings)
    images = 5_000 if settings.is_large else USUAL_IMAGES
    data = write_coco(settings.folder / "coco_like.json", images)
    found = list(_against_usual(f"{images:,} COCO-like", data, images, USUAL_IMAGES, settings))
    yield from found
    first = write_coco(settings.folder / "first.json", USUAL_IMAGES)  # with the same polygons
    segprep.preprocess(first, settings.folder / "first.zarr", workers=2)
    least = 1000 * floor.cpu_seconds(first, settings.folder / "first.zarr") / USUAL_IMAGES
    figures = {"decode and compress once": least, "segprep": found[0].figures["segprep"]}
    yield Comparison("run: CPU time of an image, to the least work", f"{images:,} COCO-like", "ms", figures)


def _weights(data, workers):
    return [COMMAND, "weights", data, SCRATCH, "--class-weights", "inverse", "--workers", workers]


def _usual(data, images):
    return [sys.executable, usual_script.__file__, data, SCRATCH, images]


def _against_usual(case, data, images, usual_images, settings) -> Iterator[Comparison]:
    """Times of an image by the usual script, which may do only the first images, and by segprep; and those of one worker."""
    ways = {
        "usual script": _usual(data, usual_images),
        "segprep": _weights(data, workers=2),
        "1 worker": _weights(data, workers=1),
    }
    usual, ours, alone = least_of_commands(ways, settings.folder).values()
    for what, here, there in (("CPU", usual.cpu, ours.cpu), ("wall", usual.wall, ours.wall)):
        figures = {"usual script": 1000 * here / usual_images, "segprep": 1000 * there / images}
        yield Comparison("run: time of an image, 2 workers", f"{case}, {what}", "ms", figures)
    yield Comparison("run: wall time of segprep", case, "s", {"1 worker": alone.wall, "2 workers": ours.wall})


def start(settings) -> Iterator[Comparison]:
    """Processes that do little, from their start to their end."""
    store = settings.folder / "coins.zarr"
    bucket = segprep.preprocess(COINS, store, workers=1).buckets[0].name
    by_zarr = f"import zarr; bucket = zarr.open_group({str(store / bucket)!r}, mode='r')"
    read = "[bucket[name][0] for name in ('labels', 'classes', 'weights', 'distance')]"
    pairs = {
        "import segprep, to import numpy": (_python("import numpy"), _python("import segprep")),
        "segprep --help, to import click": (_python("import click"), [COMMAND, "--help"]),
        "open and read the coins, to zarr-python": (
            _python(f"{by_zarr}; {read}"),
            _python(f"import segprep; segprep.open({str(store)!r})[0]"),
        ),
        "segprep weights of the coins, to the usual script": (
            [sys.executable, usual_script.__file__, COINS, SCRATCH],
            [COMMAND, "weights", COINS, SCRATCH, "--class-weights", "inverse"],
        ),
    }
    for case, (alternative, ours) in pairs.items():
        times = least_of_commands({"alternative": alternative, "segprep": ours}, settings.folder, rounds=7)
        for what in ("CPU", "wall"):
            figures = {way: 1000 * getattr(each, what.lower()) for way, each in times.items()}
            yield Comparison("start: time of a process", f"{case}, {what}", "ms", figures)


def _python(code):
    return [sys.executable, "-c", code]


class _Annotation(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    iscrowd: int
    segmentation: msgspec.Raw


class _Document(msgspec.Struct):
    images: list[dict[str, int | str]]
    categories: list[dict[str, int | str]]
    annotations: list[_Annotation]


def _by_msgspec(file):
    with file.open("rb") as opened:
        return msgspec.json.decode(mmap(opened.fileno(), 0, access=ACCESS_READ), type=_Document)


def index(settings) -> Iterable[Comparison | str]:
    """Finding the masks of a COCO file; peak memory is that beyond the imports."""
    if not settings.is_large:
        return ["index of a COCO file of 200 MB: skipped, give --large"]
    file = write_coco(settings.folder / "index.json", INDEX_IMAGES)
    ways = {"typed decoding by msgspec": _by_msgspec, "segprep.find": segprep.find}
    rounds = {way: [in_new_process(cpu_and_peak, call, file) for _ in range(3)] for way, call in ways.items()}
    seconds, peaks = ({way: min(each)[field] for way, each in rounds.items()} for field in (0, 1))
    size, case = file.stat().st_size, f"COCO file of {file.stat().st_size / 1e6:.0f} MB"
    return [
        Comparison("index", f"{case}, CPU time", "s", seconds),
        Comparison("index", f"{case}, peak memory", "times the file", {way: n / size for way, n in peaks.items()}),
    ]


def size(settings) -> Iterator[Comparison]:
    """Compressed bytes of a sample."""
    images = 250
    store = settings.folder / "size.zarr"
    info = segprep.preprocess(write_coco(settings.folder / "size.json", images), store, workers=2)
    dataset = segprep.open(store, dtype="stored")
    for names in (("labels", "classes", "weights"), ("distance",)):
        buckets = [store / bucket.name / name / "c" for bucket in info.buckets for name in names]
        ours = sum(path.stat().st_size for bucket in buckets for path in bucket.rglob("*") if path.is_file())
        npz = sum(_npz_bytes(dataset.read(index, targets=names), names) for index in range(images))
        figures = {"compressed .npz": npz / images / 1024, "segprep": ours / images / 1024}
        yield Comparison("size of a COCO-like sample", ", ".join(names), "KiB", figures)


def _npz_bytes(sample, names):
    file = io.BytesIO()
    np.savez_compressed(file, **{name: sample[name] for name in names})
    return len(file.getvalue())


def metrics(_settings) -> Iterator[Comparison]:
    """IoU of all pairs of instances, and all scores of an image; dense masks are multiplied in blocks of pixels."""
    for side, count in ((256, 50), (1024, 500)):
        truth = discs(side, side, count)[0]
        prediction = np.roll(truth, 3, axis=1)
        masks = [labels.ravel() == np.arange(1, count + 1)[:, np.newaxis] for labels in (truth, prediction)]
        times = least_cpu(
            {
                "segprep, IoU": partial(_own_iou, truth, prediction),
                "mean AP": partial(mean_ap, truth, prediction),
                "boundary F": partial(boundary_f, truth, prediction),
                "separated pairs": partial(separated_pairs, truth, prediction),
                "IoU by bincount": partial(_table_iou, truth, prediction),
            }
        )
        start = time.process_time()
        dense = _dense_iou(*masks)
        times["IoU of dense masks"] = 1000 * (time.process_time() - start)  # once: it takes seconds
        np.testing.assert_allclose(dense, iou_matrix(truth, prediction), rtol=1e-5)
        yield Comparison("metrics: CPU time", f"{side}x{side}, {count} instances", "ms", times)


def _own_iou(truth, prediction):
    return overlaps(truth, prediction).iou


def _dense_iou(true, predicted, block=2**14):
    """IoU of masks of shape (N, pixels) and (M, pixels)."""
    shared = np.zeros((len(true), len(predicted)), np.float32)
    for start in range(0, true.shape[1], block):
        here, there = (masks[:, start : start + block].astype(np.float32) for masks in (true, predicted))
        shared += here @ there.T
    areas = true.sum(axis=1)[:, np.newaxis] + predicted.sum(axis=1)
    return shared / (areas - shared)


def _table_iou(truth, prediction):
    """IoU by a table of all labels by all others, which `numpy.bincount` fills."""
    sizes = int(truth.max()) + 1, int(prediction.max()) + 1
    pairs = truth.ravel().astype(np.int64) * sizes[1] + prediction.ravel()
    table = np.bincount(pairs, minlength=sizes[0] * sizes[1]).reshape(sizes)
    areas = table.sum(axis=1, keepdims=True) + table.sum(axis=0)
    return (table / (areas - table))[1:, 1:]


PARTS = {
    part.__name__: part
    for part in (
        *(kernels, png, loader, training, run, start, index, size, metrics),
        *(scale, scheduling, tiles, slides, estimate, update),
    )
}
PARTS |= {"bytes": distance_bytes, "profile": profiles}


def measured(name, dsb2018, *, is_large) -> Iterator[Comparison | Figures | str]:
    """Comparisons of a part, one after the other, in a separate folder."""
    with tempfile.TemporaryDirectory() as folder:
        yield from PARTS[name](Settings(Path(folder), dsb2018, is_large))
