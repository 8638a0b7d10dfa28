"""COCO instances: a JSON file that lists images, classes, and a polygon or runs for each instance.

A file is decoded once, over a memory map, and the geometry is kept as the bytes that stand in the file; each ref
takes its own with it. Images are never opened: their width and height in the file must do.
"""

import mmap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np

from segprep.arrays import BoolArray
from segprep.errors import InputError
from segprep.mask import Fault, InstanceMask, Piece, class_table, mask_of_pieces
from segprep.readers._folder import listing
from segprep.readers._image import check_size
from segprep.readers._json import decoded, first_character, has_keys, mapped
from segprep.readers._masks import Masks, ReadOptions
from segprep.readers._polygon import polygon_runs
from segprep.rle import BadRegionError, listed_runs, runs_piece, string_runs
from segprep.splits import FOLDERS, split_name

_INSTANCES = "instances_"
_SIBLINGS = ("person_keypoints_", "stuff_")
"""How COCO names its files of instances, and those that repeat them or stand beside them with segmentations."""


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str = ""
    coco_url: object = None
    width: int = 0
    height: int = 0


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str = ""


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    id: int | str | None = None
    iscrowd: bool | int | None = None
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

    file: Path
    prefix: str = ""


class Region(NamedTuple):
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
    shape : (int, int)
        Height and width in pixels.
    regions : tuple of Region
        Annotations in the order of the file.
    options : ReadOptions
        How to read them.
    """

    key: str
    file: str
    shape: tuple[int, int]
    regions: tuple[Region, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Rasterise the annotations; those that make no sense are left out and recorded as faults."""
        check_size(f"{self.file}: image {self.key}", self.shape, self.options.max_pixels)
        crowds, instances, faults = [], [], []
        for region in self.regions:
            try:
                piece = region_piece(region.segmentation, self.shape)
            except BadRegionError as error:
                faults.append(Fault(error.kind, f"annotation {region.id}: {error.value}"))
                continue
            if region.is_crowd and self.options.crowd == "ignore":
                crowds.append(piece)
            else:
                instances.append((region.code, piece))
        pieces = [piece for _, piece in instances]
        return mask_of_pieces(
            self.shape,
            pieces,
            [code for code, _ in instances],
            ignore=_ignored(crowds, pieces, self.shape),
            faults=tuple(faults),
        )


def find(path: Path, options: ReadOptions) -> Masks | None:
    """Find a .json with images, annotations and segmentations, itself or in the folder or its annotations/.

    A segmentation is a list of polygons, whose union is one instance, or runs, as a list or as a string. A region with
    ``iscrowd`` counts as a place without truth, but for the pixels that instances cover, unless `options` make it an
    instance. Lists of results are no ground truth.

    Several files are one data set where each is another split, by its name (``instances_train2017.json``, ``val.json``)
    or its folder (``valid/_annotations.coco.json``): their categories must agree, and keys begin with ``train/``,
    ``val/`` or ``test/``. Beside COCO's own ``instances_*``, its ``person_keypoints_*`` and ``stuff_*`` are passed over.
    An image without a file name is named by the end of its ``coco_url``, as in LVIS.
    """
    sources = _sources_in(path) if path.is_dir() else _checked_file(path)
    if not sources:
        return None
    first = decoded(sources[0].file, _Document, "COCO file")
    codes = _numbered(f"{sources[0].file}: categories", [category.id for category in first.categories])
    refs = _refs(first, sources[0], codes, options)
    for source in sources[1:]:
        document = decoded(source.file, _Document, "COCO file")
        _check_categories(document.categories, source.file, first.categories, sources[0].file)
        refs += _refs(document, source, codes, options)
    classes = class_table((category.id, category.name or str(category.id)) for category in first.categories)
    return Masks("coco", classes, refs)


def region_piece(segmentation: bytes, shape: tuple[int, int]) -> Piece:
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
    >>> region_piece(b'[[1, 1, 3, 1, 3, 3, 1, 3]]', (4, 5)).pixels.shape
    (2, 2)
    >>> region_piece(b'{"counts": [0, 1, 5], "size": [2, 3]}', (2, 3))[:2]
    (0, 0)
    """
    try:
        value = _SEGMENTATION.decode(segmentation)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadRegionError("segmentation is neither polygons nor runs", error) from error
    if not value:
        raise BadRegionError("no segmentation", value)
    if isinstance(value, list):
        return runs_piece(polygon_runs(_parts(value), shape), shape)
    if value.size != shape:
        raise BadRegionError("size differs from the image's", f"{value.size} instead of {shape}")
    runs = string_runs(value.counts) if isinstance(value.counts, str) else listed_runs(value.counts)
    return runs_piece(runs, shape)


def _parts(value: list[list[float] | float]) -> list[list[float]]:
    """Polygons of a list of them, or of the bare numbers of a single one."""
    parts = [part for part in value if isinstance(part, list)]
    numbers = [number for number in value if not isinstance(number, list)]
    if parts and numbers:
        raise BadRegionError("segmentation is neither polygons nor runs", "polygons and numbers in one list")
    return parts or [numbers]


def _ignored(crowds: list[Piece], instances: list[Piece], shape: tuple[int, int]) -> BoolArray | None:
    """Pixels of crowds that no instance covers, shape (H, W); None where there is no crowd."""
    if not crowds:
        return None
    ignored = np.zeros(shape, np.bool_)
    for y, x, pixels in crowds:
        ignored[y : y + pixels.shape[0], x : x + pixels.shape[1]] |= pixels
    for y, x, pixels in instances:
        ignored[y : y + pixels.shape[0], x : x + pixels.shape[1]] &= ~pixels
    return ignored


def _checked_file(path: Path) -> list[Source]:
    """`path` where it is a COCO file; a list of results is refused."""
    if path.suffix.lower() != ".json":
        return []
    text = mapped(path)
    if first_character(text) == b"[":
        raise InputError(f"{path}: a list, as detectors write their results, is no ground truth; give the annotations")
    if first_character(text) != b"{" or not has_keys(text, "images", "annotations"):
        return []
    return [Source(path)] if has_keys(text, "segmentation") or not has_keys(text, "segments_info") else []


def _sources_in(folder: Path) -> list[Source]:
    """COCO files of one data set in a folder or its ``annotations/``, else in its folders of splits."""
    inside = listing(folder)
    found = _coco_files([folder, *inside.named("annotations")])
    if len(found) == 1:
        return [Source(found[0])]
    found = _without_siblings(found) or _coco_files(inside.named(*FOLDERS))
    splits = [split_name(file) for file in found]
    if None in splits or max(Counter(splits).values(), default=1) > 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in found)
        raise InputError(
            f"{folder}: {len(found)} COCO files: {names}; give one of them, or one for each of train, val and test"
        )
    return [Source(file, f"{split}/") for file, split in zip(found, splits, strict=True)]


def _coco_files(folders: list[Path]) -> list[Path]:
    """COCO files that lie in these folders themselves."""
    files = [file for folder in folders for file in listing(folder).with_suffix(".json")]
    return [file for file in files if _is_coco(mapped(file))]


def _without_siblings(files: list[Path]) -> list[Path]:
    """Files without those that COCO puts beside its instances."""
    if not any(file.name.startswith(_INSTANCES) for file in files):
        return files
    return [file for file in files if not file.name.startswith(_SIBLINGS)]


def _is_coco(text: mmap.mmap | bytes) -> bool:
    """Whether a file looks like COCO instances; much cheaper than decoding it."""
    return first_character(text) == b"{" and has_keys(text, "images", "annotations", "segmentation")


def _check_categories(own: list[_Category], file: Path, others: list[_Category], first: Path) -> None:
    """Raise where two files of one data set do not mean the same classes."""
    _numbered(f"{file}: categories", [category.id for category in own])
    here, there = ({category.id: category.name for category in categories} for categories in (own, others))
    wrong = next((id_ for id_ in (*here, *there) if here.get(id_) != there.get(id_)), None)
    if wrong is not None:
        raise InputError(
            f"{file}: category {wrong} is {_told(here, wrong)}, but {_told(there, wrong)} in {first}; make them agree"
        )


def _told(names: dict[int, str], id_: int) -> str:
    """Name of a category, for a message."""
    return repr(names[id_]) if id_ in names else "missing"


def _refs(document: _Document, source: Source, codes: dict[int, int], options: ReadOptions) -> tuple[CocoRef, ...]:
    """One ref per image, in the order of the file."""
    file = str(source.file)
    rows = _numbered(f"{file}: images", [image.id for image in document.images])
    regions: list[list[Region]] = [[] for _ in rows]
    for annotation in document.annotations:
        name = f"{file}: annotation {annotation.id}"
        if annotation.image_id not in rows:
            raise InputError(f"{name}: no image has the id {annotation.image_id}; add the image or drop the annotation")
        if annotation.category_id not in codes:
            raise InputError(f"{name}: no category has the id {annotation.category_id}; add it or drop the annotation")
        regions[rows[annotation.image_id] - 1].append(_region(annotation, codes[annotation.category_id]))
    return tuple(
        CocoRef(source.prefix + _key(image, file), file, (image.height, image.width), tuple(own), options)
        for image, own in zip(document.images, regions, strict=True)
    )


def _region(annotation: _Annotation, code: int) -> Region:
    """Annotation with a copy of its segmentation, so that the whole file need not be kept."""
    return Region(str(annotation.id), code, bool(annotation.iscrowd), bytes(annotation.segmentation))


def _numbered(where: str, ids: list[int]) -> dict[int, int]:
    """Give each id its number, from 1 on."""
    numbers: dict[int, int] = {}
    for number, id_ in enumerate(ids, start=1):
        if numbers.setdefault(id_, number) != number:
            raise InputError(f"{where}: the id {id_} occurs twice; ids must be unique")
    return numbers


def _key(image: _Image, file: str) -> str:
    """Name of the mask of an image."""
    if image.file_name:
        return image.file_name.replace("\\", "/")
    if isinstance(image.coco_url, str) and (name := _end_of(image.coco_url)):
        return name
    raise InputError(f"{file}: image {image.id} has no file_name, by which masks are named; add it")


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
