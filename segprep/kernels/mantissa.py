"""Rounding to fewer bits of the mantissa, so that values compress better.

Reference: M. Klöwer, M. Razinger, J. J. Dominguez, P. D. Düben, T. N. Palmer: Compressing atmospheric data into its real
information content, Nature Computational Science 1, 2021: round to nearest, then compress losslessly.
"""

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray
from segprep.kernels.compiled import compiled

FLOAT32_BITS = 23
"""Bits of the mantissa of float32, without the implicit one; float16 has 10."""


def keep_bits(values: FloatArray, bits: int) -> FloatArray:
    """Values rounded to `bits` bits of the mantissa, to nearest and ties to even.

    Parameters
    ----------
    values : float32 array of any shape
        Finite.
    bits : int
        Bits that are kept after the implicit one, from 1 to 23. The relative error is at most ``2**-(bits + 1)``, and
        integers up to ``2**(bits + 1)`` stay as they are, and so do 0 and its sign.

    Returns
    -------
    float32 array of the same shape
        Infinity where a value is so close to the largest that it is rounded up.

    Examples
    --------
    >>> keep_bits(np.array([1.1, 2.5, 3.0, -13.0], np.float32), 2)  # steps of 0.25, 0.5, 0.5 and 2
    array([  1. ,   2.5,   3. , -12. ], dtype=float32)
    """
    kept = np.empty(values.shape, np.float32)
    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
    _round(raw, np.uint32(FLOAT32_BITS - bits), kept.reshape(-1).view(np.uint32))
    return kept


@compiled
def _round(raw: NDArray[np.uint32], dropped: np.uint32, kept: NDArray[np.uint32]) -> None:
    """Fill the bits of `kept` from those of the values, of which the last `dropped` become 0."""
    one = np.uint32(1)
    half = (one << dropped >> one) - np.uint32(dropped > 0)
    for i in range(np.uint64(raw.size)):
        odd = raw[i] >> dropped & np.uint32(dropped > 0)
        kept[i] = raw[i] + half + odd >> dropped << dropped
