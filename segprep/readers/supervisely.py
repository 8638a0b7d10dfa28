"""Supervisely: one JSON file per image in the folders ann/ of data sets, and the project's classes in meta.json.

Neither images nor names of images in the files are used: the size is in each file, and its name is the image's.
"""

import base64
import io
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from segprep.arrays import BoolArray
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import listing, nearest
from segprep.readers._image import check_size
from segprep.readers._json import decode_file, has_keys, is_image_with, is_json, mapped
from segprep.readers._reader import (
    MaskSet,
    Reader,
    ReadOptions,
    check_instances,
    mask_from_instances,
    read_all_or_raise,
    with_split,
)
from segprep.readers._shapes import Point, holed_crop, trimmed
from segprep.readers._text import MALFORMED, decode_region

_FOLDER, _META = "ann", "meta.json"
_DEPTH = 4
"""Folders below the given one in which data sets are searched; they may be nested."""
_PNG = b"\x89PNG"
_MORE = 2**16
"""Bytes that a PNG may have beyond one for each value of the image."""


class _Points(msgspec.Struct):
    exterior: list[Point] = []
    interior: list[list[Point]] = []


class _Bitmap(msgspec.Struct):
    data: str
    origin: tuple[int, int]


class _Titled(msgspec.Struct):
    classTitle: str  # noqa: N815 - the file's word


class _Object(_Titled):
    geometryType: str | None = None  # noqa: N815
    points: _Points | None = None
    bitmap: _Bitmap | None = None


class _Size(msgspec.Struct):
    height: int
    width: int


class _Document(msgspec.Struct):
    size: _Size
    objects: list[msgspec.Raw]


class _Class(msgspec.Struct):
    title: str
    shape: str = ""


class _Meta(msgspec.Struct):
    classes: list[_Class]


@dataclass(frozen=True)
class SuperviselyRef:
    """One JSON file; the key is the name of the image after that of its data set.

    Attributes
    ----------
    classes : tuple of (str, str)
        Name and kind of shape of each class, in the order of the codes.
    """

    key: str
    split: str | None
    file: AnyPath
    classes: tuple[tuple[str, str], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the objects; invalid ones are left out and recorded as problems."""
        where, document = str(self.file), decode_file(self.file, _Document, "Supervisely annotation")
        shape = document.size.height, document.size.width
        check_size(where, shape, self.options.max_pixels)
        check_instances(where, len(document.objects), self.options.max_instances)
        return mask_from_instances(where, shape, self._instances(document.objects, shape), self.options)

    def _instances(
        self, objects: list[msgspec.Raw], shape: tuple[int, int]
    ) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each object, or its problem."""
        codes = {name: (code, kind) for code, (name, kind) in enumerate(self.classes, start=1)}
        for number, text in enumerate(objects):
            try:
                found = decode_region(text, _Object, "object cannot be understood")
                code, kind = codes[found.classTitle]
                yield code, _crop(found, kind, shape)
            except BadRegionError as error:
                yield Problem(error.kind, f"object {number}: {error.value}")


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a project of Supervisely, with ann/*.json in one or more data sets, or one such file.

    Polygons, also with holes, and bitmaps are instances; other objects, also rectangles, are left out. The classes are
    those of ``meta.json``, then others in use, sorted. Data sets named train, val or test are splits.
    """
    root = path if path.is_dir() else path.parent
    files = _files_in(path) if path.is_dir() else [file for file in [path] if _is_ours(file)]
    if not files:
        return None
    metas = [file for file in listing(path).files if file.name == _META] if path.is_dir() else []
    listed = {
        entry.title: entry.shape for meta in metas for entry in decode_file(meta, _Meta, "Supervisely meta").classes
    }
    found = read_all_or_raise(files, _titles)
    used = set().union(*filter(None, found))
    classes = (*listed.items(), *((name, "") for name in sorted(used - listed.keys())))
    refs = []
    for file in files:
        folder = file.parent.parent if file.parent.name == _FOLDER else file.parent
        key = without_suffix(name_in(root, folder / file.name if file.parent != root else file))
        refs.append(SuperviselyRef(*with_split(key), file, classes, options))
    return MaskSet("supervisely", class_table((None, name) for name, _ in classes), tuple(refs))


def bitmap(data: str, room: tuple[int, int]) -> BoolArray:
    """Pixels of a bitmap: a PNG in zlib's compression and base64, of which the alpha channel counts if there is one.

    Its size, at most `room` in height and width, is checked before a pixel is decoded.

    Raises
    ------
    BadRegionError
        If it is damaged, or larger.
    """
    try:
        packed = base64.b64decode(data, validate=True)
        limit = 4 * room[0] * room[1] + _MORE
        content = packed if packed.startswith(_PNG) else zlib.decompressobj().decompress(packed, limit)
        with PngImageFile(io.BytesIO(content)) as image:
            size = image.height, image.width
            if size[0] <= room[0] and size[1] <= room[1]:
                has_alpha = image.mode in {"LA", "RGBA"} or "transparency" in image.info
                counted = image.convert("RGBA").getchannel("A") if has_alpha else image.convert("L")
                pixels: BoolArray = np.asarray(counted) != 0
                return pixels
    except Exception as error:  # on damaged files, decoders raise errors of any type
        raise BadRegionError("bitmap cannot be decoded", " ".join(str(error).split())[:80]) from error
    raise BadRegionError("bitmap does not lie inside the image", f"{size[0]} x {size[1]} for {room[0]} x {room[1]}")


def _crop(found: _Object, kind: str, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object; old files have the kind of its shape only in the class."""
    kind = found.geometryType or ("bitmap" if found.bitmap is not None else kind or "polygon")
    if kind == "bitmap" and found.bitmap is not None:
        x, y = found.bitmap.origin
        if not (0 <= y < shape[0] and 0 <= x < shape[1]):
            raise BadRegionError(
                "bitmap does not lie inside the image", f"row {y}, column {x} of {shape[0]} x {shape[1]}"
            )
        return trimmed(InstanceCrop(y, x, bitmap(found.bitmap.data, (shape[0] - y, shape[1] - x))), shape)
    if kind == "polygon" and found.points is not None:
        return holed_crop(found.points.exterior, found.points.interior, shape)
    raise BadRegionError("object is neither a polygon nor a bitmap", repr(kind[:40]))


def _files_in(path: AnyPath) -> list[AnyPath]:
    """Annotations of the data sets in a folder."""
    folders = nearest(path, lambda inside: inside.named(_FOLDER), depth=_DEPTH) or [path]
    files = [file for folder in folders for file in listing(folder).with_suffix(".json")]
    ours = set(filter(_is_ours, files))
    # A damaged file beside them is one of them.
    return [file for file in files if file in ours or not is_json(file)] if ours else []


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like Supervisely's of an image, not of a video; much cheaper than decoding it."""
    if not is_image_with(file, "objects", "size", "height", "width") or has_keys(mapped(file), "framesCount"):
        return False
    return file.parent.name == _FOLDER or has_keys(mapped(file), "classTitle")


def _titles(file: AnyPath) -> set[str]:
    """Names of the classes of a file's objects."""
    names = set()
    for text in decode_file(file, _Document, "Supervisely annotation").objects:
        # Loading the file records an invalid object as a problem.
        with suppress(*MALFORMED):
            names.add(msgspec.json.decode(text, type=_Titled).classTitle)
    return names


READER = Reader("supervisely", find, reads_one_file=True)
