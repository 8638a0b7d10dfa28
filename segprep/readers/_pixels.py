"""Pixels of the images that masks belong to."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from segprep.errors import InputError
from segprep.masks.downsampling import Downsampling
from segprep.masks.tiles import Window
from segprep.paths.anypath import AnyPath
from segprep.readers._area import area_means
from segprep.readers._beside import opener_of, shapes_of
from segprep.readers._image import check_size, decode_errors, opened_tiff
from segprep.readers._reader import MAX_PIXELS
from segprep.readers._segments import Segments
from segprep.readers._tiff import check_lzw

_PLAIN = frozenset({"L", "RGB", "I;16", "I", "F"})
"""Pillow's modes whose pixels are returned as they are."""
_GREY = frozenset({"1", "LA", "La"})
"""Pillow's modes that are converted to grey values of 8 bits; all others become RGB."""
_COLOURS = {1: 1, 2: 1, 4: 3}
"""Channels of grey values or colours, by the channels with alpha."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
"""Photometric interpretations of TIFF."""


def image_pixels(path: AnyPath, shape: tuple[int, int], key: str, downsample: int = 1) -> NDArray[Any]:
    """Pixels of the image that a mask belongs to.

    Parameters
    ----------
    path : path
        PNG, JPEG, TIFF, BMP, GIF or WebP file.
    shape : (int, int)
        Height and width of the mask in pixels; a file of another size is not decoded.
    key : str
        Name of the mask, for messages.
    downsample : int
        Side in pixels of the blocks of the image of which each is a pixel of the mask, and is averaged.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Of the type in the file: uint8, uint16, or any other of TIFF. Grey stays grey; palettes and other colours become RGB,
        black and white become 0 and 255, and alpha is dropped. A JPEG is turned as viewers show it, unless only its stored
        pixels have the size of the mask. A TIFF of other channels has the shape (H, W, C).

    Raises
    ------
    InputError
        If the file is missing or damaged, has several frames, or another size than the mask.
    """
    with decode_errors(path, "an image"), path.open("rb") as file:
        opener = opener_of(path, file.read(4))
        file.seek(0)
        if opener is TiffImageFile:
            return _shrunk(_tiff_pixels(path, _Wanted(shape, key, downsample)), downsample)
        with opener(file) as image:  # not Image.open, which warns of, or refuses, large sizes by its own limit
            return _shrunk(_pillow_pixels(path, image, _Wanted(shape, key, downsample)), downsample)


class _Wanted(NamedTuple):
    """Mask that an image belongs to: its height and width, its key, and the side in pixels of the blocks of the image."""

    shape: tuple[int, int]
    key: str
    downsample: int

    def fits(self, shape: tuple[int, int]) -> bool:
        """True for the height and width of an image of this mask."""
        return Downsampling(self.downsample if self.downsample > 1 else None).shape(shape) == self.shape

    def check(self, path: AnyPath, shapes: list[tuple[int, int]]) -> None:
        """Raise an InputError if an image has another height and width than its mask."""
        if not any(map(self.fits, shapes)):
            (height, width), (own_height, own_width) = self.shape, shapes[0]
            by = f", each of {self.downsample} x {self.downsample} pixels," if self.downsample > 1 else ""
            raise InputError(
                f"{path}: {own_height} x {own_width} pixels, but the mask {self.key!r} has {height} x {width}{by}; give the "
                "image of this mask, or resize it"
            )


def _shrunk(pixels: NDArray[Any], downsample: int) -> NDArray[Any]:
    """Pixels at the resolution of the mask."""
    return area_means(pixels, downsample) if downsample > 1 else pixels


def _pillow_pixels(path: AnyPath, image: ImageFile, wanted: _Wanted) -> NDArray[Any]:
    """Pixels of an image that Pillow has opened."""
    frames: int = getattr(image, "n_frames", 1)
    if frames > 1:
        raise InputError(f"{path}: has {frames} frames; give an image of one")
    shapes = shapes_of(image)
    wanted.check(path, shapes)
    if image.tile and str(image.tile[0].args).endswith(";16B") and image.mode in {"RGB", "RGBA", "LA"}:
        return _deep_png(path)  # of which Pillow keeps the upper bytes
    turned = ImageOps.exif_transpose(image) if wanted.fits(shapes[0]) and image.format == "JPEG" else image
    if turned.mode not in _PLAIN:
        turned = turned.convert("L" if turned.mode in _GREY else "RGB")
    return np.array(turned)


def _deep_png(path: AnyPath) -> NDArray[Any]:
    """Pixels of a PNG of several channels of 16 bits, without alpha."""
    from imagecodecs import png_decode  # noqa: PLC0415 - slow to import

    return _without_alpha(np.asarray(png_decode(path.read_bytes())))


def _tiff_pixels(path: AnyPath, wanted: _Wanted) -> NDArray[Any]:
    """Pixels of the one page of a TIFF; further pages of other sizes, such as a thumbnail, do not count."""
    with opened_tiff(path) as tiff:
        page = tiff.pages[0]
        wanted.check(path, [(page.imagelength, page.imagewidth)])
        if len(tiff.pages) > 1 and tiff.pages[1].shape == page.shape:
            raise InputError(f"{path}: has {len(tiff.pages)} pages; give an image of one")
        check_lzw(path, page)
        if page.is_tiled:
            check_size(f"{path}: a tile", (page.tilelength, page.tilewidth), MAX_PIXELS)
        photometric = int(page.photometric)
        if photometric == _CMYK or page.imagedepth > 1:
            raise InputError(f"{path}: neither grey, RGB nor a palette; convert it to RGB")
        pixels: NDArray[Any] = page.asrgb() if photometric == _PALETTE else page.asarray(maxworkers=1)
        channels = int(page.samplesperpixel)
        if pixels.ndim == 3 and pixels.shape[-1] != channels and pixels.shape[0] == channels:  # noqa: PLR2004
            pixels = np.moveaxis(pixels, 0, -1)  # channel by channel in the file
        if photometric == _WHITE_IS_ZERO and pixels.dtype.kind in "bu":
            pixels = ~pixels
        if pixels.dtype == np.bool_:
            pixels = pixels * np.uint8(255)
        has_alpha = page.extrasamples and channels in _COLOURS
        return np.ascontiguousarray(_without_alpha(pixels) if has_alpha else pixels)


def image_window(
    path: AnyPath, shape: tuple[int, int], window: Window, key: str, downsample: int = 1
) -> NDArray[Any] | None:
    """Part of what `image_pixels` returns, if the file is a TIFF in tiles, of which only those needed are decoded; else None.

    The tiles are grey, or colours with all channels of a pixel together. Errors are those of `image_pixels`.
    """
    with decode_errors(path, "an image"), path.open("rb") as file:
        if opener_of(path, file.read(4)) is not TiffImageFile:
            return None
    with opened_tiff(path) as tiff:
        page = tiff.pages[0]
        is_plain = int(page.photometric) in (_BLACK_IS_ZERO, _RGB, _YCBCR) and page.dtype.kind != "b"
        is_together = page.samplesperpixel == 1 or page.planarconfig == 1
        if not (page.is_tiled and is_plain and is_together and page.imagedepth == 1 and page.bitspersample >= 8):  # noqa: PLR2004
            return None
        _Wanted(shape, key, downsample).check(path, [(page.imagelength, page.imagewidth)])
        if len(tiff.pages) > 1 and tiff.pages[1].shape == page.shape:
            raise InputError(f"{path}: has {len(tiff.pages)} pages; give an image of one")
        check_size(f"{path}: a tile", (page.tilelength, page.tilewidth), MAX_PIXELS)
        pixels = Segments(path, page).values(_enlarged(window, downsample, (page.imagelength, page.imagewidth)))
        has_alpha = page.extrasamples and int(page.samplesperpixel) in _COLOURS
        return _shrunk(np.ascontiguousarray(_without_alpha(pixels) if has_alpha else pixels), downsample)


def _enlarged(window: Window, downsample: int, shape: tuple[int, int]) -> Window:
    """Pixels of an image of this height and width that the blocks of a window have."""
    y, x, height, width = (downsample * side for side in window)
    return Window(y, x, min(height, shape[0] - y), min(width, shape[1] - x))


def _without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Grey values or colours of an image of 1 to 4 channels, shape (H, W) or (H, W, 3)."""
    count = _COLOURS.get(pixels.shape[-1], 3) if pixels.ndim == 3 else 0  # noqa: PLR2004
    colours = pixels[..., :count] if count else pixels
    return np.ascontiguousarray(colours[..., 0] if count == 1 else colours)
