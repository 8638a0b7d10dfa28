"""BDD100K: bitmasks, RGBA PNG files of instance segmentation, segmentation tracking or panoptic segmentation.

Red is the category, green has bits for truncated, occluded, crowd and ignored objects, and blue and alpha are the number of
the instance, 256 blue + alpha.

Reference: F. Yu et al.: BDD100K: a diverse driving dataset for heterogeneous multitask learning, CVPR 2020, and the
documentation of its label format.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, some
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import below, nearest
from segprep.readers._coded import BACKGROUND, IGNORED, Meaning, mask_of_values
from segprep.readers._image import PNG, png_pixels
from segprep.readers._png import RGBA, common_png
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split

_FOLDER = "bitmasks"
_DEPTH = 3
_LOOK = 8
"""Files whose values are read to recognise the format."""
_IGNORED, _CROWD, _BITS = 1, 2, 16
"""Bits of the attributes, and their number of values."""

_THINGS = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
_PANOPTIC_STUFF = (
    *("dynamic", "ego vehicle", "ground", "static", "parking", "rail track", "road", "sidewalk", "bridge", "building"),
    *("fence", "garage", "guard rail", "tunnel", "wall", "banner", "billboard", "lane divider", "parking sign", "pole"),
    *("polegroup", "street light", "traffic cone", "traffic device", "traffic light", "traffic sign"),
    *("traffic sign frame", "terrain", "vegetation", "sky"),
)
_PANOPTIC_THINGS = (
    *("person", "rider", "bicycle", "bus", "car", "caravan", "motorcycle", "trailer", "train", "truck"),
)


@dataclass(frozen=True)
class Bdd100kRef:
    """One bitmask; `is_panoptic` decides on the meaning of its categories."""

    key: str
    split: str | None
    file: AnyPath
    is_panoptic: bool
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the bitmask; values without a meaning are ignored and recorded as problems."""
        return mask_of_values(
            bitmask_values(self.file, max_pixels=self.options.max_pixels),
            partial(value_meaning, self.is_panoptic),
            crowd=self.options.crowd,
            max_instances=self.options.max_instances,
            where=str(self.file),
        )


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find BDD100K's bitmasks/**/*.png (RGBA), up to three folders deep.

    Ignored objects are ignored, and so are crowds unless `options` make them instances. If a category of the first few
    files is above 8, the files are of panoptic segmentation: its classes without instances are stuff, and unlabelled pixels
    are ignored.
    """
    if not path.is_dir():
        return None
    is_inside = _FOLDER in {path.name.lower(), path.parent.name.lower()}
    folders = [path] if is_inside else nearest(path, lambda inside: inside.named(_FOLDER), depth=_DEPTH)
    files = [file for folder in folders for inside in below(folder) for file in inside.with_suffix(*PNG)]
    categories = [_categories_in(file, options) for file in files[:_LOOK]]
    if not any(categories) or None in categories:
        return None
    if len(folders) > 1:
        names = some(name_in(path, folder) for folder in folders)
        raise InputError(f"{path}: bitmasks of several tasks: {names}; give one of these folders")
    is_panoptic = any(max(found) > len(_THINGS) for found in categories if found)
    things = [(code, name, True) for code, name in enumerate(_THINGS, start=1)]
    classes = [*_PANOPTIC_STUFF, *_PANOPTIC_THINGS]
    panoptic = [(code, name, code > len(_PANOPTIC_STUFF)) for code, name in enumerate(classes, start=1)]
    refs = tuple(Bdd100kRef(*with_split(name_in(path, file)), file, is_panoptic, options) for file in files)
    return MaskSet("bdd100k", class_table(panoptic if is_panoptic else things), refs)


def bitmask_values(path: AnyPath, *, max_pixels: int) -> NDArray[np.uint32]:
    """Values of a bitmask as numbers, shape (H, W): the four channels, red first.

    Raises
    ------
    InputError
        If the file is damaged, too large, or not RGBA.
    """
    if (png := common_png(path, max_pixels=max_pixels)) and (png.colour, png.depth) == (RGBA, 8):
        return np.ascontiguousarray(png.pixels).view(">u4")[..., 0].astype(np.uint32)
    with png_pixels(path, max_pixels=max_pixels) as image:
        if image.mode != "RGBA":
            raise InputError(f"{path}: an image in {image.mode}; a bitmask of BDD100K is RGBA")
        pixels = np.ascontiguousarray(np.asarray(image))
    return pixels.view(">u4")[..., 0].astype(np.uint32)


def value_meaning(is_panoptic: bool, value: int) -> Meaning:
    """Meaning of a value.

    Examples
    --------
    >>> [value_meaning(False, value).kind for value in (0x03000001, 0x03020001, 0x03010001, 0)]
    ['thing', 'group', 'ignore', 'background']
    >>> [value_meaning(True, value).kind for value in (0x23000001, 0x07000001, 0)]
    ['thing', 'stuff', 'ignore']
    """
    category, attributes, number = value >> 24, value >> 16 & 0xFF, value & 0xFFFF
    if value == 0 and not is_panoptic:
        return BACKGROUND
    if category == 0 or attributes & _IGNORED:
        return IGNORED
    if category > (len(_PANOPTIC_STUFF) + len(_PANOPTIC_THINGS) if is_panoptic else len(_THINGS)):
        return Meaning("ignore", problem="category is unknown")
    if is_panoptic and category <= len(_PANOPTIC_STUFF):
        return Meaning("stuff", category)
    return Meaning("group" if attributes & _CROWD or not number else "thing", category)


def _categories_in(file: AnyPath, options: ReadOptions) -> set[int] | None:
    """Categories of a file, empty for a damaged file: loading it raises the error; None if it is no bitmask."""
    try:
        values = bitmask_values(file, max_pixels=options.max_pixels)
    except InputError:
        return set()
    distinct = np.unique(values)
    known = len(_PANOPTIC_STUFF) + len(_PANOPTIC_THINGS)
    is_ours = (distinct >> 24 <= known).all() and ((distinct >> 16 & 0xFF) < _BITS).all()
    return set((distinct >> 24).tolist()) if is_ours else None


READER = Reader("bdd100k", find)
