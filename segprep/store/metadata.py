"""The store: sharded Zarr v3 that says what it holds and whether it is whole.

::

    out.zarr/                      root attributes: `StoreInfo`
      key/ height/ split/ ...      one row per mask
      instances/                   one row per instance, and runs of those that the labels do not show whole
      256x320/                     one group per bucket
        labels/ classes/ weights/
          c/0/0/0                  a shard
          records/0.json           `Record`, written after the shard
      key/records/manifest.json     `Manifest`: size and checksum of everything else
      key/records/root.json        copy of the root's zarr.json, as it is once the store is complete
      key/records/.input           `InputStamp`: what the input looked like

zarr-python encodes everything in memory; segprep puts the objects in place, each one whole: written beside its place,
flushed to the disk, renamed. So nothing is ever read back and modified, a kill leaves no torn object, and a record's
checksum is that of the very bytes. Records lie in the folders of arrays, where no Zarr reader looks for members.

Hidden files are no part of the store: they have no record, and differ where its bytes do not. The note is a mere hint that
saves loading the same masks again; it may be removed at any time.

The attributes name no version but segprep's own: the same input gives the same bytes under any zarr-python.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.storage import MemoryStore

from segprep.errors import IntegrityError, OutputError, StorageError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import LOCK, PARTIAL, exists, put, storage, storage_errors
from segprep.store.layout import Bucket, Layout
from segprep.store.schema import (
    FORMAT,
    NO_JSON,
    FormatOnly,
    InputStamp,
    Manifest,
    ManifestEntry,
    RootMetadata,
    StoreInfo,
    decode_manifest,
    manifest_digest,
    summary,
    to_builtins,
)
from segprep.store.shards import array_spec, encode_array, map_objects
from segprep.store.tables import MASK_TABLES, encode_table, read_table
from segprep.targets import Target

INPUT_STAMP = "key/records/.input"
"""Where the note lies that says what the input looked like when the masks were loaded."""
MANIFEST = "key/records/manifest.json"
"""Where `Manifest` lies."""
ROOT_COPY = "key/records/root.json"
"""Where the copy of the root's metadata lies: a store whose zarr.json is lost is still known by it."""


def create(
    root: AnyPath,
    info: StoreInfo,
    layout: Layout,
    targets: Iterable[Target],
    tables: Mapping[str, NDArray[Any]],
) -> None:
    """Write all metadata and tables of a store whose status is incomplete, over those that it may have, and their checksums.

    Until `put_info` says that the store is complete, nobody asks for the checksums; so a kill leaves none that are wrong.

    Parameters
    ----------
    root : AnyPath
        Folder of the store; see `open_existing`.
    info : StoreInfo
        Root attributes.
    layout, targets
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
        encode_table(memory, name, table)
    for bucket in layout.buckets:
        zarr.create_group(memory, path=bucket.name)
        for target in targets:
            attributes = {"description": summary(target), "parameters": to_builtins(target)}
            encode_array(memory, array_spec(bucket, target), attributes)
    complete = _encode_root(msgspec.structs.replace(info, status="complete"))
    contents = {path: data.to_bytes() for path, data in sorted(objects.items()) if path != "zarr.json"}
    put_info(root, info)
    with storage_errors(root):
        for path, data in contents.items():
            put(root / path, data)
        put(root / ROOT_COPY, complete)
        put(root / MANIFEST, _encode_manifest(contents | {"zarr.json": complete}))


def _encode_root(info: StoreInfo) -> bytes:
    """Bytes of the root's zarr.json."""
    objects: dict[str, Buffer] = {}
    zarr.create_group(MemoryStore(objects), attributes=msgspec.to_builtins(info))
    return objects["zarr.json"].to_bytes()


def _encode_manifest(contents: Mapping[str, bytes]) -> bytes:
    """Bytes of `Manifest`."""
    objects = {
        path: ManifestEntry(len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(contents.items())
    }
    return msgspec.json.encode(Manifest(objects, manifest_digest(objects)))


def open_existing(root: AnyPath) -> StoreInfo | None:
    """Store that is at `root` already; None if the place is free, or holds nothing but what a kill left of a first object.

    Raises
    ------
    OutputError
        Where something is there that is no store of segprep: it is never touched.
    """
    with storage_errors(root):
        if not exists(root) or (root.is_dir() and all(map(_is_passing, root.iterdir()))):
            return None
    try:
        return read_info(root)
    except (IntegrityError, StorageError):
        if exists(root / ROOT_COPY):
            remedy = f"segprep verify {root} --repair DATA mends it"
            raise OutputError(f"{root}: exists, and its zarr.json is damaged; {remedy}") from None
        raise OutputError(f"{root}: exists and is no segprep store; choose another name") from None


def _is_passing(path: AnyPath) -> bool:
    """Whether a file is in a store only while it is written, or was left by a run that was killed at its first object."""
    return path.name.startswith(LOCK) or (path.name.startswith(".zarr.json.") and path.name.endswith(PARTIAL))


def put_info(root: AnyPath, info: StoreInfo) -> None:
    """Replace the root attributes; as complete, this is the last thing that is written."""
    data = _encode_root(info)
    with storage_errors(root):
        put(root / "zarr.json", data)


def put_stamp(root: AnyPath, note: InputStamp) -> None:
    """Write the note, unless it is there already."""
    if read_stamp(root) != note:
        with storage_errors(root):
            put(root / INPUT_STAMP, msgspec.json.encode(note))


def read_stamp(root: AnyPath) -> InputStamp | None:
    """Note of the store at `root`; None where there is none that can be read."""
    try:
        return msgspec.json.decode((root / INPUT_STAMP).read_bytes(), type=InputStamp)
    except (OSError, *NO_JSON):
        return None


def delete(root: AnyPath, info: StoreInfo, target: str | None = None) -> None:
    """Remove the arrays of a target, or of all and the tables too; whatever else lies there stays.

    The root attributes stay until others take their place, so that the folder is a store of segprep at any time.
    """
    put_info(root, msgspec.structs.replace(info, status="incomplete"))
    buckets = [root / bucket.name for bucket in info.buckets]
    tables = [root / name for name in (*MASK_TABLES, "instances")]
    with storage_errors(root):
        for folder in buckets + tables if target is None else [bucket / target for bucket in buckets]:
            storage(folder).remove_tree()


def read_info(root: AnyPath, name: str = "zarr.json") -> StoreInfo:
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
        version = msgspec.json.decode(text, type=FormatOnly).attributes.format
        if version > FORMAT:
            raise IntegrityError(f"{root}: has format {version}, and this segprep reads up to {FORMAT}: update segprep")
        info = msgspec.json.decode(text, type=RootMetadata).attributes
    except NO_JSON as error:
        raise IntegrityError(f"{root}: no segprep store: {name}: {error}") from None
    for each in info.buckets:  # these names are of folders that may be removed
        if each.name != Bucket((each.height, each.width), ()).name:
            raise IntegrityError(f"{root}: no segprep store: {name}: bucket {each.name!r} is not named after its size")
    return info


def checksums_match(root: AnyPath, tables: Sequence[str] = ()) -> bool:
    """Whether all metadata and tables, or these tables, have the bytes that the list of the objects has recorded."""

    def is_intact(path: str) -> bool:
        return hashlib.sha256((root / path).read_bytes()).hexdigest() == listed[path].sha256

    try:
        listed = decode_manifest((root / MANIFEST).read_bytes()) or {}
        asked = [path for path in listed if not tables or path.startswith(tuple(f"{name}/" for name in tables))]
        if not listed or not all(f"{name}/zarr.json" in listed for name in tables):
            return False
        return all(map_objects(root, is_intact, asked))
    except OSError:
        return False


def read_splits(root: AnyPath, info: StoreInfo) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Split and fold of each mask, where their tables are known to be those of the rule that the root attributes name.

    They are not where they are damaged, or where a run with another rule was ended before it had written them.
    """
    try:
        listed = read_info(root, ROOT_COPY)
    except (IntegrityError, StorageError):
        return None
    is_same = (listed.input, listed.split_rule) == (info.input, info.split_rule)
    if not (is_same and checksums_match(root, ("split", "fold"))):
        return None
    return read_table(root, "split"), read_table(root, "fold")


def bytes_on_disk(root: AnyPath) -> int:
    """Size of all objects in the store."""
    try:
        return storage(root).total_bytes()
    except OSError as error:
        raise StorageError(f"{root}: cannot be listed: {error.strerror}") from error
