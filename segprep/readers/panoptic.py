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
from segprep.masks.classes import ClassTable, things_and_stuff
from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.masks.splits import split_name
from segprep.paths.anypath import AnyPath, is_within, name_in
from segprep.paths.listing import listing
from segprep.readers._coded import IGNORED, Meaning, mask_of_values
from segprep.readers._image import png_pixels
from segprep.readers._json import decoded, first_character, has_keys, mapped
from segprep.readers._reader import MaskSet, ReadOptions

_COLOURS = frozenset({"RGB", "RGBA", "P"})
"""Pillow's modes of pictures that hold colours."""
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
    """One segment of an image.

    Attributes
    ----------
    id : int
        Its colour's number.
    code : int
        Class code.
    is_thing : bool
        Whether its class has instances.
    is_crowd : bool
        Whether it stands for many objects that were not told apart.
    """

    id: int
    code: int
    is_thing: bool
    is_crowd: bool


@dataclass(frozen=True)
class PanopticRef:
    """One PNG and the segments in it.

    Attributes
    ----------
    key : str
        The PNG's name in the JSON, behind the split where there are several files.
    folder : AnyPath
        Where the PNG files are.
    name : str
        The PNG's name in the JSON, relative to `folder`.
    shape : (int, int)
        Height and width in pixels, as the JSON has them; 0 where it does not say.
    segments : tuple of Segment
        In the order of the JSON.
    options : ReadOptions
        How to read them.
    """

    key: str
    folder: AnyPath
    name: str
    shape: tuple[int, int]
    segments: tuple[Segment, ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the PNG; what does not fit the JSON is left out and recorded as problems."""
        file = self.folder / self.name
        if not is_within(file.resolve(), self.folder.resolve()):
            raise InputError(f"{file}: a link that leads out of its folder; put the file itself there")
        ids = segment_ids(file, max_pixels=self.options.max_pixels)
        if min(self.shape) > 0 and ids.shape != self.shape:
            expected = f"{self.shape[0]} x {self.shape[1]}"
            raise InputError(f"{file}: {ids.shape[0]} x {ids.shape[1]} pixels, but {expected} in the JSON; mend one")
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
        """Meaning of a segment's id; a crowd of stuff is stuff where crowds are instances."""
        if segment.is_thing:
            return Meaning("group" if segment.is_crowd else "thing", segment.code)
        return IGNORED if segment.is_crowd and self.options.crowd == "ignore" else Meaning("stuff", segment.code)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find COCO panoptic: a .json with segments_info, itself or in the folder or its annotations/, and its PNG files.

    The PNG files lie beside the JSON, in a folder that is named as it is, or else in the same folder. Void, and regions with
    ``iscrowd``, are places without truth, unless `options` make a crowd an instance. A category without ``isthing``
    is a thing; without any categories, classes are known by their ids. Images without an annotation are passed over.

    Several files are one data set where the name of each tells another split (``panoptic_train2017.json``): their
    categories must agree, and keys begin with ``train/``, ``val/`` or ``test/``.
    """
    is_file = path.suffix.lower() == ".json" and not path.is_dir()
    sources = _sources_in(path) if path.is_dir() else {path: ""} if is_file and _is_panoptic(path) else {}
    documents = {file: decoded(file, _Document, "COCO panoptic file") for file in sources}
    if not documents:
        return None
    classes = _classes(documents)
    refs = [_refs(documents[file], classes, file, prefix, options) for file, prefix in sources.items()]
    return MaskSet("panoptic", classes, tuple(ref for own in refs for ref in own))


def segment_ids(file: AnyPath, *, max_pixels: int) -> NDArray[np.int32]:
    """Ids that the colours of a PNG stand for, shape (H, W).

    Raises
    ------
    InputError
        Where the file is damaged, too large, or has no colours.
    """
    with png_pixels(file, max_pixels=max_pixels) as image:
        if image.mode not in _COLOURS:
            raise InputError(
                f"{file}: a picture in {image.mode}; ids of segments are colours, so give PNG files in RGB"
            )
        colours = np.asarray(image.convert("RGB"), np.int32)
    ids: NDArray[np.int32] = colours @ np.array([1, 256, 65536], np.int32)
    return ids


def _sources_in(folder: AnyPath) -> dict[AnyPath, str]:
    """Panoptic files in a folder and its ``annotations/``, and what stands before the keys of their masks."""
    inside = listing(folder)
    files = [
        file for each in [inside, *map(listing, inside.named("annotations"))] for file in each.with_suffix(".json")
    ]
    found = [file for file in files if _is_panoptic(file)]
    if len(found) == 1:
        return {found[0]: ""}
    splits = {split_name(file): file for file in found}
    if None in splits or len(splits) < len(found):
        names = ", ".join(name_in(folder, file) for file in found)
        raise InputError(
            f"{folder}: {len(found)} panoptic files: {names}; give one of them, or one for each of train, val and test"
        )
    return {file: f"{split}/" for split, file in splits.items()}


def _is_panoptic(file: AnyPath) -> bool:
    """Whether a file looks like COCO panoptic; much cheaper than decoding it."""
    text = mapped(file)
    return (
        first_character(text) == b"{"
        and has_keys(text, "annotations", "segments_info")
        and not has_keys(text, "segmentation")
    )


def _classes(documents: dict[AnyPath, _Document]) -> ClassTable:
    """Classes of the files, or of their segments, by id, where they list none."""
    (first, categories), *others = ((file, document.categories) for file, document in documents.items())
    for file, found in others:
        if found != categories:
            raise InputError(f"{file}: other categories than in {first}; give the files one by one")
    if categories is None:
        segments = [
            each for document in documents.values() for own in document.annotations for each in own.segments_info
        ]
        categories = [_Category(id_) for id_ in sorted({segment.category_id for segment in segments})]
    if len({category.id for category in categories}) < len(categories):
        raise InputError(f"{first}: categories: an id occurs twice; ids must be unique")
    return things_and_stuff((each.id, each.name or str(each.id), bool(each.isthing)) for each in categories)


def _refs(
    document: _Document, classes: ClassTable, file: AnyPath, prefix: str, options: ReadOptions
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
        refs.append(PanopticRef(prefix + inner, folder, inner, shape, tuple(segments), options))
    return tuple(refs)


def _inner_name(where: str, name: str) -> str:
    """Name of a file, where it stays in its folder on every system.

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
