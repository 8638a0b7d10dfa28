"""Label images that are read window by window, so that the complete image is never in memory."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.masks.mask import Overlap, Problem
from segprep.masks.tiles import Cut, Window
from segprep.paths.anypath import AnyPath
from segprep.readers._arrays import npy_header
from segprep.readers._image import decode_errors, opened_tiff, require_not_negative
from segprep.readers._segments import Segments, segment_shape
from segprep.readers._tiff import check_compression


@dataclass(frozen=True, eq=False)
class LabelSlide:
    """Label image whose windows are read by `values`, of shape (H, W) and none negative, and understood by `meaning`.

    `segments` are those of a TIFF.
    """

    shape: tuple[int, int]
    values: Callable[[Window], NDArray[Any]]
    meaning: Callable[[NDArray[Any]], Cut]
    segments: Segments | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    problems: tuple[Problem, ...] = ()

    def read(self, window: Window, overlap: Overlap = "smallest") -> Cut:  # noqa: ARG002 - values do not overlap
        """Part of the image, and the value of each of its instances, in ascending order."""
        return self.meaning(self.values(window))

    def cached(self, windows: Sequence[Window]) -> int:
        """Bytes of decoded parts of the file that stay in memory once these windows were read."""
        return 0 if self.segments is None else self.segments.cached(windows)

    def close(self) -> None:
        """Close the file."""
        self.stack.close()


def tiff_slide(path: AnyPath, max_pixels: int, meaning: Callable[[NDArray[Any]], Cut]) -> LabelSlide | None:
    """TIFF of one channel with more than `max_pixels` pixels, in tiles or strips that have less; None for any other.

    Further pages may only be smaller copies of the first.
    """
    with ExitStack() as stack:
        tiff = stack.enter_context(opened_tiff(path))
        page = tiff.pages[0]
        shape = page.imagelength, page.imagewidth
        segment = segment_shape(page)
        is_large = shape[0] * shape[1] > max_pixels >= min(segment[0], shape[0]) * min(segment[1], shape[1])
        if not is_large or page.samplesperpixel != 1 or page.imagedepth != 1 or page.dtype.kind not in "bui":
            return None
        if any(not other.is_reduced for other in tiff.pages[1:]):
            return None
        check_compression(path, page)
        segments = Segments(path, page)

        def values(window: Window) -> NDArray[Any]:
            return require_not_negative(path, segments.values(window))

        return LabelSlide(shape, values, meaning, segments, stack.pop_all())
    return None


def npy_slide(path: AnyPath, max_pixels: int, meaning: Callable[[NDArray[Any]], Cut]) -> LabelSlide | None:
    """Array of integers with more than `max_pixels` items in a local NPY file, mapped to memory; None for any other."""
    shape, dtype = npy_header(path)
    if len(shape) != 2 or dtype.kind not in "bui" or shape[0] * shape[1] <= max_pixels or not isinstance(path, Path):  # noqa: PLR2004
        return None
    with decode_errors(path, "NPY"):
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)

    def values(window: Window) -> NDArray[Any]:
        return require_not_negative(path, np.array(mapped[window.part]))

    return LabelSlide((shape[0], shape[1]), values, meaning)
