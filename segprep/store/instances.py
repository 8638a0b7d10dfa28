"""Complete instances of one mask, as they are read from a store."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray
from segprep.masks.crops import InstanceCrop
from segprep.masks.rle import bitmap_runs, runs_string


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
