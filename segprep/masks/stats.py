"""Statistics of one mask that the scan keeps: enough to plan the store and to compute class weights."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.kernels.lookup import counts
from segprep.masks.classes import ClassTable
from segprep.masks.mask import InstanceMask, Problem, SourceValues
from segprep.masks.rle import NO_RUNS, Runs, bitmap_runs
from segprep.masks.touching import touching_pairs

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
"""One complete instance: its number, class code, area in pixels, bounding box in pixels, and plane."""

CLASS_COUNT = np.dtype([("class", np.int64), ("pixels", np.int64)])
"""One class that is visible: its code, and its visible pixels that are not ignored."""

_BLOCK = 2**16
"""Masks that are counted together, so that memory does not grow with their number."""


@dataclass(frozen=True, eq=False, slots=True)
class MaskStats:
    """Size and counts of one mask, in few bytes: a run holds those of all masks.

    `class_counts` are the bytes of one `CLASS_COUNT` for each class code below `n_classes` that has pixels, and
    `instance_rows` those of one `INSTANCE_ROW` for each complete instance ``1..N``. `runs` has the runs of each instance
    within its bounding box if the labels show only a part of it, else none; it is empty if they show all of every instance.
    `ignored` and `hidden` count ignored pixels, and those of instances behind another. `filled` is true if instances and
    stuff cover the image. `digest` is `mask_digest` of the complete instances. `source` has the values of a label image that
    was loaded, else none. `touching` counts pairs of instances that touch; the tables of a store do not have it.
    `is_scattered` is true if an instance lies in several pieces far apart, where a scan looks for them. `tiles` has the
    statistics of the tiles that the mask is cut into, if any, and `source_numbers`, of a tile, the bytes of the number of each
    instance in the complete mask, int64.
    """

    shape: tuple[int, int]
    n_classes: int
    class_counts: bytes
    instance_rows: bytes
    runs: tuple[Runs, ...]
    ignored: int
    hidden: int
    filled: bool
    problems: tuple[Problem, ...]
    digest: bytes
    source: SourceValues | None = None
    touching: int | None = None
    is_scattered: bool = False
    tiles: tuple["MaskStats", ...] = ()
    source_numbers: bytes = b""

    @property
    def class_pixels(self) -> CountArray:
        """Visible pixels of each class code that are not ignored, shape (C,)."""
        pixels = np.zeros(self.n_classes, np.int64)
        counts = np.frombuffer(self.class_counts, CLASS_COUNT)
        pixels[counts["class"]] = counts["pixels"]
        return pixels

    @property
    def class_instances(self) -> CountArray:
        """Instances of each class code, shape (C,)."""
        return np.bincount(self.instances["class"], minlength=self.n_classes)

    @property
    def instances(self) -> NDArray[np.void]:
        """One `INSTANCE_ROW` for each complete instance, in the order of their numbers."""
        return np.frombuffer(self.instance_rows, INSTANCE_ROW)


def input_digest(keys: Sequence[str], digests: Sequence[bytes]) -> str:
    """Fingerprint of a data set: the names and the digests of its masks, as the text of a list of pairs.

    >>> input_digest(["a", "b"], [b"1", b"2"]) == hashlib.sha256(b"[('a', '31'), ('b', '32')]").hexdigest()
    True
    """
    text = hashlib.sha256(b"[")
    for index, (key, digest) in enumerate(zip(keys, digests, strict=True)):
        text.update(f"{', ' if index else ''}{(key, digest.hex())}".encode())
    text.update(b"]")
    return text.hexdigest()


def mask_stats(complete: InstanceMask, n_classes: int, shown: InstanceMask | None = None) -> MaskStats:
    """Size and counts of a mask with complete instances, and of `shown`, the same with touching instances separated."""
    shown = shown or complete
    rows = _instance_rows(complete)
    return MaskStats(
        shape=complete.shape,
        n_classes=n_classes,
        class_counts=class_counts(class_pixels(shown, n_classes)),
        instance_rows=rows.tobytes(),
        runs=_hidden_runs(complete, shown, rows),
        ignored=0 if complete.ignore is None else int(np.count_nonzero(complete.ignore)),
        hidden=int(complete.areas.sum() - complete.visible[1:].sum()),
        filled=shown.visible[0] == 0 or (shown.stuff is not None and bool((shown.class_map > 0).all())),
        problems=complete.problems,
        digest=mask_digest(complete),
        source=complete.source,
        touching=touching_pairs(complete),
    )


def class_counts(pixels: NDArray[np.integer[Any]]) -> bytes:
    """Bytes of one `CLASS_COUNT` for each class that has pixels, from those of each class code, shape (C,)."""
    codes = np.flatnonzero(pixels)
    counts = np.empty(len(codes), CLASS_COUNT)
    counts["class"], counts["pixels"] = codes, pixels[codes]
    return counts.tobytes()


def mask_digest(mask: InstanceMask) -> bytes:
    """Fingerprint of every pixel, class and ignored pixel of a mask."""
    digest = hashlib.blake2b(repr(mask.planes.shape).encode(), digest_size=16)
    for array in (mask.regions.runs, mask.classes, mask.ignore, mask.stuff):
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.digest()


def _hidden_runs(complete: InstanceMask, shown: InstanceMask, rows: NDArray[np.void]) -> tuple[Runs, ...]:
    """Runs of the instances of which the labels show only a part; empty if there is none."""
    partly = np.flatnonzero(shown.visible[1:] != complete.areas[1:])
    runs = [NO_RUNS] * (len(rows) if len(partly) else 0)
    for index in partly:
        row = rows[index]
        window = np.s_[row["y"] : row["y"] + row["height"], row["x"] : row["x"] + row["width"]]
        runs[index] = bitmap_runs(complete.planes[row["plane"]][window] == row["number"])
    return tuple(runs)


def class_pixels(mask: InstanceMask, n_classes: int) -> CountArray:
    """Visible pixels of each class code below `n_classes`, ignored pixels excluded, shape (n_classes,)."""
    pixels = np.zeros(n_classes, np.int64)
    if mask.stuff is None and mask.ignore is None:
        shown = mask.visible > 0
        np.add.at(pixels, mask.classes[shown], mask.visible[shown])
        return pixels
    visible = mask.class_map if mask.ignore is None else mask.class_map[~mask.ignore]
    return counts(visible, n_classes)


def _instance_rows(mask: InstanceMask) -> NDArray[np.void]:
    """One `INSTANCE_ROW` per instance, in the order of their numbers."""
    count = len(mask.classes) - 1
    rows = np.zeros(count, INSTANCE_ROW)
    rows["number"] = np.arange(1, count + 1)
    rows["class"] = mask.classes[1:]
    rows["area"] = mask.areas[1:]
    rows["y"], rows["x"], rows["height"], rows["width"] = mask.regions.boxes[1:].T
    rows["plane"] = mask.regions.planes[1:]
    return rows


@dataclass(frozen=True, eq=False)
class Counts:
    """Totals over masks.

    `pixels`, `instances`, `images` and `image_pixels` have the shape (C,): the valid pixels and instances of each class code,
    the images in which it occurs, and the valid pixels of these images. `most_instances` is the largest number of a mask.
    """

    names: tuple[str, ...]
    pixels: CountArray
    instances: CountArray
    images: CountArray
    image_pixels: CountArray
    most_instances: int

    @classmethod
    def of_pixels(cls, pixels: Sequence[int]) -> "Counts":
        """Counts of one image without instances, to try a formula."""
        return cls.of_images(np.array([pixels], np.int64), np.zeros((1, len(pixels)), np.int64))

    @classmethod
    def of_images(cls, pixels: CountArray, instances: CountArray, names: Sequence[str] | None = None) -> "Counts":
        """Counts of images, from arrays of shape (images, C)."""
        return cls(
            names=tuple(names or map(str, range(pixels.shape[1]))),
            pixels=pixels.sum(axis=0),
            instances=instances.sum(axis=0),
            images=np.count_nonzero(pixels, axis=0),
            image_pixels=np.where(pixels > 0, pixels.sum(axis=1, keepdims=True), 0).sum(axis=0),
            most_instances=int(instances.sum(axis=1).max(initial=0)),
        )


def total(stats: Sequence[MaskStats], classes: ClassTable) -> Counts:
    """Counts over `stats`, which may be empty."""
    pixels, instances, images, image_pixels = np.zeros((4, len(classes)), np.int64)
    for block in _blocks(stats):
        counts, rows = joined_counts(block), _joined_rows(block)
        of_mask = np.zeros(len(block), np.int64)
        np.add.at(of_mask, counts.mask, counts.pixels)
        np.add.at(pixels, counts.code, counts.pixels)
        np.add.at(images, counts.code, 1)
        np.add.at(image_pixels, counts.code, of_mask[counts.mask])
        np.add.at(instances, rows["class"], 1)
    names = tuple(entry.name for entry in classes.entries)
    most = max((len(mask.instance_rows) for mask in stats), default=0) // INSTANCE_ROW.itemsize
    return Counts(names, pixels, instances, images, image_pixels, most)


class JoinedCounts(NamedTuple):
    """Visible pixels by mask and class, where there are any: index of the mask, class code, and pixels, shape (n,) each."""

    mask: NDArray[np.intp]
    code: CountArray
    pixels: CountArray


def joined_counts(stats: Sequence[MaskStats]) -> JoinedCounts:
    """Visible pixels by class of many masks."""
    counts = np.frombuffer(b"".join([mask.class_counts for mask in stats]), CLASS_COUNT)
    sizes = [len(mask.class_counts) // CLASS_COUNT.itemsize for mask in stats]
    return JoinedCounts(np.repeat(np.arange(len(stats)), sizes), counts["class"], counts["pixels"])


def instance_values(stats: Sequence[MaskStats], name: str) -> NDArray[Any]:
    """One field of the `INSTANCE_ROW` of each instance of many masks."""
    return np.concatenate([np.ascontiguousarray(_joined_rows(block)[name]) for block in _blocks(stats)])


def _joined_rows(stats: Sequence[MaskStats]) -> NDArray[np.void]:
    """One `INSTANCE_ROW` for each instance of many masks."""
    return np.frombuffer(b"".join([mask.instance_rows for mask in stats]), INSTANCE_ROW)


def _blocks(stats: Sequence[MaskStats]) -> Iterator[Sequence[MaskStats]]:
    """Runs of masks that are counted together."""
    return (stats[start : start + _BLOCK] for start in range(0, len(stats), _BLOCK))
