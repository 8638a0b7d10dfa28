"""COCO instances: a JSON file that lists images, classes, and a polygon or runs for each instance.

A file is read and decoded once, and the annotations of each ref are views of its bytes. A map of the file would be cheaper to
keep than its bytes, but ends the process if the file is cut during the run. The size is the width and height in the file; it
is compared with the header of the image if that lies in the folder.
"""

import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError
from segprep.masks.splits import FOLDERS, file_split
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers import _coco
from segprep.readers._beside import LONGEST_NAME, ImagesByName, Source
from segprep.readers._coco import annotation_crop, box_crop, number, numbered, plain, shown
from segprep.readers._coco_doubts import many_crowds, names_outside, other_size, repeated_ids
from segprep.readers._json import decode_file, first_character, has_keys, is_object_with, mapped
from segprep.readers._reader import (
    IGNORED_CODE,
    Instance,
    MaskSet,
    Reader,
    ReadOptions,
    key_in,
    mask_from_instances,
    splits_of_files,
)
from segprep.readers._text import check_utf8

_INSTANCES = "instances_"
_SIBLINGS = ("person_keypoints_", "stuff_")
"""Beginnings of the names of COCO's files of instances, and of those beside them that also have segmentations."""
_NO_ANNOTATION = re.compile(rb'"annotations"\s*:\s*\[\s*\]')
_NO_SEGMENTATION = frozenset({b"null", b"[]", b"[[]]", b'""', b"{}"})


class CocoRef(msgspec.Struct, frozen=True):
    """One image of a COCO file, with all of its annotations and none of the others.

    Its key is the image's file name, with forward slashes; it begins with the split if several files are one data set.
    `sides` are height and width as they stand in the file; `codes` has the class codes of all its categories.
    `image` is the image itself, if it is known, and `file_name` its name in the file.
    """

    key: str
    split: str | None
    file: str
    sides: tuple[_coco.Side, _coco.Side]
    annotations: tuple[_coco.Annotation, ...]
    codes: _coco.Numbers
    options: ReadOptions
    image: AnyPath | None = None
    file_name: str = ""

    def load(self) -> InstanceMask:
        """Rasterise the annotations; invalid ones are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        shape = _coco.image_shape(where, self.sides)
        problems = [_problem(annotation, self.codes) for annotation in self.annotations]
        listed = problems.count(None)
        return mask_from_instances(where, shape, self._instances(shape, problems), self.options, listed=listed)

    def _instances(self, shape: tuple[int, int], problems: list[Problem | None]) -> Iterator[Instance]:
        """Class code and pixels of each instance or ignored crowd, or its problem; first those known without its pixels."""
        yield from filter(None, problems)
        yield from other_size(self.image, shape)
        for annotation in (entry for entry, problem in zip(self.annotations, problems, strict=True) if not problem):
            try:
                crop = self._crop(annotation, shape)
            except BadRegionError as error:
                yield Problem(error.kind, f"annotation {shown(annotation.id)}: {shown(error.value)}")
                continue
            is_ignored = _coco.CROWDS[annotation.iscrowd] and self.options.crowd == "ignore"
            yield IGNORED_CODE if is_ignored else number(self.codes, annotation.category_id), crop

    def _crop(self, annotation: _coco.Annotation, shape: tuple[int, int]) -> InstanceCrop:
        """Pixels of an annotation, or of its box if it has no segmentation and `options` allow that."""
        segmentation = bytes(annotation.segmentation)
        if segmentation not in _NO_SEGMENTATION or not bytes(annotation.bbox):
            return annotation_crop(segmentation, shape)
        if self.options.boxes_as_masks:
            return box_crop(bytes(annotation.bbox), shape)
        raise BadRegionError("no segmentation", f"{segmentation.decode()}; boxes_as_masks=True fills its box")


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a .json with images, annotations and segmentations, itself or in the folder or its annotations/.

    A segmentation is a list of polygons, whose union is one instance, or runs, as a list or as a string. Pixels of a region
    with ``iscrowd`` that no instance covers are ignored, unless `options` make the region an instance. Lists of results are
    not ground truth.

    Several files are one data set if each is another split, by its name (``instances_train2017.json``, ``val.json``)
    or its folder (``valid/_annotations.coco.json``): their categories must agree, and keys begin with ``train/``,
    ``val/`` or ``test/``. Beside COCO's own ``instances_*``, its ``person_keypoints_*`` and ``stuff_*`` are skipped.
    An image without a file name is named by the end of its ``coco_url``, as in LVIS. Images in the folder are looked up by
    name, and their sizes are compared with those in the file.
    """
    sources = _sources_in(path, options) if path.is_dir() else _checked_file(path, options)
    if not sources:
        return None
    first = decode_file(sources[0].file, _coco.Document, "COCO file", keep=True)
    codes = _codes(first.categories, sources[0].file)
    images = (
        ImagesByName(path) if path.is_dir() and isinstance(path, Path) else None
    )  # a request for each would be slow
    refs, problems = _refs(first, sources[0], codes, options, images)
    for source in sources[1:]:
        document = decode_file(source.file, _coco.Document, "COCO file", keep=True)
        _check_categories(document.categories, source.file, first.categories, sources[0].file)
        more_refs, more_problems = _refs(document, source, codes, options, images)
        refs, problems = refs + more_refs, problems + more_problems
    return MaskSet("coco", class_table(map(_class, first.categories)), refs, problems)


def _checked_file(path: AnyPath, options: ReadOptions) -> list[Source]:
    """`path` if it is a COCO file; a list of results is refused, and so are boxes unless `options` fill them."""
    if path.suffix.lower() != ".json":
        return []
    text = mapped(path)
    check_utf8(path, text[:4])
    if first_character(text) == b"[" and not has_keys(text, "annotations"):
        raise InputError(f"{path}: a list, as detectors write their results, is not ground truth; give the annotations")
    if not is_object_with(text, "images", "annotations"):
        return []
    if not has_keys(text, "segmentation"):
        if has_keys(text, "segments_info"):
            return []
        if has_keys(text, "bbox") and not options.boxes_as_masks:
            raise InputError(f"{path}: has boxes, but no segmentation; boxes_as_masks=True fills boxes")
    return [Source(path)]


def _sources_in(folder: AnyPath, options: ReadOptions) -> list[Source]:
    """COCO files of one data set in a folder or its ``annotations/``, else in its folders of splits."""
    inside = listing(folder)
    found = _coco_files([folder, *inside.named("annotations")], options)
    if len(found) == 1:
        return [Source(found[0])]
    found = found or _coco_files(inside.named(*FOLDERS), options)
    return list(map(Source, found, splits_of_files(folder, found, "COCO")))


def _coco_files(folders: list[AnyPath], options: ReadOptions) -> list[AnyPath]:
    """COCO files that lie in these folders themselves.

    One without segmentations is of the data set if it is another split than those with them, or else if there are none and
    it has no annotation, or boxes that `options` fill.
    """
    files = [file for folder in folders for file in listing(folder).with_suffix(".json")]
    texts = {file: text for file in files if is_object_with(text := mapped(file), "images", "annotations")}
    found = [file for file, text in texts.items() if has_keys(text, "segmentation")]
    for file in files if found else ():
        check_utf8(file, mapped(file)[:4])  # beside a COCO file it is likely another split, not to be skipped
    if any(file.name.startswith(_INSTANCES) for file in found):
        found = [file for file in found if not file.name.startswith(_SIBLINGS)]
    others = [file for file in texts if file not in found and _lacks_segmentations(texts[file])]
    if not found:
        return [file for file in others if options.boxes_as_masks or not has_keys(texts[file], "bbox")]
    splits = [file_split(file) for file in (*found, *others)]
    is_one_set = None not in splits and len(set(splits)) == len(splits)
    return [file for file in files if file in found or (is_one_set and file in others)]


def _lacks_segmentations(text: mmap | bytes) -> bool:
    """True if a COCO text has no annotation, or boxes alone."""
    if not has_keys(text, "categories") or has_keys(text, "segmentation") or has_keys(text, "segments_info"):
        return False
    return has_keys(text, "bbox") or _NO_ANNOTATION.search(text) is not None


def _check_categories(own: list[_coco.Category], file: AnyPath, others: list[_coco.Category], first: AnyPath) -> None:
    """Raise if two files of one data set have different classes."""
    _codes(own, file)
    here, there = ({plain(entry.id): entry.name for entry in categories} for categories in (own, others))
    wrong = next((id_ for id_ in (*here, *there) if here.get(id_) != there.get(id_)), None)
    if wrong is not None:
        name, other = (shown(repr(names[wrong])) if wrong in names else "missing" for names in (here, there))
        raise InputError(f"{file}: category {shown(wrong)} is {name}, but {other} in {first}; make them agree")


def _codes(categories: list[_coco.Category], file: AnyPath) -> _coco.Numbers:
    """Class code of each category; the store keeps their ids in 64 bits."""
    codes = numbered(f"{file}: categories", [category.id for category in categories])
    wrong = next((id_ for id_ in codes if isinstance(id_, int) and not -(2**63) <= id_ < 2**63), None)
    if wrong is not None:
        raise InputError(f"{file}: categories: the id {shown(wrong)} has more than 64 bits; give a smaller one")
    return codes


def _class(category: _coco.Category) -> tuple[int | None, str]:
    """Id and name of a class; an id that is text is only a name."""
    id_ = plain(category.id)
    return id_ if isinstance(id_, int) else None, category.name or str(id_)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector: among many new objects without cycles it takes as long as making them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_no_collection()
def _refs(
    document: _coco.Document, source: Source, codes: _coco.Numbers, options: ReadOptions, images: ImagesByName | None
) -> tuple[tuple[CocoRef, ...], tuple[tuple[str, Problem], ...]]:
    """One ref per image, in the order of the file, and problems of annotations that belong to no image."""
    file = str(source.file)
    own: dict[_coco.Id | None, list[_coco.Annotation]] = {
        id_: [] for id_ in numbered(f"{file}: images", [image.id for image in document.images])
    }
    strays: dict[_coco.Id | None, list[_coco.Annotation]] = defaultdict(list)
    for annotation in document.annotations:  # often a million
        try:
            own[annotation.image_id].append(annotation)
        except KeyError:
            found = own.get(plain(annotation.image_id))
            (strays[annotation.image_id] if found is None else found).append(annotation)
    near = source.file.parent.name
    refs = []
    for image, annotations in zip(document.images, own.values(), strict=True):
        name = _name(image, file)
        path = images.of(name, near) if images else None
        refs.append(
            CocoRef(
                *source.named(name), file, (image.height, image.width), tuple(annotations), codes, options, path, name
            )
        )
    doubts = repeated_ids(document) + names_outside(document)
    if options.crowd == "ignore":
        doubts += many_crowds(
            document.annotations, lambda entry: entry.image_id not in strays and not _problem(entry, codes)
        )
    of_file = [_stray(annotations) for annotations in strays.values()] + doubts
    return tuple(refs), tuple((key_in(source.split, source.file.name), problem) for problem in of_file)


def _problem(annotation: _coco.Annotation, codes: _coco.Numbers) -> Problem | None:
    """Problem of an annotation that is left out whatever its pixels."""
    if not number(codes, annotation.category_id):
        category = shown(annotation.category_id)
        return Problem(
            "category that the file does not list", f"annotation {shown(annotation.id)}: category_id {category}"
        )
    if annotation.iscrowd not in _coco.CROWDS:
        return Problem(
            "iscrowd is neither 0 nor 1", f"annotation {shown(annotation.id)}: {shown(repr(annotation.iscrowd))}"
        )
    return None


def _stray(annotations: list[_coco.Annotation]) -> Problem:
    """Problem of all annotations of an image that is not listed: a file cut down to some of its images has many."""
    first, more = annotations[0], len(annotations) - 1
    others = f" and {more} more" if more else ""
    return Problem(
        "image that the file does not list",
        f"annotation {shown(first.id)}{others}: image_id {shown(first.image_id)}",
    )


def _name(image: _coco.Image, file: str) -> str:
    """Name of an image with forward slashes: its file name, else the last folder and file of its address."""
    name = image.file_name or (_end_of(image.coco_url) if isinstance(image.coco_url, str) else "")
    if not name:
        raise InputError(f"{file}: image {shown(image.id)} has no file_name, by which masks are named; add it")
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{file}: image {shown(image.id)}: file_name has {len(name)} characters, more than {LONGEST_NAME}; shorten it"
        )
    return name.replace("\\", "/")


def _end_of(url: str) -> str:
    """Last folder and file of an address; empty if it is invalid.

    Examples
    --------
    >>> _end_of("http://images.cocodataset.org/val2017/000000397133.jpg")
    'val2017/000000397133.jpg'
    """
    try:
        return "/".join(urlsplit(url).path.strip("/").split("/")[-2:])
    except ValueError:  # such as "http://["
        return ""


READER = Reader("coco", find, reads_one_file=True)
