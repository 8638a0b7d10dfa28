"""ISAT (Image Segmentation Annotation Tool with Segment Anything): one JSON file per image, which lists polygons.

As in the tool's own conversions, objects of higher layers lie over those of lower ones, and ``__background__`` erases
what is below it.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import numpy as np

from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.readers._beside import files_of_images
from segprep.readers._image import check_size
from segprep.readers._json import decode_file, is_image_with
from segprep.readers._reader import (
    IGNORED_CODE,
    MaskSet,
    Reader,
    ReadOptions,
    check_instances,
    mask_from_instances,
    read_all_or_raise,
    with_split,
)
from segprep.readers._shapes import Point, erase, not_erased, polygon_crop, union
from segprep.readers._text import MALFORMED, decode_region

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
        where, document = str(self.file), decode_file(self.file, _Document, _CONTENT)
        shape = document.info.height, document.info.width
        check_size(where, shape, self.options.max_pixels)
        check_instances(where, len(document.objects), self.options.max_instances)
        return mask_from_instances(where, shape, self._instances(document.objects, shape), self.options)

    def _instances(
        self, texts: list[msgspec.Raw], shape: tuple[int, int]
    ) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each group, from the lowest layer to the highest, or the problem of an object."""
        decoded: list[tuple[int, _Object]] = []
        for number, text in enumerate(texts):
            try:
                decoded.append((number, decode_region(text, _Object, "object cannot be understood")))
            except BadRegionError as error:
                yield Problem(error.kind, f"object {number}: {error.value}")
        groups: dict[tuple[bool, str, bool, object], list[tuple[int, int, _Object]]] = {}
        for rank, (number, found) in enumerate(sorted(decoded, key=lambda item: item[1].layer)):
            group = ("alone", number) if found.group is None or found.group == "" else ("group", found.group)
            key = found.category != _BACKGROUND, found.category, bool(found.iscrowd), group
            groups.setdefault(key, []).append((rank, number, found))
        top = np.full(shape, -1, np.int32)
        for (is_instance, name, is_crowd, _), objects in sorted(groups.items(), key=lambda item: item[0][0]):
            instance: InstanceCrop | None = None
            for rank, number, found in objects:
                try:
                    crop = _crop(found, shape)
                    if not is_instance:
                        erase(crop, rank, top)
                        continue
                    crop = not_erased(crop, rank, top)
                except BadRegionError as error:
                    yield Problem(error.kind, f"object {number}: {error.value}")
                    continue
                instance = crop if instance is None else union([instance, crop])
            if instance is not None:
                is_ignored = is_crowd and self.options.crowd == "ignore"
                yield IGNORED_CODE if is_ignored else 1 + self.names.index(name), instance


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the .json files of ISAT, one per image.

    One file is given itself, or all lie in the folder or in its annotations/, train/, val/ and test/. Polygons of one
    category and group are parts of a single instance. The classes are the categories of all files, sorted, without
    ``__background__``. Pixels of objects with ``iscrowd`` that no instance covers are ignored, unless `options` make them
    instances.
    """
    root = path if path.is_dir() else path.parent
    files = files_of_images(path, ".json", _is_ours) if path.is_dir() else [file for file in [path] if _is_ours(file)]
    if not files:
        return None
    found = read_all_or_raise(files, _categories)
    names = tuple(sorted(set().union(*filter(None, found)) - {_BACKGROUND}))
    refs = [IsatRef(*with_split(without_suffix(name_in(root, file))), file, names, options) for file in files]
    return MaskSet("isat", class_table((None, name) for name in names), tuple(refs))


def _crop(found: _Object, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object."""
    if found.shape_type != "polygon":
        raise BadRegionError("object is not a polygon", repr(found.shape_type[:40]))
    return polygon_crop(found.segmentation, shape)


def _categories(file: AnyPath) -> set[str]:
    """Categories of a file's objects."""
    names = set()
    for text in decode_file(file, _Document, _CONTENT).objects:
        # Loading the file records an invalid object as a problem.
        with suppress(*MALFORMED):
            names.add(msgspec.json.decode(text, type=_Named).category)
    return names


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like ISAT's; much cheaper than decoding it."""
    return is_image_with(file, "ISAT", "info", "description", "objects")


READER = Reader("isat", find, reads_one_file=True)
