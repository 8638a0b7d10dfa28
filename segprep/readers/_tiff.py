"""Segments of a TIFF, the strips or tiles of its pixels, before tifffile hands them to a decoder."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.kernels.lzw import follows_lzw
from segprep.paths.anypath import AnyPath

_LZW = 5
_LOSSLESS = {1: "none", _LZW: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate", 34925: "LZMA", 50000: "ZSTD"}
"""Compressions of label images, by their number in the file."""
_LEAST_SIGNIFICANT_BIT_FIRST = 2


def check_segments(path: AnyPath, page: Any) -> None:
    """Raise an InputError if decoding a page may change labels, or may fail in a way that Python cannot catch.

    Compressions for photographs change labels, and some of their decoders end the process on damaged data. So does the
    decoder of LZW, which follows codes that are not in its table (imagecodecs 2026.3.6, `lzw_decode`).

    Parameters
    ----------
    page : tifffile.TiffPage
        The page, whose file is open.
    """
    check_compression(path, page)
    check_lzw(path, page)


def check_compression(path: AnyPath, page: Any) -> None:
    """Raise an InputError if a page has a compression that may change labels."""
    if page.compression not in _LOSSLESS:
        name = getattr(page.compression, "name", page.compression)
        raise InputError(
            f"{path}: compressed as {name}; label images are read without compression, or with "
            f"{', '.join(dict.fromkeys(list(_LOSSLESS.values())[1:]))}; save it as one of these"
        )


def check_lzw(path: AnyPath, page: Any) -> None:
    """Raise an InputError for a page compressed as LZW whose codes the decoder would follow out of its table."""
    if page.compression != _LZW:
        return
    for segment in _segments(page):
        check_lzw_segment(path, page, segment)


def check_lzw_segment(path: AnyPath, page: Any, segment: Any) -> None:
    """Raise an InputError for a segment of a page as `check_lzw` does."""
    if page.compression != _LZW:
        return
    if page.fillorder == _LEAST_SIGNIFICANT_BIT_FIRST or not follows_lzw(np.frombuffer(segment, np.uint8)):
        raise InputError(f"{path}: cannot be read as TIFF: its LZW codes are damaged or of an old kind; save it again")


def _segments(page: Any) -> Iterator[NDArray[np.uint8]]:
    """Compressed bytes of each segment that is not empty."""
    file = page.parent.filehandle
    for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset and size:
            file.seek(offset)
            yield np.frombuffer(file.read(size), np.uint8)
