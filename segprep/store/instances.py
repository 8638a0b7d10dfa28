"""Complete instances of one mask, as they are read from a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Overlap
from segprep.masks.rle import Runs, bitmap_runs, runs_bitmap, runs_string


@dataclass(frozen=True, eq=False)
class Instances:
    """Complete instances of one mask, including pixels hidden by others or removed between touching instances.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the mask in pixels.
    crops : tuple of InstanceCrop
        Pixels of the instances ``1..N`` within their bounding boxes.
    classes : (N,) int32 array
        Class code of each instance.
    planes : (N,) int32 array
        Plane of each instance; instances in one plane do not overlap.
    """

    shape: tuple[int, int]
    crops: tuple[InstanceCrop, ...]
    classes: NDArray[np.int32]
    planes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.crops)

    def __repr__(self) -> str:
        height, width = self.shape
        codes = ", ".join(map(str, np.unique(self.classes)))
        return f"<{len(self)} instances in {height} x {width} pixels; classes {codes or 'none'}>"

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Bounding boxes as in COCO, [x, y, width, height] in pixels, shape (N, 4)."""
        boxes = [(crop.x, crop.y, crop.pixels.shape[1], crop.pixels.shape[0]) for crop in self.crops]
        return np.array(boxes, np.int64).reshape(-1, 4)

    @property
    def masks(self) -> BoolArray:
        """One mask per instance, shape (N, H, W)."""
        masks = np.zeros((len(self), *self.shape), np.bool_)
        for mask, (y, x, pixels) in zip(masks, self.crops, strict=True):
            mask[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return masks

    def rle(self) -> list[dict[str, Any]]:
        """Each instance as COCO's compressed RLE: ``{"size": [height, width], "counts": str}``."""
        return [{"size": list(self.shape), "counts": runs_string(bitmap_runs(mask))} for mask in self.masks]


def crops_of(labels: NDArray[Any], boxes: Sequence[Sequence[int]], runs: Sequence[Runs]) -> tuple[InstanceCrop, ...]:
    """Pixels of each instance within its bounding box; ValueError if a box or its runs do not fit.

    Parameters
    ----------
    labels : (H, W) array of integers
        Numbers of the instances in front.
    boxes : list of five integers for each instance
        y, x, height and width of its bounding box in pixels, and its number in `labels`.
    runs : list of arrays
        Runs of each instance within its box; without any, the labels show all of it.
    """
    crops = []
    for (y, x, height, width, number), own in zip(boxes, runs, strict=True):
        if not (0 <= y <= y + height <= labels.shape[0] and 0 <= x <= x + width <= labels.shape[1]):
            box = f"{height} x {width} pixels from ({y}, {x}), in an image of {labels.shape[0]} x {labels.shape[1]}"
            raise ValueError(f"instances: instance {number} has {box}")
        if len(own) and (pixels := int(own.sum(dtype=np.uint64))) != height * width:
            wrong = f"those of instance {number} have {pixels} pixels instead of {height} x {width}"
            raise ValueError(f"instances/runs: {wrong}")
        shown = labels[y : y + height, x : x + width] == number
        crops.append(InstanceCrop(y, x, runs_bitmap(own, (height, width)) if len(own) else shown))
    return tuple(crops)


def mask_of(instances: Instances, codes: NDArray[Any], overlap: Overlap) -> InstanceMask:
    """Ground truth of a mask from its instances and class codes, as it was read."""
    planes = np.zeros((max(1, int(instances.planes.max(initial=0)) + 1), *instances.shape), np.int32)
    for number, ((y, x, pixels), plane) in enumerate(zip(instances.crops, instances.planes, strict=True), start=1):
        planes[plane, y : y + pixels.shape[0], x : x + pixels.shape[1]][pixels] = number
    ignore = codes == np.iinfo(codes.dtype).max
    stuff = np.where(ignore | (planes > 0).any(axis=0), 0, codes).astype(np.int32)
    return InstanceMask(
        planes,
        np.append(np.int32(0), instances.classes),
        ignore if ignore.any() else None,
        stuff=stuff if stuff.any() else None,
        overlap=overlap,
    )
