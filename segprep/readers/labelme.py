"""labelme: one JSON file per image, which lists shapes that have a label each.

Neither the image nor the copy of it in the file is opened: the size is the width and height in the file.
"""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from segprep.arrays import BoolArray
from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath, name_in
from segprep.readers._beside import files_of_images, image_name
from segprep.readers._json import decode_file, is_object_about, mapped
from segprep.readers._polygon import FAR
from segprep.readers._reader import (
    IGNORED_CODE,
    Instance,
    MaskSet,
    Reader,
    ReadOptions,
    drawn,
    mask_from_instances,
    read_all_or_raise,
    with_split,
)
from segprep.readers._shapes import Point, box_crop, circle_crop, erase, not_erased, polygon_crop, trimmed, union
from segprep.readers._text import decodable, decode_region

_CORNERS = 2
"""Points of a rectangle or a mask, at opposite corners, and of a circle, its centre and a point on it."""
_IGNORE, _BACKGROUND = "__ignore__", "_background_"
"""Labels that labelme's own tools give no class."""

Points = list[Point]


class _Labelled(msgspec.Struct):
    label: str


class _Shape(msgspec.Struct):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


class _Document(msgspec.Struct):
    shapes: list[msgspec.Raw]
    imagePath: str | None  # noqa: N815 - the file's word
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815


@dataclass(frozen=True)
class LabelmeRef:
    """One JSON file; `labels` are the names of all classes, in the order of their codes.

    `image_name` is the path of the image, relative to the file, as it stands there.
    """

    key: str
    split: str | None
    file: AnyPath
    labels: tuple[str, ...]
    options: ReadOptions
    image_name: str = ""

    def load(self) -> InstanceMask:
        """Rasterise the shapes; invalid ones are left out and recorded as problems."""
        document = decode_file(self.file, _Document, "labelme file")
        if document.imageHeight is None or document.imageWidth is None:
            raise InputError(f"{self.file}: no imageHeight and imageWidth; open it in labelme and save it again")
        shape = document.imageHeight, document.imageWidth
        return mask_from_instances(str(self.file), shape, self._instances(document, shape), self.options)

    def _instances(self, document: _Document, shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each instance, in the order of their first shapes, or the problem of a shape."""
        groups: dict[tuple[str, object], list[tuple[int, _Shape]]] = {}
        for number, text in enumerate(document.shapes):
            decoded = drawn(f"shape {number}", decode_region, text, _Shape, "shape cannot be understood")
            if isinstance(decoded, Problem):
                yield decoded
                continue
            group = ("alone", number) if decoded.group_id is None else ("group", decoded.group_id)
            groups.setdefault((decoded.label, group), []).append((number, decoded))
        top = np.full(shape, -1, np.int32)
        for (label, _), shapes in sorted(groups.items(), key=lambda item: item[0][0] != _BACKGROUND):
            crops: list[InstanceCrop] = []
            for number, entry in shapes:
                where = f"shape {number}"
                crop = drawn(where, shape_crop, entry.shape_type or "polygon", entry.points, shape, mask=entry.mask)
                if label == _BACKGROUND and not isinstance(crop, Problem):
                    erase(crop, number, top)
                    continue
                crop = crop if isinstance(crop, Problem) else drawn(where, not_erased, crop, number, top)
                if isinstance(crop, Problem):
                    yield crop
                else:
                    crops.append(crop)
            if crops:
                yield IGNORED_CODE if label == _IGNORE else 1 + self.labels.index(label), union(crops)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find labelme's .json files, one per image: itself, in the folder, or in its train/, val/, test/ or annotations/.

    Polygons, rectangles, circles and masks are instances; those of one label and ``group_id`` are parts of a single one.
    Lines and points have no area and are left out. The classes are the labels of all files, sorted. As in labelme's own
    conversions, ``_background_`` erases the shapes before it, and regions of ``__ignore__`` are ignored where no instance
    is.
    """
    root = path if path.is_dir() else path.parent
    files = files_of_images(path, ".json", _is_labelme)
    if not files:
        return None
    contents = read_all_or_raise(files, _labels_and_image)
    labels = tuple(sorted(set().union(*(content[0] for content in contents if content))))
    refs = tuple(
        LabelmeRef(*with_split(key), file, labels, options, content[1] if content else "")
        for file, content, key in zip(files, contents, (name_in(root, file) for file in files), strict=True)
    )
    return MaskSet("labelme", class_table((None, label) for label in labels), refs)


def shape_crop(kind: str, points: Points, shape: tuple[int, int], *, mask: str | None = None) -> InstanceCrop:
    """Pixels of one shape; raise a BadRegionError if it is invalid or none lies inside the image.

    Points are (x, y) in pixels, and the first pixel spans from 0 to 1; `mask` is the PNG of a mask, in base64.

    Examples
    --------
    >>> shape_crop("rectangle", [(3, 3), (1, 1)], (4, 5)).pixels.shape
    (2, 2)
    >>> shape_crop("circle", [(1.5, 1.5), (1.5, 2.6)], (3, 3)).pixels.astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    match kind:
        case "mask":
            return _mask(points, shape, mask)
        case "circle":
            return circle_crop(*_two(points), shape)
        case "rectangle" if len(points) != 2 * _CORNERS:  # some programs write all four corners
            return box_crop(*_two(points), shape)
        case "polygon" | "rectangle":
            return polygon_crop(points, shape)
    raise BadRegionError("shape is not a polygon, rectangle, circle or mask", kind[:40])


def _mask(points: Points, shape: tuple[int, int], mask: str | None) -> InstanceCrop:
    """Pixels of a bitmap whose first and last pixels are the two points."""
    (left, top), (right, below) = ((int(x), int(y)) for x, y in _two(points))
    if mask is None:
        raise BadRegionError("mask without a bitmap", mask)
    if not (0 <= top <= below < shape[0] and 0 <= left <= right < shape[1]):
        raise BadRegionError("mask does not lie inside the image", f"{points} in {shape[0]} x {shape[1]}")
    return trimmed(InstanceCrop(top, left, _bitmap(mask, (below - top + 1, right - left + 1))), shape)


def _bitmap(mask: str, size: tuple[int, int]) -> BoolArray:
    """Bitmap of a PNG in base64 of this height and width, which are checked before a pixel is decoded."""
    try:
        with PngImageFile(io.BytesIO(base64.b64decode(mask, validate=True))) as image:
            found = image.height, image.width
            pixels: BoolArray | None = np.asarray(image.convert("L")) != 0 if found == size else None
    except Exception as error:  # on damaged files, decoders raise errors of any type
        raise BadRegionError("bitmap cannot be decoded", " ".join(str(error).split())[:80]) from error
    if pixels is None:
        raise BadRegionError("bitmap's size differs from its points'", f"{found[0]} x {found[1]}")
    return pixels


def _two(points: Points) -> tuple[Point, Point]:
    """Two points; raise if there are more or fewer, or one is far off."""
    if len(points) != _CORNERS:
        raise BadRegionError("shape of a wrong number of points", len(points))
    wrong = [number for point in points for number in point if not abs(number) <= FAR]
    if wrong:
        raise BadRegionError("shape with a coordinate that is not finite or far off", wrong[0])
    return points[0], points[1]


def _is_labelme(file: AnyPath) -> bool:
    """True if a file looks like labelme's; much cheaper than decoding it."""
    return file.suffix.lower() == ".json" and is_object_about(mapped(file), "shapes", "imagePath")


def _labels_and_image(file: AnyPath) -> tuple[set[str], str]:
    """Labels of a file's shapes that are classes, and the path of its image."""
    document = decode_file(file, _Document, "labelme file")
    labels = {entry.label for entry in decodable(document.shapes, _Labelled)} - {_IGNORE, _BACKGROUND}
    return labels, image_name(document.imagePath or "")


READER = Reader("labelme", find, reads_one_file=True)
