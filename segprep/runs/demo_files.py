"""Files of the demo data set: each drawn image and its ground truth, in one of four layouts that segprep reads.

Names of folders are those by which the readers find the image of each mask, its split and the classes.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segprep.masks.rle import bitmap_runs, runs_string
from segprep.runs.cells import CLASSES, CellImage

DemoLayout: TypeAlias = Literal["labels", "instances", "masks", "coco"]
WHITE = 255
"""Value of foreground."""
FOLDERS: dict[DemoLayout, str] = {"labels": "labels", "masks": "mask"}
"""Folder of the masks of a split. A folder ``masks`` beside ``images`` with one file each would be that of one image."""
_ID_STEP = 100_000
"""Step of the ids of annotations from one image to the next."""


class Piece(NamedTuple):
    """One image and what is written for it.

    Attributes
    ----------
    cells : CellImage
        Image and ground truth as drawn.
    split : str
        Folder of its split.
    image : str
        Path of the image in the data set.
    key : str
        Key of its mask, by which `segprep.check` names it.
    files : mapping of bytes
        Contents of all files by their paths, the image first; an empty folder has a path with a slash at its end.
    entry : dict
        Entry of the image in the COCO file; empty in other layouts.
    annotations : sequence of dict
        Entries of its instances in the COCO file.
    """

    cells: CellImage
    split: str
    image: str
    key: str
    files: Mapping[str, bytes]
    entry: Mapping[str, Any] = {}
    annotations: Sequence[Mapping[str, Any]] = ()


def png(values: NDArray[Any]) -> bytes:
    """PNG of grey values (H, W), in 8 bits if they suffice, else 16."""
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint8 if values.max(initial=0) <= WHITE else np.uint16)).save(file, "png")
    return file.getvalue()


def piece(layout: DemoLayout, cells: CellImage, number: int, split: str, name: str) -> Piece:
    """Files of the image with this number and name."""
    pixels, labels, classes = cells
    if layout == "instances":
        key = f"{split}/{name}"
        image, masks = f"{key}/images/{name}.png", _instance_files(f"{key}/masks", labels, classes)
        return Piece(cells, split, image, key, {image: png(pixels)} | masks)
    if layout == "coco":
        image = f"{split}/{name}.png"
        height, width = labels.shape
        entry = {"id": number + 1, "file_name": f"{name}.png", "height": height, "width": width}
        return Piece(cells, split, image, image, {image: png(pixels)}, entry, _annotations(labels, classes, number + 1))
    image, mask = f"{split}/images/{name}.png", f"{split}/{FOLDERS[layout]}/{name}.png"
    values = labels if layout == "labels" else WHITE * (labels > 0)
    return Piece(cells, split, image, mask, {image: png(pixels), mask: png(values)})


def _instance_files(folder: str, labels: NDArray[np.int32], classes: NDArray[np.int64]) -> dict[str, bytes]:
    """One mask per instance, in a folder for each class; an empty folder if there is no instance."""
    if not len(classes):
        return {f"{folder}/": b""}
    return {
        f"{folder}/{CLASSES[code - 1]}/{cell:03}.png": png(WHITE * (labels == cell))
        for cell, code in enumerate(classes, start=1)
    }


def _annotations(labels: NDArray[np.int32], classes: NDArray[np.int64], image: int) -> list[dict[str, Any]]:
    """Entries of all instances of an image, as runs, which keep every pixel."""
    entries = []
    for cell, code in enumerate(classes.tolist(), start=1):
        inside = labels == cell
        (top, bottom), (left, right) = (np.flatnonzero(inside.any(axis))[[0, -1]].tolist() for axis in (1, 0))
        entries.append(
            {
                "id": _ID_STEP * image + cell,
                "image_id": image,
                "category_id": code,
                "segmentation": {"size": list(labels.shape), "counts": runs_string(bitmap_runs(inside))},
                "bbox": [left, top, right - left + 1, bottom - top + 1],
                "area": int(np.count_nonzero(inside)),
                "iscrowd": 0,
            }
        )
    return entries


def coco_file(
    split: str, entries: Iterable[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]
) -> tuple[str, bytes]:
    """Path and content of the COCO file of a split, from the entry of each image and those of its instances."""
    images, annotations = zip(*entries, strict=True)
    document = {
        "info": {"description": "cells drawn by segprep demo"},
        "images": images,
        "annotations": [entry for each in annotations for entry in each],
        "categories": [{"id": code, "name": name} for code, name in enumerate(CLASSES, start=1)],
    }
    return f"annotations/instances_{split}.json", msgspec.json.encode(document)
