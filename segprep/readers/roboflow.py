"""Roboflow's semantic segmentation masks: *_mask.png beside the images, with the classes in _classes.csv.

A value of a mask is the class in that line; there are no instances.
"""

import re

from segprep.errors import InputError
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import listing
from segprep.readers._coded import BACKGROUND, IGNORED, CodedValues, Meaning, coded_refs
from segprep.readers._image import PNG
from segprep.readers._palette import IGNORE, Colour, lines_of, stuff_classes
from segprep.readers._reader import MaskSet, Reader, ReadOptions

_NAMES = "_classes.csv"
_MASK = "_mask"
_HEAD = re.compile(r"\s*pixel value\s*,\s*class\s*", re.IGNORECASE)
_LINE = re.compile(r"\s*([0-9]{1,5})\s*,\s*(\S.*?)\s*")


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find Roboflow's *_mask.png with _classes.csv in the folder, or in each of its train/, valid/ and test/.

    Each value is a class without instances, except the background (of that name) and void, ignore and unlabelled, which are
    ignored, and so are values that are not listed. All ``_classes.csv`` must be the same.
    """
    if not path.is_dir():
        return None
    inside = listing(path)
    parts = [inside, *map(listing, inside.named(*FOLDERS))]
    found = {
        names: [file for file in part.with_suffix(*PNG) if file.stem.endswith(_MASK)]
        for part in parts
        for names in part.files
        if names.name == _NAMES
    }
    palettes = {names: palette for names, files in found.items() if files and (palette := _palette(names)) is not None}
    if not palettes:
        return None
    first, palette = next(iter(palettes.items()))
    other = next((names for names in palettes if palettes[names] != palette), None)
    if other is not None:
        raise InputError(f"{other}: other classes than in {first}; give the folders one by one")
    classes, codes = stuff_classes(palette)
    files = [file for names in palettes for file in found[names]]
    meaning = CodedValues(1, {value: _meaning(code) for value, code in codes}, "value is not in _classes.csv")
    return MaskSet("roboflow", classes, coded_refs(path, files, meaning, options))


def _meaning(code: int) -> Meaning:
    """Meaning of a class code."""
    return IGNORED if code == IGNORE else Meaning("stuff", code) if code else BACKGROUND


def _palette(file: AnyPath) -> tuple[Colour, ...] | None:
    """Values and names in a ``_classes.csv``; None if it has another heading."""
    head, *lines = lines_of(file) or [""]
    if not _HEAD.fullmatch(head):
        return None
    values: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        row = _LINE.fullmatch(line)
        if row is None:
            raise InputError(f"{file}: class {number}: {line[:60]!a}; it needs a value and a name, as 1, cell")
        value = int(row[1])
        if value in values:
            raise InputError(f"{file}: {values[value]!a} and {row[2]!a} have the value {value}; give each its own")
        values[value] = row[2]
    if not values:
        raise InputError(f"{file}: contains no class; give each class a line")
    return tuple(Colour(value, name, value) for value, name in values.items())


READER = Reader("roboflow", find)
