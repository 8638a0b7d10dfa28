"""Image of each mask of a data set, by names alone; no image is opened.

A path in a file of annotations is only looked up among the files that are there, and never followed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from segprep.masks.mask import MaskRef
from segprep.paths.anypath import AnyPath, is_within, leads_out, name_in, parse_path
from segprep.paths.listing import IMAGE_SUFFIXES, below, listed_once
from segprep.readers._mask_names import plain_words
from segprep.readers._reader import MaskSet

_NOT_IMAGES = frozenset(
    (
        *("ann", "annotation", "annotations", "gt", "gtcoarse", "gtfine", "label", "labels", "mask", "masks"),
        *("bitmasks", "colormaps", "instance", "instance_masks", "instances", "panoptic", "polygons"),
        *("seg", "segmentation", "segmentationclass", "segmentationobject", "segmentations"),
        *("data_2d_semantics", "semantic", "semantic_masks", "semantic_rgb"),
    )
)
"""Folders that hold masks under the names of the images."""
_SUFFIX = re.compile(r"_(gt(Fine|Coarse)(_\w+)?|leftImg8bit|instance_(id|color)_RGB|polygons|cp_masks)$")
"""Ends of names in Cityscapes, iSAID and Cellpose."""
_FRAME = re.compile(r"man_seg(?=\d+$)")
"""Begin of the name of a mask in the Cell Tracking Challenge; that of its image is t."""
_TRUTH = re.compile(r"_(gt|st)$")
"""End of the name of a folder of masks in the Cell Tracking Challenge."""
_LONGEST = 4096
"""Bytes of the longest path of Linux."""


class ImageNames(NamedTuple):
    """Images of the masks of a data set.

    Attributes
    ----------
    names : tuple of str
        Path of the image of each mask, relative to the data or to the given folder of images; empty if it is not known.
    missing : tuple of str
        Keys of the masks for which there is no image.
    ambiguous : tuple of str
        Keys of the masks that several images fit equally well, or of which several fit one image.
    """

    names: tuple[str, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]


def image_names(masks: MaskSet, data: AnyPath | None, images: AnyPath | None = None) -> ImageNames:
    """Images of masks, in the folder `images`, or else where the reader found them, or in the folder `data`.

    An image has the name of its mask, but for suffix and words such as ``mask``. Of several it is the one whose path has the
    same of those folders that are in paths of both masks and images, such as ``train``. The name that a COCO file gives is
    kept also where there is no such file.
    """
    given: list[str | None] = [_given(ref, data, images) for ref in masks.refs]
    root = images or (data if data is not None and data.is_dir() else None)
    found: list[set[str]] = [set() for _ in given]
    if root is not None and None in given:
        with listed_once(root):
            found = _found(masks.refs, given, root)
    claims = Counter(name for own in found if len(own) == 1 for name in own)
    names: list[str] = []
    missing: list[str] = []
    ambiguous: list[str] = []
    for ref, image, own in zip(masks.refs, given, found, strict=True):
        best = next(iter(own)) if len(own) == 1 else ""
        is_certain = len(own) == 1 and claims[best] == 1
        name = image or (best if is_certain else "" if own or images is not None else _named(ref))
        names.append(name)
        if not name:
            (ambiguous if own else missing).append(ref.key)
    return ImageNames(tuple(names), tuple(missing), tuple(ambiguous))


def _given(ref: MaskRef, data: AnyPath | None, images: AnyPath | None) -> str | None:
    """Path of the image that a ref has, if it lies in the folder of the images or of the data; None if it has none."""
    image: Any = getattr(ref, "image", None)
    root = images or (None if data is None else data if data.is_dir() else data.parent)
    if image is None or root is None:
        return None
    file = parse_path(image, "image")
    name = name_in(root, file) if type(file) is type(root) and is_within(file, root) else ""
    return name if _is_storable(name) else None


def _named(ref: MaskRef) -> str:
    """Name of the image in a COCO file, if it can be a path in a folder."""
    name: str = getattr(ref, "file_name", "")
    return name if _is_storable(name) else ""


def _is_storable(name: str) -> bool:
    """True if a path relative to a folder can be stored: it stays in the folder, and every system can write it."""
    return bool(name) and name.isprintable() and not leads_out(name) and len(name.encode(errors="replace")) <= _LONGEST


@dataclass(frozen=True)
class _Place:
    """Path of a file, and the folders in it, in lower case."""

    path: str
    folders: frozenset[str]


def _found(refs: Iterable[MaskRef], given: Iterable[str | None], root: AnyPath) -> list[set[str]]:
    """Paths of the images in a folder that fit each mask best; empty for masks whose image is given."""
    own = {ref.key: _own_file(ref, root) for ref in refs}
    images = _images_in(root, set(own.values()))
    by_name: dict[str, list[_Place]] = defaultdict(list)
    by_stem: dict[str, list[_Place]] = defaultdict(list)
    by_words: dict[tuple[str, ...], list[_Place]] = defaultdict(list)
    for place in images:
        name = PurePosixPath(place.path)
        by_name[name.name].append(place)
        by_stem[name.stem].append(place)
        by_words[_words(name.stem)].append(place)
    folders_of = {ref.key: _folders(ref.key) | _folders(own[ref.key]) for ref in refs}
    common = frozenset().union(*folders_of.values()) & frozenset().union(*(place.folders for place in images))
    found: list[set[str]] = []
    for ref, image in zip(refs, given, strict=True):
        stem = _stem(ref.key)
        fitting = [] if image else by_name.get(_file_name(ref)) or by_stem.get(stem) or by_words.get(_words(stem), [])
        here = folders_of[ref.key] & common
        found.append({place.path for place in fitting if place.folders & common == here} if fitting else set())
    return found


def _images_in(root: AnyPath, masks: set[str]) -> list[_Place]:
    """Images in a folder, without those in folders of masks, and without files of the masks' suffix beside masks."""
    beside = {(str(path.parent), path.suffix.lower()) for path in map(PurePosixPath, masks)}
    images = []
    for inside in below(root):
        for file in inside.with_suffix(*IMAGE_SUFFIXES):
            path = PurePosixPath(name_in(root, file))
            folders = _folders(str(path))
            is_beside = (str(path.parent), path.suffix.lower()) in beside
            if _NOT_IMAGES.isdisjoint(folders) and not is_beside and _is_storable(str(path)):
                images.append(_Place(str(path), folders))
    return images


def _own_file(ref: MaskRef, root: AnyPath) -> str:
    """Path of the main file of a mask in a folder; empty if it has none there."""
    file: Any = next((found for name in ("file", "class_file", "ids") if (found := getattr(ref, name, None))), None)
    folder, name = getattr(ref, "folder", None), getattr(ref, "name", None)
    if file is None and folder is not None and isinstance(name, str):
        file = folder / name
    if file is None:
        return ""
    path = parse_path(file)
    return name_in(root, path) if type(path) is type(root) and is_within(path, root) else ""


def _folders(path: str) -> frozenset[str]:
    """Folders in a path, in lower case, of the Cell Tracking Challenge those of the sequences.

    >>> sorted(_folders("HeLa/01_GT/SEG/man_seg000.tif"))
    ['01', 'hela', 'seg']
    """
    return frozenset(_TRUTH.sub("", folder.lower()) for folder in PurePosixPath(path).parent.parts)


def _file_name(ref: MaskRef) -> str:
    """Name of the image's file that a ref or its key gives; empty if it gives none."""
    given = getattr(ref, "file_name", "") or getattr(ref, "image_name", "")
    name = PurePosixPath(given or ref.key.removesuffix(".json")).name
    return name if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else ""


def _stem(key: str) -> str:
    """Name of a mask without suffixes.

    >>> _stem("ann/a.b.png.json")
    'a.b'
    """
    name = PurePosixPath(key).name.removesuffix(".json")
    suffix = PurePosixPath(name).suffix.lower()
    return PurePosixPath(name).stem if suffix in {*IMAGE_SUFFIXES, ".npy", ".txt", ".xml", ".geojson"} else name


def _words(stem: str) -> tuple[str, ...]:
    """Words and numbers of a name by which a mask and its image agree.

    >>> _words("a_1_gtFine_instanceIds") == _words("a_1_leftImg8bit"), _words("man_seg007") == _words("t007")
    (True, True)
    """
    name = _FRAME.sub("t", _SUFFIX.sub("", stem))
    return plain_words(name) or (name,)
