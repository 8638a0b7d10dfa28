"""iSAID: for each image *_instance_id_RGB.png, whose colours are numbers, and *_instance_color_RGB.png with those of classes.

A number is red + 256 green + 65536 blue. The numbers of one image differ, also between classes.

Reference: S. Waqas Zamir et al.: iSAID: a large-scale dataset for instance segmentation in aerial images, CVPR workshops 2019.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask, Problem, first_problems
from segprep.masks.splits import folder_split
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import below
from segprep.readers._image import PNG, png_pixels
from segprep.readers._reader import MaskSet, Reader, ReadOptions, check_instances, with_split

_IDS, _COLOURS = "_instance_id_RGB", "_instance_color_RGB"
"""Ends of the names of the two files of an image."""
_DEPTH = 4
_CLASSES = {
    "ship": (0, 0, 63),
    "storage tank": (0, 63, 63),
    "baseball diamond": (0, 63, 0),
    "tennis court": (0, 63, 127),
    "basketball court": (0, 63, 191),
    "ground track field": (0, 63, 255),
    "bridge": (0, 127, 63),
    "large vehicle": (0, 127, 127),
    "small vehicle": (0, 0, 127),
    "helicopter": (0, 0, 191),
    "swimming pool": (0, 0, 255),
    "roundabout": (0, 191, 127),
    "soccer ball field": (0, 127, 191),
    "plane": (0, 127, 255),
    "harbor": (0, 100, 155),
}
_VALUES = 2**24
"""Number of colours."""
_UNKNOWN, _CODES = len(_CLASSES) + 1, 32
"""Code of colours of no class, and a number above all codes."""


@dataclass(frozen=True)
class IsaidRef:
    """The two files of one image; the path of that of numbers, without the end of its name, is the key."""

    key: str
    split: str | None
    ids: AnyPath
    colours: AnyPath
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read both files; pixels with only a class, or only a number, are ignored and recorded as problems."""
        ids = _colours_in(self.ids, self.options.max_pixels)
        colours = _colours_in(self.colours, self.options.max_pixels)
        if ids.shape != colours.shape:
            size = f"{colours.shape[0]} x {colours.shape[1]}"
            raise InputError(
                f"{self.colours}: {size} pixels, but {self.ids.name} has {ids.shape[0]} x {ids.shape[1]}; "
                "both must be of one size"
            )
        return _mask(str(self.ids), ids, _code_of()[colours], self.options.max_instances)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find iSAID's *_instance_id_RGB.png and *_instance_color_RGB.png, up to four folders deep.

    Both lie in one folder, or in folders for each, such as Instance_masks/images/ and Semantic_masks/images/.
    """
    if not path.is_dir():
        return None
    files = [file for inside in below(path, _DEPTH) for file in inside.with_suffix(*PNG)]
    colours = [file for file in files if file.stem.endswith(_COLOURS)]
    by_place = {(file.parent, file.stem.removesuffix(_COLOURS)): file for file in colours}
    by_split = {(folder_split(name_in(path, file)), file.stem.removesuffix(_COLOURS)): file for file in colours}
    refs = []
    for file in files:
        if not file.stem.endswith(_IDS):
            continue
        name = file.stem.removesuffix(_IDS)
        key, split = with_split(name_in(path, file.with_name(name)))
        other = by_place.get((file.parent, name)) or by_split.get((split, name))
        if other is None:
            raise InputError(f"{file}: has no {name}{_COLOURS}.png with the classes; put it into the same folder")
        refs.append(IsaidRef(key, split, file, other, options))
    classes = class_table(enumerate(_CLASSES, start=1))
    return MaskSet("isaid", classes, tuple(refs)) if refs else None


def _colours_in(file: AnyPath, max_pixels: int) -> NDArray[np.uint32]:
    """Colours of a PNG as numbers, shape (H, W)."""
    with png_pixels(file, max_pixels=max_pixels) as image:
        if image.mode not in {"RGB", "RGBA"}:
            raise InputError(f"{file}: an image in {image.mode}; iSAID's colours are RGB, so do not convert the file")
        pixels = np.zeros((image.height, image.width, 4), np.uint8)
        pixels[..., :3] = np.asarray(image.convert("RGB"))
    return pixels.view("<u4")[..., 0].astype(np.uint32, copy=False)


@cache
def _code_of() -> NDArray[np.uint8]:
    """Class code of each colour; 0 for black."""
    codes = np.full(_VALUES, _UNKNOWN, np.uint8)
    codes[0] = 0
    for code, (red, green, blue) in enumerate(_CLASSES.values(), start=1):
        codes[red | green << 8 | blue << 16] = code
    return codes


def _mask(where: str, ids: NDArray[np.uint32], codes: NDArray[np.uint8], max_instances: int) -> InstanceMask:
    """Mask in which each number with a class is an instance; in the rare case of several classes, one for each."""
    present = np.zeros(_VALUES, np.bool_)
    present[ids] = True
    present[0] = True
    numbers = np.flatnonzero(present)
    check_instances(where, len(numbers) - 1, max_instances)
    pairs = (np.cumsum(present, dtype=np.int32) - 1)[ids] * _CODES + codes
    is_used = np.zeros(len(numbers) * _CODES, np.bool_)
    is_used[pairs] = True
    used = np.flatnonzero(is_used)
    rank, code = used // _CODES, used % _CODES
    is_instance = (rank > 0) & (code > 0) & (code < _UNKNOWN)
    check_instances(where, int(is_instance.sum()), max_instances)
    labels = np.zeros(len(is_used), np.int32)
    labels[used[is_instance]] = np.arange(1, is_instance.sum() + 1)
    is_bad = ~is_instance & (used > 0)
    ignored = np.zeros(len(is_used), np.bool_)
    ignored[used[is_bad]] = True
    return InstanceMask(
        labels[pairs][np.newaxis],
        np.concatenate([np.zeros(1, np.int32), code[is_instance].astype(np.int32)]),
        ignored[pairs] if is_bad.any() else None,
        first_problems(
            _problem(int(numbers[rank]), int(code)) for rank, code in zip(rank[is_bad], code[is_bad], strict=True)
        ),
    )


def _problem(number: int, code: int) -> Problem:
    """Problem of pixels with this number and class code."""
    if code == _UNKNOWN:
        return Problem("colour is no class of iSAID", f"instance {number}")
    if number == 0:
        return Problem("class without a number of an instance", list(_CLASSES)[code - 1])
    return Problem("instance without a class", f"instance {number}")


READER = Reader("isaid", find)
