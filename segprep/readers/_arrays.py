"""Arrays in NPY and NPZ files, read one item along the first axis at a time.

The header is checked first, and nothing is unpickled. An item of an NPY file, or of an NPZ that is not compressed, is read
from its place. In a compressed NPZ everything before it must be inflated, so each thread keeps the entry that it read last
open: masks in order cost one pass over the file.
"""

import math
import threading
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.readers._image import check_size, decode_errors

NPY, NPZ = (".npy",), (".npz",)

_HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Functions that read NPY headers, by version; the third is for arrays with named fields, which are not labels."""
_MOST = 2**20
"""Limit of the items of an array, each of which is a mask."""
_ENTRIES = 2**10
"""Limit of the entries of an NPZ."""
_EXACT = 2**53
"""Floating-point numbers up to which all integers differ."""


class Array(NamedTuple):
    """One array of a file, by its header.

    `entry` is its name in an NPZ; `start` is the byte at which its values start, in the file or, if it `is_compressed`, in
    the entry.
    """

    file: AnyPath
    entry: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    is_compressed: bool = False


def npy_header(path: AnyPath) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in an NPY file, by its header."""
    try:
        with path.open("rb") as file:
            return read_header(str(path), file)[::2]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def arrays_in(path: AnyPath) -> dict[str, Array]:
    """Arrays of numbers in an NPY or NPZ file by their names, which of an NPY is that of the file.

    Raises
    ------
    InputError
        If the file is damaged, or shorter than its headers say.
    """
    if path.suffix.lower() in NPZ:
        with decode_errors(path, "NPZ"), path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _entries(path, file, archive)
    with decode_errors(path, "NPY"), path.open("rb") as file:
        shape, by_column, dtype = read_header(str(path), file)
        found = Array(path, None, shape, dtype, file.tell())
        return _checked({path.stem: found}, by_column, path.stat().st_size)


def _entries(path: AnyPath, file: BinaryIO, archive: zipfile.ZipFile) -> dict[str, Array]:
    """Arrays of numbers in an NPZ by their names."""
    found: dict[str, Array] = {}
    if len(archive.infolist()) > _ENTRIES:
        raise InputError(
            f"{path}: {len(archive.infolist())} arrays are more than {_ENTRIES}; save them in several files"
        )
    for info in archive.infolist():
        name = info.filename.removesuffix(NPY[0])
        if name == info.filename:
            continue
        with archive.open(info) as entry:
            shape, by_column, dtype = read_header(f"{path}: {name}", entry)
            start = entry.tell()
        is_compressed = info.compress_type != zipfile.ZIP_STORED
        own = Array(
            path, name, shape, dtype, start if is_compressed else start + _data_start(file, info), is_compressed
        )
        found |= _checked({name: own}, by_column, info.file_size + own.start - start)
    return found


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Byte of an archive at which the content of an entry starts: behind its header, a name and further fields."""
    file.seek(info.header_offset + 26)
    name, extra = file.read(2), file.read(2)
    return info.header_offset + 30 + int.from_bytes(name, "little") + int.from_bytes(extra, "little")


def read_header(where: str, stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order (True if by column) and type of an array, by its header, behind which the stream then is."""
    try:
        shape, by_column, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except OSError:
        raise
    except KeyError as error:
        raise InputError(
            f"{where}: NPY of version {error}, for arrays with named fields; labels are integers"
        ) from None
    except Exception as error:  # the header is Python code, whose parser raises errors of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: cannot be read as NPY: {reason[:200]}; save it again") from error
    return shape, by_column, dtype


def _checked(found: dict[str, Array], by_column: bool, end: int) -> dict[str, Array]:
    """Return the one array; none if its items cannot be read one by one; raise if the file ends before it does."""
    ((name, array),) = found.items()
    if array.dtype.kind not in "buif" or by_column or not array.shape or min(array.shape) < 1:
        return {}
    if end < array.start + array.dtype.itemsize * math.prod(array.shape):
        size = " x ".join(map(str, array.shape))
        raise InputError(f"{array.file}: ends before the last of the {size} numbers of {name!a}; copy or save it again")
    return found


def check_count(array: Array) -> None:
    """Raise an InputError if an array has more items than a data set may have masks in one file."""
    if array.shape[0] > _MOST:
        raise InputError(f"{array.file}: {array.shape[0]} masks are more than {_MOST}; save them in several files")


def item(array: Array, index: int, *, max_pixels: int) -> NDArray[Any]:
    """Values of one item, whose shape begins with a height and a width: integers, none negative.

    Raises
    ------
    InputError
        If the file is damaged, an item is too large, or a value is no label.
    """
    where = f"{array.file}: item {index}"
    check_size(where, (array.shape[1], array.shape[2]), max_pixels)
    count = array.dtype.itemsize * math.prod(array.shape[1:])
    with decode_errors(array.file, "NPY" if array.entry is None else "NPZ"):
        data = _bytes(array, array.start + index * count, count)
        if len(data) < count:
            raise InputError(f"{where}: the file ends before it does; copy or save it again")
    return integers(where, np.frombuffer(data, array.dtype).reshape(array.shape[1:]))


def integers(where: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return values as integers or bool; raise an InputError if one is negative or has a fraction.

    Examples
    --------
    >>> integers("masks.npy", np.array([0.0, 3.0]))
    array([0, 3])
    >>> integers("masks.npy", np.array([0.0, 0.5]))
    Traceback (most recent call last):
    segprep.errors.InputError: masks.npy: the value 0.5; labels are integers from 0 on
    """
    if values.dtype.kind in "bu":
        return values
    is_bad = values < 0
    if values.dtype.kind == "f":
        is_bad = ~((values >= 0) & (values < _EXACT) & (np.floor(values) == values))
    if is_bad.any():
        raise InputError(f"{where}: the value {values[is_bad][0]}; labels are integers from 0 on")
    return values.astype(np.int64) if values.dtype.kind == "f" else values


class _Entry:
    """Entry of a compressed NPZ that is open for reading; `key` is the file as it was, and the name of the entry."""

    def __init__(self, key: tuple[object, ...], file: AnyPath, entry: str) -> None:
        self.key = key
        self._file = file.open("rb")
        self._archive = zipfile.ZipFile(self._file)
        self.stream = self._archive.open(f"{entry}{NPY[0]}")

    def close(self) -> None:
        """Close the file."""
        self._archive.close()
        self._file.close()

    __del__ = close


_last = threading.local()
"""`entry` is the one that the thread has read last."""


def _bytes(array: Array, start: int, count: int) -> bytes:
    """Part of an array's file, or of its entry."""
    if not array.is_compressed or array.entry is None:
        with array.file.open("rb") as file:
            file.seek(start)
            return file.read(count)
    status = array.file.stat()
    key = (str(array.file), status.st_size, status.st_mtime_ns, array.entry)
    entry: _Entry | None = getattr(_last, "entry", None)
    _last.entry = None  # so that an entry in which an error occurs is not read again
    if entry is None or entry.key != key:
        entry = _Entry(key, array.file, array.entry)
    entry.stream.seek(start)
    data = entry.stream.read(count)
    _last.entry = entry
    return data


_PAIRS = {f"{masks}{end}": [f"{images}{end}" for images in ("images", "image", "x", "imgs")]
          for masks in ("masks", "mask", "labels", "y") for end in ("", "_train", "_val", "_valid", "_test")}  # fmt: skip
"""Names of arrays of masks, each with the names that the array of its images may have."""
STACK_NAMES = frozenset({*_PAIRS, *(name for names in _PAIRS.values() for name in names)})
"""Names of both, in lower case."""


def beside_images(arrays: Mapping[str, Array]) -> list[Array]:
    """Arrays of masks among others: (N, H, W, ...), with an array of N images of the same height and width beside it.

    Examples
    --------
    >>> from pathlib import Path
    >>> names = {"X": (2, 8, 9, 3), "y": (2, 8, 9), "weights": (2, 8, 9)}
    >>> found = {name: Array(Path("a.npz"), name, shape, np.dtype("u1"), 0) for name, shape in names.items()}
    >>> [array.entry for array in beside_images(found)]
    ['y']
    """
    by_name = {name.lower(): array for name, array in arrays.items()}
    return [
        array
        for name, array in by_name.items()
        if len(array.shape) > 2  # noqa: PLR2004 - number, height and width
        and any(by_name[images].shape[:3] == array.shape[:3] for images in _PAIRS.get(name, []) if images in by_name)
    ]
