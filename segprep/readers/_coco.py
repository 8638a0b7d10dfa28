"""Contents of a COCO file: its JSON, its ids in all the ways that programs write them, and the pixels of an annotation."""

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from segprep.errors import InputError
from segprep.masks.crops import InstanceCrop
from segprep.masks.rle import BadRegionError, listed_runs, runs_crop, string_runs
from segprep.readers._polygon import TRIANGLE, box_polygon, polygon_runs
from segprep.readers._text import MALFORMED

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
"""An integer of 64 bits as text; ``007`` is not one, but a name."""
_SHOWN = 120

Id: TypeAlias = int | float | str
"""An id as it may stand in a file."""
Side: TypeAlias = int | float | str | None
"""A height or width as it may stand in a file."""
Numbers: TypeAlias = dict[Id | None, int]
"""Number of each id, from 1 on."""
CROWDS: dict[int | float | str | None, bool] = {None: False, 0: False, 1: True, "0": False, "1": True}
"""Valid values of ``iscrowd``; false, true and 1.0 are equal to 0 and 1."""


class Image(msgspec.Struct, gc=False):
    """Image as in a file."""

    id: Id
    file_name: str | None = None
    coco_url: object = None
    width: Side = None
    height: Side = None


class Category(msgspec.Struct, gc=False):
    """Class as in a file."""

    id: Id
    name: str | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """Annotation as in a file; its segmentation and box stay raw. A crowd covers many objects that are not separated."""

    image_id: Id | None = None
    category_id: Id | None = None
    id: Id | None = None
    iscrowd: bool | int | float | str | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")
    bbox: msgspec.Raw = msgspec.Raw(b"")


class Document(msgspec.Struct):
    """COCO file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


class _Rle(msgspec.Struct):
    counts: list[int] | str
    size: tuple[int, int]


_SEGMENTATION = msgspec.json.Decoder(list[list[float] | float] | _Rle | None)


_BOX = msgspec.json.Decoder(tuple[float, float, float, float])
_PAIRS = "polygon of pairs [x, y], which must be one list x1, y1, x2, y2, ..."
_NESTED_PAIRS = re.compile(rb"\s*\[\s*(\[\s*){2,3}[-+.0-9eE]+\s*,\s*[-+.0-9eE]+\s*\]")
"""Start of a list of polygons of pairs, which OpenCV puts into one more list each."""


def plain(id_: Id | None) -> int | str | None:
    """Id in one form for all that mean the same: an integer, else text; None if it is neither.

    Examples
    --------
    >>> [plain(id_) for id_ in (1, 1.0, "1", "01", 1.5)]
    [1, 1, 1, '01', None]
    """
    if isinstance(id_, str):
        return int(id_) if _INTEGER.fullmatch(id_) else id_
    if isinstance(id_, float):
        return int(id_) if id_.is_integer() else None
    return id_


def number(numbers: Numbers, id_: Id | None) -> int:
    """Number of an id; 0 if it has none."""
    # Most ids are found as they stand, and there may be millions.
    return numbers.get(id_, 0) or numbers.get(plain(id_), 0)


def numbered(where: str, ids: Sequence[Id]) -> Numbers:
    """Number of each id, from 1 on; raise if one is neither an integer nor text, or occurs twice."""
    numbers: Numbers = dict(zip(ids, range(1, len(ids) + 1), strict=True))
    if len(numbers) == len(ids) and set(map(type, ids)) <= {int}:  # the common case
        return numbers
    numbers = {}
    for position, id_ in enumerate(ids, start=1):
        key = plain(id_)
        if key is None:
            raise InputError(f"{where}: the id {id_} is not an integer; ids must be integers or text")
        if numbers.setdefault(key, position) != position:
            raise InputError(f"{where}: the id {shown(id_)} occurs twice; ids must be unique")
    return numbers


def image_shape(where: str, sides: tuple[Side, Side]) -> tuple[int, int]:
    """Height and width in pixels."""
    for name, side in zip(("height", "width"), sides, strict=True):
        if side is None:
            raise InputError(f"{where}: has no {name}; add it, in pixels")
        if not isinstance(plain(side), int):
            raise InputError(f"{where}: {name} is {shown(repr(side))}; it must be an integer number of pixels")
    height, width = (int(plain(side) or 0) for side in sides)
    return height, width


def annotation_crop(segmentation: bytes, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of the polygons or runs of one annotation within their bounding box.

    Examples
    --------
    >>> annotation_crop(b'[[1, 1, 3, 1, 3, 3, 1, 3]]', (4, 5)).pixels.shape
    (2, 2)
    >>> annotation_crop(b'{"counts": [0, 1, 5], "size": [2, 3]}', (2, 3))[:2]
    (0, 0)
    """
    try:
        value = _SEGMENTATION.decode(segmentation)
    except MALFORMED as error:
        if _NESTED_PAIRS.match(segmentation):
            raise BadRegionError(_PAIRS, _excerpt(segmentation)) from error
        raise BadRegionError("segmentation is neither polygons nor runs", error) from error
    if not value:
        raise BadRegionError("no segmentation", value)
    if isinstance(value, list):
        parts = _parts(value)
        if len(parts) * 2 >= TRIANGLE and all(len(part) == 2 for part in parts):  # noqa: PLR2004 - x and y
            raise BadRegionError(_PAIRS, _excerpt(segmentation))
        if _are_fractions(parts) and shape != (1, 1):
            raise BadRegionError("coordinates are fractions of the image, not pixels", _excerpt(segmentation))
        return runs_crop(polygon_runs(parts, shape), shape)
    if value.size != shape:
        raise BadRegionError("size differs from the image's", f"{value.size} instead of {shape}")
    runs = string_runs(value.counts) if isinstance(value.counts, str) else listed_runs(value.counts)
    return runs_crop(runs, shape)


def box_crop(box: bytes, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of a box within their bounding box.

    Examples
    --------
    >>> box_crop(b"[1, 1, 2, 3]", (4, 5)).pixels.shape
    (3, 2)
    """
    try:
        corners = box_polygon(*_BOX.decode(box))
    except MALFORMED as error:
        raise BadRegionError("box is not x, y, width, height", error) from error
    return runs_crop(polygon_runs([corners], shape), shape)


def _are_fractions(parts: list[list[float]]) -> bool:
    """True if all coordinates are from 0 to 1, and one of them between."""
    return all(0 <= number <= 1 for part in parts for number in part) and any(
        number % 1 for part in parts for number in part
    )


def _excerpt(segmentation: bytes) -> str:
    """Beginning of a segmentation, for a message."""
    return segmentation[:40].decode("utf-8", "replace")


def _parts(value: list[list[float] | float]) -> list[list[float]]:
    """Polygons of a list of them, or of the bare numbers of a single one."""
    parts = [part for part in value if isinstance(part, list)]
    numbers = [number for number in value if not isinstance(number, list)]
    if parts and numbers:
        raise BadRegionError("segmentation is neither polygons nor runs", "polygons and numbers in one list")
    # A point or a line has no area, and adds no pixel to the others.
    areas = [part for part in parts if len(part) >= TRIANGLE]
    return areas or parts or [numbers]


def shown(value: object) -> str:
    """Value for a message: one line, not too long."""
    text = str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return text if text and text.isprintable() else ascii(text)
