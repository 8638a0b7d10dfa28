"""The store: sharded Zarr v3 that says what it holds and whether it is whole.

::

    out.zarr/                      root attributes: `StoreInfo`
      key/ height/ split/ ...      one row per mask
      instances/                   one row per instance, and runs of those that the labels do not show whole
      256x320/                     one group per bucket
        labels/ classes/ weights/
          c/0/0/0                  a shard
          records/0.json           `Record`, written after the shard
      key/records/objects.json     `Objects`: size and checksum of everything else
      key/records/root.json        copy of the root's zarr.json, as it is once the store is complete
      key/records/.input           `Note`: what the input looked like

zarr-python encodes everything in memory; segprep puts the objects in place, each one whole: written beside its place,
flushed to the disk, renamed. So nothing is ever read back and modified, a kill leaves no torn object, and a record's
checksum is that of the very bytes. Records lie in the folders of arrays, where no Zarr reader looks for members.

Hidden files are no part of the store: they have no record, and differ where its bytes do not. The note is a mere hint that
saves loading the same masks again; it may be removed at any time.

The attributes name no version but segprep's own: the same input gives the same bytes under any zarr-python.
"""

import errno
import hashlib
import inspect
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, ObjectStore

from segprep.errors import IntegrityError, OutputError, StorageError
from segprep.masks.stats import INSTANCE_ROW, Counts
from segprep.paths.anypath import Place, remove_tree, storage_words, total_bytes
from segprep.paths.bucket import ObjectPath
from segprep.paths.client import client, heard_at_once
from segprep.store.layout import Bucket, Layout
from segprep.targets import Product

T = TypeVar("T")
R = TypeVar("R")

FORMAT = 1
"""Version of the store's layout; a reader refuses a larger one."""
LOCK = ".lock"
"""File that is in a store while it is written; see `segprep.paths.lock`."""
NOTE = "key/records/.input"
"""Where the note lies that says what the input looked like when the masks were loaded."""
PARTIAL = ".partial"
"""End of the names of files that are not yet in place."""
REQUESTS = 32
"""Requests to a bucket that are under way at once."""
TABLE_CHUNK = 65_536
"""Rows in a chunk of a table."""
OBJECTS = "key/records/objects.json"
"""Where `Objects` lies."""
ROOT_COPY = "key/records/root.json"
"""Where the copy of the root's metadata lies: a store whose zarr.json is lost is still known by it."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON it was told of."""
MASK_TABLES = (
    *("key", "bucket", "row", "height", "width", "split", "fold", "instance_count", "class_pixels"),
    *("ignored", "hidden", "digest", "filled_foreground", "filled_class"),
)
"""Tables with one row per mask."""
TABLES = (
    *MASK_TABLES,
    *(f"instances/{name}" for name in (*(INSTANCE_ROW.names or ()), "mask", "run_count", "runs")),
)
"""All tables of a store."""
TABLE_DIMENSIONS = {
    "key": ("mask", "byte"),
    "class_pixels": ("mask", "class"),
    "digest": ("mask", "digest_byte"),
    "instances/runs": ("run",),
}
"""Of the tables that have not just one row per mask, or per instance."""


class ClassCounts(msgspec.Struct, frozen=True):
    """Counts of one class: valid pixels, instances, images in which it occurs, and the valid pixels of these."""

    pixels: int
    instances: int
    images: int
    image_pixels: int


class ClassInfo(msgspec.Struct, frozen=True):
    """One class: as in `ClassEntry`, with its counts in all and in train, and its weight in train by every formula."""

    code: int
    id: int | None
    name: str
    is_thing: bool
    all: ClassCounts
    train: ClassCounts
    weights: dict[str, float]


class BucketInfo(msgspec.Struct, frozen=True):
    """One bucket: its group, its canvas in pixels, its rows, and the rows of a shard."""

    name: str
    height: int
    width: int
    rows: int
    shard_rows: int


class ProductInfo(msgspec.Struct, frozen=True):
    """One product: its parameters, and the fingerprint of all that its pixels depend on."""

    name: str
    version: int
    fingerprint: str
    parameters: dict[str, Any]


class FaultInfo(msgspec.Struct, frozen=True):
    """Something bad within a mask that was left out."""

    kind: str
    key: str
    where: str


class StoreInfo(msgspec.Struct, frozen=True):
    """What a store holds; its root attributes. `input` is the fingerprint of all masks, `reading` says how they were read."""

    format: int
    status: Literal["incomplete", "complete"]
    segprep: str
    source: str
    source_format: str
    input: str
    instance_rule: dict[str, Any]
    split_rule: dict[str, Any]
    masks: int
    instances: int
    ignored_pixels: int
    hidden_pixels: int
    classes: tuple[ClassInfo, ...]
    splits: tuple[str, ...]
    buckets: tuple[BucketInfo, ...]
    products: tuple[ProductInfo, ...]
    faults: tuple[FaultInfo, ...]
    reading: dict[str, Any] = msgspec.field(default_factory=dict)


class Record(msgspec.Struct, frozen=True):
    """Proof that a shard was written: its size in bytes, its SHA-256, and the fingerprint of its product."""

    bytes: int
    sha256: str
    fingerprint: str


class ObjectRecord(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 of an object."""

    bytes: int
    sha256: str


class Objects(msgspec.Struct, frozen=True):
    """Every object that is neither a shard nor a record, by its path, and the SHA-256 of this very list.

    The root's zarr.json stands there as it is once the store is complete.
    """

    objects: dict[str, ObjectRecord]
    sha256: str


class Note(msgspec.Struct, frozen=True):
    """Fingerprint of the names, sizes and times of the input's files, and that of the masks which were found in them.

    The second is the `StoreInfo.input` of the store: where it is another, the note is of other masks.
    """

    files: str
    masks: str


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
        As in `Product`.
    """

    path: str
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    fill: float
    pad: float


def array_spec(bucket: Bucket, product: Product) -> ArraySpec:
    """Array that holds `product` for the masks of `bucket`."""
    rows, height, width = bucket.shard_shape
    channels = (product.channels,) if product.channels else ()
    return ArraySpec(
        path=f"{bucket.name}/{product.name}",
        shape=(len(bucket.masks), *channels, *bucket.canvas),
        shard=(rows, *channels, height, width),
        chunk=(1, *(1 for _ in channels), *bucket.chunk),
        dtype=product.dtype,
        fill=product.fill,
        pad=product.pad,
    )


def create(
    root: Place,
    info: StoreInfo,
    layout: Layout,
    products: Iterable[Product],
    tables: Mapping[str, NDArray[Any]],
) -> None:
    """Write all metadata and tables of a store whose status is incomplete, over those that it may have, and their checksums.

    Until `put_info` says that the store is complete, nobody asks for the checksums; so a kill leaves none that are wrong.

    Parameters
    ----------
    root : Place
        Folder of the store; see `existing`.
    info : StoreInfo
        Root attributes.
    layout, products
        What the arrays are made of.
    tables : mapping of str to array
        One row per mask, or for names that begin with ``instances/`` one row per instance.

    Raises
    ------
    StorageError
        Where the place cannot be written.
    """
    objects: dict[str, Buffer] = {}
    memory = MemoryStore(objects)
    zarr.create_group(memory, path="instances")
    for name, table in tables.items():
        _encode_table(memory, name, table)
    for bucket in layout.buckets:
        zarr.create_group(memory, path=bucket.name)
        for product in products:
            attributes = {"description": summary(product), "parameters": plain(product)}
            _encode_array(memory, array_spec(bucket, product), attributes)
    complete = _encode_root(msgspec.structs.replace(info, status="complete"))
    contents = {path: data.to_bytes() for path, data in sorted(objects.items()) if path != "zarr.json"}
    put_info(root, info)
    with storage_errors(root):
        for path, data in contents.items():
            _put(root / path, data)
        _put(root / ROOT_COPY, complete)
        _put(root / OBJECTS, _encode_objects(contents | {"zarr.json": complete}))


def _encode_root(info: StoreInfo) -> bytes:
    """Bytes of the root's zarr.json."""
    objects: dict[str, Buffer] = {}
    zarr.create_group(MemoryStore(objects), attributes=msgspec.to_builtins(info))
    return objects["zarr.json"].to_bytes()


def _encode_objects(contents: Mapping[str, bytes]) -> bytes:
    """Bytes of `Objects`."""
    objects = {
        path: ObjectRecord(len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(contents.items())
    }
    return msgspec.json.encode(Objects(objects, _digest(objects)))


def _digest(objects: dict[str, ObjectRecord]) -> str:
    return hashlib.sha256(msgspec.json.encode(objects)).hexdigest()


def plain(parameters: Any) -> dict[str, Any]:
    """Fields of a frozen dataclass as they come back from JSON; an integer that stands for a float is one."""
    exact = msgspec.convert(msgspec.to_builtins(parameters), type=type(parameters))
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(exact))
    return fields


def summary(product: Product) -> str:
    """What a product is, with its conventions: its docstring up to the parameters."""
    return " ".join((inspect.getdoc(type(product)) or "").partition("\n\nAttributes\n")[0].split())


def existing(root: Place) -> StoreInfo | None:
    """Store that is at `root` already; None if the place is free, or holds nothing but what a kill left of a first object.

    Raises
    ------
    OutputError
        Where something is there that is no store of segprep: it is never touched.
    """
    with storage_errors(root):
        if not _exists(root) or (root.is_dir() and all(map(_is_passing, root.iterdir()))):
            return None
    try:
        return read_info(root)
    except (IntegrityError, StorageError):
        if _exists(root / ROOT_COPY):
            remedy = f"segprep verify {root} --repair DATA mends it"
            raise OutputError(f"{root}: exists, and its zarr.json is damaged; {remedy}") from None
        raise OutputError(f"{root}: exists and is no segprep store; choose another name") from None


def _is_passing(path: Place) -> bool:
    """Whether a file is in a store only while it is written, or was left by a run that was killed at its first object."""
    return path.name.startswith(LOCK) or (path.name.startswith(".zarr.json.") and path.name.endswith(PARTIAL))


def sweep(root: Place) -> None:
    """Remove files that were never put in place; objects in a bucket always are."""
    for path in [] if isinstance(root, ObjectPath) else root.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def _exists(path: Place) -> bool:
    """Whether there is something, a dangling link included; unlike `Path.exists` it does not take an error for a no."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def put_info(root: Place, info: StoreInfo) -> None:
    """Replace the root attributes; as complete, this is the last thing that is written."""
    data = _encode_root(info)
    with storage_errors(root):
        _put(root / "zarr.json", data)


def put_note(root: Place, note: Note) -> None:
    """Write the note, unless it is there already."""
    if read_note(root) != note:
        with storage_errors(root):
            _put(root / NOTE, msgspec.json.encode(note))


def read_note(root: Place) -> Note | None:
    """Note of the store at `root`; None where there is none that can be read."""
    try:
        return msgspec.json.decode((root / NOTE).read_bytes(), type=Note)
    except (OSError, *NO_JSON):
        return None


def discard(root: Place, info: StoreInfo, product: str | None = None) -> None:
    """Remove the arrays of a product, or of all and the tables too; whatever else lies there stays.

    The root attributes stay until others take their place, so that the folder is a store of segprep at any time.
    """
    put_info(root, msgspec.structs.replace(info, status="incomplete"))
    buckets = [root / bucket.name for bucket in info.buckets]
    tables = [root / name for name in (*MASK_TABLES, "instances")]
    with storage_errors(root):
        for folder in buckets + tables if product is None else [bucket / product for bucket in buckets]:
            remove_tree(folder)


def padded(spec: ArraySpec, rows: int) -> NDArray[Any]:
    """Array for the first `rows` rows of a shard, all padding, of shape (rows, H, W)."""
    return np.full((rows, *spec.shape[1:]), spec.pad, spec.dtype)


def write_shard(root: Place, spec: ArraySpec, number: int, rows: NDArray[Any], fingerprint: str) -> None:
    """Write one shard whole, then its record.

    Parameters
    ----------
    root : Place
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
        _put(place / shard_name(spec, number), data)
        _put(place / record_name(number), msgspec.json.encode(record))


def drop_record(root: Place, spec: ArraySpec, number: int) -> None:
    """Remove the record of a shard, which then counts as missing."""
    with storage_errors(root):
        (root / spec.path / record_name(number)).unlink(missing_ok=True)


def is_written(root: Place, spec: ArraySpec, number: int, fingerprint: str) -> bool:
    """Whether this shard has its record, from a run with this fingerprint, and is of the recorded size."""
    try:
        record = msgspec.json.decode((root / spec.path / record_name(number)).read_bytes(), type=Record)
        size = (root / spec.path / shard_name(spec, number)).stat().st_size
    except (OSError, *NO_JSON):
        return False
    return record.fingerprint == fingerprint and record.bytes == size


def are_written(root: Place, shards: Sequence[tuple[ArraySpec, int, str]]) -> list[bool]:
    """As `is_written`, for many shards."""
    return list(_answers(root, lambda each: is_written(root, *each), shards))


def _answers(root: Place, ask: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """What is asked of many objects; of a bucket, many are asked for at once, since each answer takes a while to come."""
    return heard_at_once(ask, items, REQUESTS) if isinstance(root, ObjectPath) else map(ask, items)


def shard_name(spec: ArraySpec, number: int) -> str:
    """Where a shard lies within its array: it spans all but the rows."""
    return "/".join(["c", str(number), *("0" for _ in spec.shape[1:])])


def record_name(number: int) -> str:
    """Where the record of a shard lies within its array."""
    return f"records/{number}.json"


def encode_shard(spec: ArraySpec, rows: NDArray[Any]) -> bytes:
    """Bytes of a shard with these rows; chunks are written whatever they hold, so that none can go missing unseen."""
    objects: dict[str, Buffer] = {}
    array = _encode_array(MemoryStore(objects), spec._replace(shape=rows.shape))
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
    array = _encode_array(MemoryStore(objects), spec._replace(shape=(rows, *spec.shape[1:])))
    objects[f"{spec.path}/{shard_name(spec, 0)}"] = default_buffer_prototype().buffer.from_bytes(data)
    try:
        return np.asarray(array[:])
    except (ValueError, RuntimeError) as error:
        raise IntegrityError(f"{spec.path}: cannot be decoded: {error}") from error


def _encode_array(memory: MemoryStore, spec: ArraySpec, attributes: dict[str, Any] | None = None) -> zarr.Array[Any]:
    """Create the array of `spec` in `memory`."""
    return zarr.create_array(
        memory,
        name=spec.path,
        shape=spec.shape,
        shards=spec.shard,
        chunks=spec.chunk,
        dtype=spec.dtype,
        fill_value=spec.fill,
        compressors=_codecs(),
        dimension_names=("row", "class", "y", "x") if len(spec.shape) == 4 else ("row", "y", "x"),  # noqa: PLR2004
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


def _encode_table(memory: MemoryStore, name: str, table: NDArray[Any]) -> None:
    """Create a table's column in `memory` and fill it."""
    dimensions = TABLE_DIMENSIONS.get(name, ("instance",) if name.startswith("instances/") else ("mask",))
    array = zarr.create_array(
        memory,
        name=name,
        shape=table.shape,
        chunks=(min(max(1, len(table)), TABLE_CHUNK), *table.shape[1:]),
        dtype=table.dtype,
        compressors=_codecs(),
        dimension_names=dimensions,
        config={"write_empty_chunks": True},
    )
    array[:] = table


def _codecs() -> list[ZstdCodec | Crc32cCodec]:
    """Small and fast on these maps; without the checksum most bit flips would read back as wrong pixels."""
    return [ZstdCodec(level=3), Crc32cCodec()]


def _put(path: Place, data: bytes) -> None:
    """Put an object in place: whole or not at all, and on the disk or in the bucket when this returns."""
    if isinstance(path, ObjectPath):
        path.write_bytes(data)
        return
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            sizes = f"{len(data):,} bytes were to be written, {shutil.disk_usage(path.parent).free:,} are free"
            raise OSError(error.errno, f"{error.strerror}: {sizes}", str(path)) from error
        raise
    _sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder with those around it, on the disk when this returns."""
    missing = list(takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(root: Place) -> Iterator[None]:
    """Translate what the system says of the disk."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or root}: cannot be written: {error.strerror}") from error


def read_info(root: Place, name: str = "zarr.json") -> StoreInfo:
    """Root attributes of the store at `root`, or those in the copy of them.

    Raises
    ------
    IntegrityError
        Where there is no store, or one that this version cannot read.
    """
    try:
        text = (root / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise IntegrityError(f"{root}: no segprep store: there is no {name} in it") from None
    except OSError as error:
        raise StorageError(f"{root}: cannot be read: {error.strerror}") from error
    try:
        version = msgspec.json.decode(text, type=_VersionOnly).attributes.format
        if version > FORMAT:
            raise IntegrityError(f"{root}: has format {version}, and this segprep reads up to {FORMAT}: update segprep")
        info = msgspec.json.decode(text, type=_Root).attributes
    except NO_JSON as error:
        raise IntegrityError(f"{root}: no segprep store: {name}: {error}") from None
    for each in info.buckets:  # these names are of folders that may be removed
        if each.name != Bucket((each.height, each.width), ()).name:
            raise IntegrityError(f"{root}: no segprep store: {name}: bucket {each.name!r} is not named after its size")
    return info


def decode_record(data: bytes) -> Record | None:
    """Record from its bytes; None where these are not the very bytes of one."""
    try:
        record = msgspec.json.decode(data, type=Record)
    except NO_JSON:
        return None
    return record if msgspec.json.encode(record) == data else None


def decode_objects(data: bytes) -> dict[str, ObjectRecord] | None:
    """Records of the objects from the bytes of `Objects`; None where these are not the very bytes of it."""
    try:
        found = msgspec.json.decode(data, type=Objects)
    except NO_JSON:
        return None
    whole = msgspec.json.encode(found) == data and _digest(found.objects) == found.sha256
    return found.objects if whole else None


class _Format(msgspec.Struct):
    format: int


class _VersionOnly(msgspec.Struct):
    attributes: _Format


class _Root(msgspec.Struct):
    attributes: StoreInfo


def train_counts(info: StoreInfo) -> Counts:
    """Counts of the train split of a store; instances of the fullest mask are not among them."""
    pixels, instances, images, image_pixels = (
        np.array([getattr(each.train, name) for each in info.classes], np.int64)
        for name in ClassCounts.__struct_fields__
    )
    return Counts(tuple(each.name for each in info.classes), pixels, instances, images, image_pixels, most_instances=0)


def zarr_store(root: Place) -> Any:
    """What zarr-python opens the arrays of a store by, to read them."""
    return ObjectStore(client(str(root)), read_only=True) if isinstance(root, ObjectPath) else root


def read_table(root: Place, name: str) -> NDArray[Any]:
    """One column of the store's tables, for example ``height`` or ``instances/area``."""
    try:
        with storage_words(root):
            array: Any = zarr.open_array(zarr_store(root), path=name, mode="r")
            # Zarr takes a chunk that is missing for one of zeros.
            for chunk in range(-(-array.shape[0] // array.chunks[0])):
                (root / name / "/".join(["c", str(chunk), *("0" for _ in array.shape[1:])])).stat()
            return np.asarray(array[:])
    except (OSError, ValueError, KeyError, TypeError) as error:  # the latter of metadata that are JSON, but no array's
        raise IntegrityError(f"{root}: table {name} cannot be read: {error}") from error


def are_intact(root: Place, tables: Sequence[str] = ()) -> bool:
    """Whether all metadata and tables, or these tables, have the bytes that the list of the objects has recorded."""

    def is_intact(path: str) -> bool:
        return hashlib.sha256((root / path).read_bytes()).hexdigest() == listed[path].sha256

    try:
        listed = decode_objects((root / OBJECTS).read_bytes()) or {}
        asked = [path for path in listed if not tables or path.startswith(tuple(f"{name}/" for name in tables))]
        if not listed or not all(f"{name}/zarr.json" in listed for name in tables):
            return False
        return all(_answers(root, is_intact, asked))
    except OSError:
        return False


def read_splits(root: Place, info: StoreInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Split and fold of each mask, where their tables are known to be those of the rule that the root attributes name.

    They are not where they are damaged, or where a run with another rule was ended before it had written them.
    """
    try:
        listed = read_info(root, ROOT_COPY)
    except (IntegrityError, StorageError):
        return None
    is_same = (listed.input, listed.split_rule) == (info.input, info.split_rule)
    if not (is_same and are_intact(root, ("split", "fold"))):
        return None
    return read_table(root, "split"), read_table(root, "fold")


def encode_keys(keys: Sequence[str]) -> NDArray[np.uint8]:
    """Names as bytes in UTF-8, zero padded, shape (masks, length of the longest): a type that every Zarr reader knows.

    Examples
    --------
    >>> decode_keys(encode_keys(["a", "\u00fc.png"]))
    ['a', '\u00fc.png']
    """
    names = np.array([key.encode() for key in keys])
    return names.view(np.uint8).reshape(len(keys), names.itemsize)


def decode_keys(table: NDArray[np.uint8]) -> list[str]:
    """Names that `encode_keys` made a table of."""
    return [bytes(row).rstrip(b"\0").decode() for row in table]


def read_layout(root: Place, info: StoreInfo) -> Layout:
    """Layout of a store."""
    bucket, row = read_table(root, "bucket"), read_table(root, "row")
    buckets = []
    for index, each in enumerate(info.buckets):
        masks = np.flatnonzero(bucket == index)
        buckets.append(Bucket((each.height, each.width), tuple(masks[np.argsort(row[masks])].tolist())))
    return Layout(tuple(buckets))


def bytes_on_disk(root: Place) -> int:
    """Size of all objects in the store."""
    try:
        return total_bytes(root)
    except OSError as error:
        raise StorageError(f"{root}: cannot be listed: {error.strerror}") from error
