"""Tables of a store, one row per mask or per instance: every column, how it is made and how it is read."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numcodecs.checksum32 import CRC32C  # type: ignore[import-untyped]
from numpy.typing import ArrayLike, DTypeLike, NDArray

from segprep.errors import InputError, IntegrityError, StorageError
from segprep.masks.stats import INSTANCE_ROW, MaskStats, class_counts, instance_values
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.client import as_os_errors, client
from segprep.store.encoding import ArrayForm, array_metadata, encode_chunks, read_form
from segprep.store.layout import HOLE, Bucket, Layout
from segprep.store.rows import ClassPixels, MaskRows
from segprep.store.schema import BucketInfo, StoreInfo
from segprep.store.shards import shard_name

MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors for an object that is not there."""
_CHECKSUM = CRC32C(location="end")
"""Checksum of each chunk."""
TABLE_CHUNK = 65_536
"""Rows in a chunk of a table."""
MAX_KEY_BYTES = 4096
"""Longest key in UTF-8: the longest path of Linux."""

Tables = Mapping[str, Any]
"""Tables by name: arrays, or what has their shape and type and gives arrays of rows."""


class Column(NamedTuple):
    """One table: its path, its type, its values and its dimensions."""

    name: str
    dtype: DTypeLike
    make: Callable[[MaskRows], ArrayLike | ClassPixels]
    dimensions: tuple[str, ...] = ("mask",)


def encode_keys(keys: Sequence[str]) -> NDArray[np.uint8]:
    """Names as bytes in UTF-8, zero padded, shape (masks, length of the longest): a type that every Zarr reader knows.

    The length is at least 1, also where all names are empty.

    >>> decode_keys(encode_keys(["a", "\u00fc.png", ""]))
    ['a', '\u00fc.png', '']
    """
    _check_keys(keys)
    names = np.array([key.encode() for key in keys])
    return names.view(np.uint8).reshape(len(keys), names.itemsize)


def _check_keys(keys: Sequence[str]) -> None:
    """Raise InputError if a name is too long for a table."""
    longest = max(keys, key=lambda key: len(key.encode()))
    if (size := len(longest.encode())) > MAX_KEY_BYTES:
        raise InputError(f"name {longest[:40]!r}... has {size:,} bytes; names have at most {MAX_KEY_BYTES:,}")


def decode_keys(table: NDArray[np.uint8]) -> list[str]:
    """Names from the table made by `encode_keys`."""
    return [bytes(row).rstrip(b"\0").decode() for row in table]


IMAGE = "image"
"""Table of the paths of images."""
SOURCE, SOURCE_NUMBER = "source", "instances/source_number"
"""Tables of the masks that tiles were cut from, and of the numbers that instances have there."""

MASK_COLUMNS = (
    Column("key", np.uint8, lambda rows: encode_keys(rows.keys), ("mask", "byte")),
    Column("bucket", np.uint32, lambda rows: rows.places[:, 0]),
    Column("row", np.uint32, lambda rows: rows.places[:, 1]),
    Column("height", np.uint32, lambda rows: [mask.shape[0] for mask in rows.stats]),
    Column("width", np.uint32, lambda rows: [mask.shape[1] for mask in rows.stats]),
    Column("split", np.uint8, lambda rows: rows.split),
    Column("fold", np.uint8, lambda rows: rows.fold),
    Column("instance_count", np.uint32, lambda rows: rows.instance_counts),
    Column("class_pixels", np.uint64, lambda rows: ClassPixels(rows.stats), ("mask", "class")),
    Column("ignored", np.uint64, lambda rows: [mask.ignored for mask in rows.stats]),
    Column("hidden", np.uint64, lambda rows: [mask.hidden for mask in rows.stats]),
    Column("digest", np.uint8, lambda rows: rows.digests, ("mask", "digest_byte")),
    Column("filled_foreground", np.bool_, lambda rows: [mask.filled for mask in rows.stats]),
    Column("filled_class", np.bool_, lambda rows: rows.largest_class == [math.prod(mask.shape) for mask in rows.stats]),
    Column(IMAGE, np.uint8, lambda rows: encode_keys(rows.images), ("mask", "image_byte")),
    Column(
        SOURCE, np.uint8, lambda rows: encode_keys([tile.source.key for tile in rows.tiles]), ("mask", "source_byte")
    ),
    Column("y", np.uint32, lambda rows: [tile.window.y for tile in rows.tiles]),
    Column("x", np.uint32, lambda rows: [tile.window.x for tile in rows.tiles]),
    Column("source_height", np.uint32, lambda rows: [tile.shape[0] for tile in rows.tiles]),
    Column("source_width", np.uint32, lambda rows: [tile.shape[1] for tile in rows.tiles]),
)
"""Tables with one row per mask."""


def _instance_column(name: str) -> Column:
    return Column(
        f"instances/{name}", INSTANCE_ROW[name], lambda rows: instance_values(rows.stats, name), ("instance",)
    )


COLUMNS = (
    *MASK_COLUMNS,
    *map(_instance_column, INSTANCE_ROW.names or ()),
    Column(
        "instances/mask",
        np.uint32,
        lambda rows: np.repeat(np.arange(len(rows.stats)), rows.instance_counts),
        ("instance",),
    ),
    Column("instances/run_count", np.uint32, lambda rows: rows.run_counts, ("instance",)),
    Column("instances/runs", np.uint32, lambda rows: rows.runs, ("run",)),
    Column(SOURCE_NUMBER, np.uint64, lambda rows: rows.source_numbers, ("instance",)),
)
"""All tables of a store."""

TILE_TABLES = (SOURCE, "y", "x", "source_height", "source_width", SOURCE_NUMBER)
"""Tables of stores of tiles alone."""
_COLUMN_OF = {column.name: column for column in COLUMNS}


def table_names(info: StoreInfo) -> tuple[str, ...]:
    """Names of all tables of a store; earlier versions wrote none of images, and only stores of tiles have `TILE_TABLES`."""
    left_out = {*(() if info.images else (IMAGE,)), *(() if info.tiling else TILE_TABLES)}
    return tuple(column.name for column in COLUMNS if column.name not in left_out)


class MadeTables(Tables):
    """Tables of a store, each made whenever it is read: together they may be larger than what they are made of."""

    def __init__(self, rows: MaskRows, names: Sequence[str]) -> None:
        _check_keys(rows.keys)
        self._rows, self._names = rows, names

    def __getitem__(self, name: str) -> NDArray[Any] | ClassPixels:
        column = _COLUMN_OF[name]
        values = column.make(self._rows)
        return values if isinstance(values, ClassPixels) else np.asarray(values, column.dtype)

    def of(self, masks: Sequence[int]) -> "MadeTables":
        """Tables of some of the masks."""
        rows, place = self._rows, {mask: index for index, mask in enumerate(masks)}
        buckets = (
            Bucket(bucket.canvas, [place[mask] for mask in bucket.masks if mask in place])
            for bucket in rows.layout.buckets
        )
        own = [*masks]
        part = MaskRows(
            keys=[rows.keys[mask] for mask in own],
            stats=[rows.stats[mask] for mask in own],
            layout=Layout(tuple(buckets)),
            split=rows.split[own],
            fold=rows.fold[own],
            images=[rows.images[mask] for mask in own],
            tiles=[rows.tiles[mask] for mask in own] if rows.tiles else (),
        )
        return MadeTables(part, self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def stats_in(tables: Tables, n_classes: int) -> Iterator[MaskStats]:
    """Statistics of each mask, without its problems."""
    rows = np.zeros(len(tables["instances/mask"]), INSTANCE_ROW)
    for name in INSTANCE_ROW.names or ():
        rows[name] = tables[f"instances/{name}"]
    runs = tables["instances/runs"].astype(np.int64)
    ends = [0, *np.cumsum(tables["instances/run_count"], dtype=np.int64).tolist()]
    stops = np.cumsum(tables["instance_count"], dtype=np.int64).tolist()
    numbers = tables[SOURCE_NUMBER].astype(np.int64) if SOURCE_NUMBER in tables else np.zeros(0, np.int64)
    for mask, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        yield MaskStats(
            shape=(int(tables["height"][mask]), int(tables["width"][mask])),
            n_classes=n_classes,
            class_counts=class_counts(tables["class_pixels"][mask]),
            instance_rows=rows[start:stop].tobytes(),
            runs=tuple(runs[a:b] for a, b in pairwise(ends[start : stop + 1])) if ends[stop] > ends[start] else (),
            problems=(),
            ignored=int(tables["ignored"][mask]),
            hidden=int(tables["hidden"][mask]),
            filled=bool(tables["filled_foreground"][mask]),
            digest=bytes(tables["digest"][mask]),
            source_numbers=numbers[start:stop].tobytes(),
        )


def bucket_of(info: BucketInfo) -> Bucket:
    """Bucket of a store, whose masks count from 0."""
    return Bucket((info.height, info.width), range(info.rows))


def layout_of(buckets: Sequence[BucketInfo], bucket: NDArray[Any], row: NDArray[Any]) -> Layout:
    """Layout of a store from its attributes and two of its tables; IntegrityError if these do not fit."""
    masks_of = []
    for number, info in enumerate(buckets):
        masks, members = np.full(info.rows, HOLE), np.flatnonzero(bucket == number)
        if row[members].max(initial=0) >= info.rows:
            raise IntegrityError(f"table row: {row[members].max()} is no row of the bucket {info.name}")
        masks[row[members]] = members
        masks_of.append(tuple(masks.tolist()))
    return Layout(tuple(Bucket((info.height, info.width), own) for info, own in zip(buckets, masks_of, strict=True)))


# --- in Zarr ---------------------------------------------------------------------------------------------------------


def encode_table(name: str, table: NDArray[Any] | ClassPixels) -> dict[str, bytes]:
    """Objects of a table, by their paths in the store."""
    form = ArrayForm(table.shape, table.dtype, _table_chunk(table.shape))
    objects = {f"{name}/zarr.json": array_metadata(form, _COLUMN_OF[name].dimensions)}
    chunks = enumerate(encode_chunks(form, table))
    return objects | {f"{name}/{shard_name(number, table.ndim)}": chunk for number, chunk in chunks}


def decode_table(root: AnyPath, info: StoreInfo, name: str, objects: Mapping[str, bytes]) -> NDArray[Any]:
    """Table of the store at `root` from the bytes of its objects, by their paths in the store."""
    with reading_errors(root, f"table {name}"):
        return _decode_table(info, name, objects.__getitem__)


def zarr_store(root: AnyPath) -> Any:
    """Store by which zarr-python reads the arrays."""
    from zarr.storage import ObjectStore  # noqa: PLC0415 - slow to import

    return ObjectStore(client(str(root)), read_only=True) if isinstance(root, BucketPath) else root


def read_table(root: AnyPath, info: StoreInfo, name: str) -> NDArray[Any]:
    """One table of the store at `root`, for example ``height`` or ``instances/area``."""
    with reading_errors(root, f"table {name}"):
        return _decode_table(info, name, lambda path: (root / path).read_bytes())


def _decode_table(info: StoreInfo, name: str, read: Callable[[str], bytes]) -> NDArray[Any]:
    """Values of a table from the bytes of its objects.

    Zarr would read zeros where a chunk is missing, and believes the size that a compressed chunk of a foreign store declares.
    """
    array = _table_form(info, name, read(f"{name}/zarr.json"))
    from imagecodecs import zstd_decode  # noqa: PLC0415 - slow to import

    size = math.prod(array.chunks) * array.dtype.itemsize
    paths = [f"{name}/{shard_name(number, array.ndim)}" for number in range(-(-array.shape[0] // array.chunks[0]))]
    chunks = [zstd_decode(_CHECKSUM.decode(read(path)), out=size) for path in paths]
    if wrong := next((len(chunk) for chunk in chunks if len(chunk) != size), None):
        raise ValueError(f"a chunk has {wrong:,} bytes instead of {size:,}")
    values = np.frombuffer(b"".join(chunks), array.dtype.newbyteorder("<"))
    return values.astype(array.dtype).reshape(-1, *array.shape[1:])[: array.shape[0]]


def _table_form(info: StoreInfo, name: str, metadata: bytes) -> Any:
    """Form of a table; ValueError for one that is larger than it can be, before any of it is decoded."""
    column = _COLUMN_OF[name]
    array = read_form(metadata) or _foreign_array(metadata)
    largest = max((bucket.height * bucket.width for bucket in info.buckets), default=0)
    limits = {
        **dict.fromkeys(("byte", "image_byte", "source_byte"), MAX_KEY_BYTES),
        "run": info.instances * (largest + 1),
    }
    for dimension, side in zip(column.dimensions, array.shape, strict=False):
        if side > limits.get(dimension, side):
            raise ValueError(f"its dimension {dimension!r} has length {side:,}; the limit is {limits[dimension]:,}")
    lengths = {"mask": info.masks, "instance": info.instances, "class": len(info.classes), "digest_byte": 16}
    sides = zip(column.dimensions, (*array.shape, 0), strict=False)
    shape = tuple(lengths.get(dimension, side) for dimension, side in sides)
    require_form(array, shape, column.dtype, _table_chunk(shape))
    return array


def _foreign_array(metadata: bytes) -> Any:
    """Array of zarr-python without chunks, from metadata that are not as segprep writes them."""
    import zarr  # noqa: PLC0415 - slow to import
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415
    from zarr.storage import MemoryStore  # noqa: PLC0415

    data = default_buffer_prototype().buffer.from_bytes(metadata)
    return zarr.open_array(MemoryStore({"zarr.json": data}), mode="r", zarr_format=3)


def _table_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the chunks of a table of this shape."""
    return (min(max(1, shape[0]), TABLE_CHUNK), *shape[1:])


def require_form(
    array: Any, shape: tuple[int, ...], dtype: DTypeLike, chunk: tuple[int, ...], shard: tuple[int, ...] | None = None
) -> None:
    """Raise ValueError unless an array has the shape, type and chunks that the attributes of its store imply."""
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(f"has shape {array.shape} and type {array.dtype} instead of {shape} and {np.dtype(dtype)}")
    if (array.chunks, array.shards) != (chunk, shard):
        raise ValueError(f"has chunks {array.chunks} and shards {array.shards} instead of {chunk} and {shard}")


@contextmanager
def reading_errors(root: AnyPath, what: str) -> Iterator[None]:
    """Turn errors of Zarr and missing objects into IntegrityError, and those of the storage into StorageError."""
    try:
        with as_os_errors(root):
            yield
    except (*MISSING, ValueError, RuntimeError, LookupError, TypeError) as error:  # the last: JSON that is no metadata
        raise IntegrityError(f"{root}: {what} cannot be read: {error}") from error
    except OSError as error:
        raise StorageError(f"{root}: {what} cannot be read: {error.strerror or error}") from error
