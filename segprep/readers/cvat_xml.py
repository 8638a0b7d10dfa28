"""CVAT for images 1.1: an XML file that lists images, their sizes, and shapes that have a label each."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, listed_runs, runs_bitmap
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import start_of
from segprep.readers._beside import Source, files_at, image_name
from segprep.readers._reader import Instance, MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import Point, box_crop, ellipse_crop, polygon_crop, trimmed, union
from segprep.readers._xml import Tags, parse_xml

_MAX_BYTES = 2**28
_START = 2**16
_ROOT = re.compile(rb"<annotations\b[^>]*>\s*<(version|meta|image|track)\b")
_WITH_AREA = frozenset({"polygon", "box", "ellipse", "mask"})
_WITHOUT_AREA = frozenset({"polyline", "points", "cuboid", "skeleton"})
_SHOWN = 40


class Shape(NamedTuple):
    """Shape of an image: its number in it, its name in CVAT, and its attributes as they stand in the file."""

    number: int
    kind: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class CvatXmlRef:
    """One image of a file, whose name there is the key; it begins with the image's subset if that is a split.

    `file` is the XML file, for messages; `sides` are height and width as they stand in it; `labels` are the names of all
    classes, in the order of their codes.
    """

    key: str
    split: str | None
    file: str
    sides: tuple[str | None, str | None]
    shapes: tuple[Shape, ...]
    labels: tuple[str, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the shapes; invalid ones are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        height, width = (int(side) if side and re.fullmatch("[0-9]{1,9}", side) else 0 for side in self.sides)
        if not height or not width:
            shown = f"height={self.sides[0]!r:.40} and width={self.sides[1]!r:.40}"
            raise InputError(f"{where}: {shown}; write them as numbers of pixels, or export it again")
        shape = height, width
        return mask_from_instances(where, shape, self._instances(shape), self.options, listed=len(self.shapes))

    def _instances(self, shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each instance, from the back to the front, or the problem of a shape."""
        groups: dict[tuple[str, object], list[InstanceCrop]] = {}
        for number, kind, attributes in sorted(self.shapes, key=_depth):
            label, group = attributes.get("label", ""), attributes.get("group_id", "0")
            crop = drawn(f"shape {number}", shape_crop, kind, attributes, shape)
            if isinstance(crop, Problem):
                yield crop
            else:
                groups.setdefault((label, number if group == "0" else group), []).append(crop)
        for (label, _), crops in groups.items():
            yield 1 + self.labels.index(label), union(crops)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find an .xml of CVAT for images 1.1.

    The file is given itself or lies in the folder, or one in each of its train/, val/ and test/. Polygons, boxes,
    ellipses and masks are instances; those of one label and ``group_id`` are parts of a single one. Shapes without
    area (polylines, points, cuboids, skeletons) and those that are marked ``outside`` are left out; ``occluded``
    ones count. The order of instances is that of ``z_order``. The classes are the labels of the task, then others
    in use.
    """
    found = files_at(path, ".xml", lambda file: _ROOT.search(start_of(file, _START)) is not None, "CVAT")
    if not found:
        return None
    documents = [_Document(source.file) for source in found]
    listed = [label for document in documents for label in document.labels]
    shapes = [shape for document in documents for _, own in document.images for shape in own]
    used = sorted({shape.attributes.get("label", "") for shape in shapes if shape.kind in _WITH_AREA})
    labels = tuple(dict.fromkeys([*listed, *used]))
    refs = []
    for source, document in zip(found, documents, strict=True):
        for attributes, own in document.images:
            sides = attributes.get("height"), attributes.get("width")
            refs.append(CvatXmlRef(*_key(source, attributes), str(source.file), sides, tuple(own), labels, options))
    return MaskSet("cvat-xml", class_table((None, label) for label in labels), tuple(refs))


def shape_crop(kind: str, attributes: Mapping[str, str], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one shape of CVAT, in an image of this height and width.

    `attributes` are those in the file, in pixels; the first pixel spans from 0 to 1.

    Examples
    --------
    >>> shape_crop("box", {"xtl": "1", "ytl": "1", "xbr": "3", "ybr": "2"}, (4, 5)).pixels.shape
    (1, 2)
    >>> mask = {"rle": "1, 2, 1", "left": "1", "top": "0", "width": "2", "height": "2"}
    >>> shape_crop("mask", mask, (4, 5)).pixels.astype(int)
    array([[0, 1],
           [1, 0]])
    """
    if attributes.get("outside") == "1":
        raise BadRegionError("shape that is marked outside", kind)
    if kind == "mask":
        return _mask(attributes, shape)
    turned = math.radians(_number(attributes, "rotation", "0"))
    if kind == "polygon":
        return polygon_crop(_points(attributes.get("points", "")), shape)
    if kind == "box":
        x0, y0, x1, y1 = (_number(attributes, name) for name in ("xtl", "ytl", "xbr", "ybr"))
        return box_crop((x0, y0), (x1, y1), shape, turned=turned)
    if kind == "ellipse":
        x, y, across, down = (_number(attributes, name) for name in ("cx", "cy", "rx", "ry"))
        return ellipse_crop((x, y), (across, down), shape, turned=turned)
    raise BadRegionError("shape has no area", kind)


def _mask(attributes: Mapping[str, str], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of runs that go along the rows of a box."""
    left, top, width, height = (int(_number(attributes, name)) for name in ("left", "top", "width", "height"))
    if not (0 <= left < left + width <= shape[1] and 0 <= top < top + height <= shape[0]):
        raise BadRegionError(
            "mask does not lie inside the image",
            f"{height} x {width} at row {top}, column {left} of {shape[0]} x {shape[1]}",
        )
    text = attributes.get("rle", "")
    if not re.fullmatch(r"\s*[0-9]{1,9}(\s*,\s*[0-9]{1,9})*\s*", text):
        raise BadRegionError("run lengths are not numbers", repr(text[:_SHOWN]))
    runs = listed_runs([int(count) for count in text.split(",")])
    if runs.sum() != width * height:
        raise BadRegionError("run lengths do not fit the mask", f"{runs.sum()} pixels for {height} x {width}")
    return trimmed(InstanceCrop(top, left, runs_bitmap(runs, (width, height)).T), shape)


def _points(text: str) -> list[Point]:
    """Corners ``x,y;x,y``."""
    try:
        return [(float(x), float(y)) for x, y in (point.split(",") for point in text.split(";"))]
    except ValueError as error:
        raise BadRegionError("points are not pairs of numbers", repr(text[:_SHOWN])) from error


def _number(attributes: Mapping[str, str], name: str, default: str | None = None) -> float:
    """Number in an attribute."""
    text = attributes.get(name, default)
    try:
        number = float(text if text is not None else "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadRegionError("attribute is not a number", f"{name}={text[:_SHOWN] if text is not None else None!r}")
    return number


def _depth(shape: Shape) -> float:
    """Position of a shape from the back to the front."""
    try:
        return _number(shape.attributes, "z_order", "0")
    except BadRegionError:  # its shape counts all the same
        return 0


def _key(source: Source, image: Mapping[str, str]) -> tuple[str, str | None]:
    """Key and split of the mask of an image with these attributes."""
    raw, subset = image.get("name", ""), image.get("subset", "")
    name = image_name(raw)
    if not name:
        raise InputError(f"{source.file}: the image name {raw[:_SHOWN]!r} is empty or too long; rename the image")
    return source.named(f"{subset}/{name}" if subset.lower() in FOLDERS else name)


class _Document:
    """Labels and images of a file."""

    def __init__(self, file: AnyPath) -> None:
        self.file = file
        self.labels: list[str] = []
        self.images: list[tuple[dict[str, str], list[Shape]]] = []
        parse_xml(file, start=self._start, end=self._end, max_bytes=_MAX_BYTES, content="annotations of CVAT")

    def _start(self, tags: Tags, attributes: dict[str, str]) -> None:
        """Take the start of an element."""
        match tags:
            case ("annotations", "track"):
                raise InputError(f"{self.file}: CVAT for video; export the annotations as CVAT for images 1.1")
            case ("annotations", "image"):
                self.images.append((attributes, []))
            case ("annotations", "image", kind) if kind in _WITH_AREA | _WITHOUT_AREA:
                _, shapes = self.images[-1]
                shapes.append(Shape(len(shapes), kind, attributes))

    def _end(self, tags: Tags, text: str) -> None:
        """Take the end of an element."""
        if tags[-2:] == ("label", "name"):
            self.labels.append(text)


READER = Reader("cvat-xml", find, reads_one_file=True)
