"""Supervisely: one JSON file per image in the folders ann/ of data sets, and the project's classes in meta.json.

Neither images nor names of images in the files are used: the size is in each file, and its name is the image's.
"""

import base64
import io
import zlib
from dataclasses import dataclass

import msgspec
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from segprep.arrays import BoolArray
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing, nearest
from segprep.readers._beside import class_names, key_of
from segprep.readers._json import decode_file, has_keys, is_image_with, is_json, mapped
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import Point, holed_crop, trimmed
from segprep.readers._text import decodable, decode_region

_CONTENT = "Supervisely annotation"
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

    `classes` are the name and the kind of shape of each class, in the order of the codes.
    """

    key: str
    split: str | None
    file: AnyPath
    classes: tuple[tuple[str, str], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the objects; invalid ones are left out and recorded as problems."""
        document = decode_file(self.file, _Document, _CONTENT)
        shape, objects = (document.size.height, document.size.width), document.objects
        codes = {name: (code, kind) for code, (name, kind) in enumerate(self.classes, start=1)}
        instances = (drawn(f"object {number}", _instance, text, codes, shape) for number, text in enumerate(objects))
        return mask_from_instances(str(self.file), shape, instances, self.options, listed=len(objects))


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
    classes = (*listed.items(), *((name, "") for name in class_names(files, _titles) if name not in listed))
    refs = []
    for file in files:
        folder = file.parent.parent if file.parent.name == _FOLDER else file.parent
        key = key_of(root, folder / file.name if file.parent != root else file)
        refs.append(SuperviselyRef(*key, file, classes, options))
    return MaskSet("supervisely", class_table((None, name) for name, _ in classes), tuple(refs))


def bitmap(data: str, room: tuple[int, int]) -> BoolArray:
    """Pixels of a bitmap: a PNG in zlib's compression and base64, of which the alpha channel counts if there is one.

    Its size, at most `room` in height and width, is checked before a pixel is decoded.
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


def _instance(text: msgspec.Raw, codes: dict[str, tuple[int, str]], shape: tuple[int, int]) -> tuple[int, InstanceCrop]:
    """Class code and pixels of one object."""
    entry = decode_region(text, _Object, "object cannot be understood")
    code, kind = codes[entry.classTitle]
    return code, _crop(entry, kind, shape)


def _crop(entry: _Object, kind: str, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object; old files have the kind of its shape only in the class."""
    kind = entry.geometryType or ("bitmap" if entry.bitmap is not None else kind or "polygon")
    if kind == "bitmap" and entry.bitmap is not None:
        x, y = entry.bitmap.origin
        if not (0 <= y < shape[0] and 0 <= x < shape[1]):
            raise BadRegionError(
                "bitmap does not lie inside the image", f"row {y}, column {x} of {shape[0]} x {shape[1]}"
            )
        return trimmed(InstanceCrop(y, x, bitmap(entry.bitmap.data, (shape[0] - y, shape[1] - x))), shape)
    if kind == "polygon" and entry.points is not None:
        return holed_crop(entry.points.exterior, entry.points.interior, shape)
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
    return {entry.classTitle for entry in decodable(decode_file(file, _Document, _CONTENT).objects, _Titled)}


READER = Reader("supervisely", find)
