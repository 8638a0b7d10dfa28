"""QuPath: one GeoJSON file per image, which lists objects with a geometry and perhaps a classification.

The file has no size, so the header of the image is read; no pixel of it is decoded. The bounding box of the objects would
not do: it ends at the last object.
"""

from dataclasses import dataclass

import msgspec

from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import BadRegionError
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import nearest
from segprep.readers._beside import Images, class_names, key_of, shape_beside
from segprep.readers._image import check_size
from segprep.readers._json import decode_file, first_character, mapped
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import NO_PIXEL, covering, holed_crop, union
from segprep.readers._text import decodable, decode_region

_GEOJSON = ".geojson"

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

    def _drawn(self, features: list[msgspec.Raw], shape: tuple[int, int]) -> InstanceMask:
        """Mask of these objects."""
        instances = (drawn(f"feature {number}", self._instance, text, shape) for number, text in enumerate(features))
        return mask_from_instances(str(self.file), shape, instances, self.options, listed=len(features))

    def _instance(self, text: msgspec.Raw, shape: tuple[int, int]) -> tuple[int, InstanceCrop]:
        """Class code and pixels of one object."""
        feature = decode_region(text, _Feature, "object cannot be understood")
        return 1 + self.names.index(_class_of(feature)), _crop(feature.geometry, shape)


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


def rings_crop(rings: list[Ring], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of a polygon, an outline of points [x, y], without those of its holes.

    Examples
    --------
    >>> square, hole = [[0, 0], [3, 0], [3, 3], [0, 3]], [[1, 1], [2, 1], [2, 2], [1, 2]]
    >>> rings_crop([square, hole], (4, 5)).pixels.astype(int)
    array([[1, 1, 1],
           [1, 0, 1],
           [1, 1, 1]])
    """
    short = [point for ring in rings for point in ring if len(point) < 2]  # noqa: PLR2004 - x and y
    if short or not rings:
        raise BadRegionError("polygon with a point that has no x and y", short[:1])
    outline, *holes = ([(point[0], point[1]) for point in ring] for ring in rings)
    return holed_crop(outline, holes, shape)


def _crop(geometry: _Geometry | None, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one geometry."""
    if geometry is None or geometry.type not in {"Polygon", "MultiPolygon"}:
        raise BadRegionError("object has no area", geometry and repr(geometry.type[:40]))
    if geometry.plane is not None and (geometry.plane.z or geometry.plane.t):
        raise BadRegionError("object of another plane than the first", f"z={geometry.plane.z}, t={geometry.plane.t}")
    if geometry.type == "Polygon":
        return rings_crop(decode_region(geometry.coordinates, list[Ring], "coordinates of a wrong type"), shape)
    parts = decode_region(geometry.coordinates, list[list[Ring]], "coordinates of a wrong type")
    if not parts:
        raise BadRegionError("object of no part", "[]")
    if not (crops := list(covering(rings_crop, parts, shape))):
        raise BadRegionError(NO_PIXEL, f"{shape[0]} x {shape[1]}")
    return union(crops)


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
