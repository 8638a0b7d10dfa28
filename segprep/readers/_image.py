"""Safe decoding of PNG, TIFF and JPEG: the size is checked before a pixel is decoded, and every error names its file.

Pillow reads the PNG files that `_png` leaves, because it alone keeps the indices of a palette. It ignores wrong checksums of
pixels, missing pixels and further frames; these are checked here. Its `verify` would replace little of this: it does not count
pixels, so the chunks must be inflated all the same, and it refuses a file for a damaged comment. tifffile reads TIFF because
Pillow silently reads the first page of a stack and wraps 32-bit labels.
"""

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from segprep.errors import InputError
from segprep.kernels.regions import bounding_box
from segprep.masks.crops import InstanceCrop
from segprep.paths.anypath import AnyPath
from segprep.readers._png import CHANNELS, GREY, GREY_ALPHA, RGBA, common_png
from segprep.readers._tiff import check_segments

PNG = (".png",)
TIFF = (".tif", ".tiff")
JPEG = (".jpeg", ".jpg")

_ONE_CHANNEL = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
"""Pillow's modes of pixels that are one number."""
_SCALES: dict[Any, int] = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow scales grey values of 2 and 4 bits, by its name for them."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps across and down, of each pass of an interlaced PNG."""
_INFLATED = 2**20
"""Bytes that are decompressed and counted at once."""

MOST_PAGES = 1000
"""Pages of a TIFF that are counted to name its size."""

_AT_LEAST_HALF = [0] * 128 + [255] * 128
"""Table that maps grey values of at least 128 to 255, and others to 0."""
_WHITE = [0] * 255 + [1]
"""Table that keeps 255 alone."""

# Without a handler, its remarks on damaged files would go to stderr, beside our one line.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class NotLabelImageError(InputError):
    """An image whose values cannot be labels."""

    def __init__(self, path: AnyPath, seen: str) -> None:
        super().__init__(
            f"{path}: not a label image but {seen}; give PNG, TIFF or NPY files of one channel, in which each value is "
            "an instance, or for colours that are classes the folder with their palette"
        )


class Foreground(NamedTuple):
    """Pixels of the one instance in an image, and the image's size.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    crop : InstanceCrop or None
        The foreground within its bounding box; None if there is none.
    """

    shape: tuple[int, int]
    crop: InstanceCrop | None


def check_size(where: str, shape: tuple[int, int], max_pixels: int) -> None:
    """Raise an InputError if an image of this height and width is empty or larger than allowed.

    Examples
    --------
    >>> check_size("a.png", (3, 4), 12)
    >>> check_size("a.png", (3, 4), 11)
    Traceback (most recent call last):
    segprep.errors.InputError: a.png: 3 x 4 pixels are more than max_pixels=11; raise the limit
    """
    height, width = shape
    if min(shape) < 1:
        raise InputError(f"{where}: {height} x {width} pixels; height and width must be at least 1")
    if height * width > max_pixels:
        raise InputError(f"{where}: {height} x {width} pixels are more than max_pixels={max_pixels}; raise the limit")


def png_foreground(path: AnyPath, *, max_pixels: int) -> Foreground:
    """Pixels of a PNG that are not 0 in some channel; the alpha channel does not count, and of a palette the index does."""
    if png := common_png(path, max_pixels=max_pixels):
        return image_foreground(png.pixels[..., :-1] if png.has_alpha else png.pixels)
    with png_pixels(path, max_pixels=max_pixels) as image:
        # Pillow turns RGBA to RGB and LA to L without a look at the alpha channel.
        colour = image.convert(image.mode.removesuffix("A")) if image.mode in {"LA", "RGBA"} else image
        return image_foreground(colour)


def jpeg_foreground(path: AnyPath, *, max_pixels: int) -> Foreground:
    """Pixels of at least 128 in a grey JPEG, whose compression leaves faint greys around an instance."""
    with decode_errors(path, "JPEG"), path.open("rb") as file, JpegImageFile(file) as image:
        if image.mode != "L":
            raise InputError(f"{path}: an image in {image.mode}; a JPEG of an instance must be grey")
        check_size(str(path), (image.height, image.width), max_pixels)
        return image_foreground(image.point(_AT_LEAST_HALF))


def png_visible(path: AnyPath, *, max_pixels: int) -> Foreground:
    """Pixels of a grey PNG that are 255; if none is, those that are not 0. Values below 255 are hidden parts of an object."""
    if (png := common_png(path, max_pixels=max_pixels)) and (png.colour, png.depth) == (GREY, 8):
        is_white = png.pixels == len(_WHITE) - 1
        return image_foreground(is_white if is_white.any() else png.pixels)
    with png_pixels(path, max_pixels=max_pixels) as image:
        grey = image.convert("L") if image.mode != "L" else image
        return image_foreground(grey.point(_WHITE) if grey.getextrema()[1] == len(_WHITE) - 1 else grey)


def image_foreground(image: Image | NDArray[Any]) -> Foreground:
    """Foreground of an image without alpha channel."""
    pixels = np.asarray(image)
    if pixels.ndim > 2:  # noqa: PLR2004 - channel by channel, because NumPy is slow along a short axis
        pixels = reduce(np.bitwise_or, np.moveaxis(pixels, 2, 0))
    y, x, below, right = bounding_box(pixels)
    crop = InstanceCrop(y, x, pixels[y:below, x:right].astype(np.bool_))
    return Foreground((pixels.shape[0], pixels.shape[1]), crop if below else None)


def label_values(path: AnyPath, *, max_pixels: int, allow_grey: bool = False) -> NDArray[Any]:
    """Values of a label image, shape (H, W), of any integer type or bool, none negative.

    `allow_grey` also reads images of several channels, if these have the same values.

    Raises
    ------
    InputError
        If the file is damaged, too large, not an integer image of one channel, or a stack.
    """
    read = _tiff_values if path.suffix.lower() in TIFF else _png_values
    values = read(path, max_pixels, allow_grey)
    if values.dtype.kind not in "bui":
        raise InputError(f"{path}: pixels are of type {values.dtype}; labels are integers")
    return require_not_negative(path, values)


def require_not_negative(path: AnyPath, values: NDArray[Any]) -> NDArray[Any]:
    """Values of a label image, or of a part of one; InputError if one is negative."""
    if values.dtype.kind == "i" and values.min() < 0:
        raise InputError(f"{path}: the value {values.min()}; labels are not negative, and 0 is the background")
    return values


def has_channels(path: AnyPath) -> bool:
    """True if an image has several channels by its header, so that it is not a label image.

    False if the header cannot be read: loading the file raises the error.
    """
    try:
        if path.suffix.lower() in TIFF:
            with opened_tiff(path) as tiff:
                return _channels(tiff) > 1
        with _png(path) as (_, image):
            return image.mode not in _ONE_CHANNEL
    except InputError:
        return False


def _png_values(path: AnyPath, max_pixels: int, allow_grey: bool) -> NDArray[Any]:
    """Values of a PNG of one channel, shape (H, W)."""
    if png := common_png(path, max_pixels=max_pixels):
        if png.pixels.ndim == 2:  # noqa: PLR2004 - one channel
            return np.ascontiguousarray(png.pixels)
        if allow_grey and png.depth == 8:  # noqa: PLR2004 - of 16 bits only the upper ones are there
            return _equal(path, png.pixels[..., :-1] if png.colour in {GREY_ALPHA, RGBA} else png.pixels)
    with png_pixels(path, max_pixels=max_pixels) as image:
        if not allow_grey and image.mode not in _ONE_CHANNEL:
            raise InputError(f"{path}: an image in {image.mode}; a label image has one channel")
        return image_values(path, image)


def image_values(path: AnyPath, image: ImageFile) -> NDArray[Any]:
    """Values of an image of one channel, or of several with the same values, shape (H, W)."""
    raw = image.tile[0].args if image.tile else None
    image.load()  # the first frame of a GIF may change the mode
    if image.mode in _ONE_CHANNEL:
        scale = _SCALES.get(raw, 1)
        return np.asarray(image) // scale if scale > 1 else np.asarray(image)
    if str(raw).endswith("16B"):  # of which Pillow keeps the upper byte
        raise NotLabelImageError(path, "an image of several channels of 16 bits")
    return _equal(path, np.asarray(image.convert(image.mode.removesuffix("A"))))


def _equal(path: AnyPath, pixels: NDArray[Any]) -> NDArray[Any]:
    """First of several channels, shape (H, W), if all have the same values."""
    if pixels.ndim == 3 and (pixels != pixels[..., :1]).any():  # noqa: PLR2004 - rows, columns, channels
        raise NotLabelImageError(path, "an image of several channels")
    return pixels if pixels.ndim == 2 else pixels[..., 0]  # noqa: PLR2004


def _tiff_values(path: AnyPath, max_pixels: int, allow_grey: bool) -> NDArray[Any]:
    """Values of a TIFF of one page and channel, shape (H, W)."""
    with opened_tiff(path) as tiff:
        page = tiff.pages[0]
        is_long = _has_page(tiff, MOST_PAGES)  # even counting the pages takes seconds
        if is_long or len(tiff.pages) > 1 or tiff.series[0].size != page.size or page.imagedepth > 1:
            size = f"more than {MOST_PAGES} pages" if is_long else " x ".join(map(str, tiff.series[0].shape))
            raise InputError(
                f"{path}: a stack of {size}; volumes are not supported yet, so write one 2-D file per slice"
            )
        if _channels(tiff) > 1 and allow_grey:
            raise NotLabelImageError(path, "an image of several channels")
        if _channels(tiff) > 1:
            raise InputError(f"{path}: {_channels(tiff)} channels; a label image has one channel")
        check_size(str(path), (page.imagelength, page.imagewidth), max_pixels)
        if page.is_tiled:
            check_size(f"{path}: a tile", (page.tilelength, page.tilewidth), max_pixels)
        check_segments(path, page)
        values: NDArray[Any] = page.asarray(maxworkers=1)
        return values


def _has_page(tiff: Any, index: int) -> bool:
    """True if a TIFF has a page of this index, without a look at those after it."""
    try:
        tiff.pages[index]
    except IndexError:
        return False
    return True


def _channels(tiff: Any) -> int:
    """Channels of a TIFF's first page."""
    return int(tiff.pages[0].samplesperpixel)


@contextmanager
def _png(path: AnyPath) -> Iterator[tuple[BinaryIO, PngImageFile]]:
    """File of a PNG, and the image, whose header is read; errors while it is open are translated."""
    # Not Image.open, which warns of, or refuses, large sizes by its own limit.
    with decode_errors(path, "PNG"), path.open("rb") as file, PngImageFile(file) as image:
        yield file, image


@contextmanager
def png_pixels(path: AnyPath, *, max_pixels: int) -> Iterator[PngImageFile]:
    """PNG of a checked size; on leaving the context, after the pixels have been decoded, it is checked for damage.

    Raises
    ------
    InputError
        If the file is too large, an animation, or damaged.
    """
    with _png(path) as (file, image):
        check_size(str(path), (image.height, image.width), max_pixels)
        if image.is_animated:
            raise InputError(f"{path}: an animation of {image.n_frames} frames; write one file per frame")
        yield image
        _check_complete(path, file)


def _check_complete(path: AnyPath, file: BinaryIO) -> None:
    """Raise an InputError if a necessary chunk of a PNG is damaged or missing, which Pillow does not report."""
    found, expected = 0, 0
    kind = b""
    inflater = zlib.decompressobj()
    file.seek(8)
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - length and kind
            raise InputError(f"{path}: cannot be read as PNG: its end is missing; save it again")
        length, kind = struct.unpack(">I4s", head)
        content = file.read(length)
        is_needed = kind[:1].isupper()
        if is_needed and zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big") != file.read(4):
            raise InputError(f"{path}: cannot be read as PNG: wrong checksum of {kind!a}; save it again")
        if not is_needed:
            file.seek(4, 1)
        if kind == b"IHDR":
            expected = _bytes_of_pixels(content)
        elif kind == b"IDAT":
            found += _inflated(inflater, content, expected - found)
    if found != expected:
        number = f"{found} of" if found < expected else "more than"
        raise InputError(f"{path}: cannot be read as PNG: {number} {expected} bytes of pixels; save it again")


def _inflated(inflater: Any, content: bytes, most: int) -> int:
    """Number of bytes that the next part of a compressed stream inflates to; if it exceeds `most`, the rest may be missing."""
    found = 0
    while content and not inflater.eof and found <= most:
        found += len(inflater.decompress(content, _INFLATED))
        content = inflater.unconsumed_tail
    return found


def _bytes_of_pixels(header: bytes) -> int:
    """Bytes of the uncompressed pixels of a PNG, each row with the number of its filter.

    Examples
    --------
    >>> _bytes_of_pixels(struct.pack(">IIBBBBB", 9, 2, 1, 0, 0, 0, 0))
    6
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * depth * CHANNELS[colour] // 8))
    return total


@contextmanager
def opened_tiff(path: AnyPath) -> Iterator[Any]:
    """TIFF whose header is read; errors while it is open are translated."""
    import tifffile  # noqa: PLC0415 - takes 0.1 s, and most data sets hold no TIFF

    # Descriptions of multi-file images would have it open other files by the names in them.
    alone = {"is_ome": False, "is_mmstack": False, "is_micromanager": False}
    with decode_errors(path, "TIFF"), path.open("rb") as file, tifffile.TiffFile(file, **alone) as tiff:
        yield tiff


@contextmanager
def decode_errors(path: AnyPath, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read as {kind}: {error.strerror or error}") from error
    except Exception as error:  # on damaged files, decoders raise errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as {kind}: {reason}") from error
