"""Arrays of a store: their shards, encoded by Zarr, and the record of each."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import put, storage, storage_errors
from segprep.store.layout import Bucket
from segprep.store.schema import NO_JSON, Record
from segprep.targets import Target
from segprep.targets.target import channels_of, pad_of

T = TypeVar("T")


R = TypeVar("R")


class ArraySpec(NamedTuple):
    """One array of the store: enough to encode any of its shards.

    Attributes
    ----------
    path : str
        Relative to the root of the store.
    shape, shard, chunk : tuple of int
        Rows, height, width; or rows, classes, height, width.
    dtype : str
        NumPy name of the type.
    fill, pad : float
        As in `Target`.
    """

    path: str
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    fill: float
    pad: float


def array_spec(bucket: Bucket, target: Target) -> ArraySpec:
    """Array that holds `target` for the masks of `bucket`."""
    rows, height, width = bucket.shard_shape
    channels = (channels_of(target),) if channels_of(target) else ()
    return ArraySpec(
        path=f"{bucket.name}/{target.name}",
        shape=(len(bucket.masks), *channels, *bucket.canvas),
        shard=(rows, *channels, height, width),
        chunk=(1, *(1 for _ in channels), *bucket.chunk),
        dtype=target.dtype,
        fill=target.fill,
        pad=pad_of(target),
    )


def empty_shard(spec: ArraySpec, rows: int) -> NDArray[Any]:
    """Array for the first `rows` rows of a shard, all padding, of shape (rows, H, W)."""
    return np.full((rows, *spec.shape[1:]), spec.pad, spec.dtype)


def write_shard(root: AnyPath, spec: ArraySpec, number: int, rows: NDArray[Any], fingerprint: str) -> None:
    """Write one shard whole, then its record.

    Parameters
    ----------
    root : AnyPath
        The store.
    spec : ArraySpec
        The array.
    number : int
        Number of the shard in the array.
    rows : (n, H, W) array
        All rows of the shard.
    fingerprint : str
        As in `ProductInfo`.
    """
    data = encode_shard(spec, rows)
    place = root / spec.path
    record = Record(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), fingerprint=fingerprint)
    drop_record(root, spec, number)
    with storage_errors(root):
        put(place / shard_name(spec, number), data)
        put(place / record_name(number), msgspec.json.encode(record))


def drop_record(root: AnyPath, spec: ArraySpec, number: int) -> None:
    """Remove the record of a shard, which then counts as missing."""
    with storage_errors(root):
        (root / spec.path / record_name(number)).unlink(missing_ok=True)


def is_written(root: AnyPath, spec: ArraySpec, number: int, fingerprint: str) -> bool:
    """Whether this shard has its record, from a run with this fingerprint, and is of the recorded size."""
    try:
        record = msgspec.json.decode((root / spec.path / record_name(number)).read_bytes(), type=Record)
        size = (root / spec.path / shard_name(spec, number)).stat().st_size
    except (OSError, *NO_JSON):
        return False
    return record.fingerprint == fingerprint and record.bytes == size


def are_written(root: AnyPath, shards: Sequence[tuple[ArraySpec, int, str]]) -> list[bool]:
    """As `is_written`, for many shards."""
    return list(map_objects(root, lambda each: is_written(root, *each), shards))


def map_objects(root: AnyPath, ask: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """What is asked of many objects; of a bucket, many are asked for at once, since each answer takes a while to come."""
    return storage(root).map(ask, items)


def shard_name(spec: ArraySpec, number: int) -> str:
    """Where a shard lies within its array: it spans all but the rows."""
    return "/".join(["c", str(number), *("0" for _ in spec.shape[1:])])


def record_name(number: int) -> str:
    """Where the record of a shard lies within its array."""
    return f"records/{number}.json"


def encode_shard(spec: ArraySpec, rows: NDArray[Any]) -> bytes:
    """Bytes of a shard with these rows; chunks are written whatever they hold, so that none can go missing unseen."""
    objects: dict[str, Buffer] = {}
    array = encode_array(MemoryStore(objects), spec._replace(shape=rows.shape))
    array[:] = rows
    return objects[f"{spec.path}/{shard_name(spec, 0)}"].to_bytes()


def decode_shard(spec: ArraySpec, rows: int, data: bytes) -> NDArray[Any]:
    """Rows of a shard from its bytes, whatever the metadata on the disk say.

    Raises
    ------
    IntegrityError
        Where these are no such rows.
    """
    objects: dict[str, Buffer] = {}
    array = encode_array(MemoryStore(objects), spec._replace(shape=(rows, *spec.shape[1:])))
    objects[f"{spec.path}/{shard_name(spec, 0)}"] = default_buffer_prototype().buffer.from_bytes(data)
    try:
        return np.asarray(array[:])
    except (ValueError, RuntimeError) as error:
        raise IntegrityError(f"{spec.path}: cannot be decoded: {error}") from error


def encode_array(memory: MemoryStore, spec: ArraySpec, attributes: dict[str, Any] | None = None) -> zarr.Array[Any]:
    """Create the array of `spec` in `memory`."""
    return zarr.create_array(
        memory,
        name=spec.path,
        shape=spec.shape,
        shards=spec.shard,
        chunks=spec.chunk,
        dtype=spec.dtype,
        fill_value=spec.fill,
        compressors=codecs(),
        dimension_names=("row", "class", "y", "x") if len(spec.shape) == 4 else ("row", "y", "x"),  # noqa: PLR2004
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


def codecs() -> list[ZstdCodec | Crc32cCodec]:
    """Small and fast on these maps; without the checksum most bit flips would read back as wrong pixels."""
    return [ZstdCodec(level=3), Crc32cCodec()]
