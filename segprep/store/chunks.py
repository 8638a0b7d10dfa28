"""Windows of the rows of a store's arrays, read chunk by chunk.

zarr-python reads a shard's index at every access, and plans each read in Python, which takes longer than decoding. Here the
index is kept, so that a sample costs one opened file, or one request, per array. Only the form in which segprep writes arrays
is read. No size that a foreign store claims is believed: a chunk that does not decode to the size of a chunk is damaged.

A file is opened at each read, which takes 20 of 370 us: so there is nothing that threads or forked processes would share.
"""

import math
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import product
from operator import index as as_integer
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
from numcodecs import zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from segprep.errors import IntegrityError, OptionError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import storage
from segprep.paths.version import ReplacedError, Version
from segprep.store.encoding import NO_CHUNK, read_form
from segprep.store.opened import OpenedStore
from segprep.store.shards import ArraySpec, encode_array, shard_name
from segprep.store.tables import MISSING, require_form, zarr_store

_CHECKSUM = 4
"""Bytes of the crc32c that ends each chunk and each index."""
_KEPT = 32 << 20
"""Limit of the bytes of the indices that are kept of an array."""
_FREED = 16 << 20
"""Bytes of a block after whose release glibc keeps twice as much for later arrays: new pages take half as long as decoding."""


Window = tuple[int, int, int, int]
"""Part of a mask: y and x of its upper left pixel, height and width in pixels."""


def checked_window(window: Window, shape: tuple[int, int], key: str) -> Window:
    """Window that a user gives, within the mask `key` of this height and width; OptionError otherwise."""
    try:
        y, x, tall, wide = map(as_integer, window)
    except (TypeError, ValueError):
        raise OptionError(f"window={window!r}: must be four integers, (y, x, height, width)") from None
    if not (0 <= y < y + tall <= shape[0] and 0 <= x < x + wide <= shape[1]):
        raise OptionError(
            f"window={window!r}: must be (y, x, height, width) within the {shape[0]} x {shape[1]} pixels of {key!r}"
        )
    return y, x, tall, wide


class _DamageError(ValueError):
    """Bytes of a shard that segprep does not write."""


class _Shard(NamedTuple):
    """Path of a shard, offset and length of each of its chunks, shape (rows, ..., y, x, 2), and its version."""

    path: AnyPath
    chunks: NDArray[np.uint64]
    version: Version


@dataclass(frozen=True, eq=False)
class ChunkReader:
    """Reader of one array.

    Attributes
    ----------
    root : AnyPath
        The store.
    spec : ArraySpec
        Form of the array.
    incomplete : bool
        Read the fill value where a shard or a chunk is missing, as Zarr does; otherwise that is an IntegrityError.
    opened : OpenedStore or None
        Attributes that the array belongs to; None checks none.
    """

    root: AnyPath
    spec: ArraySpec
    incomplete: bool
    opened: OpenedStore | None = None
    _shards: dict[int, _Shard] = field(default_factory=dict)

    def read(self, row: int, window: Window) -> NDArray[Any]:
        """Window of a row, shape (..., height, width), from the chunks that it meets."""
        number, inner = divmod(row, self.spec.shard[0])
        shard = shard_name(number, len(self.spec.shape))
        try:
            try:
                return self._read(number, inner, window)
            except ReplacedError:  # it was repaired, or `opened` raises
                self._shards.pop(number, None)
                return self._read(number, inner, window)
        except MISSING:
            if self.incomplete:
                return np.full((*self.spec.shape[1:-2], *window[2:]), self.spec.fill, self.spec.dtype)
            self._require()
            problem = "is missing"
        except _DamageError as error:
            self._shards.pop(number, None)  # it may be repaired while the store is open
            problem = f"is damaged: {error}"
        raise IntegrityError(
            f"{self.root}: {self.spec.path}/{shard} {problem}; run verify, and repair with the data set"
        )

    def _read(self, number: int, inner: int, window: Window) -> NDArray[Any]:
        """Window of the row `inner` of a shard."""
        y, x, height, width = window
        tall, wide = self.spec.chunk[-2:]
        rows = range(y // tall, -(-(y + height) // tall))
        columns = range(x // wide, -(-(x + width) // wide))
        shard, index, version = self._shards.get(number) or self._open(number)
        entries = index[inner, ..., rows.start : rows.stop, columns.start : columns.stop, :].reshape(-1, 2).tolist()
        ranges = [(offset, length) for offset, length in entries if offset != NO_CHUNK]
        if len(ranges) < len(entries) and not self.incomplete:
            raise _DamageError("a chunk is missing")
        contents = iter(storage(shard).read_ranges(ranges, version))
        channels = self.spec.shape[1:-2]
        values = np.empty((*channels, height, width), self.spec.dtype)
        block = np.empty((tall, wide), values.dtype)
        places = product(*map(range, channels), rows, columns)
        for (offset, length), (*channel, row, column) in zip(entries, places, strict=True):
            source_y, target_y = _overlap(row * tall, tall, y, height)
            source_x, target_x = _overlap(column * wide, wide, x, width)
            part = values[(*channel, target_y, target_x)]  # type: ignore[arg-type]
            if offset == NO_CHUNK:
                part[:] = self.spec.fill
            elif part.shape == (tall, wide) and part.flags.c_contiguous:
                _decode(next(contents), length, part)
            else:
                _decode(next(contents), length, block)
                part[:] = block[source_y, source_x]
        return values

    def _open(self, number: int) -> _Shard:
        """A shard, kept for later reads."""
        shard = self.root / self.spec.path / shard_name(number, len(self.spec.shape))
        grid = [side // part for side, part in zip(self.spec.shard, self.spec.chunk, strict=True)]
        size = 16 * math.prod(grid) + _CHECKSUM
        data, total, version = storage(shard).read_end(size)
        self._require(version)
        if len(data) != size:
            raise _DamageError(f"it has {total:,} bytes, fewer than its index, which has {size:,}")
        index = _checked(data, "its index").view("<u8").astype(np.uint64).reshape(*grid, 2)
        self._require_bounds(index, total - size)
        if len(self._shards) * size > _KEPT:
            self._shards.clear()
        self._shards[number] = _Shard(shard, index, version)
        return self._shards[number]

    def _require(self, version: Version | None = None) -> None:
        """Raise IntegrityError if the store was changed before its shard was read, which has this version."""
        if self.opened is not None:
            self.opened.require(self.spec.path.rpartition("/")[2], version)

    def _require_bounds(self, index: NDArray[np.uint64], size: int) -> None:
        """Raise unless each chunk lies in the first `size` bytes, and is at most as long as one that is not compressible."""
        plain = math.prod(self.spec.chunk) * np.dtype(self.spec.dtype).itemsize
        longest = min(size, plain + plain // 128 + 1024)
        offsets, lengths = index[..., 0], index[..., 1]
        within = (offsets <= size) & (lengths >= _CHECKSUM) & (lengths <= longest)
        within &= np.where(within, offsets + lengths, 0) <= size
        if not (within | (index == NO_CHUNK).all(axis=-1)).all():
            raise _DamageError("its index points beyond its chunks")


def open_chunks(root: AnyPath, spec: ArraySpec, *, incomplete: bool, opened: OpenedStore | None = None) -> ChunkReader:
    """Reader of the array of `spec`; ValueError if its metadata are not those that segprep writes, but for the fill value."""
    with nullcontext() if opened is None else opened.explained(spec.path.rpartition("/")[2]):
        array: Any = read_form((root / spec.path / "zarr.json").read_bytes()) or _foreign_array(root, spec)
        require_form(array, spec.shape, spec.dtype, spec.chunk, spec.shard)
    np.empty(_FREED, np.uint8)
    return ChunkReader(root, spec._replace(fill=array.fill_value), incomplete, opened)


def decode_row(spec: ArraySpec, chunks: Mapping[tuple[int, ...], bytes]) -> NDArray[Any]:
    """Canvas of a row without channels, from its encoded chunks by their places; ValueError if one is damaged."""
    values, (tall, wide) = np.empty(spec.shape[-2:], spec.dtype), spec.chunk[-2:]
    block = np.empty((tall, wide), values.dtype)
    for (row, column), chunk in chunks.items():
        _decode(chunk, len(chunk), block)
        part = values[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
        part[:] = block[: part.shape[0], : part.shape[1]]
    return values


def _foreign_array(root: AnyPath, spec: ArraySpec) -> Any:
    """Array of zarr-python, from metadata that are not as segprep writes them; ValueError unless they mean the same."""
    import zarr  # noqa: PLC0415 - slow to import
    from zarr.storage import MemoryStore  # noqa: PLC0415

    array: Any = zarr.open_array(zarr_store(root), path=spec.path, mode="r", zarr_format=3)
    require_form(array, spec.shape, spec.dtype, spec.chunk, spec.shard)
    if _decoding(array) != _decoding(encode_array(MemoryStore(), spec)):
        raise ValueError(f"has codecs {array.metadata.codecs} and {array.metadata.chunk_key_encoding}")
    return array


def _decoding(array: Any) -> list[Any]:
    """Metadata that decide how the shards of an array are found and decoded; the level of zstd does not."""
    from zarr.codecs import ShardingCodec, ZstdCodec  # noqa: PLC0415 - slow to import

    codec, *others = array.metadata.codecs
    if isinstance(codec, ShardingCodec):
        inner = [ZstdCodec if isinstance(part, ZstdCodec) else part for part in codec.codecs]
        others += [inner, codec.index_codecs, codec.index_location]
    return [array.metadata.chunk_key_encoding, type(codec), *others]


def _overlap(start: int, side: int, origin: int, length: int) -> tuple[slice, slice]:
    """Along one axis, what a chunk shares with a window: the part of the chunk, and that of the window.

    >>> _overlap(512, 512, 500, 256)
    (slice(0, 244, None), slice(12, 256, None))
    """
    first, last = max(start, origin), min(start + side, origin + length)
    return slice(first - start, last - start), slice(first - origin, last - origin)


def _checked(data: bytes, what: str) -> NDArray[np.uint8]:
    """Bytes without the crc32c at their end, which must be theirs."""
    body = np.frombuffer(data, np.uint8, len(data) - _CHECKSUM)
    if google_crc32c.value(body) != int.from_bytes(data[-_CHECKSUM:], "little"):
        raise _DamageError(f"the checksum of {what} differs")
    return body


def _decode(data: bytes, length: int, values: NDArray[Any]) -> None:
    """Decode a chunk into an array of its size."""
    if len(data) != length:
        raise _DamageError("it ends within a chunk")
    frame = _checked(data, "a chunk")
    if _declared_size(data) != values.nbytes:
        raise _DamageError(f"a chunk does not decode to {values.nbytes:,} bytes")
    try:
        zstd.decompress(frame, values)
    except (ValueError, RuntimeError) as error:
        raise _DamageError(f"a chunk cannot be decoded: {error}") from error
    if sys.byteorder == "big":
        values.byteswap(inplace=True)


def _declared_size(frame: bytes) -> int:
    """Size that the header of a zstd frame declares, by RFC 8878, 3.1.1.1; -1 if it declares none."""
    if frame[:4] != b"\x28\xb5\x2f\xfd":
        return -1
    flags = frame[4]
    single = flags >> 5 & 1
    start = 6 - single + (0, 1, 2, 4)[flags & 3]
    field = frame[start : start + (single, 2, 4, 8)[flags >> 6]]
    return int.from_bytes(field, "little") + (256 if len(field) == 2 else 0) if field else -1  # noqa: PLR2004
