"""Windows of a TIFF, of which only the strips or tiles that they meet are decoded."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.masks.tiles import Window
from segprep.paths.anypath import AnyPath
from segprep.readers._image import decode_errors
from segprep.readers._tiff import check_lzw_segment

MOST_CACHED = 2**27
"""Bytes of decoded strips or tiles that are kept for the next windows."""


def segment_shape(page: Any) -> tuple[int, int]:
    """Height and width of the strips or tiles of a page."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


class Segments:
    """Strips or tiles of a page of a TIFF, with all channels of a pixel together; the last ones are kept."""

    def __init__(self, path: AnyPath, page: Any) -> None:
        self._path, self._page, self._segment = path, page, segment_shape(page)
        self._across = -(-page.imagewidth // self._segment[1])
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def values(self, window: Window) -> NDArray[Any]:
        """Values of a window, shape (H, W), or (H, W, C) of several channels."""
        height, width = self._segment
        channels = int(self._page.samplesperpixel)
        shape = (window.height, window.width, *((channels,) if channels > 1 else ()))
        found = np.zeros(shape, self._page.dtype)
        with decode_errors(self._path, "TIFF"):
            for row, column in self._met(window):
                values = self._decoded(row * self._across + column)
                if values is not None:
                    _paste(found, window, values, row * height, column * width)
        return found

    def cached(self, windows: Sequence[Window]) -> int:
        """Bytes of strips or tiles that are kept once these windows were read."""
        count = len({place for window in windows for place in self._met(window)})
        height, width = self._segment
        size = height * width * int(self._page.samplesperpixel) * int(self._page.dtype.itemsize)
        return min(count * size, max(MOST_CACHED, size))

    def _met(self, window: Window) -> Iterator[tuple[int, int]]:
        """Row and column of each strip or tile that a window meets."""
        height, width = self._segment
        for row in range(window.y // height, (window.y + window.height - 1) // height + 1):
            for column in range(window.x // width, (window.x + window.width - 1) // width + 1):
                yield row, column

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
        decoded, _, shape = self._page.decode(data, index, jpegtables=self._page.jpegtables)
        values: NDArray[Any] = np.asarray(decoded)[0, : shape[1], : shape[2]]
        if values.shape[-1] == 1:
            values = values[..., 0]
        self._kept[index] = values
        self._bytes += values.nbytes
        while self._bytes > MOST_CACHED and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return values


def _paste(found: NDArray[Any], window: Window, values: NDArray[Any], top: int, left: int) -> None:
    """Copy the part of a strip or tile, whose first pixel is at (top, left), that lies in the window."""
    height, width = values.shape[:2]
    y, x = max(top, window.y), max(left, window.x)
    below, right = min(top + height, window.y + window.height), min(left + width, window.x + window.width)
    if y < below and x < right:
        part = values[y - top : below - top, x - left : right - left]
        found[y - window.y : below - window.y, x - window.x : right - window.x] = part
