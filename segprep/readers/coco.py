"""COCO instances: a JSON file that lists images, classes, and a polygon or runs for each instance.

A file is decoded once, over a memory map, and the geometry is kept as the bytes that stand in the file; each ref
takes its own with it. Images are never opened: their width and height in the file must do.
"""

import mmap
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import msgspec
import numpy as np

from segprep.arrays import BoolArray
from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, listed_runs, runs_crop, string_runs
from segprep.masks.splits import FOLDERS, split_name
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import listing
from segprep.readers._image import check_size
from segprep.readers._json import decoded, first_character, has_keys, mapped
from segprep.readers._polygon import TRIANGLE, polygon_runs
from segprep.readers._reader import MaskSet, ReadOptions, check_instances, mask_from_instances

_INSTANCES = "instances_"
_SIBLINGS = ("person_keypoints_", "stuff_")
"""How COCO names its files of instances, and those that repeat them or stand beside them with segmentations."""

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
"""A whole number of 64 bits as text; ``007`` is none, but a name of its own."""
_CROWDS: dict[int | float | str | None, bool] = {None: False, 0: False, 1: True, "0": False, "1": True}
"""What ``iscrowd`` may be; false, true and 1.0 are equal to 0 and 1."""
_LONGEST_NAME = 1000
"""Characters of a mask's name, about as many as a path may have."""
_SHOWN = 120
"""Characters of a value in a message."""

_Id: TypeAlias = int | float | str
"""An id as it may stand in a file."""
_Side: TypeAlias = int | float | str | None
"""A height or width as it may stand in a file."""
_Numbers: TypeAlias = dict[_Id | None, int]
"""Number of each id, from 1 on."""


class _Image(msgspec.Struct, gc=False):
    id: _Id
    file_name: str | None = None
    coco_url: object = None
    width: _Side = None
    height: _Side = None


class _Category(msgspec.Struct, gc=False):
    id: _Id
    name: str | None = None


class _Annotation(msgspec.Struct):
    image_id: _Id | None = None
    category_id: _Id | None = None
    id: _Id | None = None
    iscrowd: bool | int | float | str | None = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class _Document(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class _Rle(msgspec.Struct):
    counts: list[int] | str
    size: tuple[int, int]


_SEGMENTATION = msgspec.json.Decoder(list[list[float] | float] | _Rle | None)


class Source(NamedTuple):
    """A COCO file and what stands before the keys of its masks: ``""`` or the folder of its split, as ``train/``."""

    file: AnyPath
    prefix: str = ""


class Annotation(NamedTuple):
    """One annotation of an image.

    Attributes
    ----------
    id : str
        Its id in the file, for messages only.
    code : int
        Class code.
    is_crowd : bool
        Whether it stands for many objects that were not told apart.
    segmentation : bytes
        Polygons or runs, as they stand in the file.
    """

    id: str
    code: int
    is_crowd: bool
    segmentation: bytes


@dataclass(frozen=True)
class CocoRef:
    """One image of a COCO file, with all of its annotations and none of the others.

    Attributes
    ----------
    key : str
        The image's file name, with forward slashes; before it the split, where several files are one data set.
    file : str
        The COCO file, for messages only.
    sides : (number or str or None, number or str or None)
        Height and width as they stand in the file.
    regions : tuple of Region
        Annotations in the order of the file.
    options : ReadOptions
        How to read them.
    problems : tuple of Problem
        Annotations that are left out whatever their pixels.
    """

    key: str
    file: str
    sides: tuple[_Side, _Side]
    regions: tuple[Annotation, ...]
    options: ReadOptions
    problems: tuple[Problem, ...] = ()

    def load(self) -> InstanceMask:
        """Rasterise the annotations; those that make no sense are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        shape = _shape(where, self.sides)
        check_size(where, shape, self.options.max_pixels)
        check_instances(where, len(self.regions), self.options.max_instances)
        crowds: list[BoolArray] = []
        mask = mask_from_instances(where, shape, self._instances(shape, crowds), self.options)
        return replace(mask, ignore=crowds[0] & ~(mask.planes > 0).any(axis=0)) if crowds else mask

    def _instances(
        self, shape: tuple[int, int], crowds: list[BoolArray]
    ) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each instance, or what is wrong; all crowds go to the one array in `crowds`, if any."""
        yield from self.problems
        for region in self.regions:
            try:
                crop = annotation_crop(region.segmentation, shape)
            except BadRegionError as error:
                yield Problem(error.kind, f"annotation {_shown(region.id)}: {_shown(error.value)}")
                continue
            if region.is_crowd and self.options.crowd == "ignore":
                if not crowds:
                    crowds.append(np.zeros(shape, np.bool_))
                y, x, pixels = crop
                crowds[0][y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels
            else:
                yield region.code, crop


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a .json with images, annotations and segmentations, itself or in the folder or its annotations/.

    A segmentation is a list of polygons, whose union is one instance, or runs, as a list or as a string. A region with
    ``iscrowd`` counts as a place without truth, but for the pixels that instances cover, unless `options` make it an
    instance. Lists of results are no ground truth.

    Several files are one data set where each is another split, by its name (``instances_train2017.json``, ``val.json``)
    or its folder (``valid/_annotations.coco.json``): their categories must agree, and keys begin with ``train/``,
    ``val/`` or ``test/``. Beside COCO's own ``instances_*``, its ``person_keypoints_*`` and ``stuff_*`` are passed over.
    An image without a file name is named by the end of its ``coco_url``, as in LVIS.

    Ids are whole numbers or text; ``1``, ``1.0`` and ``"1"`` are the same. An annotation of an image or a category that
    the file does not list is left out.
    """
    sources = _sources_in(path) if path.is_dir() else _checked_file(path)
    if not sources:
        return None
    first = decoded(sources[0].file, _Document, "COCO file")
    codes = _codes(first.categories, sources[0].file)
    refs, problems = _refs(first, sources[0], codes, options)
    for source in sources[1:]:
        document = decoded(source.file, _Document, "COCO file")
        _check_categories(document.categories, source.file, first.categories, sources[0].file)
        more, strays = _refs(document, source, codes, options)
        refs, problems = refs + more, problems + strays
    return MaskSet("coco", class_table(map(_class, first.categories)), refs, problems)


def annotation_crop(segmentation: bytes, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of one annotation within their bounding box.

    Parameters
    ----------
    segmentation : bytes
        JSON of polygons or runs.
    shape : (int, int)
        Height and width of the image in pixels.

    Raises
    ------
    BadRegionError
        Where it makes no sense, or no pixel lies inside the image.

    Examples
    --------
    >>> annotation_crop(b'[[1, 1, 3, 1, 3, 3, 1, 3]]', (4, 5)).pixels.shape
    (2, 2)
    >>> annotation_crop(b'{"counts": [0, 1, 5], "size": [2, 3]}', (2, 3))[:2]
    (0, 0)
    """
    try:
        value = _SEGMENTATION.decode(segmentation)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRegionError("segmentation is neither polygons nor runs", error) from error
    if not value:
        raise BadRegionError("no segmentation", value)
    if isinstance(value, list):
        return runs_crop(polygon_runs(_parts(value), shape), shape)
    if value.size != shape:
        raise BadRegionError("size differs from the image's", f"{value.size} instead of {shape}")
    runs = string_runs(value.counts) if isinstance(value.counts, str) else listed_runs(value.counts)
    return runs_crop(runs, shape)


def _parts(value: list[list[float] | float]) -> list[list[float]]:
    """Polygons of a list of them, or of the bare numbers of a single one."""
    parts = [part for part in value if isinstance(part, list)]
    numbers = [number for number in value if not isinstance(number, list)]
    if parts and numbers:
        raise BadRegionError("segmentation is neither polygons nor runs", "polygons and numbers in one list")
    # A point or a line has no area, and adds no pixel to the others.
    areas = [part for part in parts if len(part) >= TRIANGLE]
    return areas or parts or [numbers]


def _checked_file(path: AnyPath) -> list[Source]:
    """`path` where it is a COCO file; a list of results is refused."""
    if path.suffix.lower() != ".json":
        return []
    text = mapped(path)
    _check_text(path, text)
    if first_character(text) == b"[":
        raise InputError(f"{path}: a list, as detectors write their results, is no ground truth; give the annotations")
    if first_character(text) != b"{" or not has_keys(text, "images", "annotations"):
        return []
    return [Source(path)] if has_keys(text, "segmentation") or not has_keys(text, "segments_info") else []


def _sources_in(folder: AnyPath) -> list[Source]:
    """COCO files of one data set in a folder or its ``annotations/``, else in its folders of splits."""
    inside = listing(folder)
    found = _coco_files([folder, *inside.named("annotations")])
    if len(found) == 1:
        return [Source(found[0])]
    found = _without_siblings(found) or _coco_files(inside.named(*FOLDERS))
    splits = [split_name(file) for file in found]
    if None in splits or max(Counter(splits).values(), default=1) > 1:
        names = ", ".join(name_in(folder, file) for file in found)
        raise InputError(
            f"{folder}: {len(found)} COCO files: {names}; give one of them, or one for each of train, val and test"
        )
    return [Source(file, f"{split}/") for file, split in zip(found, splits, strict=True)]


def _coco_files(folders: list[AnyPath]) -> list[AnyPath]:
    """COCO files that lie in these folders themselves."""
    files = [file for folder in folders for file in listing(folder).with_suffix(".json")]
    found = [file for file in files if _is_coco(mapped(file))]
    for file in files if found else ():
        _check_text(file, mapped(file))  # beside a COCO file it is likely another split, not to be passed over
    return found


def _check_text(path: AnyPath, text: mmap.mmap | bytes) -> None:
    """Raise where a file cannot be UTF-8, so that it cannot even be known whether it is a COCO file."""
    if b"\0" in text[:4]:
        raise InputError(f"{path}: begins with {text[:4]!r}, as text in UTF-16 does; save it as UTF-8")


def _without_siblings(files: list[AnyPath]) -> list[AnyPath]:
    """Files without those that COCO puts beside its instances."""
    if not any(file.name.startswith(_INSTANCES) for file in files):
        return files
    return [file for file in files if not file.name.startswith(_SIBLINGS)]


def _is_coco(text: mmap.mmap | bytes) -> bool:
    """Whether a file looks like COCO instances; much cheaper than decoding it."""
    return first_character(text) == b"{" and has_keys(text, "images", "annotations", "segmentation")


def _check_categories(own: list[_Category], file: AnyPath, others: list[_Category], first: AnyPath) -> None:
    """Raise where two files of one data set do not mean the same classes."""
    _codes(own, file)
    here, there = ({_plain(each.id): each.name for each in categories} for categories in (own, others))
    wrong = next((id_ for id_ in (*here, *there) if here.get(id_) != there.get(id_)), None)
    if wrong is not None:
        raise InputError(
            f"{file}: category {_shown(wrong)} is {_told(here, wrong)}, but {_told(there, wrong)} in {first}; "
            "make them agree"
        )


def _codes(categories: list[_Category], file: AnyPath) -> _Numbers:
    """Class code of each category; the store keeps their ids in 64 bits."""
    codes = _numbered(f"{file}: categories", [category.id for category in categories])
    wrong = next((id_ for id_ in codes if isinstance(id_, int) and not -(2**63) <= id_ < 2**63), None)
    if wrong is not None:
        raise InputError(f"{file}: categories: the id {_shown(wrong)} has more than 64 bits; give a smaller one")
    return codes


def _told(names: dict[int | str | None, str | None], id_: int | str | None) -> str:
    """Name of a category, for a message."""
    return _shown(repr(names[id_])) if id_ in names else "missing"


def _class(category: _Category) -> tuple[int | None, str]:
    """Id and name of a class; an id that is text is a name at best."""
    id_ = _plain(category.id)
    return id_ if isinstance(id_, int) else None, category.name or str(id_)


def _refs(
    document: _Document, source: Source, codes: _Numbers, options: ReadOptions
) -> tuple[tuple[CocoRef, ...], tuple[tuple[str, Problem], ...]]:
    """One ref per image, in the order of the file, and what is left out because no image has it."""
    file = str(source.file)
    rows = _numbered(f"{file}: images", [image.id for image in document.images])
    regions: list[list[Annotation]] = [[] for _ in rows]
    problems: dict[int, list[Problem]] = defaultdict(list)
    strays: dict[_Id | None, list[_Annotation]] = defaultdict(list)
    for annotation in document.annotations:
        row = _number(rows, annotation.image_id)
        if not row:
            strays[annotation.image_id].append(annotation)
            continue
        code, is_crowd = _number(codes, annotation.category_id), _CROWDS.get(annotation.iscrowd)
        if code and is_crowd is not None:
            # A copy of the segmentation, so that the whole file need not be kept.
            region = Annotation(str(annotation.id), code, is_crowd, bytes(annotation.segmentation))
            regions[row - 1].append(region)
        else:
            problems[row - 1].append(_problem(annotation, is_listed=code > 0))
    refs = tuple(
        CocoRef(
            source.prefix + _key(image, file),
            file,
            (image.height, image.width),
            tuple(own),
            options,
            tuple(problems[row]),
        )
        for row, (image, own) in enumerate(zip(document.images, regions, strict=True))
    )
    own_problems = [_stray(own) for own in strays.values()] + _doubtful_crowds(regions, options)
    return refs, tuple((source.prefix + source.file.name, problem) for problem in own_problems)


def _doubtful_crowds(regions: list[list[Annotation]], options: ReadOptions) -> list[Problem]:
    """Says so where most annotations are crowds, which would be places without truth: CVAT writes every bitmap so."""
    told = [region.is_crowd for own in regions for region in own]
    if options.crowd != "ignore" or 2 * sum(told) <= len(told):
        return []
    where = f"{sum(told)} of {len(told)} annotations; if they are single instances, say --crowd instance"
    return [Problem("most regions are iscrowd, without truth", where)]


def _problem(annotation: _Annotation, *, is_listed: bool) -> Problem:
    """What is wrong with an annotation, of which the category is listed or not."""
    where = f"annotation {_shown(annotation.id)}"
    if not is_listed:
        return Problem("category that the file does not list", f"{where}: category_id {_shown(annotation.category_id)}")
    return Problem("iscrowd is neither 0 nor 1", f"{where}: {_shown(repr(annotation.iscrowd))}")


def _stray(annotations: list[_Annotation]) -> Problem:
    """All annotations of one image that is not listed: a file cut down to a part of its images has many."""
    first, more = annotations[0], len(annotations) - 1
    others = f" and {more} more" if more else ""
    return Problem(
        "image that the file does not list",
        f"annotation {_shown(first.id)}{others}: image_id {_shown(first.image_id)}",
    )


def _plain(id_: _Id | None) -> int | str | None:
    """Id that is equal where the same is meant: a whole number, else text; None where it is neither.

    Examples
    --------
    >>> [_plain(id_) for id_ in (1, 1.0, "1", "01", 1.5)]
    [1, 1, 1, '01', None]
    """
    if isinstance(id_, str):
        return int(id_) if _WHOLE.fullmatch(id_) else id_
    if isinstance(id_, float):
        return int(id_) if id_.is_integer() else None
    return id_


def _number(numbers: _Numbers, id_: _Id | None) -> int:
    """Number of an id; 0 where it has none."""
    # Most ids are found as they stand, and there may be millions.
    return numbers.get(id_, 0) or numbers.get(_plain(id_), 0)


def _numbered(where: str, ids: Iterable[_Id]) -> _Numbers:
    """Give each id its number, from 1 on."""
    numbers: _Numbers = {}
    for number, id_ in enumerate(ids, start=1):
        plain = _plain(id_)
        if plain is None:
            raise InputError(f"{where}: the id {id_} is no whole number; ids must be whole numbers or text")
        if numbers.setdefault(plain, number) != number:
            raise InputError(f"{where}: the id {_shown(id_)} occurs twice; ids must be unique")
    return numbers


def _shape(where: str, sides: tuple[_Side, _Side]) -> tuple[int, int]:
    """Height and width in pixels."""
    for name, side in zip(("height", "width"), sides, strict=True):
        if side is None:
            raise InputError(f"{where}: has no {name}; add it, in pixels")
        if not isinstance(_plain(side), int):
            raise InputError(f"{where}: {name} is {_shown(repr(side))}; it must be a whole number of pixels")
    height, width = (int(_plain(side) or 0) for side in sides)
    return height, width


def _shown(value: object) -> str:
    """Value for a message: one line, not too long."""
    text = str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return text if text and text.isprintable() else ascii(text)


def _key(image: _Image, file: str) -> str:
    """Name of the mask of an image."""
    name = image.file_name or (_end_of(image.coco_url) if isinstance(image.coco_url, str) else "")
    if not name:
        raise InputError(f"{file}: image {_shown(image.id)} has no file_name, by which masks are named; add it")
    if len(name) > _LONGEST_NAME:
        raise InputError(
            f"{file}: image {_shown(image.id)}: file_name has {len(name)} characters, more than {_LONGEST_NAME}; shorten it"
        )
    return name.replace("\\", "/")


def _end_of(url: str) -> str:
    """Last folder and file of an address; empty where it cannot be told.

    Examples
    --------
    >>> _end_of("http://images.cocodataset.org/val2017/000000397133.jpg")
    'val2017/000000397133.jpg'
    """
    try:
        return "/".join(urlsplit(url).path.strip("/").split("/")[-2:])
    except ValueError:  # as of "http://["
        return ""
