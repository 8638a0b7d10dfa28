"""Brush regions of Label Studio: runs of the values of an image, packed bit by bit.

The packing is that of thi.ng/rle-pack. The values are the red, green, blue and alpha of each pixel, row by row.
"""

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray
from segprep.kernels.compiled import compiled
from segprep.masks.rle import BadRegionError

_CHANNELS = 4


def brush_bitmap(packed: bytes, shape: tuple[int, int]) -> BoolArray:
    """Pixels of a brush region in an image of this height and width: those whose alpha is not 0.

    The bits are: 32 for the number of values, 5 for the bits of a value less 1, and 4 times 4 for the bits of a length less
    1. Then each run has one bit (1 if a value repeats, 0 if each has its value), 2 for which of the four sizes its length
    has, its length less 1, and its value or values.

    Raises
    ------
    BadRegionError
        If they end early, are not of this size, or a value has more than 8 bits.

    Examples
    --------
    >>> head = f"{2 * 4:032b}" + f"{8 - 1:05b}" + f"{3 - 1:04b}" * 4
    >>> bits = head + "1" + "00" + f"{4 - 1:03b}" + f"{0:08b}" + "1" + "00" + f"{4 - 1:03b}" + f"{255:08b}"
    >>> brush_bitmap(int(bits.ljust(88, "0"), 2).to_bytes(11, "big"), (1, 2)).astype(int)
    array([[0, 1]])
    """
    count, expected = int.from_bytes(packed[:4], "big"), shape[0] * shape[1] * _CHANNELS
    if count != expected:
        raise BadRegionError("brush runs do not fit the image", f"{count} values instead of {expected}")
    pixels = np.zeros(shape, np.bool_)
    found = _unpack(np.frombuffer(packed, np.uint8), pixels.reshape(-1))
    if found != count:
        raise BadRegionError("brush runs end early or have values of more than 8 bits", f"{found} of {count} values")
    return pixels


@compiled
def _unpack(data: NDArray[np.uint8], pixels: BoolArray) -> int:
    """Fill in the pixels whose fourth value is not 0; number of the values that were found before an error."""
    count, found = len(pixels) * 4, 0
    at, value_bits = _read(data, 32, 5)
    sizes = np.zeros(4, np.int64)
    for index in range(4):
        at, sizes[index] = _read(data, at, 4)
    if not 0 <= value_bits < 8 or sizes[3] < 0:  # noqa: PLR2004 - bits of a byte
        return found
    while found < count:
        at, is_run = _read(data, at, 1)
        at, size = _read(data, at, 2)
        at, length = _read(data, at, int(sizes[size]) + 1 if size >= 0 else 1)
        if length < 0:
            return found
        stop, value = min(found + length + 1, count), 0
        for index in range(found, stop):
            if index == found or not is_run:
                at, value = _read(data, at, value_bits + 1)
            if value < 0:
                return index
            if value > 0 and index % 4 == 3:  # noqa: PLR2004 - alpha
                pixels[index // 4] = True
        found = stop
    return found


@compiled
def _read(data: NDArray[np.uint8], at: int, bits: int) -> tuple[int, int]:
    """Position after some bits, and their number; -1 if the data end before."""
    number = 0
    if at + bits > len(data) * 8:
        return at + bits, -1
    for position in range(at, at + bits):
        number = number << 1 | (int(data[position >> 3]) >> (7 - (position & 7))) & 1
    return at + bits, number
