"""Crops of images and targets in PyTorch, by `TorchDataset` and by the data set that is usually written by hand."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.made import discs
from benchmarks.measure import least_cpu
from PIL import Image

import segprep
from segprep.training.torch import TorchDataset

MASKS = 8
TARGETS = ("classes", "weights", "distance")
CASES = [(256, 25, 256), (512, 100, 256), (1024, 400, 256)]
"""Side of the images, their instances, and the side of the crop."""


class ByHand(NamedTuple):
    """A compressed ``.npz`` and an image per mask, which may be left out, as a map-style data set."""

    folder: Path
    crop: int
    image: bool

    def __getitem__(self, index):
        with np.load(self.folder / f"{index}.npz") as file:
            arrays = {name: file[name] for name in TARGETS}
        height, width = arrays["classes"].shape
        y, x = np.random.randint(height - self.crop + 1), np.random.randint(width - self.crop + 1)  # noqa: NPY002
        window = slice(y, y + self.crop), slice(x, x + self.crop)
        sample = {}
        if self.image:
            image = np.array(Image.open(self.folder / "data" / "images" / f"{index}.png"))
            sample["image"] = torch.from_numpy(image[window].astype(np.float32).transpose(2, 0, 1) / 255)
        for name, values in arrays.items():
            sample[name] = torch.from_numpy(values[window].astype(np.int64 if name == "classes" else np.float32))
        return sample


def made_in(folder, side, instances):
    """RGB images of noisy discs, their store, and the same arrays as ``.npz``."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / "data" / name).mkdir(parents=True)
    for number in range(MASKS):
        labels = discs(side, side, instances, seed=number)[0]
        shades = (labels[..., np.newaxis] > 0) * 120 + rng.integers(0, 16, (side, side, 3))
        Image.fromarray(labels.astype(np.uint16)).save(folder / "data" / "labels" / f"{number}.png")
        Image.fromarray(shades.astype(np.uint8)).save(folder / "data" / "images" / f"{number}.png")
    segprep.preprocess(folder / "data", folder / "out.zarr", workers=1)
    for number, mask in enumerate(segprep.open(folder / "out.zarr", dtype="stored")):
        np.savez_compressed(folder / f"{number}.npz", **{name: mask[name] for name in TARGETS})


def cpu_times(folder, side, instances, crop):
    """Least CPU time of a sample in milliseconds by each way, with images and without."""
    made_in(folder, side, instances)
    times = {}
    for image in (True, False):
        options = {"crop": crop, "image": image}
        ways = {
            "by hand": ByHand(folder, **options),
            "TorchDataset": TorchDataset(folder / "out.zarr", TARGETS, **options),
            "biased": TorchDataset(folder / "out.zarr", TARGETS, bias="foreground", **options),
        }
        calls = {way: lambda data=data: [data[index] for index in range(MASKS)] for way, data in ways.items()}
        times[image] = {way: milliseconds / MASKS for way, milliseconds in least_cpu(calls).items()}
    return times
