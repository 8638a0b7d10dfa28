"""ADE20K in full: objects of an image as numbers in its <image>_seg.png, or as one PNG each, and a table of their names.

In the layout of 2017 the blue channel numbers the objects and <image>_atr.txt names them. In that of 2020 each object of
<image>.json has its own PNG. Parts of objects are left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.splits import FOLDERS
from segprep.paths.anypath import AnyPath, name_in
from segprep.paths.listing import below, listing
from segprep.readers._image import PNG, png_visible
from segprep.readers._palette import png_colours
from segprep.readers._reader import (
    Instance,
    MaskSet,
    Reader,
    ReadOptions,
    check_instances,
    mask_from_instances,
    read_all_or_raise,
    with_split,
)
from segprep.readers._text import decode, read_bytes, read_text

_ROOTS = ("images", "ade", *FOLDERS)
"""Folders that lead to images, such as images/ADE/training/."""
_MAX_BYTES = 2**26
_TABLE = "a table of the objects of one image"
_ENDING = "_seg.png"
_SAFE = re.compile(r"(?!\.)[^/\\:\x00-\x1f]+/(?!\.)[^/\\:\x00-\x1f]+")
"""A file in a folder: neither absolute, nor with a drive, nor upwards."""


class _Parts(msgspec.Struct):
    part_level: int = 0


class _Json(msgspec.Struct):
    id: int
    name: str
    name_ndx: int
    instance_mask: str
    parts: _Parts


class _Annotation(msgspec.Struct):
    object: list[_Json]


class _Document(msgspec.Struct):
    annotation: _Annotation


class _Object(NamedTuple):
    """One object of an image: its number, its class's number and name, and its file in the layout of 2020."""

    number: int
    class_id: int | None
    name: str
    file: str = ""


@dataclass(frozen=True)
class Ade20kRef:
    """One image; its `file` is the ``_seg.png``.

    `objects` are number, class code, and file relative to the folder, which is empty in the layout of 2017.
    """

    key: str
    split: str | None
    file: AnyPath
    objects: tuple[tuple[int, int, str], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Read the objects; invalid ones are left out and recorded as problems."""
        if not self.objects:
            _objects(_table_of(self.file))  # raises the error of a damaged table
        colours = png_colours(self.file, max_pixels=self.options.max_pixels)
        if not any(file for *_, file in self.objects):
            return self._of_blue(colours)
        height, width = colours.shape
        return mask_from_instances(str(self.file), (height, width), self._of_files((height, width)), self.options)

    def _of_blue(self, colours: NDArray[np.int32]) -> InstanceMask:
        """Mask of the layout of 2017."""
        code_of = {number: code for number, code, _ in self.objects}
        blue = colours & 255
        values = np.unique(blue[blue > 0]).tolist()
        numbers = object_numbers(values, sorted(code_of))
        known = [value for value in values if numbers[value] in code_of]
        check_instances(str(self.file), len(known), self.options.max_instances)
        table = np.zeros(256, np.int32)
        table[known] = np.arange(1, len(known) + 1)
        classed = colours >> 16 >= 10  # noqa: PLR2004 - R // 10 * 256 + G is the class, and 0 is none
        ignore = (table[blue] == 0) & ((blue > 0) | classed | (colours >> 8 & 255 > 0))
        problems = [Problem("object is not in the table", f"blue {value}") for value in values if value not in known]
        return InstanceMask(
            table[blue][np.newaxis],
            np.array([0, *(code_of[numbers[value]] for value in known)], np.int32),
            ignore if ignore.any() else None,
            tuple(problems),
        )

    def _of_files(self, shape: tuple[int, int]) -> Iterator[Instance]:
        """Class code and pixels of each object in the layout of 2020, or its problem."""
        folder = self.file.with_name(self.file.name[: -len(_ENDING)])
        files = {f"{folder.name}/{file.name}": file for file in listing(folder).with_suffix(*PNG)}
        for number, code, name in self.objects:
            if name not in files:
                yield Problem("object has no file", f"object {number}: {name}")
                continue
            size, crop = png_visible(files[name], max_pixels=self.options.max_pixels)
            if size != shape:
                yield Problem("size differs from the image's", f"{name}: {size} instead of {shape}")
            else:
                yield (code, crop) if crop is not None else Problem("no foreground", name)


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find *_seg.png, each with its *_atr.txt or .json, as in ADE20K of 2017 or 2020.

    Images may lie in folders of scenes, those in ``training/`` and ``validation/``, and those in ``images/`` and ``ADE/``.
    2017: the blue channel of ``_seg.png`` numbers the objects, and ``_atr.txt`` names them. 2020: ``.json`` names the
    objects and the PNG of each. Every object is an instance; parts of objects are left out. Classes are named by the
    table and sorted by name.
    """
    if not path.is_dir():
        return None
    files = _seg_files(path)
    if not any(table and _is_ours(table) for table in map(_table_file, files)):
        return None
    objects = list(zip(files, read_all_or_raise([_table_of(file) for file in files], _objects), strict=True))
    names = sorted({(thing.name, thing.class_id) for _, found in objects for thing in found or ()}, key=str)
    codes = {name: code for code, name in enumerate(names, start=1)}
    refs = []
    for file, found in objects:
        own = tuple((thing.number, codes[thing.name, thing.class_id], thing.file) for thing in found or ())
        refs.append(Ade20kRef(*with_split(name_in(path, file)[: -len(_ENDING)]), file, own, options))
    classes = class_table((class_id, name) for name, class_id in names)
    return MaskSet("ade20k", classes, tuple(sorted(refs, key=lambda ref: ref.key)))


def object_numbers(values: list[int], numbers: list[int]) -> dict[int, int]:
    """Object of each blue value: the value itself, or its rank if the values are spread out.

    Examples
    --------
    >>> object_numbers([1, 3], [1, 2, 3])
    {1: 1, 3: 3}
    >>> object_numbers([80, 160], [1, 2])
    {80: 1, 160: 2}
    """
    is_spread = not set(values) <= set(numbers) and len(values) == len(numbers)
    return dict(zip(values, numbers if is_spread else values, strict=True))


def _seg_files(folder: AnyPath) -> list[AnyPath]:
    """Files of objects in a folder of a data set: in the folders that lead to them, else in those of scenes."""
    inside = listing(folder)
    roots = inside.named(*_ROOTS)
    # A split's scenes may be sorted by their first letter, as training/a/abbey/.
    parts = [inside] if roots else below(folder, 2 if folder.name.lower() in FOLDERS else 1)
    files = [file for part in parts for file in part.files if file.name.endswith(_ENDING)]
    return files + [file for root in roots for file in _seg_files(root)]


def _table_file(file: AnyPath) -> AnyPath | None:
    """Table beside a file of objects; None if there is none."""
    stem = file.name[: -len(_ENDING)]
    tables = [file.with_name(f"{stem}.json"), file.with_name(f"{stem}_atr.txt")]
    return next((table for table in tables if table.is_file() and not table.is_symlink()), None)


def _is_ours(table: AnyPath) -> bool:
    """True if a table is one of ADE20K: any text of that name, and JSON that lists files of objects."""
    if table.suffix == ".txt":
        return True
    content = read_bytes(table, _MAX_BYTES, _TABLE)
    return b'"annotation"' in content and b'"instance_mask"' in content


def _table_of(file: AnyPath) -> AnyPath:
    """Table beside a file of objects."""
    table = _table_file(file)
    if table is None:
        stem = file.name[: -len(_ENDING)]
        raise InputError(
            f"{file}: neither {stem}_atr.txt nor {stem}.json is beside it; add the one that names its objects"
        )
    return table


def _objects(table: AnyPath) -> list[_Object]:
    """Objects of an image, without parts."""
    return _of_json(table) if table.suffix == ".json" else _of_text(table)


def _of_text(table: AnyPath) -> list[_Object]:
    """Objects in lines number # part level # occluded # name # raw name # attributes."""
    found: dict[int, _Object] = {}
    # Any bytes are a text in Latin-1.
    text = read_text(table, _MAX_BYTES, _TABLE, fallback="latin-1")
    for row, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("#")]
        if len(cells) < 4 or not all(re.fullmatch(r"[0-9]{1,6}", cell) for cell in cells[:2]) or not cells[3]:  # noqa: PLR2004
            raise InputError(f"{table}: line {row}: {line[:60]!a}; it needs number # part level # occluded # name")
        number, level = int(cells[0]), int(cells[1])
        if level == 0 and found.setdefault(number, _Object(number, None, cells[3])).name != cells[3]:
            raise InputError(f"{table}: line {row}: object {number} has two names; numbers must be unique")
    return list(found.values())


def _of_json(table: AnyPath) -> list[_Object]:
    """Objects of a JSON file of 2020."""
    text = read_text(table, _MAX_BYTES, _TABLE, fallback="latin-1")
    objects = decode(table, text, _Document, "ADE20K file").annotation.object
    unsafe = next((thing.instance_mask for thing in objects if not _SAFE.fullmatch(thing.instance_mask)), None)
    if unsafe is not None:
        raise InputError(
            f"{table}: instance_mask {unsafe!a}; it must be a file in a folder beside, such as 1/instance_000.png"
        )
    return [
        _Object(thing.id, thing.name_ndx, thing.name, thing.instance_mask)
        for thing in objects
        if thing.parts.part_level == 0
    ]


READER = Reader("ade20k", find, opens_others=True)
