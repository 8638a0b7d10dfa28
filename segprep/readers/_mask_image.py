"""Values of a mask in any format of images: exact, grey in several channels, or after a compression that changes values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import fromarray
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import start_of
from segprep.readers._image import (
    JPEG,
    PNG,
    TIFF,
    Foreground,
    NotLabelImageError,
    check_size,
    decode_errors,
    has_channels,
    image_foreground,
    image_values,
    jpeg_foreground,
    label_values,
    png_foreground,
)

EXACT = (".bmp", ".gif")
"""Suffixes of images whose values are kept, besides PNG and TIFF."""
LOSSY = (*JPEG, ".webp")
"""Suffixes of images whose compression changes values; that of WebP may also keep them."""
LOOKED_AT = 2**26
"""Pixels of an image that is decoded to see what it is, at most."""

_OPENERS: dict[str, type[ImageFile]] = {
    ".bmp": BmpImageFile,
    ".gif": GifImageFile,
    ".webp": WebPImageFile,
    **dict.fromkeys(JPEG, JpegImageFile),
}
_NEAR = 32
"""Difference from 0 or 255 within which a grey is black or white; JPEG of quality 40 changes nearly all pixels by less."""
_TINT = 16
"""Largest difference between the channels of a grey image after a compression that changes colours."""
_MOST_GREY = 0.25
"""Share of pixels that may be grey, on the edges of many small objects."""
_MOST_FAR = 0.01
"""Share of pixels that may be grey although they lie more than three pixels from an edge."""


def is_lossy(path: AnyPath) -> bool:
    """True if the compression of an image changes its values."""
    suffix = path.suffix.lower()
    return suffix in JPEG or (suffix in LOSSY and b"VP8L" not in start_of(path, 64))


def mask_values(path: AnyPath, *, max_pixels: int) -> NDArray[Any]:
    """Values of a mask, shape (H, W), of any integer type or bool, none negative; those of a lossy image are 0 and 255.

    Of a palette the indices count, but in BMP and GIF the greys, if it has only such: their writers order palettes freely.
    Of several channels with equal values the first counts; alpha does not count.

    Raises
    ------
    NotLabelImageError
        If the image is coloured, or a lossy one that is not black and white.
    InputError
        If it is damaged, too large, or an animation.
    """
    if path.suffix.lower() in (*PNG, *TIFF):
        return label_values(path, max_pixels=max_pixels, allow_grey=True)
    with _opened(path, max_pixels) as image:
        if is_lossy(path):
            return _black_and_white(path, image)
        return _of_palette(image) if image.mode == "P" else image_values(path, image)


def file_foreground(path: AnyPath, *, max_pixels: int) -> Foreground:
    """Pixels of an instance: those that are not 0, or of a lossy image those of at least 128."""
    suffix = path.suffix.lower()
    if suffix in PNG:
        return png_foreground(path, max_pixels=max_pixels)
    if suffix in JPEG:
        return jpeg_foreground(path, max_pixels=max_pixels)
    return image_foreground(fromarray(mask_values(path, max_pixels=max_pixels) != 0))


def unlike_mask(path: AnyPath) -> NotLabelImageError | None:
    """Error of an image that cannot be a mask; None if it can, or if loading it raises another error."""
    if path.suffix.lower() in (*PNG, *TIFF) and not has_channels(path):
        return None
    try:
        mask_values(path, max_pixels=LOOKED_AT)
    except NotLabelImageError as error:
        return error
    except InputError:
        pass
    return None


@contextmanager
def _opened(path: AnyPath, max_pixels: int) -> Iterator[ImageFile]:
    """Image of a checked size; errors while it is open are translated."""
    suffix = path.suffix.lower()
    kind = "JPEG" if suffix in JPEG else suffix[1:].upper()
    with decode_errors(path, kind), path.open("rb") as file, _OPENERS[suffix](file) as image:
        check_size(str(path), (image.height, image.width), max_pixels)
        if getattr(image, "is_animated", False):
            raise InputError(f"{path}: an animation of {image.n_frames} frames; write one file per frame")  # type: ignore[attr-defined]
        if image.mode == "1" and suffix == ".bmp" and start_of(path, 29)[28] > 1:
            raise InputError(f"{path}: several bits per pixel, but a palette of two colours; save it as PNG")
        yield image


def _of_palette(image: ImageFile) -> NDArray[np.uint8]:
    """Greys of an image if all its colours are different greys, else the indices of its palette."""
    indices = np.asarray(image)
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used[-1] < len(colours):
        greys = colours[used]
        if (greys == greys[:, :1]).all() and len(np.unique(greys)) == len(used):
            shown: NDArray[np.uint8] = colours[indices, 0]
            return shown
    return indices


def _black_and_white(path: AnyPath, image: ImageFile) -> NDArray[np.uint8]:
    """0 and 255 from an image of black and white areas with greys along their edges, thresholded at 128."""
    import cv2  # noqa: PLC0415 - slow to import

    if image.mode != "L":
        pixels = np.asarray(image.convert("RGB"))
        if (pixels.max(axis=2) - pixels.min(axis=2)).max() > _TINT:
            raise NotLabelImageError(path, "an image in colour")
    grey = np.asarray(image.convert("L"))
    white = (grey >= 128).astype(np.uint8)  # noqa: PLR2004 - half of white
    window = np.ones((7, 7), np.uint8)
    is_edge = cv2.erode(white, window) != cv2.dilate(white, window)
    is_grey = (grey >= _NEAR) & (grey < 256 - _NEAR)
    far = np.count_nonzero(is_grey & ~is_edge)
    if np.count_nonzero(is_grey) > _MOST_GREY * grey.size or far > min(_MOST_FAR * grey.size, white.sum()):
        seen = (
            f"a {path.suffix[1:].upper()} image, whose compression changes values, of more greys than black and white"
        )
        raise NotLabelImageError(path, seen)
    return white * np.uint8(255)
