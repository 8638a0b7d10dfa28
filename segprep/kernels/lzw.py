"""Codes of a segment that is compressed with LZW, checked before a decoder follows them.

Reference: Adobe, TIFF Revision 6.0 (1992), section 13.
"""

import numpy as np
from numpy.typing import NDArray

from segprep.kernels.compiled import compiled

_CLEAR, _END = 256, 257
_LEAST_BITS, _MOST_BITS = 9, 12


@compiled
def follows_lzw(data: NDArray[np.uint8]) -> bool:
    """True if each code of a segment is in the table when it is read, so that a decoder never leaves the table.

    The segment may end without its end code, as a truncated one does.

    Parameters
    ----------
    data : (N,) uint8 array
        The compressed segment, the highest bit of each byte first, as all TIFF files since 1988 have it.

    Examples
    --------
    >>> follows_lzw(np.frombuffer(bytes.fromhex("80 00 20 50 10"), np.uint8))  # clear, 0, 258, 257
    True
    >>> follows_lzw(np.frombuffer(bytes.fromhex("80 7f 80 80"), np.uint8))  # clear, 510, which does not exist yet
    False
    """
    buffer, held = np.uint64(0), 0
    bits = _LEAST_BITS
    known = -1  # codes in the table; -1 before the first clear code
    for byte in data:
        buffer, held = ((buffer << np.uint64(8)) | np.uint64(byte)) & np.uint64(0xFFFFFF), held + 8
        if held < bits:
            continue
        held -= bits
        code = np.int64(buffer >> np.uint64(held)) & ((1 << bits) - 1)
        if code == _END:
            return True
        if code == _CLEAR:
            known, bits = _END, _LEAST_BITS  # the code after it adds nothing to the table
        elif known == _END and code < _CLEAR:
            known += 1
        elif known <= _END or code > known:
            return False
        else:
            known += 1
            bits = _bits(known)
    return True


@compiled
def _bits(known: int) -> int:
    """Bits of the next code, which grow one code before they must."""
    bits = _LEAST_BITS
    while bits < _MOST_BITS and known >= (1 << bits) - 1:
        bits += 1
    return bits
