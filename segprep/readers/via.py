"""VGG Image Annotator (VIA) 1 to 3: a JSON file that lists images, and the shapes and attributes of each region.

The file has no sizes, so the header of each image is read; no pixel of it is decoded.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec.structs import asdict

from segprep.errors import InputError, some
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.readers._beside import Images, files_at, image_name, shape_beside
from segprep.readers._json import decode_file, has_keys, is_object_about, mapped
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._shapes import box_crop, ellipse_crop, polygon_crop
from segprep.readers._text import decode_region

_CLASS = ("class", "label", "category", "object", "name", "type")
"""Attributes that are the class if there are several, the first one first."""
_KINDS = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon"}
"""Shapes by their numbers in VIA 3."""
_KEYS_3 = ("config", "attribute", "file", "metadata", "view", "fid_list")
"""Keys by which a file of VIA 3 is recognised."""
_NUMBERS = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry", "theta"),
}
"""Numbers of a shape: `r` is a radius, `theta` an angle in radians."""


class _Shape(msgspec.Struct):
    name: str
    all_points_x: list[float] = []
    all_points_y: list[float] = []
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    cx: float | None = None
    cy: float | None = None
    r: float | None = None
    rx: float | None = None
    ry: float | None = None
    theta: float | None = None


class _Region(msgspec.Struct):
    shape_attributes: _Shape
    region_attributes: dict[str, object] = {}


class _File(msgspec.Struct):
    filename: str
    regions: list[msgspec.Raw] | dict[str, msgspec.Raw] = []


class _Project(msgspec.Struct):
    files: dict[str, _File] = msgspec.field(name="_via_img_metadata")


class _File3(msgspec.Struct):
    fname: str


class _View3(msgspec.Struct):
    fid_list: list[str | int]


class _Attribute3(msgspec.Struct):
    aname: str
    options: dict[str, object] = {}


class _Region3(msgspec.Struct):
    vid: str | int
    xy: list[float] = []
    av: dict[str, object] = {}


class _Document3(msgspec.Struct):
    file: dict[str, _File3]
    view: dict[str, _View3]
    metadata: dict[str, msgspec.Raw]
    attribute: dict[str, _Attribute3] = {}


class Region(NamedTuple):
    """Region of an image: for messages, and VIA's name of its shape.

    `numbers` are x and y of each corner, or those of `_NUMBERS`, in pixels; the first pixel spans from 0 to 1.
    """

    where: str
    kind: str
    numbers: tuple[float, ...]


Described: TypeAlias = tuple[Region, dict[str, str]] | Problem
"""Region and its attributes that are not empty, or its problem."""


@dataclass(frozen=True)
class ViaRef:
    """Regions of one image with their class codes; the key is its name in the file, and the image has the size.

    `file` is for messages; `problems` are regions that are left out whatever their pixels.
    """

    key: str
    split: str | None
    file: str
    image: AnyPath | None
    regions: tuple[tuple[int, Region], ...]
    options: ReadOptions
    problems: tuple[Problem, ...] = ()

    def load(self) -> InstanceMask:
        """Rasterise the regions; invalid ones are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        shape = shape_beside(where, self.image)
        instances = (
            (code, drawn(where, region_crop, kind, numbers, shape)) for code, (where, kind, numbers) in self.regions
        )
        return mask_from_instances(
            where, shape, chain(self.problems, instances), self.options, listed=len(self.regions)
        )


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a .json of VGG Image Annotator (VIA), and the images.

    The file, of version 1 to 3, is given itself or lies in the folder, or one in each of its train/, val/ and
    test/. Polygons, closed polylines, rectangles, circles and ellipses are instances; points and lines have no area
    and are left out. The class is the value of the regions' only attribute, or of the attribute class, label,
    category, object, name or type, the first that is there. The image of the same name, in the folder or below, has
    the size.
    """
    root = path if path.is_dir() else path.parent
    found = files_at(path, ".json", _is_ours, "VIA")
    if not found:
        return None
    documents = [_images_of(source.file) for source in found]
    items = chain.from_iterable(regions for document in documents for regions in document.values())
    values = [item[1] for item in items if not isinstance(item, Problem)]
    attribute = _class_attribute(found[0].file, values)
    names = [NO_CLASS] if attribute is None else sorted({value[attribute] for value in values if attribute in value})
    images = Images(root)
    refs = []
    for source, document in zip(found, documents, strict=True):
        for name, regions in document.items():
            coded = [_coded(item, attribute, names) for item in regions]
            valid = tuple(item for item in coded if not isinstance(item, Problem))
            problems = tuple(item for item in coded if isinstance(item, Problem))
            image = images.of(name, source.file.parent)
            refs.append(ViaRef(*source.named(name), str(source.file), image, valid, options, problems))
    return MaskSet("via", class_table((None, name) for name in names), tuple(refs))


def region_crop(kind: str, numbers: Sequence[float], shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one region, in an image of this height and width; the arguments are those of `Region`.

    Examples
    --------
    >>> region_crop("rect", (1, 1, 2, 3), (4, 5)).pixels.shape
    (3, 2)
    """
    match kind, numbers:
        case "rect", (x, y, width, height):
            return box_crop((x, y), (x + width, y + height), shape)
        case "circle", (x, y, radius):
            return ellipse_crop((x, y), (radius, radius), shape)
        case "ellipse", (x, y, across, down, angle):
            return ellipse_crop((x, y), (across, down), shape, turned=angle)
        case "polyline", _ if numbers[:2] != numbers[-2:]:
            raise BadRegionError("polyline that is not closed", f"{len(numbers) // 2} points; draw a polygon")
        case "polygon" | "polyline", _:
            return polygon_crop(list(zip(numbers[::2], numbers[1::2], strict=True)), shape)
    raise BadRegionError("region has no area", repr(kind[:40]))


def _coded(item: Described, attribute: str | None, names: list[str]) -> tuple[int, Region] | Problem:
    """Class code and region, or its problem; without an attribute, all regions have one class."""
    if isinstance(item, Problem):
        return item
    region, values = item
    name = NO_CLASS if attribute is None else values.get(attribute)
    if name is None:
        return Problem("region without a class", f"{region.where}: no value of {attribute!r}")
    return 1 + names.index(name), region


def _class_attribute(file: AnyPath, values: Iterable[dict[str, str]]) -> str | None:
    """Attribute that is the class; None if no region has an attribute."""
    attributes = sorted(set().union(*values))
    if len(attributes) <= 1:
        return attributes[0] if attributes else None
    named = [attribute for name in _CLASS for attribute in attributes if attribute.lower() == name]
    if named:
        return named[0]
    shown = some((repr(attribute[:40]) for attribute in attributes), most=5)
    raise InputError(f"{file}: regions have the attributes {shown}; rename the one that is the class to 'class'")


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like VIA's; much cheaper than decoding it."""
    text = mapped(file)
    return is_object_about(text, *_KEYS_3) or is_object_about(text, "filename", "regions", "file_attributes")


def _images_of(file: AnyPath) -> dict[str, list[Described]]:
    """Regions of each image of a file, and their problems."""
    text = mapped(file)
    if has_keys(text, *_KEYS_3):
        return _third(file, decode_file(file, _Document3, "VIA 3 project"))
    if has_keys(text, "_via_img_metadata"):
        files = decode_file(file, _Project, "VIA project").files
    else:
        files = decode_file(file, dict[str, _File], "VIA file")
    images: dict[str, list[Described]] = {}
    for document in files.values():
        name = _new_name(file, document.filename, images)
        regions = document.regions.items() if isinstance(document.regions, dict) else enumerate(document.regions)
        wheres = ((f"region {number!r:.40}", text) for number, text in regions)
        images[name] = [drawn(where, _region, where, text) for where, text in wheres]
    return images


def _third(file: AnyPath, document: _Document3) -> dict[str, list[Described]]:
    """Regions of each image of a VIA 3 project, and their problems."""
    images: dict[str, list[Described]] = {}
    of_view: dict[str, list[Described]] = {}
    for number, view in document.view.items():
        files = [document.file[str(id_)] for id_ in view.fid_list if str(id_) in document.file]
        if len(files) != 1:
            reason = f"is of {len(files)} files; give a project with one image in each view"
            raise InputError(f"{file}: view {number[:40]!r} {reason}")
        of_view[number] = images[_new_name(file, files[0].fname, images)] = []
    for id_, text in document.metadata.items():
        try:
            region = decode_region(text, _Region3, "region cannot be understood")
        except BadRegionError as error:
            raise InputError(f"{file}: metadata {id_[:40]!r}: {error.value}; fix it or export it again") from error
        if str(region.vid) not in of_view:
            reason = f"is of the view {str(region.vid)[:40]!r}, which is not listed; export again"
            raise InputError(f"{file}: metadata {id_[:40]!r} {reason}")
        if region.xy:  # others are attributes of the image
            of_view[str(region.vid)].append(_region_3(f"region {id_[:40]!r}", region, document.attribute))
    return images


def _new_name(file: AnyPath, name: str, images: Container[str]) -> str:
    """Name of an image that is not yet listed."""
    found = image_name(name)
    if not found or found in images:
        problem = "is listed twice" if found else "is empty or too long"
        raise InputError(f"{file}: the image name {name[:40]!r} {problem}; rename the image")
    return found


def _region(where: str, text: msgspec.Raw) -> tuple[Region, dict[str, str]]:
    """Region of VIA 1 or 2, and its attributes."""
    region = decode_region(text, _Region, "region cannot be understood")
    shape = region.shape_attributes
    all_x, all_y, names = shape.all_points_x, shape.all_points_y, _NUMBERS.get(shape.name, ())
    given = {"theta": 0.0} | {name: number for name, number in asdict(shape).items() if number is not None}
    numbers = tuple(given[name] for name in names if name in given)
    if len(numbers) != len(names):
        raise BadRegionError("shape without some of its numbers", repr(shape.name))
    if shape.name in {"polygon", "polyline"}:
        if len(all_x) != len(all_y):
            raise BadRegionError("points without x or y", f"{len(all_x)} x, {len(all_y)} y")
        numbers = tuple(chain.from_iterable(zip(all_x, all_y, strict=True)))
    return Region(where, shape.name, numbers), _values(region.region_attributes)


def _region_3(where: str, region: _Region3, attributes: dict[str, _Attribute3]) -> Described:
    """Region of VIA 3 and its attributes, or its problem."""
    kind, *numbers = region.xy
    name = _KINDS.get(int(kind), "unknown") if abs(kind) < len(_KINDS) + 1 else "unknown"
    expected = len(_NUMBERS.get(name, ())) or len(numbers) // 2 * 2
    if name == "ellipse" and len(numbers) == expected - 1:
        numbers.append(0.0)
    if len(numbers) != expected:
        return Problem("shape of a wrong number of numbers", f"{where}: {name} of {len(numbers)}")
    given = [(attributes[id_], value) for id_, value in region.av.items() if id_ in attributes]
    values = {attribute.aname: attribute.options.get(str(value), value) for attribute, value in given}
    return Region(where, name, tuple(numbers)), _values(values)


def _values(attributes: dict[str, object]) -> dict[str, str]:
    """Values of attributes as text, without those that are empty; of ticked boxes, the names."""
    texts = {}
    for name, value in attributes.items():
        ticked = [option for option, is_on in value.items() if is_on is True] if isinstance(value, dict) else [value]
        texts[name] = ", ".join(str(option) for option in ticked if isinstance(option, str | int | float)).strip()
    return {name: text for name, text in texts.items() if text}


READER = Reader("via", find)
