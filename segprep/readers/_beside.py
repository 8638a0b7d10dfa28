"""Files beside a file of annotations: the images that have the sizes it lacks, and files of the other splits.

Names in a file of annotations are only looked up among the files of the data set, never opened as paths.
"""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from segprep.errors import InputError, some
from segprep.masks.mask import Problem
from segprep.masks.splits import FOLDERS, file_split
from segprep.paths.anypath import AnyPath, leads_out, name_in, without_suffix
from segprep.paths.listing import IMAGE_SUFFIXES, Listing, below, nearest
from segprep.readers._image import decode_errors
from segprep.readers._json import is_json
from segprep.readers._reader import key_in, read_all_or_raise, with_split

LONGEST_NAME = 1000
"""Characters of a mask's name, about as many as a path may have."""
_NOT_IMAGES = frozenset({"annotations", "labels", "masks"})
"""Folders that hold masks under the names of the images."""
_OPENERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"GIF8": GifImageFile,
    b"RIFF": WebPImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
}
"""Pillow's readers by the first bytes of a file, whose suffix is often wrong."""
_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations of a JPEG that viewers, and so the annotators, turn by a quarter."""


class Source(NamedTuple):
    """A file of annotations, and its split if it is one of several; then keys of its masks begin with the split."""

    file: AnyPath
    split: str | None = None

    def named(self, name: str) -> tuple[str, str | None]:
        """Key and split of the mask of an image of this name."""
        return with_split(key_in(self.split, name))


class Images:
    """Images in a folder, found by their path in it, else by their name, else by their name without suffix.

    Folders named masks, labels or annotations are not searched.
    """

    def __init__(self, root: AnyPath) -> None:
        self._root = root
        self._files: dict[str, list[AnyPath]] = {}
        for file in (file for inside in below(root) for file in inside.with_suffix(*IMAGE_SUFFIXES)):
            path = name_in(root, file)
            if _NOT_IMAGES.isdisjoint(path.lower().split("/")[:-1]):
                for name in {path, file.name, file.stem}:
                    self._files.setdefault(name, []).append(file)

    def of(self, name: str, near: AnyPath) -> AnyPath | None:
        """Image of this name, the one in the folder `near` first; None if there is none or several match equally well."""
        path = PurePosixPath(name)
        stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
        for sought in (str(PurePosixPath(name_in(self._root, near)) / path), str(path), path.name, stem):
            if found := self._files.get(sought):
                return found[0] if len(found) == 1 else None
        return None


class ImagesByName:
    """Images in a folder, found by their name and folder, or by their name if only one has it; cheap for many names.

    Folders named masks, labels or annotations are not searched.
    """

    def __init__(self, root: AnyPath) -> None:
        self._files: dict[str, AnyPath | None] = {}
        for inside in below(root):
            files = inside.with_suffix(*IMAGE_SUFFIXES)
            folder = files[0].parent if files else root
            if files and _NOT_IMAGES.isdisjoint(name_in(root, folder).lower().split("/")):
                for file in files:
                    for key in (file.name, f"{folder.name}/{file.name}"):
                        self._files[key] = None if key in self._files else file

    def of(self, name: str, near: str) -> AnyPath | None:
        """Image of this name, in the folder that it names, or in `near`; None if it leads out, or several match."""
        if not self._files or leads_out(name):
            return None
        *folders, last = name.rsplit("/", 2)
        return self._files.get(f"{folders[-1] if folders else near}/{last}") or self._files.get(last)


def shape_beside(where: str, image: AnyPath | None) -> tuple[int, int]:
    """Height and width of the image that a mask belongs to; raise if there is none."""
    if image is None:
        raise InputError(
            f"{where}: no image of this name beside the file, or several; add the one image, which has the size, "
            "as PNG, JPEG, TIFF or BMP"
        )
    return image_shape(image)


def size_problems(image: AnyPath | None, shape: tuple[int, int]) -> list[Problem]:
    """Problem of a mask of this height and width whose image has another size, or cannot be read."""
    if image is None or image.suffix.lower() not in IMAGE_SUFFIXES:
        return []
    try:
        size = image_shape(image)
    except InputError as error:
        return [Problem("image beside the mask cannot be read", str(error), left_out=False)]
    if size == shape:
        return []
    where = f"{shape[0]} x {shape[1]} pixels, but {image.name} has {size[0]} x {size[1]}"
    return [Problem("size differs from the image's", where + " (transposed)" * (size == shape[::-1]), left_out=False)]


def image_shape(path: AnyPath) -> tuple[int, int]:
    """Height and width of an image as viewers show it, by its header alone."""
    return image_shapes(path)[0]


def image_shapes(path: AnyPath) -> list[tuple[int, int]]:
    """Height and width of an image as viewers show it, and as its pixels are stored if they turn it; by its header alone."""
    with decode_errors(path, "an image"), path.open("rb") as file:
        opener = opener_of(path, file.read(4))
        file.seek(0)
        with opener(file) as image:  # not Image.open, which warns of, or refuses, large sizes by its own limit
            return shapes_of(image)


def opener_of(path: AnyPath, start: bytes) -> type[ImageFile]:
    """Pillow's reader of an image, by the first four bytes of its file."""
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        raise InputError(f"{path}: neither PNG, JPEG, TIFF, BMP, GIF nor WebP, so its size is unknown; convert it")
    return opener


def shapes_of(image: ImageFile) -> list[tuple[int, int]]:
    """Height and width of an open image, as in `image_shapes`."""
    stored = image.height, image.width
    turned = isinstance(image, JpegImageFile) and image.getexif().get(_ORIENTATION) in _TURNED
    return [stored[::-1], stored] if turned else [stored]


def image_name(name: str) -> str:
    r"""Name of an image as a key: with forward slashes, and of an address its last part; empty if it cannot be one.

    Examples
    --------
    >>> image_name(r"a\b.png"), image_name("https://host/x/a.png"), image_name("a" * 1001)
    ('a/b.png', 'a.png', '')
    """
    name = name.strip().replace("\\", "/")
    name = name.rpartition("/")[2] if "://" in name else name
    return name if len(name) <= LONGEST_NAME else ""


def files_at(path: AnyPath, suffix: str, is_ours: Callable[[AnyPath], bool], kind: str) -> list[Source]:
    """Files of annotations of one data set: itself, in the folder, or else in its ``annotations/`` or folders of splits.

    Several files must be of different splits, each by its name or its folder.
    """
    files = nearest(
        path, lambda inside: list(filter(is_ours, inside.with_suffix(suffix))), names=("annotations", *FOLDERS), depth=1
    )
    if len(files) <= 1:
        return list(map(Source, files))
    splits = [file_split(file) for file in files]
    if None in splits or len(set(splits)) < len(splits):
        names = some(name_in(path, file) for file in files)
        raise InputError(
            f"{path}: {len(files)} {kind} files: {names}; give one, or one for each of train, val and test"
        )
    return list(map(Source, files, splits))


def files_of_images(path: AnyPath, suffix: str, is_ours: Callable[[AnyPath], bool]) -> list[AnyPath]:
    """Files of annotations of one image each: itself, in the folder, or else in its ``annotations/`` or folders of splits.

    Beside them, a damaged JSON file is one of them.
    """

    def choose(inside: Listing) -> list[AnyPath]:
        files = inside.with_suffix(suffix)
        ours = set(filter(is_ours, files))
        return [file for file in files if file in ours or (ours and suffix == ".json" and not is_json(file))]

    return nearest(path, choose, names=("annotations", *FOLDERS))


def key_of(root: AnyPath, file: AnyPath) -> tuple[str, str | None]:
    """Key of the mask of a file about one image, its path without the suffix, and the split that its folders give."""
    return with_split(without_suffix(name_in(root, file)))


def class_names(files: Sequence[AnyPath], names_in: Callable[[AnyPath], set[str]]) -> tuple[str, ...]:
    """Names of the classes in files about one image each, sorted; without those of damaged files."""
    return tuple(sorted(set().union(*filter(None, read_all_or_raise(files, names_in)))))
