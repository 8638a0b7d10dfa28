"""MOTS: 16-bit PNG files in instances/, one folder for each video or none.

A value is 1000 times the class plus the instance; 0 is background, 10000 is ignored.

Reference: P. Voigtlaender et al.: MOTS: Multi-Object Tracking and Segmentation, CVPR 2019.
"""

import numpy as np

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import below, listing, nearest
from segprep.readers._coded import BACKGROUND, IGNORED, CodedValues, Meaning, coded_refs
from segprep.readers._image import PNG, has_channels, label_values
from segprep.readers._reader import MaskSet, Reader, ReadOptions
from segprep.readers._text import read_lines

_CLASSES = ("car", "pedestrian")
_NAMES = "labels.txt"
_MAX_BYTES = 2**20
_DEPTH = 1
_LOOK = 8


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find MOTS: 16-bit instances/*.png (1000 class + instance) or instances/<video>/*.png, itself or one folder deep.

    Class 1 is a car, 2 a pedestrian; or each the line of a file instances/labels.txt. The first few files must hold no
    other value than those of these classes, 0, and 10000.
    """
    if not path.is_dir():
        return None
    folders = nearest(path, lambda inside: inside.named("instances"), depth=_DEPTH)
    files = [file for folder in folders for inside in below(folder, 1) for file in inside.with_suffix(*PNG)]
    if not files:
        return None
    names = _names(folders)
    things = {code: Meaning("thing", code) for code in range(1, len(names) + 1)}
    meaning = CodedValues(1000, things, "class is unknown", others={0: BACKGROUND, 10000: IGNORED})
    fitting = [_fits(file, meaning, options) for file in files[:_LOOK]]
    if False in fitting or True not in fitting:
        return None
    return MaskSet("mots", class_table(enumerate(names, start=1)), coded_refs(path, files, meaning, options))


def _names(folders: list[AnyPath]) -> tuple[str, ...]:
    """Names of the classes."""
    files = [folder / _NAMES for folder in folders if folder / _NAMES in listing(folder).files]
    found = {tuple(read_lines(file, _MAX_BYTES, "a list of classes")) for file in files}
    if len(found) > 1:
        raise InputError(f"{files[0]}: other classes than in {files[-1].parent}; give the folders one by one")
    return found.pop() if found else _CLASSES


def _fits(file: AnyPath, meaning: CodedValues, options: ReadOptions) -> bool | None:
    """True if a file has more than 8 bits and every value has a meaning; None if it is damaged: loading raises the error."""
    try:
        values = label_values(file, max_pixels=options.max_pixels)
    except InputError:
        return False if has_channels(file) else None
    return values.dtype.itemsize > 1 and not any(meaning(value).problem for value in np.unique(values).tolist())


READER = Reader("mots", find)
