"""What the scan keeps of one mask: enough to plan the store and to weigh the classes."""

from collections.abc import Sequence
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
    return MaskStats(
        shape=mask.shape,
        class_pixels=class_pixels(mask, n_classes),
        class_instances=np.bincount(mask.classes[1:], minlength=n_classes),
        instances=_instance_rows(mask),
        ignored=0 if mask.ignore is None else int(np.count_nonzero(mask.ignore)),
        hidden=int(mask.areas.sum()) - int(np.count_nonzero(mask.labels)),
        faults=mask.faults,
    )


def class_pixels(mask: InstanceMask, n_classes: int) -> CountArray:
    """Visible pixels of each class code below `n_classes`, ignored pixels excluded, shape (n_classes,)."""
    visible = mask.labels if mask.ignore is None else mask.labels[~mask.ignore]
    per_instance = np.bincount(visible.ravel(), minlength=len(mask.classes))
    counts = np.zeros(n_classes, np.int64)
    np.add.at(counts, mask.classes, per_instance)
    return counts


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


@dataclass(frozen=True, eq=False)
class Counts:
    """Totals over masks.

    Attributes
    ----------
    pixels, instances, images : (C,) int64 arrays
        Per class code: valid pixels, instances, and valid pixels of the images in which the class occurs.
    most_instances : int
        Instances of the fullest mask.
    """

    pixels: CountArray
    instances: CountArray
    images: CountArray
    most_instances: int

    @classmethod
    def of_pixels(cls, pixels: Sequence[int]) -> "Counts":
        """Counts of one image without instances, for trying a formula."""
        return cls.of_images(np.array([pixels], np.int64), np.zeros((1, len(pixels)), np.int64))

    @classmethod
    def of_images(cls, pixels: CountArray, instances: CountArray) -> "Counts":
        """Counts of images, from arrays of shape (images, C)."""
        return cls(
            pixels=pixels.sum(axis=0),
            instances=instances.sum(axis=0),
            images=np.where(pixels > 0, pixels.sum(axis=1, keepdims=True), 0).sum(axis=0),
            most_instances=int(instances.sum(axis=1).max(initial=0)),
        )


def total(stats: Sequence[MaskStats]) -> Counts:
    """Counts over `stats`, of which there is at least one."""
    return Counts.of_images(
        np.stack([each.class_pixels for each in stats]), np.stack([each.class_instances for each in stats])
    )
