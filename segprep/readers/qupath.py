"""QuPath: one GeoJSON file per image, which lists objects with a geometry and perhaps a classification.

The file has no size, so the header of the image is read; no pixel of it is decoded. The bounding box of the objects would
not do: it ends at the last object.
"""

from array import array
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain

import msgspec
import numpy as np

from segprep.kernels.polygons import Shapes
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.masks.rle import BadRegionError
from segprep.masks.shapes import Outline, ShapeIndex, ShapeSlide, joined, shape_crop, shape_index, shapes_of
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath
from segprep.paths.files import storage
from segprep.paths.listing import nearest
from segprep.paths.version import Version
from segprep.readers._beside import Images, class_names, key_of, shape_beside
from segprep.readers._image import check_size
from segprep.readers._json import decode_file, first_character, mapped
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._polygon import checked
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import NO_PIXEL
from segprep.readers._text import decodable, decode_region

_GEOJSON = ".geojson"
_GROUP = 4096
"""Objects whose rings are put together at a time, since many small arrays take several times the memory."""

Ring = list[list[float]]


class _Classification(msgspec.Struct):
    name: str | None = None
    names: list[str] = []


class _Properties(msgspec.Struct):
    classification: _Classification | str | None = None


class _Classified(msgspec.Struct):
    properties: _Properties | None = None


class _Plane(msgspec.Struct):
    z: int = 0
    t: int = 0


class _Geometry(msgspec.Struct):
    type: str
    coordinates: msgspec.Raw
    plane: _Plane | None = None


class _Feature(_Classified):
    geometry: _Geometry | None = None


class _Collection(msgspec.Struct):
    features: list[msgspec.Raw]


@dataclass(frozen=True)
class QupathRef:
    """One GeoJSON file, whose path without the suffix is the key, and the image, which has the size.

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
        features = _features(self.file)
        shape = shape_beside(str(self.file), self.image)
        check_size(str(self.image), shape, self.options.max_pixels)
        return self._drawn(features, shape)

    def load_as(self, shape: tuple[int, int]) -> InstanceMask:
        """Rasterise the objects as those of an image of this height and width."""
        return self._drawn(_features(self.file), shape)

    def slide(self) -> ShapeSlide | None:
        """The objects, of which any window is drawn, if the image has more than ``max_pixels`` pixels; else None."""
        shape = shape_beside(str(self.file), self.image)
        if shape[0] * shape[1] <= self.options.max_pixels:
            return None
        return ShapeSlide(
            self.key, shape, partial(_kept_index, self.file, self.names, shape), self.options.max_instances
        )

    def _drawn(self, features: list[msgspec.Raw], shape: tuple[int, int]) -> InstanceMask:
        """Mask of these objects."""
        instances = (drawn(f"feature {number}", self._instance, text, shape) for number, text in enumerate(features))
        return mask_from_instances(str(self.file), shape, instances, self.options, listed=len(features))

    def _instance(self, text: msgspec.Raw, shape: tuple[int, int]) -> tuple[int, InstanceCrop]:
        """Class code and pixels of one object."""
        code, outline = _outline(text, self.names)
        crop = shape_crop(shapes_of([outline]), shape)
        if crop is None:
            raise BadRegionError(NO_PIXEL, f"{shape[0]} x {shape[1]}")
        return code, crop


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find QuPath's .geojson, one per image, and the images.

    One file is given itself, or all lie in the folder or in its annotations/, train/, val/ and test/. Polygons,
    also with holes and of several parts, are instances; points and lines have no area and are left out, and so are
    objects of other planes than the first. The classes are the names of the classifications of all files, sorted;
    objects without one have the class "instance". The image of the same name, in the folder or below, has the size.
    """
    root = path if path.is_dir() else path.parent
    files = nearest(path, lambda inside: inside.with_suffix(_GEOJSON), names=("annotations", *FOLDERS))
    if not files:
        return None
    names = class_names(files, _names_in) or (NO_CLASS,)
    images = Images(root)
    refs = [QupathRef(*key_of(root, file), file, images.of(file.stem, file.parent), names, options) for file in files]
    return MaskSet("qupath", class_table((None, name) for name in names), tuple(refs))


def _outline(text: msgspec.Raw, names: tuple[str, ...]) -> tuple[int, Outline]:
    """Class code and rings of one object."""
    feature = decode_region(text, _Feature, "object cannot be understood")
    return 1 + names.index(_class_of(feature)), [ring for part in _parts(feature.geometry) for ring in rings(part)]


def rings(part: list[Ring]) -> Outline:
    """Rings of a polygon, an outline of points [x, y] and its holes.

    Examples
    --------
    >>> square, hole = [[0, 0], [3, 0], [3, 3], [0, 3]], [[1, 1], [2, 1], [2, 2], [1, 2]]
    >>> shape_crop(shapes_of([rings([square, hole])]), (4, 5)).pixels.astype(int)
    array([[1, 1, 1],
           [1, 0, 1],
           [1, 1, 1]])
    """
    lengths = [{*map(len, ring)} for ring in part]
    if not part or min(map(min, filter(None, lengths)), default=2) < 2:  # noqa: PLR2004 - x and y
        short = [point for ring in part for point in ring if len(point) < 2]  # noqa: PLR2004
        raise BadRegionError("polygon with a point that has no x and y", short[:1])
    plain = [ring if most <= {2} else [point[:2] for point in ring] for ring, most in zip(part, lengths, strict=True)]
    return [(checked([*chain.from_iterable(ring)]), index > 0) for index, ring in enumerate(plain)]


def _parts(geometry: _Geometry | None) -> list[list[Ring]]:
    """Polygons of one geometry."""
    if geometry is None or geometry.type not in {"Polygon", "MultiPolygon"}:
        raise BadRegionError("object has no area", geometry and repr(geometry.type[:40]))
    if geometry.plane is not None and (geometry.plane.z or geometry.plane.t):
        raise BadRegionError("object of another plane than the first", f"z={geometry.plane.z}, t={geometry.plane.t}")
    if geometry.type == "Polygon":
        return [decode_region(geometry.coordinates, list[Ring], "coordinates of a wrong type")]
    parts = decode_region(geometry.coordinates, list[list[Ring]], "coordinates of a wrong type")
    if not parts:
        raise BadRegionError("object of no part", "[]")
    return parts


def _kept_index(file: AnyPath, names: tuple[str, ...], shape: tuple[int, int]) -> ShapeIndex:
    """Index of the objects of a file, kept until that of another file is asked for or the file changes."""
    return _index(file, storage(file).version(), names, shape)


@lru_cache(maxsize=1)
def _index(file: AnyPath, version: Version, names: tuple[str, ...], shape: tuple[int, int]) -> ShapeIndex:  # noqa: ARG001
    """Index of the objects of a file of this version."""
    groups, codes, numbers = list[Shapes](), array("i"), array("q")
    problems: list[tuple[int, Problem]] = []
    features = _features(file)
    for start in range(0, max(1, len(features)), _GROUP):
        outlines = []
        for number, text in enumerate(features[start : start + _GROUP], start):
            found = drawn(f"feature {number}", _outline, text, names)
            if isinstance(found, Problem):
                problems.append((number, found))
            else:
                codes.append(found[0])
                numbers.append(number)
                outlines.append(found[1])
        groups.append(shapes_of(outlines))
    index, empty = shape_index(str(file), joined(groups), np.array(codes, np.int32), shape)
    for number in np.array(numbers, np.int64)[empty].tolist():
        problems.append((number, Problem(NO_PIXEL, f"feature {number}: {shape[0]} x {shape[1]}")))
    return replace(index, problems=first_problems(problem for _, problem in sorted(problems)))


def _class_of(feature: _Classified) -> str:
    """Name of the class of an object."""
    found = feature.properties and feature.properties.classification
    name = ((found.name or ": ".join(found.names)) if isinstance(found, _Classification) else found) or ""
    return name.strip() or NO_CLASS


def _names_in(file: AnyPath) -> set[str]:
    """Names of the classes of a file's objects."""
    return {_class_of(entry) for entry in decodable(_features(file), _Classified)}


def _features(file: AnyPath) -> list[msgspec.Raw]:
    """Objects of a file, which is a collection or a plain list."""
    content = "GeoJSON of QuPath"
    if first_character(mapped(file)) == b"[":
        return decode_file(file, list[msgspec.Raw], content)
    return decode_file(file, _Collection, content).features


READER = Reader("qupath", find)
