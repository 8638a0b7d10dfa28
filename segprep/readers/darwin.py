"""V7 Darwin: one JSON file per image, version 1 or 2, with polygons, or with masks in a raster layer.

A raster layer has the runs of one label image, row by row; each of its masks is an annotation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, listed_runs, runs_crop
from segprep.paths.anypath import AnyPath
from segprep.readers._beside import class_names, files_of_images, key_of
from segprep.readers._json import decode_file, has_keys, is_image_with, mapped
from segprep.readers._reader import Instance, MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import NO_PIXEL, covering, polygon_crop, trimmed, union
from segprep.readers._text import decodable, decode_region

_CONTENT = "Darwin file"


class _Point(msgspec.Struct):
    x: float
    y: float


Path = list[_Point]


class _Polygon(msgspec.Struct):
    path: Path = []
    paths: list[Path] = []
    additional_paths: list[Path] = []


class _ComplexPolygon(msgspec.Struct):
    path: list[Path]


class _Layer(msgspec.Struct):
    dense_rle: list[int]
    mask_annotation_ids_mapping: dict[str, int]


class _Head(msgspec.Struct):
    name: str
    polygon: msgspec.Raw = msgspec.Raw()
    complex_polygon: msgspec.Raw = msgspec.Raw()
    mask: msgspec.Raw = msgspec.Raw()


class _Annotation(msgspec.Struct):
    name: str
    id: str | None = None
    slot_names: list[str] = []
    polygon: _Polygon | None = None
    complex_polygon: _ComplexPolygon | None = None
    mask: dict[str, object] | None = None
    raster_layer: _Layer | None = None
    tag: dict[str, object] | None = None


class _Sides(msgspec.Struct):
    height: int | None = None
    width: int | None = None
    slot_name: str | None = None


class _Item(msgspec.Struct):
    slots: list[_Sides]


class _Document(msgspec.Struct):
    annotations: list[msgspec.Raw]
    item: _Item | None = None
    image: _Sides | None = None


@dataclass(frozen=True)
class DarwinRef:
    """One JSON file, whose path without the suffix is the key; `names` are those of all classes, in the order of codes."""

    key: str
    split: str | None
    file: AnyPath
    names: tuple[str, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the annotations; invalid ones are left out and recorded as problems."""
        where, document = str(self.file), decode_file(self.file, _Document, _CONTENT)
        slots = document.item.slots if document.item is not None else filter(None, [document.image])
        slot = next(iter(slots), _Sides())
        if slot.height is None or slot.width is None:
            raise InputError(f"{where}: no width and height of the image; export it again")
        shape = slot.height, slot.width
        instances = self._instances(document.annotations, shape, slot.slot_name)
        return mask_from_instances(where, shape, instances, self.options, listed=len(document.annotations))

    def _instances(self, texts: list[msgspec.Raw], shape: tuple[int, int], slot: str | None) -> Iterator[Instance]:
        """Class code and pixels of each annotation, or its problem."""
        annotations: list[tuple[int, _Annotation]] = []
        masks: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            try:
                entry = decode_region(text, _Annotation, "annotation cannot be understood")
                _check_slot(entry, slot)
                if (layer := entry.raster_layer) is not None:
                    masks |= layer_edges(layer.dense_rle, layer.mask_annotation_ids_mapping, shape)
                elif entry.tag is None:
                    annotations.append((number, entry))
            except BadRegionError as error:
                yield Problem(error.kind, f"annotation {number}: {error.value}")
        for number, entry in annotations:
            crop = drawn(f"annotation {number}", _crop, entry, masks, shape)
            yield crop if isinstance(crop, Problem) else (1 + self.names.index(entry.name.strip()), crop)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find the .json files of V7 Darwin, one per image.

    One file is given itself, or all lie in the folder or in its annotations/, train/, val/ and test/. Polygons and masks
    are instances; a pixel is in a polygon if it is inside an odd number of its paths. Other annotations, also boxes and
    ellipses, are left out, and so are those of other slots than the first. The classes are the names of the polygons
    and masks of all files, sorted.
    """
    root = path if path.is_dir() else path.parent
    files = files_of_images(path, ".json", _is_ours)
    if not files:
        return None
    names = class_names(files, _names_in)
    refs = [DarwinRef(*key_of(root, file), file, names, options) for file in files]
    return MaskSet("darwin", class_table((None, name) for name in names), tuple(refs))


def layer_edges(dense: list[int], values: dict[str, int], shape: tuple[int, int]) -> dict[str, list[int]]:
    """Edges of each mask of a raster layer: where its runs start and stop in the image's pixels, row by row.

    `dense` has the value and the length of each run of the label image, `values` the value of each mask.

    >>> layer_edges([0, 1, 7, 2, 8, 3], {"a": 7, "b": 8}, (2, 3))
    {'a': [1, 3], 'b': [3, 6]}
    """
    lengths = listed_runs(dense[1::2])
    if len(dense) % 2 or lengths.sum() != shape[0] * shape[1]:
        raise BadRegionError("runs do not fit the image", f"{lengths.sum()} pixels for {shape[0]} x {shape[1]}")
    edges: dict[int, list[int]] = {}
    for value, length, stop in zip(dense[::2], lengths.tolist(), np.cumsum(lengths).tolist(), strict=True):
        edges.setdefault(value, []).extend((stop - length, stop))
    return {name: edges.get(value, []) for name, value in values.items()}


def _check_slot(entry: _Annotation, slot: str | None) -> None:
    """Raise if an annotation is not of this slot."""
    if slot is not None and entry.slot_names and slot not in entry.slot_names:
        raise BadRegionError("annotation of another slot than the first", repr(entry.slot_names[0][:40]))


def _crop(entry: _Annotation, masks: dict[str, list[int]], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one annotation."""
    if entry.mask is not None:
        if entry.id not in masks:
            raise BadRegionError("mask that is in no raster layer", repr(str(entry.id)[:40]))
        runs = np.diff(masks[entry.id], prepend=0, append=shape[0] * shape[1]).astype(np.int64)
        x, y, pixels = runs_crop(runs, shape[::-1])
        return InstanceCrop(y, x, pixels.T)
    if entry.polygon is not None:
        paths = entry.polygon.paths or [entry.polygon.path, *entry.polygon.additional_paths]
    elif entry.complex_polygon is not None:
        paths = entry.complex_polygon.path
    else:
        raise BadRegionError("annotation is neither a polygon nor a mask", repr(entry.name[:40]))
    if not paths:
        raise BadRegionError("polygon of no path", "[]")
    crops = list(covering(polygon_crop, ([(point.x, point.y) for point in path] for path in paths), shape))
    if not crops:
        raise BadRegionError(NO_PIXEL, f"{shape[0]} x {shape[1]}")
    return trimmed(union(crops, even_odd=True), shape)


def _names_in(file: AnyPath) -> set[str]:
    """Names of the polygons and masks of a file."""
    heads = decodable(decode_file(file, _Document, _CONTENT).annotations, _Head)
    kinds = ((head.name.strip(), map(bytes, (head.polygon, head.complex_polygon, head.mask))) for head in heads)
    return {name for name, shapes in kinds if not {b"", b"null"}.issuperset(shapes)}


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like Darwin's; much cheaper than decoding it."""
    if is_image_with(file, "item", "slots", "annotations"):
        return True
    return is_image_with(file, "dataset", "image", "filename", "annotations") and not has_keys(mapped(file), "images")


READER = Reader("darwin", find, reads_one_file=True)
