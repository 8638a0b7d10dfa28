"""COCO panoptic: a JSON file that lists the segments of each image, and a folder of PNG files with their pixels.

The id of a segment is ``R + 256 G + 65536 B`` of its colour; 0 is void.

Reference: A. Kirillov et al.: Panoptic Segmentation, CVPR 2019; panopticapi.
"""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.classes import ClassTable, class_table
from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.paths.anypath import AnyPath, is_within
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, Meaning, mask_of_values
from segprep.readers._json import decode_file, first_character, has_keys, mapped
from segprep.readers._palette import rgb_pixels
from segprep.readers._reader import MaskSet, Reader, ReadOptions, key_in, splits_of_files, with_split

_UNLISTED = Meaning("ignore", problem="segment that the JSON does not list")


class _Image(msgspec.Struct, gc=False):
    id: int | str
    width: int = 0
    height: int = 0


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str = ""
    isthing: bool | int = True


class _Segment(msgspec.Struct, gc=False):
    id: int
    category_id: int
    iscrowd: bool | int | None = None


class _Annotation(msgspec.Struct):
    image_id: int | str
    file_name: str
    segments_info: list[_Segment]


class _Document(msgspec.Struct):
    annotations: list[_Annotation]
    images: list[_Image] | None = None
    categories: list[_Category] | None = None


class Segment(NamedTuple):
    """One segment of an image: its id is its colour's number; a crowd covers many objects that are not separated."""

    id: int
    code: int
    is_thing: bool
    is_crowd: bool


@dataclass(frozen=True)
class PanopticRef:
    """One PNG and the segments in it; its `name` is relative to `folder`, and an unknown `shape` is 0, 0."""

    key: str
    split: str | None
    folder: AnyPath
    name: str
    shape: tuple[int, int]
    segments: tuple[Segment, ...]
    options: ReadOptions

    @property
    def paths(self) -> tuple[AnyPath, ...]:
        """Files in the folder that `load` reads."""
        return (self.folder / self.name,)

    def load(self) -> InstanceMask:
        """Read the PNG; segments that do not fit the JSON are left out and recorded as problems."""
        file = self.folder / self.name
        if not is_within(file.resolve(), self.folder.resolve()):
            raise InputError(f"{file}: a link out of its folder; put the file itself there")
        ids = segment_ids(file, max_pixels=self.options.max_pixels)
        if min(self.shape) > 0 and ids.shape != self.shape:
            expected = f"{self.shape[0]} x {self.shape[1]}"
            raise InputError(
                f"{file}: {ids.shape[0]} x {ids.shape[1]} pixels, but {expected} in the JSON; correct one of them"
            )
        return self._mask(ids, str(file))

    def _mask(self, ids: NDArray[np.int32], where: str) -> InstanceMask:
        """Mask of the ids at each pixel."""
        meanings = {0: IGNORED}
        problems = []
        present = set(np.unique(ids).tolist())
        for segment in self.segments:
            if segment.id in meanings:
                kind = "segment listed twice" if segment.id else "segment with the id of void"
                problems.append(Problem(kind, f"segment {segment.id}"))
                continue
            meanings[segment.id] = self._meaning(segment)
            if segment.id not in present:
                problems.append(Problem("segment without pixels", f"segment {segment.id}"))
        mask = mask_of_values(
            ids,
            lambda id_: meanings.get(id_, _UNLISTED),
            crowd=self.options.crowd,
            max_instances=self.options.max_instances,
            noun="segment",
            where=where,
        )
        return replace(mask, problems=(*first_problems(problems), *mask.problems))

    def _meaning(self, segment: Segment) -> Meaning:
        """Meaning of a segment's id; a crowd of stuff is stuff if crowds are instances."""
        if segment.is_thing:
            return Meaning("group" if segment.is_crowd else "thing", segment.code)
        return IGNORED if segment.is_crowd and self.options.crowd == "ignore" else Meaning("stuff", segment.code)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find COCO panoptic: a .json with segments_info, itself or in the folder or its annotations/, and its PNG files.

    The PNG files lie beside the JSON, in a folder of the same name, or else in the same folder. Void and regions with
    ``iscrowd`` are ignored, unless `options` make a crowd an instance. A category without ``isthing`` is a thing; without
    any categories, classes are named by their ids. Images without an annotation are skipped.

    Several files are one data set if the name of each gives another split (``panoptic_train2017.json``): their
    categories must agree, and keys begin with ``train/``, ``val/`` or ``test/``.
    """
    is_file = path.suffix.lower() == ".json" and not path.is_dir()
    splits = _splits_in(path) if path.is_dir() else {path: None} if is_file and _is_panoptic(path) else {}
    documents = {file: decode_file(file, _Document, "COCO panoptic file") for file in splits}
    if not documents:
        return None
    classes = _classes(documents)
    refs = [_refs(documents[file], classes, file, split, options) for file, split in splits.items()]
    return MaskSet("panoptic", classes, tuple(ref for own in refs for ref in own))


def segment_ids(file: AnyPath, *, max_pixels: int) -> NDArray[np.int32]:
    """Ids that the colours of a PNG encode, shape (H, W)."""
    colours = rgb_pixels(file, max_pixels=max_pixels, advice="ids of segments are colours, so give PNG files in RGB")
    ids: NDArray[np.int32] = colours @ np.array([1, 256, 65536], np.int32)
    return ids


def _splits_in(folder: AnyPath) -> dict[AnyPath, str | None]:
    """Panoptic files in a folder and its ``annotations/``, and the split of each; None for a single file."""
    inside = listing(folder)
    folders = [inside, *map(listing, inside.named("annotations"))]
    found = [file for part in folders for file in part.with_suffix(".json") if _is_panoptic(file)]
    if len(found) == 1:
        return {found[0]: None}
    return dict(zip(found, splits_of_files(folder, found, "panoptic"), strict=True))


def _is_panoptic(file: AnyPath) -> bool:
    """True if a file looks like COCO panoptic; much cheaper than decoding it."""
    text = mapped(file)
    if first_character(text) != b"{" or has_keys(text, "segmentation"):  # COCO's large files have it near their start
        return False
    return has_keys(text, "annotations", "segments_info")


def _classes(documents: dict[AnyPath, _Document]) -> ClassTable:
    """Classes of the files, or if they list none, of their segments, by id."""
    (first, categories), *others = ((file, document.categories) for file, document in documents.items())
    for file, found in others:
        if found != categories:
            raise InputError(f"{file}: other categories than in {first}; give the files one by one")
    if categories is None:
        annotations = (annotation for document in documents.values() for annotation in document.annotations)
        ids = {segment.category_id for annotation in annotations for segment in annotation.segments_info}
        categories = [_Category(id_) for id_ in sorted(ids)]
    if len({category.id for category in categories}) < len(categories):
        raise InputError(f"{first}: categories: an id occurs twice; ids must be unique")
    return class_table((entry.id, entry.name or str(entry.id), bool(entry.isthing)) for entry in categories)


def _refs(
    document: _Document, classes: ClassTable, file: AnyPath, split: str | None, options: ReadOptions
) -> tuple[PanopticRef, ...]:
    """One ref per annotation, in the order of the file."""
    entries = {entry.id: entry for entry in classes.entries[1:]}
    shapes = {image.id: (image.height, image.width) for image in document.images or ()}
    named = listing(file.parent).named(file.stem.lower())
    folder = named[0] if named else file.parent
    refs = []
    for annotation in document.annotations:
        name = f"{file}: annotation of image {annotation.image_id}"
        if document.images is not None and annotation.image_id not in shapes:
            raise InputError(f"{name}: no image has this id; add the image or drop the annotation")
        segments = []
        for id_, category, crowd in map(msgspec.structs.astuple, annotation.segments_info):
            if category not in entries:
                raise InputError(f"{name}: segment {id_}: no category has the id {category}; add it")
            segments.append(Segment(id_, entries[category].code, entries[category].is_thing, bool(crowd)))
        inner = _inner_name(name, annotation.file_name)
        shape = shapes.get(annotation.image_id, (0, 0))
        refs.append(PanopticRef(*with_split(key_in(split, inner)), folder, inner, shape, tuple(segments), options))
    return tuple(refs)


def _inner_name(where: str, name: str) -> str:
    """Name of a file, checked to stay in its folder on every system.

    Examples
    --------
    >>> _inner_name("a.json", "../b.png")
    Traceback (most recent call last):
    segprep.errors.InputError: a.json: the file name '../b.png' may lead out of the folder; give a name relative to it
    """
    is_anchored = PureWindowsPath(name).anchor or PurePosixPath(name).anchor
    if not name or is_anchored or "\\" in name or "\0" in name or ".." in PurePosixPath(name).parts:
        raise InputError(f"{where}: the file name {name!r} may lead out of the folder; give a name relative to it")
    return name


READER = Reader("panoptic", find)
