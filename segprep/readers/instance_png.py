"""One PNG or JPEG per instance, as in the Data Science Bowl 2018: <image>/masks/*.png, and habits akin to it.

Which habit a folder has must be told from names alone, so each but the first is recognised only beside ``images/``, whose
pictures say what are images and what classes.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from segprep.errors import InputError, OptionError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import PICTURES, Listing, listing
from segprep.readers._image import JPEG, PNG, Foreground, jpeg_foreground, png_foreground
from segprep.readers._reader import MaskSet, ReadOptions, mask_from_instances

_DEPTH = 4
"""Folders below the given one in which images are looked for."""
_NO_CLASS = "instance"
"""Name of the class of instances of which none is said."""
_NUMBERED = re.compile(r"_(?:(?P<name>.+)_)?[0-9]+")
"""What follows the picture's name in that of a file: a number, before it perhaps a class."""
_SUFFIXES = (*PNG, *JPEG)


@dataclass(frozen=True)
class InstancePngRef:
    """One image: PNG or JPEG files.

    Attributes
    ----------
    key : str
        The image, relative to the data set.
    folder : AnyPath
        Where the files are.
    files : tuple of (str, int)
        Each file, relative to the folder, and the class code of its instance.
    options : ReadOptions
        How to read them.
    """

    key: str
    folder: AnyPath
    files: tuple[tuple[str, int], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the instances in the order of their files; a file without foreground is left out."""
        if not any((self.folder / name).is_file() for name, _ in self.files):
            raise InputError(f"{self.folder}: no .png file is left; it had some when the data set was searched")
        first = self._foreground(self.files[0][0])
        return mask_from_instances(str(self.folder), first.shape, self._found(first), self.options)

    def _found(self, first: Foreground) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each file, of which the first is read, or what is wrong with it."""
        for number, (name, code) in enumerate(self.files):
            size, crop = self._foreground(name) if number else first
            if size != first.shape:
                raise InputError(_differs(self.folder / name, size, self.files[0][0], first.shape))
            yield (code, crop) if crop is not None else Problem("no foreground", name)

    def _foreground(self, name: str) -> Foreground:
        """Pixels of the instance in a file."""
        file = self.folder / name
        read = jpeg_foreground if file.suffix.lower() in JPEG else png_foreground
        return read(file, max_pixels=self.options.max_pixels)


class _Image(NamedTuple):
    """One image that was found: its key, its folder, and its files with the names of their classes."""

    key: str
    folder: AnyPath
    files: tuple[tuple[str, str], ...]


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find folders <image>/masks/*.png with one PNG per instance, or masks/<image>/*.png beside images/.

    Images may lie up to four folders deep. Whatever is not 0 in a PNG is its instance; an alpha channel does not count,
    and of a palette the index does. Of a grey JPEG (.jpg, .jpeg) it is what is at least half of white, 128.

    A folder whose ``images/`` holds several pictures is no image (its ``masks/`` holds label images); the given folder
    itself is one where ``images/`` holds one picture and ``masks/`` several. Beside ``images/`` with that one picture,
    ``masks/<class>/*.png`` says the classes. Beside ``images/<image>.*`` there may also be

    - ``masks/<image>/*.png`` or ``masks/<image>/<class>/*.png``,
    - ``masks/<image>_<number>.png``, ``<image>_mask_<number>.png`` or ``<image>_<class>_<number>.png``, where each belongs
      to a picture (that of the longest name that fits), and at least one picture has several.

    Where ``options.class_pattern`` is given, it says the classes, and what it is not found in has none.
    """
    if not path.is_dir():
        return None
    images = list(_at(path)) or list(_below(path, path, _DEPTH))
    if not images:
        return None
    if options.class_pattern is not None:
        images = _named(images, options.class_pattern)
    names = sorted({name for image in images for _, name in image.files})
    code_of = {name: code for code, name in enumerate(names, start=1)}
    refs = [
        InstancePngRef(key, folder, tuple((file, code_of[name]) for file, name in files), options)
        for key, folder, files in sorted(images)
    ]
    return MaskSet("instance-png", class_table([(None, name) for name in names]), tuple(refs))


def _named(images: list[_Image], pattern: str) -> list[_Image]:
    """Images whose instances have the classes that a pattern finds in their files."""
    found = {file: re.search(pattern, file) for image in images for file, _ in image.files}
    if not any(found.values()):
        raise OptionError(f"class_pattern: {pattern!r} is found in no name of a file, as {next(iter(found))!r}")
    name_of = {file: match["class"] or _NO_CLASS if match else _NO_CLASS for file, match in found.items()}
    return [image._replace(files=tuple((file, name_of[file]) for file, _ in image.files)) for image in images]


def holds_instances(folder: AnyPath) -> bool:
    """Whether what lies in ``masks/`` of a folder are instances, not label images, as ``images/`` beside it tells."""
    return any(True for _ in _at(folder))


def _at(folder: AnyPath) -> Iterator[_Image]:
    """Images of the folder that was given itself."""
    inside = listing(folder)
    if divided := _divided("", inside):
        yield from divided
    elif len(_stems(inside)) == 1 and len(files := _files_of_one(inside)) > 1:
        yield _Image(folder.resolve().name, _masks_in(inside)[0], files)


def _below(root: AnyPath, folder: AnyPath, depth: int) -> Iterator[_Image]:
    """Images in folders below a folder."""
    for child in listing(folder).folders:
        inside, key = listing(child), name_in(root, child)
        if divided := _divided(f"{key}/", inside):
            yield from divided
        elif len(_stems(inside)) <= 1 and (files := _files_of_one(inside)):
            yield _Image(key, _masks_in(inside)[0], files)
        elif depth > 1:
            yield from _below(root, child, depth - 1)


def _divided(prefix: str, inside: Listing) -> list[_Image]:
    """Images of a folder with pictures in ``images/`` and instances in ``masks/``, by folders or by names of files."""
    stems, folders = set(_stems(inside)), _masks_in(inside)
    if not stems or not folders:
        return []
    masks = folders[0]
    below = listing(masks)
    files = below.with_suffix(*_SUFFIXES)
    if not files:
        return _by_folder(prefix, below, stems)
    return _by_name(prefix, masks, files, stems) if len(stems) > 1 else []


def _by_folder(prefix: str, masks: Listing, stems: set[str]) -> list[_Image]:
    """Images of ``masks/<image>/``; none where a folder is of no picture."""
    held = {folder: _files_in(folder) for folder in masks.folders}
    held = {folder: files for folder, files in held.items() if files}
    if not all(folder.name in stems for folder in held):
        return []
    return [_Image(f"{prefix}{folder.name}", folder, files) for folder, files in held.items()]


def _by_name(prefix: str, masks: AnyPath, files: list[AnyPath], stems: set[str]) -> list[_Image]:
    """Images of ``masks/<image>_<number>.png``; none where a file is of no picture, or no picture has several."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in files:
        stem, name = _picture_of(file.stem, stems)
        if not stem:
            return []
        found.setdefault(stem, []).append((file.name, name))
    if Counter(map(len, found.values())).keys() <= {1}:
        return []
    return [_Image(f"{prefix}{stem}", masks, tuple(named)) for stem, named in found.items()]


def _picture_of(name: str, stems: set[str]) -> tuple[str, str]:
    """Picture that a file belongs to by its name, and its class; the picture is empty where there is none.

    Examples
    --------
    >>> [_picture_of(name, {"a", "a_1"}) for name in ("a_7", "a_1_7", "a_mask_7", "a_big_cell_7", "a_1", "b_7")]
    [('a', 'instance'), ('a_1', 'instance'), ('a', 'instance'), ('a', 'big_cell'), ('', ''), ('', '')]
    """
    ends = [end for end, letter in enumerate(name) if letter == "_"]
    stem = next((name[:end] for end in reversed(ends) if name[:end] in stems), "")
    rest = _NUMBERED.fullmatch(name[len(stem) :])
    if name in stems or not stem or rest is None:
        return "", ""
    said = rest["name"]
    return stem, _NO_CLASS if said is None or said.lower() == "mask" else said


def _files_of_one(inside: Listing) -> tuple[tuple[str, str], ...]:
    """Files of one image and the names of their classes; folders are classes only where its picture is there."""
    folders, stems = _masks_in(inside), _stems(inside)
    if not folders:
        return ()
    files = listing(folders[0]).with_suffix(*_SUFFIXES)
    if not files:
        return _files_in(folders[0]) if stems else ()
    named = [(file.name, _picture_of(file.stem, set(stems))[1]) for file in files]
    return tuple(named) if all(name for _, name in named) else tuple((file.name, _NO_CLASS) for file in files)


def _files_in(folder: AnyPath) -> tuple[tuple[str, str], ...]:
    """Files of a folder, or of its folders by class, with the names of their classes."""
    below = listing(folder)
    if files := below.with_suffix(*_SUFFIXES):
        return tuple((file.name, _NO_CLASS) for file in files)
    return tuple(
        (f"{part.name}/{file.name}", part.name)
        for part in below.folders
        for file in listing(part).with_suffix(*_SUFFIXES)
    )


def _stems(inside: Listing) -> list[str]:
    """Names of the pictures in the ``images/`` of a folder, without their suffixes."""
    return [picture.stem for images in inside.named("images") for picture in listing(images).with_suffix(*PICTURES)]


def _masks_in(inside: Listing) -> list[AnyPath]:
    """Folder ``masks/`` of an image, if there is one."""
    return inside.named("masks")


def _differs(file: AnyPath, size: tuple[int, int], first: str, shape: tuple[int, int]) -> str:
    """Message of two instances that cannot be of one image."""
    return f"{file}: {size[0]} x {size[1]} pixels, but {first} has {shape[0]} x {shape[1]}; all must be of one size"
