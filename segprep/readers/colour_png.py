"""Colour-coded PNG: one file per image, in which each colour of a palette file is a class."""

import re
from dataclasses import dataclass

import numpy as np

from segprep.masks.mask import InstanceMask
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import Listing, listing
from segprep.readers._image import PNG, has_channels
from segprep.readers._palette import (
    IGNORE,
    META_NAME,
    PALETTE_FILES,
    Colour,
    class_codes,
    colour_problems,
    meta_palette,
    palette_of,
    png_colours,
    stuff_classes,
)
from segprep.readers._reader import MaskSet, Reader, ReadOptions, with_split

_FOLDERS = ("masks", "labels", "gt", "gtleft", "semseg", "defaultannot")
"""Folders that hold the masks; CVAT writes the last for images without a split."""
_DIVIDED = re.compile(rf"({'|'.join(FOLDERS)})(?:annot|_labels)", re.IGNORECASE)
"""Folders that hold the masks of one split, such as trainannot/ and train_labels/."""


@dataclass(frozen=True)
class ColourPngRef:
    """One colour-coded PNG; in ``trainannot/`` and the like, its key begins with the split, not with the folder.

    `codes` are colours and their class codes: 0 is the background, `IGNORE` unknown.
    """

    key: str
    split: str | None
    file: AnyPath
    codes: tuple[tuple[int, int], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the classes; pixels of a colour that the palette lacks are ignored and recorded as problems."""
        colours = png_colours(self.file, max_pixels=self.options.max_pixels)
        codes, unknown = class_codes(colours, self.codes)
        ignore = codes == IGNORE
        return InstanceMask(
            np.zeros((1, *colours.shape), np.int32),
            np.zeros(1, np.int32),
            ignore if ignore.any() else None,
            colour_problems(unknown),
            stuff=np.where(ignore, 0, codes).astype(np.int32),
        )


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find colour-coded PNG in masks/, labels/, GT/ or train_labels/ beside a palette such as label_colors.txt.

    The palette is ``label_colors.txt`` (R G B name), ``labelmap.txt`` (name:R,G,B::), ``class_dict.csv`` (name,r,g,b) or
    ``dataset_meta.json`` (label_map, segmentation_colors). Each of its colours is a class without instances, except the
    background (of that name, or the ``background_label``) and void, ignore and unlabelled, which are ignored. Folders
    ``trainannot/``, ``valannot/`` and ``testannot/`` without a palette have CamVid's. Masks of one channel have no
    colours.
    """
    if not path.is_dir():
        return None
    inside = listing(path)
    files = _mask_files(inside)
    may_have_palette = _is_camvid(inside) or any(
        file.name.lower() in {*PALETTE_FILES, META_NAME} for file in inside.files
    )
    # Names of files are checked first, so that label images are not opened in vain.
    if not may_have_palette or not any(map(has_channels, files.values())):
        return None
    palette = _palette_in(path, inside)
    if palette is None:
        return None
    colours, background = palette
    classes, codes = stuff_classes(colours, background=background)
    refs = tuple(ColourPngRef(*with_split(key), files[key], codes, options) for key in sorted(files))
    return MaskSet("colour-png", classes, refs)


def _is_camvid(inside: Listing) -> bool:
    """True if there are folders trainannot/, valannot/ or testannot/."""
    return any(folder.name.lower().endswith("annot") and _DIVIDED.fullmatch(folder.name) for folder in inside.folders)


def _palette_in(folder: AnyPath, inside: Listing) -> tuple[tuple[Colour, ...], int | None] | None:
    """Palette of a data set and the id of its background."""
    for file in inside.files:
        if read := PALETTE_FILES.get(file.name.lower()):
            return read(file), None
    for file in inside.files:
        if file.name.lower() == META_NAME:
            return meta_palette(file)
    if _is_camvid(inside):
        return palette_of(folder, [(name, rgb.split()) for name, rgb in _CAMVID.items()]), None
    return None


def _mask_files(inside: Listing) -> dict[str, AnyPath]:
    """PNG files of masks by their keys."""
    parts = [(divided[1], folder) for folder in inside.folders if (divided := _DIVIDED.fullmatch(folder.name))]
    for folder in inside.named(*FOLDERS):
        parts += [(f"{folder.name}/{masks.name}", masks) for masks in listing(folder).named(*_FOLDERS)]
    for masks in inside.named(*_FOLDERS):
        parts.append((masks.name, masks))
        parts += [(f"{masks.name}/{folder.name}", folder) for folder in listing(masks).named(*FOLDERS)]
    return {f"{prefix}/{file.name}": file for prefix, folder in parts for file in listing(folder).with_suffix(*PNG)}


# Brostow, Fauqueur and Cipolla, Semantic object classes in video, Pattern Recognition Letters 30 (2009), as published
# in the data set's label_colors.txt.
_CAMVID = {
    "Void": "0 0 0",
    "Animal": "64 128 64",
    "Archway": "192 0 128",
    "Bicyclist": "0 128 192",
    "Bridge": "0 128 64",
    "Building": "128 0 0",
    "Car": "64 0 128",
    "CartLuggagePram": "64 0 192",
    "Child": "192 128 64",
    "Column_Pole": "192 192 128",
    "Fence": "64 64 128",
    "LaneMkgsDriv": "128 0 192",
    "LaneMkgsNonDriv": "192 0 64",
    "Misc_Text": "128 128 64",
    "MotorcycleScooter": "192 0 192",
    "OtherMoving": "128 64 64",
    "ParkingBlock": "64 192 128",
    "Pedestrian": "64 64 0",
    "Road": "128 64 128",
    "RoadShoulder": "128 128 192",
    "Sidewalk": "0 0 192",
    "SignSymbol": "192 128 128",
    "Sky": "128 128 128",
    "SUVPickupTruck": "64 128 192",
    "TrafficCone": "0 0 64",
    "TrafficLight": "0 64 64",
    "Train": "192 64 128",
    "Tree": "128 128 0",
    "Truck_Bus": "192 128 192",
    "Tunnel": "64 0 64",
    "VegetationMisc": "192 192 0",
    "Wall": "64 192 0",
}


READER = Reader("colour-png", find)
