"""Segment Anything (SA-1B): one JSON file per image, with the runs of every object and no classes."""

from dataclasses import dataclass

import msgspec

from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import BadRegionError, runs_crop, string_runs
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import nearest
from segprep.readers._json import mapped
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances, with_split
from segprep.readers._text import BOM, MALFORMED, decode, decode_region, read_bytes

_DEPTH = 2
"""Folders below the given one in which files are searched, such as sa_000000/."""
_LOOK = 8
"""Files that are decoded to recognise the format, since one may be damaged."""
_MAX_BYTES = 2**26
"""Bytes of the largest file; those of SA-1B have less than 1 MB, and larger files are of another layout."""


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
    """One JSON file, whose path without the suffix is the key."""

    key: str
    split: str | None
    file: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Decode the objects; those that make no sense are left out and recorded as problems."""
        content = read_bytes(self.file, _MAX_BYTES, "annotations of one image")
        document = decode(self.file, content, _Document, "Segment Anything file")
        shape = document.image.height, document.image.width
        instances = (
            (1, drawn(f"annotation {annotation.id}", _crop, annotation.segmentation, shape))
            for annotation in document.annotations
        )
        return mask_from_instances(str(self.file), shape, instances, self.options)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find one .json per image with image, annotations and compressed runs, as in SA-1B, or one such file.

    Files may lie in folders up to two deep, such as ``sa_000000/``. Every region is an instance of the one class object;
    they may overlap. The layout is recognised by the first few files; each of the others is checked when it is loaded.
    """
    files = nearest(path, lambda inside: inside.with_suffix(".json"), depth=_DEPTH)
    if not any(map(_is_ours, files[:_LOOK])):
        return None
    root = path if path.is_dir() else path.parent
    refs = [SegmentAnythingRef(*with_split(without_suffix(name_in(root, file))), file, options) for file in files]
    return MaskSet("segment-anything", class_table([(None, "object")]), tuple(refs))


def _is_ours(file: AnyPath) -> bool:
    """True if a file lists a single image and its annotations."""
    content = mapped(file)
    if len(content) > _MAX_BYTES:
        return False
    try:
        keys = msgspec.json.decode(content[:].removeprefix(BOM), type=dict[str, msgspec.Raw])
        msgspec.json.decode(keys["image"], type=_Image)
        msgspec.json.decode(keys["annotations"], type=list[msgspec.Raw])
    except (*MALFORMED, KeyError):
        return False
    return "images" not in keys


def _crop(segmentation: msgspec.Raw, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one object within their bounding box."""
    rle = decode_region(segmentation, _Rle, "segmentation is not compressed runs")
    if rle.size != shape:
        raise BadRegionError("size differs from the image's", f"{rle.size} instead of {shape}")
    return runs_crop(string_runs(rle.counts), shape)


READER = Reader("segment-anything", find, reads_one_file=True)
