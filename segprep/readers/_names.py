"""Names of classes in a file beside the data: they count before those of a benchmark whose layout the data have."""

import re

import msgspec

from segprep.errors import InputError
from segprep.masks.classes import BACKGROUND
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import Listing
from segprep.readers._json import has_keys
from segprep.readers._palette import META_NAME, Colour, labelmap_palette, lines_of, meta_palette, palette_of
from segprep.readers._text import decode, read_bytes, read_lines, read_text

LISTS = ("class_names.txt", "labels.txt", "classes.txt")
"""Files of one name per line, as labelme and its labelme2voc have them."""
_BACKGROUNDS = frozenset({"_background_", "__background__", BACKGROUND})
_NO_CLASS = "__ignore__"
_PAIR = re.compile("[0-9A-Fa-f]{2}")
_MAX_BYTES = 2**20


class _Class(msgspec.Struct):
    title: str
    color: str


class _Meta(msgspec.Struct):
    classes: list[_Class]


def file_named(inside: Listing, *names: str) -> AnyPath | None:
    """File in a folder with the first of these names that is there, in upper or lower case."""
    files = {file.name.lower(): file for file in inside.files}
    return next((files[name] for name in names if name in files), None)


def listed_names(file: AnyPath) -> tuple[list[str], bool]:
    """Names in a list, of the values from 1 on; and True if the background stands before them, which has the value 0.

    A first line ``__ignore__``, which labelme wants before the background, has no value.
    """
    names = read_lines(file, _MAX_BYTES, "a list of classes")
    names = names[names[:1] == [_NO_CLASS] :]
    has_background = bool(names) and names[0].lower() in _BACKGROUNDS
    if not names[has_background:]:
        raise InputError(f"{file}: contains no name of a class; give each class a line")
    return names[has_background:], has_background


def palette_beside(inside: Listing) -> tuple[tuple[Colour, ...], int | None] | None:
    """Palette, and the id of its background if that has another name; None if no file has colours.

    The file is a ``labelmap.txt``, or else a ``dataset_meta.json`` (datumaro), ``colors.txt`` or ``meta.json`` (Supervisely).
    """
    if file := file_named(inside, "labelmap.txt"):
        return labelmap_palette(file), None
    if (file := file_named(inside, META_NAME)) and (palette := meta_palette(file)):
        return palette
    for name, rows_of in (("colors.txt", _text_rows), ("meta.json", _json_rows)):
        if (file := file_named(inside, name)) and (rows := rows_of(file)):
            own = palette_of(file, rows)
            has_black = any(entry.value == 0 for entry in own)
            return own if has_black else (*own, Colour(len(own), BACKGROUND, 0)), None
    return None


def _text_rows(file: AnyPath) -> list[tuple[str, list[str]]]:
    """Names and colours in lines name R G B without void, which is neutral; empty if the lines are of another kind."""
    rows = [line.rsplit(maxsplit=3) for line in lines_of(file)]
    is_ours = all(len(row) == 4 and all(map(str.isdecimal, row[1:])) for row in rows)  # noqa: PLR2004
    return [(row[0], row[1:]) for row in rows if row[0] != "neutral"] if is_ours else []


def _json_rows(file: AnyPath) -> list[tuple[str, list[str]]]:
    """Names and colours of classes with a title and a colour such as #FF8000; empty if the file is of another kind."""
    if not has_keys(read_bytes(file, _MAX_BYTES, "a list of classes"), "classes", "title", "color"):
        return []
    content = decode(file, read_text(file, _MAX_BYTES, "a list of classes"), _Meta, "list of classes with colours")
    return [(entry.title, [str(int(part, 16)) for part in _PAIR.findall(entry.color)]) for entry in content.classes]
