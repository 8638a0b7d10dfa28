"""Segment Anything (SA-1B): one JSON file per image, with the runs of every object and no classes."""

from dataclasses import dataclass

import msgspec

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, runs_crop, string_runs
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import Listing, listing, start_of
from segprep.readers._image import check_size
from segprep.readers._reader import MaskSet, ReadOptions, mask_from_instances

_DEPTH = 2
"""Folders below the given one in which files are looked for, as sa_000000/."""
_LOOK = 8
"""Files that are looked at to recognise the format, since one may be damaged."""
_MAX_BYTES = 2**26
"""Bytes of the largest file; those of SA-1B have less than 1 MB, and files of other layouts need not be looked at."""


class _Image(msgspec.Struct):
    width: int
    height: int
    file_name: str


class _Rle(msgspec.Struct):
    size: tuple[int, int]
    counts: str


class _Annotation(msgspec.Struct):
    segmentation: msgspec.Raw
    id: int | str | None = None


class _Document(msgspec.Struct):
    image: _Image
    annotations: list[_Annotation]


@dataclass(frozen=True)
class SegmentAnythingRef:
    """One image.

    Attributes
    ----------
    key : str
        The JSON file, relative to the data set, without its suffix.
    file : AnyPath
        Where it is.
    options : ReadOptions
        How to read it.
    """

    key: str
    file: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Decode the objects; those that make no sense are left out and recorded as problems."""
        document = _decoded(self.file)
        shape = document.image.height, document.image.width
        check_size(str(self.file), shape, self.options.max_pixels)
        found = (_found(annotation, shape) for annotation in document.annotations)
        return mask_from_instances(str(self.file), shape, found, self.options)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find one .json per image with image, annotations and compressed runs, as in SA-1B, or one such file.

    Files may lie in folders up to two deep, as ``sa_000000/``. Every region is an instance of the one class object;
    they may overlap. One of the first few files by name tells the layout; each of the others is checked when it is loaded.
    """
    files = _files(listing(path), _DEPTH) if path.is_dir() else [path] if path.suffix.lower() == ".json" else []
    if not any(map(_is_ours, files[:_LOOK])):
        return None
    root = path if path.is_dir() else path.parent
    refs = [SegmentAnythingRef(without_suffix(name_in(root, file)), file, options) for file in files]
    return MaskSet("segment-anything", class_table([(None, "object")]), tuple(refs))


def _files(inside: Listing, depth: int) -> list[AnyPath]:
    """JSON files in a folder, else in the folders below it."""
    files = inside.with_suffix(".json")
    if files or depth == 0:
        return files
    return [file for folder in inside.folders for file in _files(listing(folder), depth - 1)]


def _is_ours(file: AnyPath) -> bool:
    """Whether a file names a single image and its annotations."""
    content = _content(file)
    if len(content) > _MAX_BYTES:
        return False
    try:
        keys = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        msgspec.json.decode(keys["image"], type=_Image)
        msgspec.json.decode(keys["annotations"], type=list[msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, KeyError):
        return False
    return "images" not in keys


def _found(annotation: _Annotation, shape: tuple[int, int]) -> tuple[int, InstanceCrop] | Problem:
    """Class code and pixels of one object, or what is wrong with it."""
    try:
        return 1, _crop(annotation.segmentation, shape)
    except BadRegionError as error:
        return Problem(error.kind, f"annotation {annotation.id}: {error.value}")


def _crop(segmentation: msgspec.Raw, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object within their bounding box."""
    try:
        rle = msgspec.json.decode(segmentation, type=_Rle)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRegionError("segmentation is no compressed runs", str(error)) from error
    if rle.size != shape:
        raise BadRegionError("size differs from the image's", f"{rle.size} instead of {shape}")
    return runs_crop(string_runs(rle.counts), shape)


def _decoded(file: AnyPath) -> _Document:
    """Content of a file."""
    content = _content(file)
    if len(content) > _MAX_BYTES:
        raise InputError(f"{file}: more than {_MAX_BYTES} bytes; give one file per image")
    try:
        return msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: no valid Segment Anything file: {error}; mend or fetch it anew") from error


def _content(file: AnyPath) -> bytes:
    """Bytes of a file without a byte order mark, and no more than tell that it is too large."""
    return start_of(file, _MAX_BYTES + 4).removeprefix(b"\xef\xbb\xbf")
