"""LabelMe, the web tool of MIT: one XML file per image, which lists objects with a polygon each.

Reference: B. Russell et al.: LabelMe: a database and web-based tool for image annotation, IJCV 77, 2008.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing, start_of
from segprep.readers._beside import Images, class_names, files_of_images, key_of, shape_beside
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import Instance, MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import polygon_crop
from segprep.readers._xml import Tags, parse_xml

_MAX_BYTES = 2**24
_START = 2**12
"""Bytes that are read to recognise a file."""
_ROOT = re.compile(rb"<annotation\b")
_OURS = re.compile(rb"LabelMe|<(?:imagesize|polygon|segm)\b")


@dataclass
class _Object:
    """Object as in a file; points are x and y."""

    name: str = ""
    is_deleted: bool = False
    has_mask: bool = False
    points: list[dict[str, str]] = field(default_factory=list)


class _Document:
    """Sides and objects of a file."""

    def __init__(self, file: AnyPath) -> None:
        self.sides: dict[str, str] = {}
        self.objects: list[_Object] = []
        parse_xml(file, start=self._start, end=self._end, max_bytes=_MAX_BYTES, content="annotations of one image")

    def _start(self, tags: Tags, _: dict[str, str]) -> None:
        """Take the start of an element."""
        match tags[1:]:
            case ("object",):
                self.objects.append(_Object())
            case ("object", "segm"):
                self.objects[-1].has_mask = True
            case ("object", "polygon", "pt"):
                self.objects[-1].points.append({})

    def _end(self, tags: Tags, text: str) -> None:
        """Take the end of an element."""
        match tags[1:]:
            case ("imagesize", "nrows" | "ncols" as side):
                self.sides[side] = text.strip()
            case ("object", "name"):
                self.objects[-1].name = text.strip()
            case ("object", "deleted"):
                self.objects[-1].is_deleted = text.strip() == "1"
            case ("object", "polygon", "pt", "x" | "y" as axis):
                self.objects[-1].points[-1][axis] = text


@dataclass(frozen=True)
class LabelmeXmlRef:
    """One XML file, whose path without the suffix is the key, and the image, which has the size if the file lacks it.

    `names` are those of all classes, in the order of their codes.
    """

    key: str
    split: str | None
    file: AnyPath
    image: AnyPath | None
    names: tuple[str, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the objects; invalid ones are left out and recorded as problems."""
        where, document = str(self.file), _Document(self.file)
        sides = [document.sides.get(side, "") for side in ("nrows", "ncols")]
        listed = [int(side) for side in sides if re.fullmatch("[0-9]{1,9}", side) and int(side)]
        shape = (listed[0], listed[1]) if len(listed) == len(sides) else shape_beside(where, self.image)
        instances = self._instances(document.objects, shape)
        return mask_from_instances(where, shape, instances, self.options, listed=len(document.objects))

    def _instances(self, objects: list[_Object], shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each object, or its problem."""
        for number, entry in enumerate(objects):
            if not entry.is_deleted:
                crop = drawn(f"object {number}", _crop, entry, shape)
                yield crop if isinstance(crop, Problem) else (1 + self.names.index(entry.name or NO_CLASS), crop)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the .xml files of the LabelMe web tool, one per image.

    One file is given itself, or all lie in the folder, in its Annotations/ or the folders in there, or in its train/,
    val/ and test/. Polygons are instances, also those that are parts of others; deleted objects do not count, and those
    with a segmentation mask are left out. The classes are the names of all files, sorted. If a file has no ``imagesize``,
    the image of the same name, in the folder or below, has the size.
    """
    root = path if path.is_dir() else path.parent
    files = _files_in(path) if path.is_dir() else [file for file in [path] if _is_ours(file)]
    if not files:
        return None
    names = class_names(files, _names_in)
    images = Images(root)
    refs = [
        LabelmeXmlRef(*key_of(root, file), file, images.of(file.stem, file.parent), names, options) for file in files
    ]
    return MaskSet("labelme-xml", class_table((None, name) for name in names), tuple(refs))


def _crop(entry: _Object, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object."""
    if entry.has_mask:
        raise BadRegionError("object with a mask, which is not read", repr(entry.name[:40]))
    try:
        points = [(float(point["x"]), float(point["y"])) for point in entry.points]
    except (KeyError, ValueError) as error:
        raise BadRegionError("polygon with a point that has no x and y", repr(str(error)[:40])) from error
    return polygon_crop(points, shape)


def _names_in(file: AnyPath) -> set[str]:
    """Names of a file's objects that count."""
    objects = _Document(file).objects
    return {entry.name or NO_CLASS for entry in objects if not entry.is_deleted and not entry.has_mask}


def _files_in(path: AnyPath) -> list[AnyPath]:
    """Files of LabelMe in a folder, in its ``Annotations/`` and folders of splits, or in the folders in these."""
    if files := files_of_images(path, ".xml", _is_ours):
        return files
    folders = [child for folder in listing(path).named("annotations") for child in listing(folder).folders]
    return [file for folder in folders for file in files_of_images(folder, ".xml", _is_ours)]


def _is_ours(file: AnyPath) -> bool:
    """True if a file begins as LabelMe's does; that of Pascal VOC has the same root."""
    start = start_of(file, _START) if file.suffix.lower() == ".xml" else b""
    return _ROOT.search(start) is not None and _OURS.search(start) is not None and b"<bndbox" not in start


READER = Reader("labelme-xml", find)
