"""Kaggle's run lengths: a CSV file with the runs of one instance, or of one class, on each row.

The runs are pairs of a start and a length; pixels are numbered from 1, down the columns and from left to right.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.crops import InstanceCrop
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import BadRegionError, Runs, runs_crop
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import start_of
from segprep.readers._beside import Images, Source, files_at, image_name, shape_beside
from segprep.readers._mask_names import NO_CLASS
from segprep.readers._reader import MaskSet, Reader, ReadOptions, drawn, mask_from_instances
from segprep.readers._text import BOM, read_text

_RUNS = ("encodedpixels", "rle_mask")
_IMAGE = ("imageid", "image_id", "id", "img")
_IMAGE_AND_CLASS = ("imageid_classid", "image_label")
"""Columns of an image and, after the last underscore, a class."""
_CLASS = ("classid", "class_id", "class", "categoryid", "category", "label")
_SIDES = ("height", "width")
_EXAMPLES = "sample_submission"
"""Start of the names of files that show how results are to be written."""
_NONE = frozenset({"", "-1", "nan"})
"""Values in place of runs if an image has no instance."""
_NUMBERS = re.compile(r"[0-9]{1,10}+(?:\s++[0-9]{1,10}+)*+")
_CELL = re.compile(r'(?:^|,)(?:"((?:[^"]++|"")*+)"|([^,]*))')
"""One cell; not by the csv module, whose limit of 128 KiB for a cell is a setting of the process."""
_START = 2**12
_MAX_BYTES = 2**30


class _Cells(NamedTuple):
    """Cells of one row that count."""

    line: int
    image: str
    name: str
    runs: str
    sides: tuple[str, str] | None


@dataclass(frozen=True)
class KaggleCsvRef:
    """Rows of one image, whose name in the file is the key; `file` is the CSV file, for messages.

    `sides` are heights and widths in the rows, without repetitions; without them, the image has the size. `rows` have the
    line in the file, the class code, and the runs of each instance, as they stand in the file.
    """

    key: str
    split: str | None
    file: str
    image: AnyPath | None
    sides: tuple[tuple[str, str], ...]
    rows: tuple[tuple[int, int, str], ...]
    options: ReadOptions

    def load(self) -> InstanceMask:
        """Decode the runs; invalid rows are left out and recorded as problems."""
        where = f"{self.file}: image {self.key}"
        shape = _listed_shape(where, self.sides) if self.sides else shape_beside(where, self.image)
        instances = ((code, drawn(f"line {line}", pairs_crop, runs, shape)) for line, code, runs in self.rows)
        return mask_from_instances(where, shape, instances, self.options, listed=len(self.rows))


def find(path: AnyPath, options: ReadOptions) -> MaskSet | None:
    """Find a Kaggle .csv with ImageId and EncodedPixels (or id and rle_mask), and the images.

    The file is given itself or lies in the folder, or one in each of its train/, val/ and test/. Each row is an
    instance; an empty cell or -1 means that the image has none. A class is in a column ``ClassId`` (or ``class``,
    ``label``, ``category``), or after the last underscore of ``ImageId_ClassId`` or ``Image_Label``. The size is in
    the columns ``height`` and ``width``, else that of the image of this name, with or without suffix, in the folder
    or below. An image without a row has no mask.
    """
    root = path if path.is_dir() else path.parent
    found = files_at(path, ".csv", _is_ours, "Kaggle CSV")
    if not found:
        return None
    tables = [_table(source.file) for source in found]
    unsorted = {cells.name for rows, _ in tables for cells in rows}
    names = sorted(unsorted, key=lambda name: (_id(name) is None, _id(name) or 0, name))  # numbers come first
    codes = {name: code for code, name in enumerate(names, start=1)}
    images = Images(root)
    refs: list[KaggleCsvRef] = []
    problems: list[tuple[str, Problem]] = []
    for source, (rows, of_rows) in zip(found, tables, strict=True):
        refs += _refs(source, rows, codes, images, options)
        problems += [(source.file.name, problem) for problem in of_rows]
    return MaskSet("kaggle-csv", class_table((_id(name), name) for name in names), tuple(refs), tuple(problems))


def pairs_crop(text: str, shape: tuple[int, int]) -> InstanceCrop:
    """Pixels of ascending pairs of a start and a length, in an image of this height and width.

    Examples
    --------
    >>> y, x, pixels = pairs_crop("2 1 5 2", (3, 3))
    >>> y, x, pixels.astype(int)
    (1, 0, array([[1, 1],
           [0, 1]]))
    """
    if _NUMBERS.fullmatch(text) is None:
        raise BadRegionError("runs are not numbers", repr(text[:40]))
    numbers = np.array(text.split(), np.int64)
    if len(numbers) % 2:
        raise BadRegionError("runs of an odd number of numbers", len(numbers))
    return runs_crop(_runs(numbers[::2] - 1, numbers[1::2], shape[0] * shape[1]), shape)


def _runs(starts: Runs, lengths: Runs, pixels: int) -> Runs:
    """Alternating runs from the starts and lengths of those of the instance."""
    stops = starts + lengths
    if starts[0] < 0 or stops[-1] > pixels:
        raise BadRegionError("runs lie outside the image", f"{starts[0] + 1} to {stops[-1]} of {pixels} pixels")
    wrong = np.flatnonzero(starts[1:] < stops[:-1])
    if wrong.size:  # also runs that count from the end of the run before
        raise BadRegionError("runs are not in ascending order", f"{starts[wrong[0] + 1] + 1} after {stops[wrong[0]]}")
    runs = np.empty(2 * len(starts) + 1, np.int64)
    runs[0:-1:2] = starts - np.concatenate([[0], stops[:-1]])
    runs[1::2] = lengths
    runs[-1] = pixels - stops[-1]
    return runs


def _listed_shape(where: str, sides: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Height and width from the columns of an image's rows."""
    if len(sides) > 1:
        shown = " and ".join(f"{height[:20]!r} x {width[:20]!r}" for height, width in sides[:2])
        raise InputError(f"{where}: its rows have the sizes {shown}; give each image one size")
    height, width = sides[0]
    if not all(re.fullmatch(r"[0-9]{1,9}(\.0*)?", side) for side in sides[0]):
        raise InputError(f"{where}: height={height[:20]!r} and width={width[:20]!r}; write them as numbers of pixels")
    return int(float(height)), int(float(width))


def _refs(
    source: Source, rows: Sequence[_Cells], codes: dict[str, int], images: Images, options: ReadOptions
) -> list[KaggleCsvRef]:
    """Refs of one file's images, in the order of their first rows."""
    of_image = defaultdict(list)
    for cells in rows:
        of_image[cells.image].append(cells)
    refs = []
    for name, own in of_image.items():
        sides = tuple(dict.fromkeys(cells.sides for cells in own if cells.sides is not None))
        filled = tuple((cells.line, codes[cells.name], cells.runs) for cells in own if cells.runs.lower() not in _NONE)
        image = None if sides else images.of(name, source.file.parent)
        refs.append(KaggleCsvRef(*source.named(name), str(source.file), image, sides, filled, options))
    return refs


def _is_ours(file: AnyPath) -> bool:
    """True if the first line of a file names the columns of images and runs."""
    if file.stem.lower().startswith(_EXAMPLES):
        return False
    line = start_of(file, _START).removeprefix(BOM).partition(b"\n")[0]
    columns = _columns(line.decode("utf-8", "replace"))
    return any(name in columns for name in _RUNS) and any(name in columns for name in (*_IMAGE, *_IMAGE_AND_CLASS))


def _columns(line: str) -> dict[str, int]:
    """Positions of the columns by their names in lower case."""
    return {name.lower(): index for index, name in enumerate(_split(line))}


def _split(line: str) -> list[str]:
    """Cells of one line, without the spaces around them.

    Examples
    --------
    >>> _split('a.jpg, "1 2",')
    ['a.jpg', '"1 2"', '']
    >>> _split('"a,b.jpg",1 2')
    ['a,b.jpg', '1 2']
    """
    return [(quoted.replace('""', '"') or plain).strip() for quoted, plain in _CELL.findall(line.strip())]


def _table(file: AnyPath) -> tuple[list[_Cells], list[Problem]]:
    """Rows of a file, and the problems of those that are not of its columns or name no image."""
    head, *lines = read_text(file, _MAX_BYTES, "runs of instances").split("\n")
    columns, width = _columns(head), len(_split(head))
    image = next(columns[name] for name in (*_IMAGE, *_IMAGE_AND_CLASS) if name in columns)
    joined = not any(name in columns for name in _IMAGE)
    name = next((columns[name] for name in _CLASS if name in columns), None)
    runs = next(columns[name] for name in _RUNS if name in columns)
    sides = [columns[side] for side in _SIDES if side in columns]
    rows, problems = [], []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = _split(line)
        if len(cells) != width:
            problems.append(Problem("row of a wrong number of cells", f"line {number}: {len(cells)} of {width}"))
            continue
        own, _, class_ = (
            cells[image].rpartition("_") if joined else (cells[image], "", "" if name is None else cells[name])
        )
        if not (own := image_name(own)):
            problems.append(Problem("row without the name of an image", f"line {number}: {cells[image][:40]!r}"))
            continue
        size = (cells[sides[0]], cells[sides[1]]) if len(sides) == len(_SIDES) else None
        rows.append(_Cells(number, own, class_ or NO_CLASS, cells[runs], size))
    return rows, problems


def _id(name: str) -> int | None:
    """Number of a class, if its name is one."""
    return int(name) if re.fullmatch(r"[0-9]{1,9}", name) else None


READER = Reader("kaggle-csv", find)
