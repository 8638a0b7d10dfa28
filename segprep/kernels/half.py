"""Rounding to half precision, for which NumPy takes nine times as long, and widening, for which it takes about twice as long.

Widening is not compiled, though that would take a third of the time: reading a store should not import Numba.

Reference: IEEE 754-2019, binary16 and the rounding to nearest, ties to even.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray
from segprep.kernels.compiled import compiled

_BLOCK = 1024
_PART = 2**14
"""Numbers that are widened at once, whose indices stay in the cache."""
_LARGEST = np.float32(65504)


def to_half(values: FloatArray) -> NDArray[np.float16]:
    """Values rounded to float16, to nearest and ties to even, as `astype` does it.

    Parameters
    ----------
    values : float32 array of any shape
        Of at most 65,504, the largest float16; what is above becomes that number.

    Examples
    --------
    >>> to_half(np.array([0.1, -2.5, 1e-8], np.float32))
    array([ 0.1, -2.5,  0. ], dtype=float16)
    """
    halves = np.empty(values.shape, np.float16)
    flat = np.ascontiguousarray(values).reshape(-1)
    _round(flat, flat.view(np.uint32), halves.reshape(-1).view(np.uint16))
    return halves


def from_half(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """Values as float32, exactly, as `astype` widens them.

    Parameters
    ----------
    halves : float16 array of any shape
        NaN and infinity are kept.

    Examples
    --------
    >>> from_half(np.array([0.1, -2.5, np.nan], np.float16))
    array([ 0.09997559, -2.5       ,         nan], dtype=float32)
    """
    values = np.empty(halves.shape, np.float32)
    flat, numbers = values.reshape(-1), np.ascontiguousarray(halves).reshape(-1).view(np.uint16)
    for start in range(0, flat.size, _PART):
        np.take(_all_halves(), numbers[start : start + _PART], out=flat[start : start + _PART], mode="clip")
    return values


@cache
def _all_halves() -> NDArray[np.float32]:
    """Every half as float32, by its bits."""
    return np.arange(2**16).astype(np.uint16).view(np.float16).astype(np.float32)


@compiled
def _round(values: FloatArray, raw: NDArray[np.uint32], halves: NDArray[np.uint16]) -> None:
    """Fill the bits of `halves`, a block at a time; `raw` are those of `values`."""
    magnitude, small = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    bits, small_bits = magnitude.view(np.uint32), small.view(np.uint32)
    for start in range(0, values.size, _BLOCK):
        size = min(_BLOCK, values.size - start)
        block, signs, out = values[start : start + size], raw[start : start + size], halves[start : start + size]
        for i in range(np.uint64(size)):
            magnitude[i] = min(np.abs(block[i]), _LARGEST)
            small[i] = magnitude[i] + np.float32(0.5)  # the last place of a number of this size is that of small halves
        for i in range(np.uint64(size)):
            number = bits[i]
            ties = (number >> np.uint32(13)) & np.uint32(1)
            normal = (number - np.uint32(0x38000000) + np.uint32(0xFFF) + ties) >> np.uint32(13)
            rounded = small_bits[i] - np.uint32(0x3F000000) if number < np.uint32(0x38800000) else normal
            out[i] = np.uint16(rounded | (signs[i] >> np.uint32(16)) & np.uint32(0x8000))
