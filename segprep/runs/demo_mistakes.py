"""Deliberate mistakes of the demo data set, one per image, each with the problem that `segprep.check` reports."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segprep.runs.demo_files import FOLDERS, WHITE, DemoLayout, Piece, png
from segprep.runs.findings import SAME_IMAGE
from segprep.runs.scan import LEFT_OUT
from segprep.store.schema import ProblemInfo

SPLIT = "train"
"""Split of the images with mistakes."""
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 4321\n"
_ROWS = 8
"""Rows that are cut off."""


class Mistake(NamedTuple):
    """A mistake.

    Attributes
    ----------
    kind : str
        Kind of the problem in the report of `segprep.check`.
    what : str
        What was done.
    made : callable
        The piece with the mistake.
    place : str
        What the problem is reported for: the mask, the folder of masks, or the file of annotations.
    """

    kind: str
    what: str
    made: Callable[[Piece], Piece]
    place: Literal["mask", "folder", "file"] = "mask"

    def problem(self, layout: DemoLayout, piece: Piece, data: str) -> ProblemInfo:
        """Problem that is to be found; `data` is the name of the data set's folder."""
        folder = data if layout not in FOLDERS else f"{piece.split}/{FOLDERS[layout]}"
        file = f"{piece.split}/instances_{piece.split}.json"
        key = {"mask": piece.key, "folder": folder, "file": file}[self.place]
        return ProblemInfo(self.kind, key, self.what, self.kind == LEFT_OUT)


def _with_last(content: Callable[[Piece, bytes], bytes]) -> Callable[[Piece], Piece]:
    """Mistake that replaces the content of a piece's last file, a mask."""

    def made(piece: Piece) -> Piece:
        *_, last = piece.files
        return piece._replace(files={**piece.files, last: content(piece, piece.files[last])})

    return made


def _without_mask(piece: Piece) -> Piece:
    return piece._replace(files={piece.image: piece.files[piece.image]})


def _without_image(piece: Piece) -> Piece:
    return piece._replace(files={name: data for name, data in piece.files.items() if name != piece.image})


def _with_low_image(piece: Piece) -> Piece:
    return piece._replace(files={**piece.files, piece.image: png(piece.cells.pixels[_ROWS:])})


def _soft(labels: NDArray[np.int32]) -> bytes:
    """Foreground mask with grey edges."""
    return png(cv2.GaussianBlur(WHITE * (labels > 0).astype(np.uint8), (0, 0), 1.5))


def _last_instance(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.asarray(WHITE * (labels == labels.max()))


_FILES = (
    Mistake(LEFT_OUT, "a mask ends in the middle of the file", _with_last(lambda _, data: data[: len(data) // 2])),
    Mistake(LEFT_OUT, "a mask is a pointer of Git LFS, not an image", _with_last(lambda *_: _POINTER)),
    Mistake("image without a mask", "the mask is missing", _without_mask, "folder"),
    Mistake("size differs from the image's", f"the image has {_ROWS} rows fewer than the mask", _with_low_image),
)
_MASKS = (
    Mistake("mask without an image of its name", "the image is missing", _without_image, "folder"),
    Mistake(LEFT_OUT, "the image lies in the place of the mask", _with_last(lambda piece, _: piece.files[piece.image])),
)
_SOFT = Mistake(
    LEFT_OUT,
    "the mask was resized with interpolation, so its edges are grey",
    _with_last(lambda piece, _: _soft(piece.cells.labels)),
)
_INSTANCES = (
    Mistake(
        "no foreground",
        "the mask of an instance is empty",
        _with_last(lambda piece, _: png(np.zeros_like(piece.cells.labels))),
    ),
    Mistake(
        LEFT_OUT,
        f"the mask of an instance has {_ROWS} rows fewer",
        _with_last(lambda piece, _: png(_last_instance(piece.cells.labels)[_ROWS:])),
    ),
)


def _with_annotation(change: Callable[[Piece], dict[str, Any]]) -> Callable[[Piece], Piece]:
    """Mistake that changes fields of a piece's first annotation."""

    def made(piece: Piece) -> Piece:
        first, *others = piece.annotations
        return piece._replace(annotations=[{**first, **change(piece)}, *others])

    return made


def _outside(piece: Piece) -> dict[str, Any]:
    left, right = piece.entry["width"] + 10, piece.entry["width"] + 30
    return {"segmentation": [[left, 10, right, 10, right, 30, left, 30]], "bbox": [left, 10, 20, 20], "area": 400}


def _low_runs(piece: Piece) -> dict[str, Any]:
    height, width = piece.cells.labels.shape
    return {"segmentation": {**piece.annotations[0]["segmentation"], "size": [height - _ROWS, width]}}


_COCO = (
    Mistake("no pixel inside the image", "an annotation lies outside of the image", _with_annotation(_outside)),
    Mistake(
        "polygon of fewer than 6 numbers",
        "a polygon has only two points",
        _with_annotation(lambda _: {"segmentation": [[10, 10, 20, 20]]}),
    ),
    Mistake(
        "size differs from the image's", "the runs of an annotation have another size", _with_annotation(_low_runs)
    ),
    Mistake(
        "category that the file does not list",
        "the category of an annotation does not exist",
        _with_annotation(lambda _: {"category_id": 99}),
    ),
    Mistake(
        "image that the file does not list",
        "the image of an annotation does not exist",
        _with_annotation(lambda _: {"image_id": 0}),
        "file",
    ),
    Mistake(
        "annotation id occurs twice",
        "two annotations have the same id",
        _with_annotation(lambda piece: {"id": piece.annotations[1]["id"]}),
        "file",
    ),
    Mistake("size differs from the image file's", f"the image has {_ROWS} rows fewer than its entry", _with_low_image),
)
COPY = Mistake(SAME_IMAGE, "the same image and mask are also in val", lambda piece: piece)
"""Mistake that needs a second piece with the same content."""
MISTAKES: dict[DemoLayout, tuple[Mistake, ...]] = {
    "labels": (*_FILES, *_MASKS, COPY),
    "instances": (*_FILES, *_INSTANCES, COPY),
    "masks": (*_FILES, *_MASKS, _SOFT, COPY),
    "coco": (*_COCO, COPY),
}
"""Mistakes of each layout."""
