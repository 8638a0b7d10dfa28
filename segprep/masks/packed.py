"""Masks that were read, compressed in memory, so that the files need not be read again."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segprep.errors import IntegrityError
from segprep.kernels.regions import regions_of_runs
from segprep.masks.mask import InstanceMask, MaskRef, Overlap, Problem, SourceValues, mask_problem
from segprep.paths.files import SCAN

LEVEL = 1
"""Level of zstd: the runs of a mask are small, and higher levels save little."""
_OBJECTS = 512
"""Bytes of the objects of a mask in a dictionary, with its key: 400 to 600 in CPython 3.11."""


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A mask in a few kilobytes; it is a `MaskRef` that reads no file.

    `planes` has the runs of equal labels of the planes, of shape `shape`; all bytes are compressed. With `n_classes`, the
    number of class codes, the mask is from a file that may be damaged or hostile, and is checked.
    """

    key: str
    split: str | None
    shape: tuple[int, int, int]
    planes: bytes
    classes: bytes
    ignore: bytes | None
    stuff: bytes | None
    problems: tuple[Problem, ...]
    overlap: Overlap
    source: SourceValues | None
    n_classes: int | None = None

    @property
    def size(self) -> int:
        """Bytes of memory: those of the compressed arrays, and about those of the objects around them."""
        parts = (self.planes, self.classes, self.ignore, self.stuff)
        return _OBJECTS + sum(len(part) for part in parts if part is not None)

    def load(self) -> InstanceMask:
        """Mask as it was read; IntegrityError if it is to be checked and is no valid one."""
        if self.n_classes is None:
            return self._load()
        try:
            mask = self._load()
            problem = mask_problem(mask, self.n_classes)
        except (ValueError, RuntimeError) as error:
            problem = str(error)
        if problem:
            raise IntegrityError(
                f"{self.key}: cannot be resumed from the store's folder {SCAN}: {problem}; delete this folder"
            )
        return mask

    def _load(self) -> InstanceMask:
        pixels = math.prod(self.shape)
        image = self.shape[1:]
        runs = _unpacked(self.planes, np.int32, 2 * pixels).reshape(-1, 2)
        if (runs < 0).any() or runs[:, 1].sum(dtype=np.int64) != pixels:  # compiled code trusts them
            raise ValueError(f"runs do not cover {pixels} pixels")
        mask = InstanceMask(
            np.repeat(runs[:, 0], runs[:, 1]).reshape(self.shape),
            _unpacked(self.classes, np.int32, pixels + 1),
            None if self.ignore is None else _unpacked(self.ignore, np.bool_, pixels).reshape(image),
            self.problems,
            self.overlap,
            None if self.stuff is None else _unpacked(self.stuff, np.int32, pixels).reshape(image),
            self.source,
        )
        mask.__dict__["regions"] = regions_of_runs(runs, image, len(mask.classes) - 1)  # so they are not found again
        return mask


def packed(ref: MaskRef, mask: InstanceMask) -> PackedMask:
    """Compress the mask that was read from a ref.

    Examples
    --------
    >>> mask = InstanceMask(np.array([[[0, 1, 1]]], np.int32), np.array([0, 1], np.int32))
    >>> ref = PackedMask("a", None, (1, 1, 3), b"", b"", None, None, (), "last", None)
    >>> packed(ref, mask).load().planes
    array([[[0, 1, 1]]], dtype=int32)
    """
    return PackedMask(
        ref.key,
        ref.split,
        mask.planes.shape,
        _packed(mask.regions.runs),
        _packed(mask.classes),
        None if mask.ignore is None else _packed(mask.ignore),
        None if mask.stuff is None else _packed(mask.stuff),
        mask.problems,
        mask.overlap,
        mask.source,
    )


def _packed(array: NDArray[Any]) -> bytes:
    from imagecodecs import zstd_encode  # noqa: PLC0415 - slow to import

    return bytes(zstd_encode(array.tobytes(), level=LEVEL))


def _unpacked(data: bytes, dtype: DTypeLike, most: int) -> NDArray[Any]:
    """Array of at most `most` entries."""
    from imagecodecs import zstd_decode  # noqa: PLC0415 - slow to import

    return np.frombuffer(zstd_decode(data, out=most * np.dtype(dtype).itemsize), dtype)
