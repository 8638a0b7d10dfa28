"""Results of a scan as bytes."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.masks.mask import Problem, SourceValues
from segprep.masks.packed import LEVEL, PackedMask
from segprep.masks.stats import CLASS_COUNT, INSTANCE_ROW, MaskStats

MOST_BYTES = 2**28
"""Bytes of the results that are stored together, compressed or not."""
MOST_PIXELS = 2**31
"""Pixels in all planes of a mask."""
_DIGEST = 16


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Result of one mask: its key, the fields of its `MaskStats`, of which arrays are bytes, and the mask if it is kept."""

    key: str
    shape: tuple[int, int]
    class_counts: bytes
    instance_rows: bytes
    runs: tuple[bytes, ...]
    ignored: int
    hidden: int
    filled: bool
    problems: tuple[Problem, ...]
    digest: bytes
    source: SourceValues | None
    touching: int | None
    is_scattered: bool
    mask: PackedMask | None
    tiles: tuple["Entry", ...] = ()
    source_numbers: bytes = b""

    def is_plausible(self, n_classes: int) -> bool:
        """True if all sizes fit each other and the number of classes."""
        count, odd = divmod(len(self.instance_rows), INSTANCE_ROW.itemsize)
        height, width = self.shape
        fits = (
            (odd, len(self.class_counts) % CLASS_COUNT.itemsize, len(self.digest)) == (0, 0, _DIGEST)
            and len(self.runs) in (0, count)
            and _are_codes(np.frombuffer(self.class_counts, CLASS_COUNT)["class"], n_classes)
            and _are_codes(np.frombuffer(self.instance_rows, INSTANCE_ROW)["class"], n_classes)
            and all(len(runs) % 8 == 0 for runs in self.runs)
            and min(height, width) > 0
            and height * width < MOST_PIXELS
            and len(self.source_numbers) in (0, 8 * count)
            and all(not tile.tiles and tile.is_plausible(n_classes) for tile in self.tiles)
        )
        return fits and (self.mask is None or self._is_plausible(self.mask))

    def _is_plausible(self, mask: PackedMask) -> bool:
        planes, height, width = mask.shape
        return (mask.key, height, width) == (self.key, *self.shape) and 0 < planes * height * width < MOST_PIXELS

    def stats(self, n_classes: int) -> MaskStats:
        """Statistics as they were."""
        return MaskStats(
            self.shape,
            n_classes,
            self.class_counts,
            self.instance_rows,
            tuple(np.frombuffer(runs, np.int64) for runs in self.runs),
            self.ignored,
            self.hidden,
            self.filled,
            self.problems,
            self.digest,
            self.source,
            self.touching,
            self.is_scattered,
            tuple(tile.stats(n_classes) for tile in self.tiles),
            self.source_numbers,
        )


def encode_entries(results: Mapping[str, tuple[MaskStats, PackedMask | None]]) -> bytes:
    """Results by their keys, compressed; empty if there are none, or too many bytes. Those with odd text are left out."""
    from imagecodecs import zstd_encode  # noqa: PLC0415 - slow to import

    entries = []
    for key, (stats, mask) in results.items():
        try:
            entries.append(msgspec.Raw(msgspec.msgpack.encode(_entry(key, stats, mask), enc_hook=_plain)))
        except (UnicodeEncodeError, OverflowError):  # names of files that are not UTF-8
            continue
    data = msgspec.msgpack.encode(entries) if entries else b""
    return bytes(zstd_encode(data, level=LEVEL)) if 0 < len(data) <= MOST_BYTES // 2 else b""


def decode_entries(body: bytes, n_classes: int) -> Iterator[tuple[str, MaskStats, PackedMask | None]]:
    """Key, statistics and mask of each result that `encode_entries` has encoded; none of bytes that are anything else."""
    from imagecodecs import zstd_decode  # noqa: PLC0415 - slow to import

    try:
        entries = msgspec.msgpack.decode(zstd_decode(body, out=MOST_BYTES), type=list[Entry]) if body else []
    except (msgspec.MsgspecError, RuntimeError, RecursionError, UnicodeDecodeError):
        return
    for entry in entries:
        if entry.is_plausible(n_classes):
            yield entry.key, entry.stats(n_classes), entry.mask


def _entry(key: str, stats: MaskStats, mask: PackedMask | None) -> Entry:
    return Entry(
        key,
        stats.shape,
        stats.class_counts,
        stats.instance_rows,
        tuple(runs.astype(np.int64).tobytes() for runs in stats.runs),
        stats.ignored,
        stats.hidden,
        stats.filled,
        stats.problems,
        stats.digest,
        stats.source,
        stats.touching,
        stats.is_scattered,
        mask,
        tuple(_entry("", tile, None) for tile in stats.tiles),
        stats.source_numbers,
    )


def _plain(value: Any) -> Any:
    """Python's number for one of NumPy's."""
    return value.item()


def _are_codes(codes: NDArray[np.integer[Any]], n_classes: int) -> bool:
    return bool(((codes >= 0) & (codes < n_classes)).all())
