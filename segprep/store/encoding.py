"""Zarr v3 in the only form that segprep writes: metadata, chunks and shards, byte for byte as by zarr-python.

zarr-python is not imported for it, which takes 0.3 to 0.4 s in each process. What segprep has not written is left to it.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import google_crc32c
import msgspec
import numpy as np
from numcodecs import zstd  # type: ignore[import-untyped]
from numpy.typing import NDArray

DTYPES = frozenset(
    {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float16", "float32", "float64"}
)
"""Types of the arrays, by the names that Zarr and NumPy share."""
LEVEL = 3
"""Level of zstd, which compresses these arrays well and fast."""
NO_CHUNK = 2**64 - 1
"""Offset and length in the index of a shard of a chunk that was not written."""
_FREE = ("attributes", "fill_value", "dimension_names")
"""Metadata that do not decide how chunks are found and decoded."""


Place: TypeAlias = tuple[int, ...]
"""Index in a grid, or the sides of a block."""


class ArrayForm(NamedTuple):
    """Form of an array: as attributes of those of zarr-python; `shards` is None without shards."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    fill_value: float = 0

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


def group_metadata(attributes: Mapping[str, Any] | None = None) -> bytes:
    """Bytes of a group's zarr.json."""
    return _to_json({"attributes": attributes or {}, "zarr_format": 3, "node_type": "group"})


def array_metadata(form: ArrayForm, dimensions: Sequence[str], attributes: Mapping[str, Any] | None = None) -> bytes:
    """Bytes of an array's zarr.json."""
    return _to_json(_metadata(form, dimensions, attributes or {}))


def read_form(data: bytes) -> ArrayForm | None:
    """Form of an array from its zarr.json; None unless it is one in which segprep writes arrays."""
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
        outer = tuple(found["chunk_grid"]["configuration"]["chunk_shape"])
        codec = found["codecs"][0]
        inner = tuple(codec["configuration"]["chunk_shape"]) if codec["name"] == "sharding_indexed" else None
        shape, name, fill = tuple(found["shape"]), found["data_type"], found["fill_value"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return None
    if not isinstance(name, str) or name not in DTYPES or not (fill == "NaN" or isinstance(fill, int | float)):
        return None
    if not all(type(side) is int for side in (*shape, *outer, *(inner or ()))):
        return None
    dtype = np.dtype(name)
    form = ArrayForm(shape, dtype, inner or outer, outer if inner else None, math.nan if fill == "NaN" else fill)
    if _json_fill(dtype, form.fill_value) != fill:
        return None
    expected = _metadata(form, (), {})
    same = expected.keys() == found.keys() and all(expected[key] == found[key] for key in expected if key not in _FREE)
    return form if same else None


def encode_chunks(form: ArrayForm, values: Any) -> Iterator[bytes]:
    """Chunks of an array, or of what gives its rows, that is cut along its first dimension alone, the last one filled up."""
    rows = form.chunks[0]
    for start in range(0, len(values), rows):
        yield _encode_chunk(form, values[start : start + rows])


def encode_image(form: ArrayForm, values: NDArray[Any], pad: float) -> Iterator[tuple[Place, bytes]]:
    """Chunks of one (H, W) image of an array by their row and column in its shard; `pad` stands beyond the end of `values`.

    A chunk holds a part of one image. All that meet the array are written, also constant ones; those of nothing but padding
    are encoded once.
    """
    canvas, sides = form.shape[-2:], form.chunks[-2:]
    for place in np.ndindex(*(-(-side // part) for side, part in zip(canvas, sides, strict=True))):
        corner = [number * side for number, side in zip(place, sides, strict=True)]
        extent = tuple(min(part, side - start) for side, part, start in zip(canvas, sides, corner, strict=True))
        block = values[tuple(slice(start, start + side) for start, side in zip(corner, extent, strict=True))]
        yield place, _encode_block(form, block, extent, pad) if block.size else _padding(form, extent, pad)


def encode_shard(form: ArrayForm, chunks: Mapping[Place, bytes]) -> bytes:
    """Shard of an array from its encoded chunks by their places in the shard."""
    assert form.shards is not None  # noqa: S101 - for the type checker
    grid = tuple(side // part for side, part in zip(form.shards, form.chunks, strict=True))
    index = np.full((*grid, 2), NO_CHUNK, "<u8")
    places = [place for place in _morton_order(grid) if place in chunks]
    offset = 0
    for place in places:
        index[place] = offset, len(chunks[place])
        offset += len(chunks[place])
    return b"".join([*(chunks[place] for place in places), _with_checksum(index.tobytes())])


def decode_shard_index(form: ArrayForm, data: bytes) -> Iterator[tuple[Place, bytes]]:
    """Encoded chunks of a shard that `encode_shard` has made, by their places in it."""
    assert form.shards is not None  # noqa: S101 - for the type checker
    grid = tuple(side // part for side, part in zip(form.shards, form.chunks, strict=True))
    size = 16 * math.prod(grid)
    index = np.frombuffer(data[-4 - size : -4], "<u8").reshape(*grid, 2)
    for place in np.ndindex(*grid):
        offset, length = index[place].tolist()
        if offset != NO_CHUNK:
            yield place, data[offset : offset + length]


def _encode_block(form: ArrayForm, block: NDArray[Any], extent: Place, pad: float) -> bytes:
    """Chunk of an image, of which `extent` lies on the canvas."""
    if block.shape != extent:
        padded = np.full(extent, pad, form.dtype)
        padded[tuple(map(slice, block.shape))] = block
        block = padded
    return _encode_chunk(form, block.reshape((1,) * (form.ndim - 2) + extent))


@lru_cache(maxsize=16)
def _padding(form: ArrayForm, extent: Place, pad: float) -> bytes:
    """Chunk of nothing but padding."""
    return _encode_block(form, np.empty((0, 0), form.dtype), extent, pad)


def _encode_chunk(form: ArrayForm, values: NDArray[Any]) -> bytes:
    """Chunk of an array; the fill value stands beyond the end of `values`."""
    block = np.ascontiguousarray(values, form.dtype.newbyteorder("<"))
    if block.shape != form.chunks:
        full = np.full(form.chunks, form.fill_value, block.dtype)
        full[tuple(map(slice, block.shape))] = block
        block = full
    return _with_checksum(zstd.compress(block.view(np.uint8), LEVEL, False))


def _with_checksum(data: bytes) -> bytes:
    """Bytes, and their crc32c."""
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


@lru_cache(maxsize=16)
def _morton_order(grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Places of a grid in the order in which zarr-python writes chunks: by the bits of all coordinates, interleaved.

    >>> _morton_order((1, 2, 3))
    ((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (0, 0, 2), (0, 1, 2))
    """
    bits = [(side - 1).bit_length() for side in grid]
    order = [(axis, bit) for bit in range(max(bits)) for axis in range(len(grid)) if bit < bits[axis]]
    places = product(*map(range, grid))
    if sum(side > 1 for side in grid) <= 1:
        return tuple(places)
    return tuple(sorted(places, key=lambda place: sum((place[a] >> b & 1) << i for i, (a, b) in enumerate(order))))


def _metadata(form: ArrayForm, dimensions: Sequence[str], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of an array's zarr.json."""
    number = {"name": "bytes", "configuration": {"endian": "little"}}
    compressed = [
        number if form.dtype.itemsize > 1 else {"name": "bytes"},
        {"name": "zstd", "configuration": {"level": LEVEL, "checksum": False}},
        {"name": "crc32c"},
    ]
    sharding = {
        "chunk_shape": list(form.chunks),
        "codecs": compressed,
        "index_codecs": [number, {"name": "crc32c"}],
        "index_location": "end",
    }
    outer = form.chunks if form.shards is None else form.shards
    return {
        "shape": list(form.shape),
        "data_type": form.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(outer)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _json_fill(form.dtype, form.fill_value),
        "codecs": compressed if form.shards is None else [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": attributes,
        "dimension_names": list(dimensions),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _json_fill(dtype: np.dtype[Any], fill: Any) -> Any:
    """Fill value as Zarr writes it in JSON; None if it is no value of the type."""
    try:
        value = dtype.type(fill).item()
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _to_json(metadata: Mapping[str, Any]) -> bytes:
    """JSON as zarr-python formats it."""
    return json.dumps(metadata, indent=2).encode()
