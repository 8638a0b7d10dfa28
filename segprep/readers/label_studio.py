"""Label Studio: a JSON file that lists tasks and the regions of their images, or one PNG per brush region.

Coordinates are percentages of the image's sides.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote

import msgspec

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, listing
from segprep.readers._beside import Images, Source, files_at, image_name, shape_beside
from segprep.readers._brush import brush_bitmap
from segprep.readers._image import PNG
from segprep.readers._instance_ref import InstancePngRef
from segprep.readers._json import decode_file, first_character, has_keys, mapped
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import Instance, MaskSet, Reader, ReadOptions, drawn, mask_from_instances, with_split
from segprep.readers._shapes import Point, ellipse_crop, polygon_crop, trimmed
from segprep.readers._text import decodable, decode_region

_UPLOADED = re.compile("[0-9a-f]{8}-(?=.)")
"""Start that Label Studio gives the names of uploaded files."""
_BRUSH = re.compile(
    r"task-(?P<task>[0-9]{1,18})-annotation-(?P<annotation>[0-9]{1,18})-by-[^-]*-[^-]+-(?P<label>.*)-[0-9]+", re.DOTALL
)
"""Name of a PNG of a brush region, without its suffix."""


class _Labels(msgspec.Struct):
    polygonlabels: list[str] = []
    brushlabels: list[str] = []
    ellipselabels: list[str] = []
    labels: list[str] = []

    @property
    def names(self) -> list[str]:
        """Labels of a region that may have an area."""
        return self.polygonlabels or self.brushlabels or self.ellipselabels or self.labels


class _Value(_Labels):
    points: list[Point] | None = None
    rle: list[Annotated[int, msgspec.Meta(ge=0, le=255)]] | None = None
    x: float | None = None
    y: float | None = None
    radiusX: float | None = None  # noqa: N815 - the file's word
    radiusY: float | None = None  # noqa: N815
    rotation: float = 0


class _Head(msgspec.Struct):
    value: _Labels
    original_width: int | None = None
    original_height: int | None = None


class _Result(msgspec.Struct):
    value: _Value = msgspec.field(default_factory=_Value)
    type: str = ""
    id: str | int | None = None
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0


class _Annotation(msgspec.Struct):
    result: list[msgspec.Raw]
    was_cancelled: bool | None = False


class _Task(msgspec.Struct):
    annotations: list[_Annotation]
    data: dict[str, object] = {}
    id: int | str | None = None
    file_upload: str | None = None


@dataclass(frozen=True)
class LabelStudioRef:
    """One task, whose image's name is the key; `where` is the JSON file and the task, for messages.

    `shape` is the height and width as the first region gives them, else the image of this name has the size. `results` are
    the regions, and answers that are none, as they stand in the file.
    """

    key: str
    split: str | None
    where: str
    shape: tuple[int, int] | None
    image: AnyPath | None
    results: tuple[bytes, ...]
    names: tuple[str, ...]
    options: ReadOptions
    problems: tuple[Problem, ...] = ()

    def load(self) -> InstanceMask:
        """Rasterise the regions; invalid ones are left out and recorded as problems."""
        shape = self.shape or shape_beside(self.where, self.image)
        return mask_from_instances(self.where, shape, self._instances(shape), self.options, listed=len(self.results))

    def _instances(self, shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each region, or its problem."""
        yield from self.problems
        regions: dict[object, tuple[int, _Result]] = {}
        for number, text in enumerate(self.results):
            entry = drawn(f"region {number}", decode_region, msgspec.Raw(text), _Result, "region cannot be understood")
            if isinstance(entry, Problem):
                yield entry
                continue
            key = number if entry.id is None else str(entry.id)
            # A shape, its label and further answers about it may be several results of one id.
            if key not in regions or (entry.value.names and not regions[key][1].value.names):
                regions[key] = number, entry
        for number, region in regions.values():
            names = region.value.names
            if len(names) > 1:
                yield Problem(
                    "region with several labels, the first of which counts", f"region {number}", left_out=False
                )
            crop = drawn(f"region {number}", _crop, region, shape)
            if crop is not None:
                yield crop if isinstance(crop, Problem) else (1 + self.names.index(names[0]), crop)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a .json export of Label Studio, or its PNG files of brush regions.

    The JSON export is given itself or lies in the folder, or one in each of its train/, val/ and test/. PNG files such as
    ``task-1-annotation-2-by-3-tag-NAME-0.png`` lie in the folder, or in its train/, val/ and test/. Polygons, brush
    regions and ellipses are instances; other regions, also rectangles, are left out. Of several annotations of one image
    the first that is not cancelled counts; a task without one has no mask. The classes are the labels in use, sorted.
    Sizes are in the file; only where an image has no region, the image of the same name has the size.
    """
    if sources := files_at(path, ".json", _is_ours, "Label Studio"):
        return _of_tasks(path if path.is_dir() else path.parent, sources, options)
    return _of_pngs(path, options) if path.is_dir() else None


def _image_of(images: Images, key: str, near: AnyPath) -> AnyPath | None:
    """Image of a task, also without the letters that Label Studio puts before the names of uploaded files."""
    return images.of(key, near) or images.of(_UPLOADED.sub("", key, count=1), near)


def _is_ours(file: AnyPath) -> bool:
    """True if a file looks like Label Studio's; much cheaper than decoding it."""
    text = mapped(file)
    return first_character(text) == b"[" and has_keys(text, "annotations", "result", "data")


def _of_tasks(root: AnyPath, sources: list[Source], options: ReadOptions) -> MaskSet:
    """Masks of the tasks in JSON files."""
    images, kept, problems = Images(root), list[tuple[Source, _Task, list[_Annotation]]](), list[tuple[str, Problem]]()
    for source in sources:
        for number, task in enumerate(decode_file(source.file, list[_Task], "Label Studio export")):
            valid = [annotation for annotation in task.annotations if not annotation.was_cancelled]
            if valid:
                kept.append((source, task, valid))
            else:
                where = f"task {number if task.id is None else task.id!r:.40}"
                problems.append((str(source.file), Problem("task that is not annotated", where)))
    heads = [list(decodable(valid[0].result, _Head)) for _, _, valid in kept]
    names = tuple(sorted({name for found in heads for head in found for name in head.value.names[:1]}))
    keys = _keys([(source, task) for source, task, _ in kept])
    refs = []
    for key, found, (source, _, valid) in zip(keys, heads, kept, strict=True):
        sizes = [(head.original_height, head.original_width) for head in found]
        shape = next(((height, width) for height, width in sizes if height is not None and width is not None), None)
        image = None if shape else _image_of(images, key, source.file.parent)
        texts = tuple(map(bytes, valid[0].result))
        where = f"{source.file}: {key}"
        refs.append(
            LabelStudioRef(*source.named(key), where, shape, image, texts, names, options, _several(len(valid)))
        )
    return MaskSet("label-studio", class_table((None, name) for name in names), tuple(refs), tuple(problems))


def _keys(tasks: list[tuple[Source, _Task]]) -> list[str]:
    """Name of the image of each task, with the number of the task where names are not unique."""
    names = []
    for number, (source, task) in enumerate(tasks):
        texts = [text for text in [task.data.get("image"), *task.data.values()] if isinstance(text, str)]
        found = [_name_in(text) for text in texts]
        images = [name for name in found if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
        name = (images or found or [task.file_upload or ""])[0]
        if not name:
            id_ = number if task.id is None else task.id
            raise InputError(
                f"{source.file}: task {id_!r:.40}: its image has no name, or a long one; name it in data.image"
            )
        names.append(name)
    unique = len({(source.split, name) for (source, _), name in zip(tasks, names, strict=True)}) == len(names)
    return names if unique else [f"{task.id}/{name}" for (_, task), name in zip(tasks, names, strict=True)]


def _name_in(text: str) -> str:
    """Name of an image in an address, or in a path of Label Studio: /data/local-files/?d=PATH, /data/upload/PROJECT/NAME."""
    local = text.rpartition("?d=")[2] if "?d=" in text else ""
    name = image_name(unquote(local) if local else text.partition("?")[0])
    return name.rpartition("/")[2] if name.startswith("/") else name


def _crop(region: _Result, shape: tuple[int, int]) -> InstanceCrop | None:
    """Pixels of one region; None for an answer that is no region."""
    value, (height, width) = region.value, shape
    if value.points is None and value.rle is None and value.radiusX is None:
        if value.x is None:
            return None
        raise BadRegionError("region is neither a polygon, an ellipse nor a brush region", repr(region.type[:40]))
    if not value.names:
        raise BadRegionError("region without a label", repr(region.type[:40]))
    if region.image_rotation:
        raise BadRegionError("region of an image that was turned in Label Studio", f"{region.image_rotation:g} degrees")
    size = region.original_height, region.original_width
    if size != shape:
        raise BadRegionError("size of the image differs from that of other regions", f"{size[0]} x {size[1]}")
    if value.points is not None:
        return polygon_crop([(x * width / 100, y * height / 100) for x, y in value.points], shape)
    if value.rle is not None:
        return trimmed(InstanceCrop(0, 0, brush_bitmap(bytes(value.rle), shape)), shape)
    numbers = value.x, value.y, value.radiusX, value.radiusY
    x, y, across, down = (math.nan if number is None else number for number in numbers)
    centre, radii = (x * width / 100, y * height / 100), (across * width / 100, down * height / 100)
    return ellipse_crop(centre, radii, shape, turned=math.radians(value.rotation))


def _of_pngs(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Masks of PNG files of brush regions."""
    inside = listing(path)
    files = [
        (file, name)
        for folder in [inside, *map(listing, inside.named(*FOLDERS))]
        for file in folder.with_suffix(*PNG)
        if (name := _BRUSH.fullmatch(file.stem))
    ]
    if not files:
        return None
    names = sorted({name["label"] or NO_CLASS for _, name in files})
    tasks: dict[tuple[AnyPath, str], dict[int, list[tuple[str, int]]]] = {}
    for file, name in files:
        annotations = tasks.setdefault((file.parent, f"task-{name['task']}"), {})
        own = annotations.setdefault(int(name["annotation"]), [])
        own.append((file.name, 1 + names.index(name["label"] or NO_CLASS)))
    refs = []
    for (folder, task), found in tasks.items():
        key, split = with_split(name_in(path, folder / task))
        refs.append(
            InstancePngRef(key, split, folder, tuple(found[min(found)]), options, problems=_several(len(found)))
        )
    return MaskSet("label-studio", class_table((None, name) for name in names), tuple(refs))


def _several(count: int) -> tuple[Problem, ...]:
    """Notice that an image has several annotations."""
    kind = "image with several annotations, the first of which counts"
    return (Problem(kind, str(count), left_out=False),) if count > 1 else ()


READER = Reader("label-studio", find)
