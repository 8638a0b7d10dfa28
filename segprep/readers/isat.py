"""ISAT (Image Segmentation Annotation Tool with Segment Anything): one JSON file per image, which lists polygons.

As in the tool's own conversions, objects of higher layers lie over those of lower ones, and ``__background__`` erases
what is below it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from segprep.arrays import LabelArray
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.readers._beside import class_names, files_of_images, key_of
from segprep.readers._json import decode_file, is_image_with
from segprep.readers._reader import IGNORED_CODE, Instance, MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import Point, erase, not_erased, polygon_crop, union
from segprep.readers._text import decodable, decode_region

_CONTENT = "ISAT file"
_BACKGROUND = "__background__"


class _Named(msgspec.Struct):
    category: str


class _Object(_Named):
    segmentation: list[Point]
    group: int | str | None = None
    layer: float = 0
    iscrowd: bool | int | None = False
    shape_type: str = "polygon"


class _Info(msgspec.Struct):
    height: int
    width: int


class _Document(msgspec.Struct):
    info: _Info
    objects: list[msgspec.Raw]


@dataclass(frozen=True)
class IsatRef:
    """One JSON file, whose path without the suffix is the key; `names` are those of all classes, in the order of codes."""

    key: str
    split: str | None
    file: AnyPath
    names: tuple[str, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the objects; invalid ones are left out and recorded as problems."""
        document = decode_file(self.file, _Document, _CONTENT)
        shape = document.info.height, document.info.width
        instances = self._instances(document.objects, shape)
        return mask_from_instances(str(self.file), shape, instances, self.options, listed=len(document.objects))

    def _instances(self, texts: list[msgspec.Raw], shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each group, from the lowest layer to the highest, or the problem of an object."""
        decoded: list[tuple[int, _Object]] = []
        for number, text in enumerate(texts):
            entry = drawn(f"object {number}", decode_region, text, _Object, "object cannot be understood")
            if isinstance(entry, Problem):
                yield entry
            else:
                decoded.append((number, entry))
        groups: dict[tuple[bool, str, bool, object], list[tuple[int, int, _Object]]] = {}
        for rank, (number, entry) in enumerate(sorted(decoded, key=lambda item: item[1].layer)):
            group = ("alone", number) if entry.group is None or entry.group == "" else ("group", entry.group)
            key = entry.category != _BACKGROUND, entry.category, bool(entry.iscrowd), group
            groups.setdefault(key, []).append((rank, number, entry))
        top = np.full(shape, -1, np.int32)
        for (is_instance, name, is_crowd, _), objects in sorted(groups.items(), key=lambda item: item[0][0]):
            crops: list[InstanceCrop] = []
            for rank, number, entry in objects:
                crop = drawn(f"object {number}", _crop, entry, rank, top)
                if isinstance(crop, Problem):
                    yield crop
                elif is_instance:
                    crops.append(crop)
            if crops:
                is_ignored = is_crowd and self.options.crowd == "ignore"
                yield IGNORED_CODE if is_ignored else 1 + self.names.index(name), union(crops)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the .json files of ISAT, one per image.

    One file is given itself, or all lie in the folder or in its annotations/, train/, val/ and test/. Polygons of one
    category and group are parts of a single instance. The classes are the categories of all files, sorted, without
    ``__background__``. Pixels of objects with ``iscrowd`` that no instance covers are ignored, unless `options` make them
    instances.
    """
    root = path if path.is_dir() else path.parent
    files = files_of_images(path, ".json", _is_ours)
    if not files:
        return None
    names = class_names(files, _categories)
    refs = [IsatRef(*key_of(root, file), file, names, options) for file in files]
    return MaskSet("isat", class_table((None, name) for name in names), tuple(refs))


def _crop(entry: _Object, rank: int, top: LabelArray) -> InstanceCrop:
    """Pixels of one object that nothing over it erases; background erases what is below it, see `erase`."""
    if entry.shape_type != "polygon":
        raise BadRegionError("object is not a polygon", repr(entry.shape_type[:40]))
    crop = polygon_crop(entry.segmentation, (top.shape[0], top.shape[1]))
    if entry.category != _BACKGROUND:
        return not_erased(crop, rank, top)
    erase(crop, rank, top)
    return crop


def _categories(file: AnyPath) -> set[str]:
    """Categories of a file's objects, without the background."""
    objects = decodable(decode_file(file, _Document, _CONTENT).objects, _Named)
    return {entry.category for entry in objects} - {_BACKGROUND}


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like ISAT's; much cheaper than decoding it."""
    return is_image_with(file, "ISAT", "info", "description", "objects")


READER = Reader("isat", find, reads_one_file=True)
