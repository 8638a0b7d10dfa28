"""The store: sharded Zarr v3 that describes itself and can be checked.

::

    out.zarr/                      root attributes: `StoreInfo`
      key/ height/ split/ ...      one row per mask
      instances/                   one row per instance, and runs of those that the labels do not show completely
      256x320/                     one group per bucket
        labels/ classes/ weights/
          c/0/0/0                  a shard
          records/0.json           `Record`, written after the shard
      key/records/manifest.json    `Manifest`: size and checksum of everything else
      key/records/root.json        copy of the root's zarr.json, as it is once the store is complete
      key/records/.input           `InputStamp`: names, sizes and times of the input's files
      .segprep-scan/               results of the scan until the store is complete; see `segprep.runs.journal`

Everything is encoded in memory; segprep writes each object beside its place, flushes it to the disk and renames
it. So nothing is ever read back and modified, a kill leaves no torn object, and a record's checksum is that of the very
bytes. Records lie in the folders of arrays, where no Zarr reader looks for members.

Hidden files are no part of the store: they have no record, and may differ in stores of equal bytes. The input stamp only
saves loading the same masks again; it may be removed at any time.

The attributes name no version but that of segprep: the same input gives the same bytes under any zarr-python.
"""

from collections.abc import Iterable

import msgspec

from segprep.errors import IntegrityError, OptionError, OutputError, StorageError, some
from segprep.paths.anypath import AnyPath
from segprep.paths.files import LOCK, PARTIAL, SCAN, exists, no_such_path, put, put_all, storage, storage_errors
from segprep.store.encoding import array_metadata, group_metadata
from segprep.store.layout import Bucket, Layout
from segprep.store.places import PLACES, encode_places
from segprep.store.schema import (
    FORMAT,
    NO_JSON,
    UPDATED,
    FormatOnly,
    InputStamp,
    Manifest,
    ManifestEntry,
    RootMetadata,
    StoreInfo,
    description,
    manifest_digest,
    parameters_of,
    sha256,
)
from segprep.store.shards import array_spec
from segprep.store.tables import MASK_COLUMNS, MISSING, Tables, encode_table
from segprep.targets import Target
from segprep.targets.target import is_target_name

INPUT_STAMP = "key/records/.input"
"""Path of the `InputStamp`, taken when the masks were loaded."""
MANIFEST = "key/records/manifest.json"
ROOT_COPY = "key/records/root.json"
"""Path of the copy of the root's metadata, which identifies a store whose zarr.json is lost."""

MOST_MASKS = 10**8
"""Masks of the largest store that is opened: memory in proportion to their number is allocated before any table is read."""


class FormatError(IntegrityError):
    """A store of another format."""


class NewerFormatError(FormatError):
    """A store of a later format."""


def create(root: AnyPath, info: StoreInfo, layout: Layout, targets: Iterable[Target | None], tables: Tables) -> None:
    """Write all metadata and tables of an incomplete store, and their checksums, replacing any that exist.

    The checksums count once `put_info` has marked the store as complete, so that a kill leaves none that are wrong.
    """
    objects = made_objects(root, info, layout, targets, tables)
    manifest = objects.pop(MANIFEST)
    del objects["zarr.json"]
    put_info(root, info)
    put_all(root, objects)
    put(root, MANIFEST, manifest)


def made_objects(
    root: AnyPath, info: StoreInfo, layout: Layout, targets: Iterable[Target | None], tables: Tables
) -> dict[str, bytes]:
    """All objects of a complete store, by their paths, but shards, records and hidden files.

    The metadata of a target that is None, since its class is not known, are those that the store at `root` has.
    """
    known = [target for target in targets if target is not None]
    unknown = {stored.name for stored in info.targets} - {target.name for target in known}
    objects = {"instances/zarr.json": group_metadata()}
    for name, table in tables.items():
        objects |= encode_table(name, table)
    for bucket in layout.buckets:
        objects[f"{bucket.name}/zarr.json"] = group_metadata()
        for path in (f"{bucket.name}/{name}/zarr.json" for name in unknown):
            objects[path] = (root / path).read_bytes()
        for target in known:
            spec = array_spec(bucket, target)
            attributes = {"description": description(target), "parameters": parameters_of(target)}
            objects[f"{spec.path}/zarr.json"] = array_metadata(spec.form, spec.dimensions, attributes)
    if info.format == UPDATED:
        objects[PLACES] = encode_places(tables)
    complete = _encode_root(msgspec.structs.replace(info, status="complete"))
    contents = sorted([*objects.items(), ("zarr.json", complete)])
    entries = {path: ManifestEntry(len(data), sha256(data)) for path, data in contents}
    manifest = msgspec.json.encode(Manifest(entries, manifest_digest(entries)))
    return objects | {"zarr.json": complete, ROOT_COPY: complete, MANIFEST: manifest}


def _encode_root(info: StoreInfo) -> bytes:
    """Bytes of the root's zarr.json."""
    return group_metadata(msgspec.to_builtins(info))


def open_existing(root: AnyPath) -> StoreInfo | None:
    """Attributes of the store at `root`; None if nothing is there, or only the remains of a run killed at its start.

    Anything else, also a store of another format, is an OutputError: it is never touched.
    """
    with storage_errors(root):
        if not exists(root) or (root.is_dir() and all(map(_is_transient, root.iterdir()))):
            return None
    try:
        return read_info(root)
    except FormatError as error:
        raise OutputError(f"{error}, or choose another name") from None
    except IntegrityError:
        if exists(root / ROOT_COPY):
            raise OutputError(
                f"{root}: exists, and its zarr.json is damaged; verify and repair it with the data set it was made from"
            ) from None
        raise OutputError(f"{root}: exists and is not a segprep store; choose another name") from None


def _is_transient(path: AnyPath) -> bool:
    """True for files that exist only while a store is written, or were left by a run killed at its first object."""
    return (
        path.name == SCAN
        or path.name.startswith(LOCK)
        or (path.name.startswith(".zarr.json.") and path.name.endswith(PARTIAL))
    )


def put_info(root: AnyPath, info: StoreInfo) -> None:
    """Replace the root attributes. With the status complete, this is the last write of a run."""
    put(root, "zarr.json", _encode_root(info))


def put_stamp(root: AnyPath, stamp: InputStamp) -> None:
    """Write the input stamp, unless it is there already."""
    if read_stamp(root) != stamp:
        put(root, INPUT_STAMP, msgspec.json.encode(stamp))


def read_stamp(root: AnyPath) -> InputStamp | None:
    """Input stamp of the store at `root`; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((root / INPUT_STAMP).read_bytes(), type=InputStamp)
    except (OSError, *NO_JSON):
        return None


def delete(root: AnyPath, info: StoreInfo, target: str | None = None) -> None:
    """Remove the arrays of a target, or those of all targets and the tables; other files in the folder are kept.

    The root attributes stay until others replace them, so that the folder is a segprep store at any time.
    """
    put_info(root, msgspec.structs.replace(info, status="incomplete"))
    buckets = [root / bucket.name for bucket in info.buckets]
    tables = [root / name for name in (*(column.name for column in MASK_COLUMNS), "instances")]
    with storage_errors(root):
        for folder in buckets + tables if target is None else [bucket / target for bucket in buckets]:
            storage(folder).remove_tree()


def read_info(root: AnyPath, name: str = "zarr.json") -> StoreInfo:
    """Root attributes of the store at `root`, from its zarr.json or from `ROOT_COPY`."""
    try:
        data = (root / name).read_bytes()
    except MISSING:
        reason = f"it has no {name}" if exists(root) else no_such_path(root)
        raise IntegrityError(f"{root}: not a segprep store: {reason}") from None
    except OSError as error:
        raise StorageError(f"{root}: cannot be read: {error.strerror}") from error
    return decode_info(root, name, data)


def is_store(root: AnyPath) -> bool:
    """True for a segprep store; IntegrityError for one that is damaged or of another format."""
    if not exists(root / "zarr.json"):
        return False
    try:
        read_info(root)
    except FormatError:
        raise
    except IntegrityError:
        if exists(root / ROOT_COPY):
            raise
        return False
    return True


def decode_info(root: AnyPath, name: str, data: bytes) -> StoreInfo:
    """Root attributes from the bytes of an object of the store at `root`; see `read_info`."""
    try:
        number = msgspec.json.decode(data, type=RootMetadata[FormatOnly]).attributes.format
        if number > UPDATED:
            raise NewerFormatError(
                f"{root}: has store format {number}, newer than {UPDATED}, which this is for: update segprep"
            )
        if number < FORMAT:
            raise FormatError(
                f"{root}: was made by an earlier version of segprep (format {number}); delete it and make it again"
            )
        info = msgspec.json.decode(data, type=RootMetadata[StoreInfo]).attributes
    except (OptionError, *NO_JSON) as error:
        raise IntegrityError(f"{root}: not a segprep store: {name}: {error}") from None
    # These are names of folders that may be removed.
    for bucket in info.buckets:
        if bucket.name != Bucket((bucket.height, bucket.width), ()).name:
            raise IntegrityError(
                f"{root}: not a segprep store: {name}: bucket {bucket.name!r} is not named by its size"
            )
    rows = [bucket.rows for bucket in info.buckets]
    fits = info.masks <= sum(rows) <= MOST_MASKS if info.format == UPDATED else info.masks == sum(rows)
    if info.masks > MOST_MASKS or not fits or min(rows, default=0) < 1:
        raise IntegrityError(
            f"{root}: not a segprep store: {name}: has {info.masks:,} masks, and buckets of {some(rows)}"
        )
    for target in info.targets:
        if not is_target_name(target.name):
            raise IntegrityError(f"{root}: not a segprep store: {name}: {target.name!r} is no name of a target")
    return info


def bytes_on_disk(root: AnyPath) -> int:
    """Size of all objects in the store."""
    try:
        return storage(root).total_bytes()
    except OSError as error:
        raise StorageError(f"{root}: cannot be listed: {error.strerror}") from error
