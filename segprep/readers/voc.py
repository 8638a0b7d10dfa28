"""Pascal VOC: one PNG of the classes and one of the objects per image, by palette index or colour."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray
from segprep.errors import InputError
from segprep.masks.classes import BACKGROUND
from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.masks.splits import FOLDERS, SPLITS
from segprep.paths.anypath import AnyPath, name_in, without_suffix
from segprep.paths.listing import Listing, below, listing
from segprep.readers._image import PNG, has_channels, label_values
from segprep.readers._labels import numbered
from segprep.readers._names import LISTS, file_named, listed_names, palette_beside
from segprep.readers._palette import (
    IGNORE,
    Colour,
    class_codes,
    colour_problems,
    png_colours,
    stuff_classes,
)
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, key_in, with_split
from segprep.readers._text import read_lines

_VOID = 255
"""Palette index of the seams between objects, which are ignored."""
_NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_IMAGE = re.compile(r"20(07|08|09|10|11|12)_[0-9]{6}")
"""Name of an image of VOC."""
_LISTED = "class_names.txt (one per line, _background_ first) or labelmap.txt"
_CLASSES = "SegmentationClass"
_LOOK = 8
"""Files whose values are compared with VOC's classes."""
_SAFE = re.compile(r"(?!\.)[^/\\:]+")
"""Name of a file in a folder: no path and no drive."""
_MAX_BYTES = 2**26


# As VOClabelcolormap in the VOC development kit.
_COLOURS = [
    sum((index >> 3 * place + channel & 1) << 23 - 8 * channel - place for place in range(3) for channel in range(3))
    for index in range(256)
]
"""Colours of the indices as numbers: the bits of an index, from the lowest, go to R, G and B in turn."""
_INDEX = {colour: index for index, colour in enumerate(_COLOURS)}
_OBJECTS = tuple((colour, IGNORE if index == _VOID else index) for index, colour in enumerate(_COLOURS))
"""Numbers of objects by their colours."""


@dataclass(frozen=True)
class VocRef:
    """One image; its key begins with the split if there are lists of splits.

    `codes` are colours and their class codes: 0 is the background, `IGNORE` unknown; VOC's colour of void need not be there.
    With `by_index`, the palette's index counts, a position in `codes`, not the colour.
    """

    key: str
    split: str | None
    class_file: AnyPath
    object_file: AnyPath | None
    codes: tuple[tuple[int, int], ...]
    by_index: bool
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the objects, each with its most frequent class, and the classes outside of them as stuff."""
        codes, problems = self._codes()
        objects = np.zeros_like(codes) if self.object_file is None else self._objects(self.object_file)
        if objects.shape != codes.shape:
            raise InputError(
                f"{self.object_file}: {objects.shape[0]} x {objects.shape[1]} pixels, but {self.class_file} has "
                f"{codes.shape[0]} x {codes.shape[1]}; both must be of one size"
            )
        void = objects == IGNORE
        labels = np.where(void, 0, objects)
        check_instances(str(self.object_file), len(numbered(labels)[1]), self.options.max_instances)
        return mask_of_pair(labels, codes, void=void, problems=problems)

    def _codes(self) -> tuple[NDArray[np.int32], tuple[Problem, ...]]:
        """Class code at each pixel, shape (H, W), `IGNORE` where it is unknown."""
        if not self.by_index or has_channels(self.class_file):
            codes, unknown = class_codes(self._colours(self.class_file), [(_COLOURS[_VOID], IGNORE), *self.codes])
            return codes, colour_problems(unknown)
        values = self._values(self.class_file)
        known = enumerate(code for _, code in self.codes)
        codes, unknown = class_codes(values, [*known, (_VOID, IGNORE)])
        return codes, tuple(
            Problem("class has no name", f"{value}: {count} pixels") for value, count in unknown.items()
        )

    def _objects(self, file: AnyPath) -> NDArray[np.int32]:
        """Number of the object at each pixel, shape (H, W), `IGNORE` where it is unknown."""
        if not has_channels(file):
            values = self._values(file)
            return np.where(values == _VOID, IGNORE, values).astype(np.int32)
        colours = self._colours(file)
        numbers, unknown = class_codes(colours, _OBJECTS)
        return np.where(np.isin(colours, list(unknown)), colours + len(_OBJECTS), numbers).astype(np.int32)

    def _colours(self, file: AnyPath) -> NDArray[np.int32]:
        return png_colours(file, max_pixels=self.options.max_pixels)

    def _values(self, file: AnyPath) -> NDArray[np.int32]:
        return label_values(file, max_pixels=self.options.max_pixels).astype(np.int32)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find SegmentationClass/*.png and SegmentationObject/*.png of the same names, as in Pascal VOC.

    The palette's index counts, 255 is void; in RGB files the VOC colour of the index. The names of the classes are those of
    ``class_names.txt``, ``labels.txt`` or ``classes.txt``, one per line; of a ``labelmap.txt`` (name:R,G,B::) or another
    palette, by their colours; otherwise of VOC, with a warning unless the images have VOC's names, or none if the indices
    do not fit. An object is of the most frequent class under it. Without ``SegmentationObject/`` there are classes only;
    both folders may end with ``PNG``, as labelme2voc wrote them once. The lists ``train.txt``, ``val.txt`` and ``test.txt``
    (or ``Validation.txt``, as CVAT writes it) in ``ImageSets/Segmentation/`` give the images and their splits, with which
    keys begin; without the first two, ``trainval.txt`` gives the images. An image in ``test.txt`` alone may lack its masks.
    """
    if not path.is_dir():
        return None
    inside = listing(path)
    classes = _png_files(inside, "segmentationclass") or _png_files(inside, "segmentationclasspng")
    if not classes:
        return None
    objects = _png_files(inside, "segmentationobject") or _png_files(inside, "segmentationobjectpng")
    coloured = palette_beside(inside)
    palette, problem = (coloured[0], None) if coloured else _indexed(inside, list(classes.values()), options)
    table, codes = stuff_classes(palette, background=coloured[1] if coloured else None, is_thing=bool(objects))
    splits = _splits(inside, classes)
    if objects and (lacking := next((name for name in splits if name not in objects), None)):
        raise InputError(
            f"{classes[lacking]}: SegmentationObject/ has no {classes[lacking].name}; add it, or list the images that have "
            "both in ImageSets/Segmentation/trainval.txt"
        )
    refs = []
    for name, split in splits.items():
        files = classes[name], objects.get(name)
        refs.append(VocRef(*with_split(key_in(split, name)), *files, codes, not coloured, options))
    problems = [problem] if problem else []
    if unlisted := sorted(classes.keys() - splits.keys()):
        where = f"{len(unlisted)} images, {unlisted[0]!a} first"
        problems.append(("ImageSets/Segmentation", Problem("image is in no list", where, left_out=False)))
    return MaskSet("voc", table, tuple(refs), tuple(problems))


def _indexed(
    inside: Listing, files: list[AnyPath], options: ReadOptions
) -> tuple[list[Colour], tuple[str, Problem] | None]:
    """Classes by their index, and a warning if no file names them: VOC's if the values fit, else without names."""
    if file := file_named(inside, *LISTS):
        names, has_background = listed_names(file)
        if len(names) >= _VOID:
            raise InputError(f"{file}: {len(names)} classes; indices from 1 to {_VOID - 1} stand for classes")
        where = f"the first, {names[0]!a}, has the value 1; begin with a line _background_ if this is so"
        warning = None if has_background else (file.name, Problem("names have no background", where, left_out=False))
    elif all(_IMAGE.fullmatch(file.stem) for file in files):
        names, warning = list(_NAMES), None
    elif (last := _last_index(files[:_LOOK], options)) <= len(_NAMES):
        where = f"values up to {last} fit; if they are other classes, name them in {_LISTED}"
        names, warning = list(_NAMES), (_CLASSES, Problem("classes are named as VOC's", where, left_out=False))
    else:
        last = _last_index(files, options)
        where = f"values up to {last} are not the {len(_NAMES)} classes of VOC; name them in {_LISTED}"
        names = [f"class {index}" for index in range(1, last + 1)]
        warning = _CLASSES, Problem("classes have no names", where, left_out=False)
    return [Colour(index, name, _COLOURS[index]) for index, name in enumerate((BACKGROUND, *names))], warning


def _last_index(files: list[AnyPath], options: ReadOptions) -> int:
    """Largest index of a class in files, by its colour in those in RGB; damaged files do not count."""
    last = 0
    for file in files:
        with suppress(InputError):
            if has_channels(file):
                found = {
                    _INDEX.get(colour, 0) for colour in np.unique(png_colours(file, max_pixels=options.max_pixels))
                }
            else:
                found = set(np.unique(label_values(file, max_pixels=options.max_pixels)).tolist())
            last = max(last, *(index for index in found if index < _VOID), 0)
    return last


def mask_of_pair(
    objects: NDArray[np.int32], codes: NDArray[np.int32], *, void: BoolArray, problems: Iterable[Problem]
) -> InstanceMask:
    """Mask of objects and classes; an object without a class is left out, and its pixels are ignored.

    All arrays are (H, W). Numbers of objects need not follow each other; 0 is no object. Codes outside of objects are stuff,
    and `IGNORE` is unknown; where `void` is True, it is unknown if there is an object. `problems` come first.

    Examples
    --------
    >>> pair = np.array([[4, 4, 4, 0]], np.int32), np.array([[2, 2, 1, 3]], np.int32)
    >>> mask = mask_of_pair(*pair, void=np.zeros((1, 4), bool), problems=())
    >>> mask.labels, mask.classes, mask.stuff
    (array([[1, 1, 1, 0]], dtype=int32), array([0, 2], dtype=int32), array([[0, 0, 0, 3]], dtype=int32))
    """
    labels = numbered(objects)[0]
    counts = np.zeros((int(labels.max()) + 1, max(int(codes.max()), 0) + 1), np.int64)
    np.add.at(counts, (labels[codes > 0], codes[codes > 0]), 1)
    classes = counts.argmax(axis=1)  # the smallest of equals; 0 if no class lies under the object
    classes[0] = 0
    classless = classes == 0
    classless[0] = False
    ignore = ((void | (codes == IGNORE)) & (labels == 0)) | classless[labels]
    kept = np.cumsum(~classless) - 1
    values = np.unique(objects[classless[labels]]).tolist()
    kept_labels = np.where(classless[labels], 0, kept[labels]).astype(np.int32)
    return InstanceMask(
        kept_labels[np.newaxis],
        classes[~classless].astype(np.int32),
        ignore if ignore.any() else None,
        first_problems([*problems, *(Problem("object has no class", f"object {value}") for value in values)]),
        stuff=np.where((kept_labels > 0) | ignore, 0, codes).astype(np.int32),
    )


def _png_files(inside: Listing, name: str) -> dict[str, AnyPath]:
    """PNG files in the folder `name` and below, by their paths in it without suffix."""
    return {
        without_suffix(name_in(folder, file)): file
        for folder in inside.named(name)
        for part in below(folder)
        for file in part.with_suffix(*PNG)
    }


def _splits(inside: Listing, classes: dict[str, AnyPath]) -> dict[str, str | None]:
    """Split of each image by its name, in the order of keys; None if there are no lists of splits."""
    files = {
        file.name.lower().removesuffix(".txt"): file
        for sets in inside.named("imagesets")
        for folder in listing(sets).named("segmentation")
        for file in listing(folder).with_suffix(".txt")
    }
    lists = sorted((FOLDERS[name], file) for name, file in files.items() if name in FOLDERS)
    if all(SPLITS[code] == "test" for code, _ in lists):
        listed = _names(files["trainval"], classes) if "trainval" in files else []
        return dict.fromkeys(sorted(listed or classes))
    split_of: dict[str, str | None] = {}
    for code, file in lists:
        split = SPLITS[code]
        for name in _names(file, classes, may_lack=split == "test"):
            if split_of.setdefault(name, split) != split:
                raise InputError(f"{file}: {name!a} is also in the list of {split_of[name]}; an image has one split")
    return dict(sorted(split_of.items(), key=lambda item: key_in(item[1], item[0])))


def _names(file: AnyPath, classes: dict[str, AnyPath], *, may_lack: bool = False) -> list[str]:
    """Names of images in a list; a name is looked up, never made into a path."""
    names = read_lines(file, _MAX_BYTES, "a list of images")
    lacking = next((name for name in names if name not in classes), None)
    if lacking is not None and not (may_lack and _SAFE.fullmatch(lacking)):
        raise InputError(f"{file}: SegmentationClass/ has no {lacking + '.png'!a}; add it or drop the line")
    return [name for name in names if name in classes]


READER = Reader("voc", find)
