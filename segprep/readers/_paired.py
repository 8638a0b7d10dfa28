"""Image of each mask of a data set, by names alone; no image is opened.

A path in a file of annotations is only looked up among the files that are there, and never followed.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from segprep.masks.mask import MaskRef
from segprep.paths.anypath import AnyPath, is_within, leads_out, name_in
from segprep.paths.bucket import BucketPath
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
_PANOPTIC = "panoptic_"
"""Begin of the names of folders of masks of panoptic COCO, such as ``panoptic_train2017``."""
_ENDS = re.compile(r"_(gt(Fine|Coarse)(_\w+)?|leftImg8bit|instance_(id|color)_RGB|polygons|cp_masks)$")
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
    is_file = (
        data is not None and not data.is_dir()
    )  # beside which no image is looked for: its folder may hold anything
    top = images or (data.parent if data is not None and is_file else data)
    given = [_given(ref, top) for ref in masks.refs]
    root = images or (None if is_file else data)
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


def _given(ref: MaskRef, root: AnyPath | None) -> str | None:
    """Path of the image that a ref has, if it lies in the folder of the images or of the data; None if it has none."""
    image = getattr(ref, "image", None)
    name = "" if root is None else _path_in(root, image)
    return name if _is_storable(name) else None


def _named(ref: MaskRef) -> str:
    """Name of the image in a COCO file, if it can be a path in a folder."""
    name: str = getattr(ref, "file_name", "")
    return name if _is_storable(name) else ""


def _is_storable(name: str) -> bool:
    """True if a path relative to a folder can be stored: it stays in the folder, and every system can write it."""
    return bool(name) and name.isprintable() and not leads_out(name) and len(name.encode(errors="replace")) <= _LONGEST


class _Place(NamedTuple):
    """Path of a file, and the folders in it, in lower case."""

    path: str
    folders: frozenset[str]


def _found(refs: Sequence[MaskRef], given: Sequence[str | None], root: AnyPath) -> list[set[str]]:
    """Paths of the images in a folder that fit each mask best; empty for masks whose image is given."""
    own = [_own_file(ref, root) for ref in refs]
    images = _images_in(root, set(own))
    by_name = _grouped(images, lambda name: name)
    by_stem = _grouped(images, lambda name: name.rpartition(".")[0])
    folders_of = [_folders(ref.key) | _folders(file) for ref, file in zip(refs, own, strict=True)]
    common = frozenset().union(*folders_of) & frozenset().union(*(place.folders for place in images))
    by_words: dict[object, list[_Place]] | None = None
    found: list[set[str]] = []
    for ref, image, folders in zip(refs, given, folders_of, strict=True):
        stem = _stem(ref.key)
        fitting = [] if image else by_name.get(_file_name(ref)) or by_stem.get(stem)
        if fitting is None:
            by_words = by_words or _grouped(images, lambda name: _words(name.rpartition(".")[0]))
            fitting = by_words.get(_words(stem), [])
        found.append({place.path for place in fitting if place.folders & common == folders & common})
    return found


def _grouped(images: Iterable[_Place], key_of: Callable[[str], object]) -> dict[object, list[_Place]]:
    """Images by a key of the names of their files."""
    groups: dict[object, list[_Place]] = defaultdict(list)
    for place in images:
        groups[key_of(place.path.rpartition("/")[2])].append(place)
    return groups


def _images_in(root: AnyPath, masks: set[str]) -> list[_Place]:
    """Images in a folder, without those in folders of masks, and without files of the masks' suffix beside masks."""
    beside = {(os.path.dirname(path), PurePosixPath(path).suffix.lower()) for path in masks}  # noqa: PTH120 - many
    images = []
    for inside in below(root):
        if not (files := inside.with_suffix(*IMAGE_SUFFIXES)):
            continue
        parent = name_in(root, files[0].parent)
        start = "" if parent == "." else f"{parent}/"
        folders = _folders(start)
        if not _NOT_IMAGES.isdisjoint(folders) or files[0].parent.name.lower().startswith(_PANOPTIC):
            continue
        for file in files:
            path = f"{start}{file.name}"
            if (start[:-1], file.suffix.lower()) not in beside and _is_storable(path):
                images.append(_Place(path, folders))
    return images


def _own_file(ref: MaskRef, root: AnyPath) -> str:
    """Path of the main file of a mask in a folder; empty if it has none there."""
    names = (_path_in(root, getattr(ref, name, None)) for name in ("file", "class_file", "ids"))
    folder, name = _path_in(root, getattr(ref, "folder", None)), getattr(ref, "name", None)
    return next(filter(None, names), f"{folder}/{name}" if folder and isinstance(name, str) else "")


def _path_in(root: AnyPath, path: object) -> str:
    """Path relative to a folder; empty for what lies elsewhere, or is no path: the refs of users have any attributes."""
    if isinstance(path, BucketPath) and isinstance(root, BucketPath):
        return name_in(root, path) if is_within(path, root) else ""
    if isinstance(root, BucketPath) or not isinstance(path, str | os.PathLike):
        return ""
    start, file = f"{_absolute(os.fspath(root)).rstrip(os.sep)}{os.sep}", os.path.abspath(path)  # noqa: PTH100 - many
    return file[len(start) :] if isinstance(file, str) and file.startswith(start) else ""


_absolute = lru_cache(maxsize=8)(os.path.abspath)


def _folders(path: str) -> frozenset[str]:
    """Folders in a path, in lower case, of the Cell Tracking Challenge those of the sequences.

    >>> sorted(_folders("HeLa/01_GT/SEG/man_seg000.tif"))
    ['01', 'hela', 'seg']
    """
    return _folders_in(path.rpartition("/")[0])


@lru_cache(maxsize=1024)
def _folders_in(folder: str) -> frozenset[str]:
    """Folders in the path of a folder, as in `_folders`."""
    return frozenset(_TRUTH.sub("", part.lower()) for part in folder.split("/") if part)


def _file_name(ref: MaskRef) -> str:
    """Name of the image's file that a ref or its key gives; empty if it gives none."""
    given: str = getattr(ref, "file_name", "") or getattr(ref, "image_name", "") or ref.key.removesuffix(".json")
    name = given.rpartition("/")[2]
    return name if _suffix(name) in IMAGE_SUFFIXES else ""


def _stem(key: str) -> str:
    """Name of a mask without suffixes.

    >>> _stem("ann/a.b.png.json")
    'a.b'
    """
    name = key.rpartition("/")[2].removesuffix(".json")
    return name.rpartition(".")[0] if _suffix(name) in {*IMAGE_SUFFIXES, ".npy", ".txt", ".xml", ".geojson"} else name


def _suffix(name: str) -> str:
    """Suffix of the name of a file, in lower case."""
    stem, point, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if stem and point else ""


def _words(stem: str) -> tuple[str, ...]:
    """Words and numbers of a name by which a mask and its image agree.

    >>> _words("a_1_gtFine_instanceIds") == _words("a_1_leftImg8bit"), _words("man_seg007") == _words("t007")
    (True, True)
    """
    name = _FRAME.sub("t", _ENDS.sub("", stem))
    return plain_words(name) or (name,)
