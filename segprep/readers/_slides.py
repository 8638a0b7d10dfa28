"""Label images that are read window by window, so that the complete image is never in memory."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.masks.tiles import Cut, Window
from segprep.paths.anypath import AnyPath
from segprep.readers._arrays import npy_header
from segprep.readers._image import decode_errors, opened_tiff
from segprep.readers._tiff import check_compression, check_lzw_segment

MOST_CACHED = 2**27
"""Bytes of decoded strips or tiles of a TIFF that are kept for the next windows."""


@dataclass(frozen=True, eq=False)
class LabelSlide:
    """Label image whose windows are read by `values`, of shape (H, W) and none negative, and understood by `meaning`."""

    shape: tuple[int, int]
    values: Callable[[Window], NDArray[Any]]
    meaning: Callable[[NDArray[Any]], Cut]
    stack: ExitStack = field(default_factory=ExitStack)

    def read(self, window: Window) -> Cut:
        """Part of the image, and the value of each of its instances."""
        return self.meaning(self.values(window))

    def close(self) -> None:
        """Close the file."""
        self.stack.close()


def tiff_slide(path: AnyPath, max_pixels: int, meaning: Callable[[NDArray[Any]], Cut]) -> LabelSlide | None:
    """TIFF of one channel with more than `max_pixels` pixels, in tiles or strips that have less; None for any other.

    Further pages may only be smaller copies of the first.
    """
    with ExitStack() as stack:
        tiff = stack.enter_context(opened_tiff(path))
        page = tiff.pages[0]
        shape = page.imagelength, page.imagewidth
        segment = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        is_large = shape[0] * shape[1] > max_pixels >= min(segment[0], shape[0]) * min(segment[1], shape[1])
        if not is_large or page.samplesperpixel != 1 or page.imagedepth != 1 or page.dtype.kind not in "bui":
            return None
        if any(not other.is_reduced for other in tiff.pages[1:]):
            return None
        check_compression(path, page)
        segments = _Segments(path, page, segment)
        return LabelSlide(shape, segments.values, meaning, stack.pop_all())
    return None


class _Segments:
    """Strips or tiles of a page of a TIFF; the last ones are kept."""

    def __init__(self, path: AnyPath, page: Any, segment: tuple[int, int]) -> None:
        self._path, self._page, self._segment = path, page, segment
        self._across = -(-page.imagewidth // segment[1])
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def values(self, window: Window) -> NDArray[Any]:
        """Values of a window."""
        height, width = self._segment
        found = np.zeros((window.height, window.width), self._page.dtype)
        with decode_errors(self._path, "TIFF"):
            for row in range(window.y // height, (window.y + window.height - 1) // height + 1):
                for column in range(window.x // width, (window.x + window.width - 1) // width + 1):
                    values = self._decoded(row * self._across + column)
                    if values is not None:
                        _paste(found, window, values, row * height, column * width)
        if found.dtype.kind == "i" and found.min() < 0:
            raise InputError(f"{self._path}: the value {found.min()}; labels are not negative, and 0 is the background")
        return found

    def _decoded(self, index: int) -> NDArray[Any] | None:
        """Values of a strip or tile; None if it is not stored, and 0."""
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        offset, size = self._page.dataoffsets[index], self._page.databytecounts[index]
        if not (offset and size):
            return None
        file = self._page.parent.filehandle
        file.seek(offset)
        data = file.read(size)
        check_lzw_segment(self._path, self._page, data)
        decoded, _, shape = self._page.decode(data, index)
        values: NDArray[Any] = np.asarray(decoded).reshape(-1, *decoded.shape[-3:-1])[0][: shape[1], : shape[2]]
        self._kept[index] = values
        self._bytes += values.nbytes
        while self._bytes > MOST_CACHED and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return values


def _paste(found: NDArray[Any], window: Window, values: NDArray[Any], top: int, left: int) -> None:
    """Copy the part of a strip or tile, whose first pixel is at (top, left), that lies in the window."""
    height, width = values.shape
    y, x = max(top, window.y), max(left, window.x)
    below, right = min(top + height, window.y + window.height), min(left + width, window.x + window.width)
    if y < below and x < right:
        part = values[y - top : below - top, x - left : right - left]
        found[y - window.y : below - window.y, x - window.x : right - window.x] = part


def npy_slide(path: AnyPath, max_pixels: int, meaning: Callable[[NDArray[Any]], Cut]) -> LabelSlide | None:
    """Array of integers with more than `max_pixels` items in a local NPY file, mapped to memory; None for any other."""
    shape, dtype = npy_header(path)
    if len(shape) != 2 or dtype.kind not in "bui" or shape[0] * shape[1] <= max_pixels or not isinstance(path, Path):  # noqa: PLR2004
        return None
    with decode_errors(path, "NPY"):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)

    def values(window: Window) -> NDArray[Any]:
        found = np.array(mapped[window.part])
        if found.dtype.kind == "i" and found.min() < 0:
            raise InputError(f"{path}: the value {found.min()}; labels are not negative, and 0 is the background")
        return found

    return LabelSlide((shape[0], shape[1]), values, meaning)
