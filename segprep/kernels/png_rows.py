"""Rows of bytes of a PNG: undoing their filters, and splitting bytes that hold several pixels.

Reference: W3C, Portable Network Graphics (PNG) Specification, sections 9 (filters) and 7.2 (pixels in bytes).
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.kernels.compiled import compiled

Bytes = NDArray[np.uint8]


@compiled
def undo_filters(lines: Bytes, step: int) -> None:
    """Replace the bytes of each row by those before filtering; bytes outside the image count as 0.

    Parameters
    ----------
    lines : (H, 1 + N) uint8 array
        Number of the filter of each row, at most 4, and the bytes of the row. The numbers stay.
    step : int
        Bytes from a pixel to the next; 1 if a byte holds several.

    Examples
    --------
    >>> lines = np.array([[1, 5, 0, 255], [2, 0, 1, 0]], np.uint8)
    >>> undo_filters(lines, 1)
    >>> lines
    array([[1, 5, 5, 4],
           [2, 5, 6, 4]], dtype=uint8)
    """
    above = np.zeros_like(lines[0])
    for y in range(len(lines)):
        line, kind = lines[y], lines[y, 0]
        if kind == 2:  # noqa: PLR2004
            for x in range(1, len(line)):
                line[x] += above[x]
        elif kind > 0:
            for first in range(1, 1 + step):
                _undo_filter(line[first::step], above[first::step], kind)
        above = line


@compiled
def _undo_filter(line: Bytes, above: Bytes, kind: int) -> None:
    """Undo the filter 1, 3 or 4 in one channel of a row; the names are those of the PNG specification."""
    a = c = np.int32(0)
    for x in range(len(line)):
        b = np.int32(above[x])
        if kind == 3:  # noqa: PLR2004
            a = (a + b) >> 1
        elif kind == 4 and b != c:  # noqa: PLR2004 - equal in most pixels of a mask, where the result is `a`
            to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            b_or_c = b if to_b <= to_c else c
            a = a if (to_a <= to_b) & (to_a <= to_c) else b_or_c
        a = (a + np.int32(line[x])) & 255
        line[x], c = a, b


def split_bytes(rows: Bytes, depth: int) -> Bytes:
    """Values of 1, 2 or 4 bits, in the order of the highest bits first, shape (H, 8 N / depth), from bytes of shape (H, N).

    Examples
    --------
    >>> split_bytes(np.array([[0b11_00_01_10]], np.uint8), 2)
    array([[3, 0, 1, 2]], dtype=uint8)
    """
    table = _parts_of_bytes(depth)
    found = np.empty(rows.shape, table.dtype)
    _look_up(rows, table, found)
    return found.view(np.uint8)


@cache
def _parts_of_bytes(depth: int) -> NDArray[Any]:
    """For each byte, the values of `depth` bits in it, as one number with a byte for each of them."""
    shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
    parts = np.arange(256, dtype=np.uint8)[:, np.newaxis] >> shifts & np.uint8(2**depth - 1)
    return parts.view(f"u{8 // depth}").ravel()


@compiled
def _look_up(rows: Bytes, table: NDArray[Any], found: NDArray[Any]) -> None:
    """Write the entry of a table for each byte; NumPy would first make each an index of 8 bytes."""
    for y in range(len(rows)):
        for x in range(rows.shape[1]):
            found[y, x] = table[rows[y, x]]
