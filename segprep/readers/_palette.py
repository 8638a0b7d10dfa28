"""Palettes: which colour stands for which class, in PNG files and in the text files beside them."""

import csv
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.classes import BACKGROUND, ClassTable, class_table
from segprep.masks.mask import Problem
from segprep.paths.anypath import AnyPath
from segprep.readers._image import png_pixels
from segprep.readers._text import decode, read_lines, read_text

Colours = NDArray[np.int32]
"""(H, W) colours as numbers, ``65536 R + 256 G + B``."""

IGNORE = -1
"""Code of colours that mean "unknown"."""
VOID = frozenset({"void", "ignore", "ignored", "unlabeled", "unlabelled"})
"""Names, in lower case, of colours that mean "unknown"."""
_MAX_BYTES = 2**20
"""Bytes of the largest palette file; the largest palettes have some hundred lines."""
_LISTED = 10
"""Unknown colours that are listed one by one; a JPEG saved as PNG has thousands."""


class Colour(NamedTuple):
    """One line of a palette: its number from 0 on, the class, and the colour as ``65536 R + 256 G + B``."""

    id: int
    name: str
    value: int


def rgb_pixels(path: AnyPath, *, max_pixels: int, advice: str) -> NDArray[np.int32]:
    """Colours of a PNG with a palette, RGB or RGBA (alpha does not count), shape (H, W, 3)."""
    with png_pixels(path, max_pixels=max_pixels) as image:
        if image.mode not in {"P", "RGB", "RGBA"}:
            raise InputError(f"{path}: an image in {image.mode}; {advice}")
        return np.asarray(image.convert("RGB"), np.int32)


def png_colours(path: AnyPath, *, max_pixels: int) -> Colours:
    """Colours of a PNG as numbers, of which each is a class."""
    advice = "classes are given by colours, so save it as RGB or with a palette"
    pixels = rgb_pixels(path, max_pixels=max_pixels, advice=advice)
    return np.asarray(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2])


def class_codes(colours: Colours, codes: Iterable[tuple[int, int]]) -> tuple[NDArray[np.int32], dict[int, int]]:
    """Class code at each pixel, shape (H, W) int32, and the pixels of each colour that has no code.

    Such pixels get `IGNORE`.

    Examples
    --------
    >>> class_codes(np.array([[5, 7, 7, 0]]), [(0, 0), (5, 1)])
    (array([[ 1, -1, -1,  0]], dtype=int32), {7: 2})
    """
    code_of = dict(codes)
    values, places, counts = np.unique(colours, return_inverse=True, return_counts=True)
    table = np.array([code_of.get(value, IGNORE) for value in values.tolist()], np.int32)
    unknown = {value: n for value, n in zip(values.tolist(), counts.tolist(), strict=True) if value not in code_of}
    return table[places.reshape(colours.shape)], unknown


def colour_problems(unknown: dict[int, int]) -> tuple[Problem, ...]:
    """Problems of colours that have no class, the most frequent first; the rarest are summed up in one.

    Examples
    --------
    >>> colour_problems({0x010203: 4})
    (Problem(kind='colour is not in the palette', where='1,2,3: 4 pixels', left_out=True),)
    """
    kind = "colour is not in the palette"
    ordered = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))
    problems = [
        Problem(kind, f"{value >> 16},{value >> 8 & 255},{value & 255}: {n} pixels") for value, n in ordered[:_LISTED]
    ]
    if rest := ordered[_LISTED:]:
        problems.append(Problem(kind, f"{len(rest)} more colours: {sum(n for _, n in rest)} pixels"))
    return tuple(problems)


def stuff_classes(
    palette: Iterable[Colour], *, background: int | None = None, is_thing: bool = False
) -> tuple[ClassTable, tuple[tuple[int, int], ...]]:
    """Classes of a palette in its order, and the class code of each of its colours; a class called background has code 0.

    Colours differ from each other; `background` is the id of one more colour that is the background.
    """
    classes: list[tuple[int, str, bool]] = []
    codes: list[tuple[int, int]] = []
    for id_, name, value in palette:
        if name.lower() in VOID:
            code = IGNORE
        elif id_ == background or name.lower() == BACKGROUND:
            code = 0
        else:
            classes.append((id_, name, is_thing))
            code = len(classes)
        codes.append((value, code))
    return class_table(classes), tuple(codes)


def labelmap_palette(path: AnyPath) -> tuple[Colour, ...]:
    """Palette in a ``labelmap.txt`` with lines name:R,G,B:parts:actions, as of Pascal VOC."""
    rows = [line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":") for line in lines_of(path)]  # noqa: PLR2004
    return palette_of(path, [(row[0], row[1].split(",") if len(row) > 1 else []) for row in rows])


def _label_colours(path: AnyPath) -> tuple[Colour, ...]:
    """Palette in a ``label_colors.txt`` with lines R G B name, as of CamVid."""
    rows = [line.split(maxsplit=3) for line in lines_of(path)]
    return palette_of(path, [(row[3] if len(row) > 3 else "", row[:3]) for row in rows])  # noqa: PLR2004


def _class_dict(path: AnyPath) -> tuple[Colour, ...]:
    """Palette in a ``class_dict.csv`` with a heading and lines name,r,g,b."""
    try:
        rows = list(csv.reader(lines_of(path)))
    except csv.Error as error:
        raise InputError(f"{path}: not valid CSV: {error}; fix it or export it again") from error
    start = 1 if rows and [cell.strip().lower() for cell in rows[0][1:4]] == ["r", "g", "b"] else 0
    return palette_of(path, [(row[0], row[1:4]) for row in rows[start:]])


PALETTE_FILES: dict[str, Callable[[AnyPath], tuple[Colour, ...]]] = {
    "label_colors.txt": _label_colours,
    "labelmap.txt": labelmap_palette,
    "class_dict.csv": _class_dict,
}
"""Functions that read palette files which name no background, by the names of these files in lower case."""

META_NAME = "dataset_meta.json"


class _Meta(msgspec.Struct):
    label_map: dict[str, str] = {}
    segmentation_colors: list[tuple[int, int, int]] = []
    background_label: str | int | None = None


def meta_palette(path: AnyPath) -> tuple[tuple[Colour, ...], int | None] | None:
    """Palette and background in a ``dataset_meta.json``; None if it has no colours."""
    meta = decode(path, read_text(path, _MAX_BYTES, "a palette"), _Meta, "palette")
    if not meta.segmentation_colors:
        return None
    ids, names = list(meta.label_map), list(meta.label_map.values())
    if len(names) != len(meta.segmentation_colors):
        raise InputError(
            f"{path}: {len(names)} labels in label_map, but {len(meta.segmentation_colors)} segmentation_colors; "
            "give each label one colour"
        )
    rows = [(name, list(map(str, rgb))) for name, rgb in zip(names, meta.segmentation_colors, strict=True)]
    background = str(meta.background_label)
    return palette_of(path, rows), ids.index(background) if background in ids else None


def palette_of(path: AnyPath, rows: list[tuple[str, list[str]]]) -> tuple[Colour, ...]:
    """Palette of names and three numbers each, checked."""
    colours = [
        Colour(id_, name.strip(), _value(f"{path}: colour {id_ + 1}", name, rgb))
        for id_, (name, rgb) in enumerate(rows)
    ]
    if not colours:
        raise InputError(f"{path}: contains no colour; give each class a line")
    seen: dict[int, str] = {}
    for _, name, value in colours:
        if value in seen:
            shown = f"{value >> 16},{value >> 8 & 255},{value & 255}"
            raise InputError(f"{path}: {seen[value]!a} and {name!a} have the colour {shown}; give each its own")
        seen[value] = name
    return tuple(colours)


def _value(where: str, name: str, rgb: list[str]) -> int:
    """Number of a colour that is given by three texts."""
    texts = [text.strip() for text in rgb]
    is_colour = len(texts) == 3 and all(re.fullmatch(r"[0-9]{1,3}", text) and int(text) < 256 for text in texts)  # noqa: PLR2004
    if not is_colour or not name.strip():
        shown = " ".join([*texts, name]).strip()[:60]
        raise InputError(f"{where}: {shown!a}; it needs a name and three numbers from 0 to 255")
    red, green, blue = map(int, texts)
    return red << 16 | green << 8 | blue


def lines_of(path: AnyPath) -> list[str]:
    """Lines of a text file without empty ones and comments."""
    return [line for line in read_lines(path, _MAX_BYTES, "a palette") if not line.startswith("#")]
