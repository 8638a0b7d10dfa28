"""Files beside a file of annotations: the images that have the sizes it lacks, and files of the other splits.

Names in a file of annotations are only looked up among the files of the data set, never opened as paths.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.masks.splits import FOLDERS, file_split, folder_split
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import IMAGE_SUFFIXES, below, listing
from segprep.readers._image import PNG, TIFF, decode_errors

IMAGES = (*PNG, *TIFF, ".bmp", ".gif", ".jpeg", ".jpg", ".webp")
"""Suffixes of images whose size can be read."""
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
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II+\0": TiffImageFile,
    b"MM\0+": TiffImageFile,
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
        key = name if self.split is None else f"{self.split}/{name}"
        return key, folder_split(key)


class Images:
    """Images of a data set, found by their path in its folder, else by their name, else by their name without suffix.

    Parameters
    ----------
    root : AnyPath
        Folder of the data set; folders named masks, labels or annotations are not searched.
    """

    def __init__(self, root: AnyPath) -> None:
        self._root = root
        self._files: dict[str, list[AnyPath]] = {}
        inside = listing(root)
        listings = [folder for child in inside.folders for folder in below(child)]
        for file in [
            *inside.with_suffix(*IMAGES),
            *(file for found in listings for file in found.with_suffix(*IMAGES)),
        ]:
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


def shape_beside(where: str, image: AnyPath | None) -> tuple[int, int]:
    """Height and width of the image that a mask belongs to.

    Raises
    ------
    InputError
        If there is none, or its size cannot be read.
    """
    if image is None:
        raise InputError(
            f"{where}: no image of this name beside the file, or several; add the one image, which has the size, "
            "as PNG, JPEG, TIFF or BMP"
        )
    return image_shape(image)


def size_problems(image: AnyPath | None, shape: tuple[int, int]) -> list[Problem]:
    """Problem of a mask of this height and width whose image has another size, or cannot be read."""
    if image is None or image.suffix.lower() not in IMAGES:
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
    """Height and width of an image as viewers show it, by its header alone.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with decode_errors(path, "an image"):
        with path.open("rb") as file:
            start = file.read(4)
        opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            raise InputError(f"{path}: neither PNG, JPEG, TIFF, BMP, GIF nor WebP, so its size is unknown; convert it")
        # Not Image.open, which warns of, or refuses, large sizes by its own limit.
        with path.open("rb") as file, opener(file) as image:
            turned = opener is JpegImageFile and image.getexif().get(_ORIENTATION) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)


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

    Raises
    ------
    InputError
        If there are several that are not of different splits.
    """
    if not path.is_dir():
        return [Source(path)] if path.suffix.lower() == suffix and is_ours(path) else []
    inside = listing(path)
    if found := [file for file in inside.with_suffix(suffix) if is_ours(file)]:
        return _sources(path, found, kind)
    files = [file for child in inside.named("annotations", *FOLDERS) for file in listing(child).with_suffix(suffix)]
    return _sources(path, filter(is_ours, files), kind)


def _sources(folder: AnyPath, files: Iterable[AnyPath], kind: str) -> list[Source]:
    """Files of one data set: a single one, or one for each split by its name or its folder.

    Raises
    ------
    InputError
        If there are several that are not of different splits.
    """
    found = list(files)
    if len(found) <= 1:
        return list(map(Source, found))
    splits = [file_split(file) for file in found]
    if None in splits or max(Counter(splits).values()) > 1:
        names = ", ".join(name_in(folder, file) for file in found)
        raise InputError(
            f"{folder}: {len(found)} {kind} files: {names}; give one, or one for each of train, val and test"
        )
    return list(map(Source, found, splits))
