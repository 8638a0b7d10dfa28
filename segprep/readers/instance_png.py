"""One PNG per instance, as in the Data Science Bowl 2018: <image>/masks/*.png."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segprep.errors import InputError
from segprep.mask import Fault, InstanceMask, Piece, class_table
from segprep.readers._folder import PICTURES, Listing, listing
from segprep.readers._image import PNG, png_foreground
from segprep.readers._masks import Masks, ReadOptions, assembled

_DEPTH = 4
"""Folders below the given one in which images are looked for."""


@dataclass(frozen=True)
class InstancePngRef:
    """One image: a folder of PNG files.

    Attributes
    ----------
    key : str
        The image's folder, relative to the data set.
    folder : Path
        Where the PNG files are.
    options : ReadOptions
        How to read them.
    """

    key: str
    folder: Path
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the instances in the order of their file names; a file without foreground is left out."""
        files = listing(self.folder).with_suffix(*PNG)
        if not files:
            raise InputError(f"{self.folder}: no .png file is left; it had some when the data set was searched")
        shape, _ = png_foreground(files[0], max_pixels=self.options.max_pixels)
        return assembled(str(self.folder), shape, self._found(files, shape), self.options)

    def _found(self, files: list[Path], shape: tuple[int, int]) -> Iterator[tuple[int, Piece] | Fault]:
        """Class code and pixels of each file, or what is wrong with it."""
        for file in files:
            size, piece = png_foreground(file, max_pixels=self.options.max_pixels)
            if size != shape:
                raise InputError(_differs(file, size, files[0], shape))
            yield (1, piece) if piece is not None else Fault("no foreground", file.name)


def find(path: Path, options: ReadOptions) -> Masks | None:
    """Find folders <image>/masks/*.png with one PNG per instance.

    Images may lie up to four folders deep. Whatever is not 0 in a PNG is its instance; an alpha channel does not count,
    and of a palette the index does. A folder whose ``images/`` holds several pictures is no image (its ``masks/`` holds
    label images); the given folder itself is one where ``images/`` holds one picture and ``masks/`` several.
    """
    if not path.is_dir():
        return None
    if is_one_image(path):
        folders = {path.resolve().name: path}
    else:
        folders = {folder.relative_to(path).as_posix(): folder for folder in _images(listing(path), _DEPTH)}
    if not folders:
        return None
    refs = [InstancePngRef(key, _masks_of(listing(folders[key])), options) for key in sorted(folders)]
    return Masks("instance-png", class_table([(None, "instance")]), tuple(refs))


def is_one_image(folder: Path) -> bool:
    """Whether a folder holds one picture in ``images/`` and several instances of it in ``masks/``."""
    inside = listing(folder)
    masks = [file for masks in inside.named("masks") for file in listing(masks).with_suffix(*PNG)]
    return _pictures(inside) == 1 and len(masks) > 1


def _images(inside: Listing, depth: int) -> Iterator[Path]:
    """Folders of images below a folder."""
    for child in inside.folders:
        below = listing(child)
        if _pictures(below) <= 1 and any(listing(masks).with_suffix(*PNG) for masks in below.named("masks")):
            yield child
        elif depth > 1:
            yield from _images(below, depth - 1)


def _pictures(inside: Listing) -> int:
    """Pictures in the ``images/`` of a folder."""
    return sum(len(listing(images).with_suffix(*PICTURES)) for images in inside.named("images"))


def _masks_of(inside: Listing) -> Path:
    """Folder ``masks/`` of an image."""
    return inside.named("masks")[0]


def _differs(file: Path, size: tuple[int, int], first: Path, shape: tuple[int, int]) -> str:
    """Message of two instances that cannot be of one image."""
    return (
        f"{file}: {size[0]} x {size[1]} pixels, but {first.name} has {shape[0]} x {shape[1]}; all must be of one size"
    )
