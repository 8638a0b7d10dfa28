"""Files that are the instances of one image each, and which image they belong to.

The layout must be inferred from names alone. So all layouts but ``<image>/masks/*.png`` are recognised only beside
``images/``, whose files tell images from classes.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from segprep.errors import InputError
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, listing
from segprep.readers._image import JPEG, PNG, Foreground, jpeg_foreground, png_foreground
from segprep.readers._reader import ReadOptions, mask_from_instances

NO_CLASS = "instance"
"""Name of the class of instances whose class is not given."""
_DEPTH = 4
"""Folders below the given one in which images are searched."""
_NUMBERED = re.compile(r"_(?:(?P<name>.+)_)?[0-9]+")
"""End of the name of a file, after that of the image: a number, before it perhaps a class."""
_SUFFIXES = (*PNG, *JPEG)


@dataclass(frozen=True)
class InstancePngRef:
    """PNG or JPEG files of one image, relative to its folder, each with the class code of its instance.

    `problems` are those of the image that its files do not show.
    """

    key: str
    split: str | None
    folder: AnyPath
    files: tuple[tuple[str, int], ...]
    options: ReadOptions
    problems: tuple[Problem, ...] = ()

    def load(self) -> InstanceMask:
        """Read the instances in the order of their files; a file without foreground is left out."""
        if not any((self.folder / name).is_file() for name, _ in self.files):
            raise InputError(f"{self.folder}: its files are gone; it had some when the data set was searched")
        first = self._foreground(self.files[0][0])
        return mask_from_instances(str(self.folder), first.shape, self._found(first), self.options)

    def _found(self, first: Foreground) -> Iterator[tuple[int, InstanceCrop] | Problem]:
        """Class code and pixels of each file, or its problem; the first file is already read."""
        yield from self.problems
        for number, (name, code) in enumerate(self.files):
            size, crop = self._foreground(name) if number else first
            if size != first.shape:
                raise InputError(
                    f"{self.folder / name}: {size[0]} x {size[1]} pixels, but {self.files[0][0]} has "
                    f"{first.shape[0]} x {first.shape[1]}; all must be of one size"
                )
            yield (code, crop) if crop is not None else Problem("no foreground", name)

    def _foreground(self, name: str) -> Foreground:
        """Pixels of the instance in a file."""
        file = self.folder / name
        read = jpeg_foreground if file.suffix.lower() in JPEG else png_foreground
        return read(file, max_pixels=self.options.max_pixels)


class ImageFiles(NamedTuple):
    """Files of one image: its key, its folder, and the name of each file with that of its class."""

    key: str
    folder: AnyPath
    files: tuple[tuple[str, str], ...]


def images_in(folder: AnyPath) -> list[ImageFiles]:
    """Images of the folder itself, else of the folders below."""
    return list(_at(folder)) or list(_below(folder, folder, _DEPTH))


def holds_instances(folder: AnyPath) -> bool:
    """True if the files in ``masks/`` of a folder are instances, not label images, judging by ``images/`` beside it."""
    return any(True for _ in _at(folder))


def _at(folder: AnyPath) -> Iterator[ImageFiles]:
    """Images of the folder itself."""
    inside = listing(folder)
    if divided := _divided("", inside):
        yield from divided
    elif len(_stems(inside)) == 1 and len(files := _files_of_one(inside)) > 1:
        yield ImageFiles(folder.resolve().name, inside.named("masks")[0], files)


def _below(root: AnyPath, folder: AnyPath, depth: int) -> Iterator[ImageFiles]:
    """Images in folders below a folder."""
    for child in listing(folder).folders:
        inside, key = listing(child), name_in(root, child)
        if divided := _divided(f"{key}/", inside):
            yield from divided
        elif len(_stems(inside)) <= 1 and (files := _files_of_one(inside)):
            yield ImageFiles(key, inside.named("masks")[0], files)
        elif depth > 1:
            yield from _below(root, child, depth - 1)


def _divided(prefix: str, inside: Listing) -> list[ImageFiles]:
    """Images of a folder with ``images/`` and with instances in ``masks/``, by folders or by names of files."""
    stems, folders = set(_stems(inside)), inside.named("masks")
    if not stems or not folders:
        return []
    masks = folders[0]
    below = listing(masks)
    files = below.with_suffix(*_SUFFIXES)
    if not files:
        return _by_folder(prefix, below, stems)
    return _by_name(prefix, masks, files, stems) if len(stems) > 1 else []


def _by_folder(prefix: str, masks: Listing, stems: set[str]) -> list[ImageFiles]:
    """Images of ``masks/<image>/``; none if a folder belongs to no image."""
    held = {folder: _files_in(folder) for folder in masks.folders}
    held = {folder: files for folder, files in held.items() if files}
    if not all(folder.name in stems for folder in held):
        return []
    return [ImageFiles(f"{prefix}{folder.name}", folder, files) for folder, files in held.items()]


def _by_name(prefix: str, masks: AnyPath, files: list[AnyPath], stems: set[str]) -> list[ImageFiles]:
    """Images of ``masks/<image>_<number>.png``; none if a file belongs to no image, or no image has several."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in files:
        stem, name = _image_of(file.stem, stems)
        if not stem:
            return []
        found.setdefault(stem, []).append((file.name, name))
    if Counter(map(len, found.values())).keys() <= {1}:
        return []
    return [ImageFiles(f"{prefix}{stem}", masks, tuple(named)) for stem, named in found.items()]


def _image_of(name: str, stems: set[str]) -> tuple[str, str]:
    """Image that a file belongs to by its name, and its class; empty if it belongs to none.

    Examples
    --------
    >>> [_image_of(name, {"a", "a_1"}) for name in ("a_7", "a_1_7", "a_mask_7", "a_big_cell_7", "a_1", "b_7")]
    [('a', 'instance'), ('a_1', 'instance'), ('a', 'instance'), ('a', 'big_cell'), ('', ''), ('', '')]
    """
    ends = [end for end, letter in enumerate(name) if letter == "_"]
    stem = next((name[:end] for end in reversed(ends) if name[:end] in stems), "")
    rest = _NUMBERED.fullmatch(name[len(stem) :])
    if name in stems or not stem or rest is None:
        return "", ""
    name = rest["name"] or "mask"
    return stem, NO_CLASS if name.lower() == "mask" else name


def _files_of_one(inside: Listing) -> tuple[tuple[str, str], ...]:
    """Files of one image and the names of their classes; folders are classes only if ``images/`` has the image."""
    folders, stems = inside.named("masks"), _stems(inside)
    if not folders:
        return ()
    files = listing(folders[0]).with_suffix(*_SUFFIXES)
    if not files:
        return _files_in(folders[0]) if stems else ()
    named = [(file.name, _image_of(file.stem, set(stems))[1]) for file in files]
    return tuple(named) if all(name for _, name in named) else tuple((file.name, NO_CLASS) for file in files)


def _files_in(folder: AnyPath) -> tuple[tuple[str, str], ...]:
    """Files of a folder, or of its folders of classes, with the names of their classes."""
    below = listing(folder)
    if files := below.with_suffix(*_SUFFIXES):
        return tuple((file.name, NO_CLASS) for file in files)
    return tuple(
        (f"{part.name}/{file.name}", part.name)
        for part in below.folders
        for file in listing(part).with_suffix(*_SUFFIXES)
    )


def _stems(inside: Listing) -> list[str]:
    """Names of the files in the ``images/`` of a folder, without their suffixes."""
    return [file.stem for images in inside.named("images") for file in listing(images).with_suffix(*IMAGE_SUFFIXES)]
