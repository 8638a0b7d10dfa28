"""What the scan keeps of one mask: enough to plan the store and to weigh the classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from segprep.mask import CountArray, Fault, InstanceMask

INSTANCE_ROW = np.dtype(
    [
        ("number", np.int32),
        ("class", np.int32),
        ("area", np.int64),
        ("y", np.int32),
        ("x", np.int32),
        ("height", np.int32),
        ("width", np.int32),
        ("plane", np.int32),
    ]
)
"""One instance: its number, class code, whole area in pixels, bounding box in pixels, and the plane it lies in."""


@dataclass(frozen=True, eq=False)
class MaskStats:
    """Size and counts of one mask.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    class_pixels : (C,) int64 array
        Visible pixels of each class code, ignored pixels excluded.
    class_instances : (C,) int64 array
        Instances of each class code; 0 for the background.
    instances : (N,) array of `INSTANCE_ROW`
        The instances ``1..N``.
    ignored : int
        Pixels without truth.
    hidden : int
        Instance pixels that lie behind another instance.
    faults : tuple of Fault
        What was left out of the mask.
    """

    shape: tuple[int, int]
    class_pixels: CountArray
    class_instances: CountArray
    instances: NDArray[np.void]
    ignored: int
    hidden: int
    faults: tuple[Fault, ...]


def mask_stats(mask: InstanceMask, n_classes: int) -> MaskStats:
    """Size and counts of `mask`, whose class codes lie below `n_classes`."""
    codes = mask.classes[mask.labels]
    valid = codes if mask.ignore is None else codes[~mask.ignore]
    return MaskStats(
        shape=mask.shape,
        class_pixels=np.bincount(valid.ravel(), minlength=n_classes),
        class_instances=np.bincount(mask.classes[1:], minlength=n_classes),
        instances=_instance_rows(mask),
        ignored=codes.size - valid.size,
        hidden=int(mask.areas.sum()) - int(np.count_nonzero(mask.labels)),
        faults=mask.faults,
    )


def _instance_rows(mask: InstanceMask) -> NDArray[np.void]:
    """One `INSTANCE_ROW` per instance, in the order of their numbers."""
    count = len(mask.classes) - 1
    rows = np.zeros(count, INSTANCE_ROW)
    rows["number"] = np.arange(1, count + 1)
    rows["class"] = mask.classes[1:]
    rows["area"] = mask.areas[1:]
    for index, plane in enumerate(mask.planes):
        for row, box in zip(rows, find_objects(plane, max_label=count), strict=False):
            if box is not None:
                ys, xs = box
                row["y"], row["x"] = ys.start, xs.start
                row["height"], row["width"] = ys.stop - ys.start, xs.stop - xs.start
                row["plane"] = index
    return rows
