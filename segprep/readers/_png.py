"""Fast decoding of the common kinds of PNG: grey, palette, RGB and RGBA of any depth, not interlaced, of one frame.

Pillow inflates with zlib and does not notice missing pixels, so a second pass had to count them. Here one call of zlib-ng
inflates all pixels into memory of exactly their size, which proves that none is missing, and undoing the filters is compiled:
the common masks take a fifth of the time. Whatever is rare or damaged is left to Pillow, which decodes or refuses it.
"""

import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.kernels.png_rows import split_bytes, undo_filters
from segprep.paths.anypath import AnyPath

Bytes = NDArray[np.uint8]

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Types of colour in the header."""
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
"""Channels by the type of colour."""
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
"""Bits that a channel may have."""
_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_HEADER = struct.Struct(">IIBB3s")
_HEADER_END = len(_START) + _HEADER.size
_CHUNK = struct.Struct(">I4s")
_CHECKSUM = struct.Struct(">I")
_FRAMES = frozenset({b"acTL", b"fcTL", b"fdAT"})
"""Chunks of an animation, which only seem to be unnecessary."""
_LAST_FILTER = 4
"""Filters: 1 adds the pixel to the left, 2 that above, 3 the mean of both, and 4 that of the neighbours which fits best."""
_SPARE = 2**16
"""Bytes that a file may have besides twice those of its pixels; a larger one is not read into memory."""


class Png(NamedTuple):
    """Decoded PNG.

    Attributes
    ----------
    pixels : (H, W) or (H, W, C) array
        Values as they are stored, or indices of the palette; bool for 1 bit of grey, otherwise uint8 or uint16. Of 16 bits
        in several channels the upper 8, as Pillow has it.
    colour : int
        Type of colour: `GREY`, `RGB`, `PALETTE`, `GREY_ALPHA` or `RGBA`.
    depth : int
        Bits of each channel in the file.
    """

    pixels: NDArray[Any]
    colour: int
    depth: int

    @property
    def has_alpha(self) -> bool:
        """True if the last channel is alpha."""
        return self.colour in {GREY_ALPHA, RGBA}


def common_png(path: AnyPath, *, max_pixels: int) -> Png | None:
    """Pixels of a PNG; None if it is of a rare kind, too large or damaged in any way."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_END)
            width, height, depth, colour, methods = _HEADER.unpack_from(head, len(_START))
            bits = depth * CHANNELS[colour]
            is_common = head.startswith(_START) and depth in _DEPTHS[colour] and methods == bytes(3)
            if not is_common or not 0 < width * height <= max_pixels:
                return None
            shape = height, 1 + (width * bits + 7) // 8
            chunks = file.read(2 * shape[0] * shape[1] + _SPARE)
        is_sound = zlib.crc32(head[12:]) == _CHECKSUM.unpack_from(chunks)[0]
        rows = _rows(_compressed(chunks), shape, max(1, bits // 8)) if is_sound else None
    except (KeyError, MemoryError, OSError, RuntimeError, struct.error):  # RuntimeError: imagecodecs
        return None
    return None if rows is None else Png(_values(rows, width, depth, colour), colour, depth)


def _compressed(chunks: bytes) -> bytes:
    """Compressed pixels in the chunks after the header; empty if one is damaged, or not known to leave the pixels alone."""
    view = memoryview(chunks)
    parts: list[memoryview] = []
    start, kind = _CHECKSUM.size, b""
    while kind != b"IEND":
        before = kind
        length, kind = _CHUNK.unpack_from(chunks, start)
        end = start + _CHUNK.size + length
        if zlib.crc32(view[start + 4 : end]) != _CHECKSUM.unpack_from(chunks, end)[0]:
            return b""
        if kind == b"IDAT" and (not parts or before == b"IDAT"):
            parts.append(view[start + _CHUNK.size : end])
        elif kind in _FRAMES or (kind[:1].isupper() and kind not in {b"PLTE", b"IEND"}):
            return b""
        start = end + _CHECKSUM.size
    return b"".join(parts)


def _rows(compressed: bytes, shape: tuple[int, int], step: int) -> Bytes | None:
    """Bytes of each row without its filter; None if they are too few, too many or of an unknown filter.

    The first byte of each row in `shape` is the number of its filter; `step` is the bytes from a pixel to the next.
    """
    from imagecodecs import zlibng_decode  # noqa: PLC0415 - slow to import

    lines = np.empty(shape, np.uint8)
    if len(zlibng_decode(compressed, out=lines.reshape(-1).data)) != lines.size:
        return None
    if last := lines[:, 0].max():
        if last > _LAST_FILTER:
            return None
        undo_filters(lines, step)
    return lines[:, 1:]


def _values(rows: Bytes, width: int, depth: int, colour: int) -> NDArray[Any]:
    """Pixels of rows of bytes, shape (H, W) or (H, W, C)."""
    channels = CHANNELS[colour]
    if depth < 8:  # noqa: PLR2004
        pixels = split_bytes(rows, depth)[:, :width]
        return pixels.view(np.bool_) if depth == 1 and colour == GREY else pixels
    if channels == 1:
        return rows.view(">u2").astype(np.uint16) if depth > 8 else rows  # noqa: PLR2004
    return rows[:, :: depth // 8].reshape(len(rows), width, channels)
