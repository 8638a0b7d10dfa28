"""State of a store that may be damaged: its attributes, manifest, tables and layout."""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.store.layout import Bucket, Layout
from segprep.store.metadata import MANIFEST, ROOT_COPY, read_info
from segprep.store.schema import ManifestEntry, Record, StoreInfo, decode_manifest
from segprep.store.tables import TABLES, decode_keys, read_layout, read_table

T = TypeVar("T")


UNLISTED = "the metadata and tables have no valid checksums; --repair DATA writes them"


class Finding(msgspec.Struct, frozen=True):
    """A damaged object: its path, what is wrong, and which masks a shard holds, first to last."""

    path: str
    what: str
    masks: str = ""


class StoreState(NamedTuple):
    """What is known of a store that may be damaged.

    Attributes
    ----------
    info : StoreInfo
        What it holds.
    objects : int
        How many objects it has that are neither shards nor records.
    findings : tuple of Finding
        Those of them that are damaged.
    intact : frozenset of str
        Tables that are whole.
    layout : Layout
        Bucket and row of every mask; where it is damaged, masks count from 0 in every bucket.
    keys : list of str or None
        Names of the masks; None where these or the layout are damaged.
    """

    info: StoreInfo
    objects: int
    findings: tuple[Finding, ...]
    intact: frozenset[str]
    layout: Layout
    keys: list[str] | None


def inspect_store(root: AnyPath) -> StoreState:
    """What is known of a store, and which of its metadata and tables are damaged, or not yet written.

    Raises
    ------
    IntegrityError
        Where there is no store.
    """
    data = bytes_of(root / MANIFEST)
    objects = decode_manifest(data) if isinstance(data, bytes) else None
    info = _info(root, objects)
    findings = []
    if objects is not None and not _is_list_of(objects, root, info):
        objects = None
        findings.append(Finding(MANIFEST, f"is of a former run: {UNLISTED}"))
    elif objects is None:
        what = "is damaged" if isinstance(data, bytes) else data
        findings.append(Finding(MANIFEST, f"{what}: {UNLISTED}"))
    listed = objects or {}
    copies = {ROOT_COPY: listed["zarr.json"]} if objects else {}
    for path, record in (listed | copies).items():
        if problem := fault_of(bytes_of(root / path), record):
            begun = path == "zarr.json" and info.status != "complete"
            findings.append(Finding(path, "says that the store is incomplete" if begun else problem))
    if objects is None:
        findings += _unlisted(root, info)
    damaged = {each.path.partition("/c/")[0].removesuffix("/zarr.json") for each in findings}
    intact = frozenset(TABLES) - damaged if objects is not None else frozenset()
    named = {"key", "bucket", "row"} <= intact
    layout = read_layout(root, info) if named else _rows_alone(info)
    keys = decode_keys(read_table(root, "key")) if named else None
    return StoreState(info, len(listed | copies) + 1, tuple(findings), intact, layout, keys)


def _info(root: AnyPath, objects: dict[str, ManifestEntry] | None) -> StoreInfo:
    """Root attributes, by the copy of them where they are damaged themselves."""
    found = [each for name in ("zarr.json", ROOT_COPY) if (each := _readable(root, name))]
    if not found:
        return read_info(root)
    if found[0].status != "complete":
        return found[0]
    if objects is None and found[0] == found[-1]:
        return found[0]
    if objects is not None:
        for name in ("zarr.json", ROOT_COPY):
            if not fault_of(bytes_of(root / name), objects["zarr.json"]):
                return read_info(root, name)
    raise IntegrityError(f"{root}: zarr.json is damaged, and so is what would mend it: make the store anew")


def _is_list_of(objects: dict[str, ManifestEntry], root: AnyPath, info: StoreInfo) -> bool:
    """Whether a list of objects was written by the run that wrote the root attributes; if not, that run was ended before."""
    if info.status == "complete":
        return True
    made = _readable(root, ROOT_COPY)
    is_listed = fault_of(bytes_of(root / ROOT_COPY), objects["zarr.json"]) is None
    return is_listed and made is not None and msgspec.structs.replace(made, status=info.status) == info


def _readable(root: AnyPath, name: str) -> StoreInfo | None:
    """Root attributes, or those in the copy of them, if they can be read."""
    try:
        return read_info(root, name)
    except IntegrityError:
        return None


def _unlisted(root: AnyPath, info: StoreInfo) -> Iterator[Finding]:
    """Metadata that are plainly not there, where no list says what there must be."""
    groups = ["", "instances/", *(f"{bucket.name}/" for bucket in info.buckets)]
    arrays = [f"{bucket.name}/{target.name}/" for bucket in info.buckets for target in info.targets]
    for path in (f"{name}zarr.json" for name in (*groups, *arrays, *(f"{table}/" for table in TABLES))):
        if not (root / path).is_file():
            yield Finding(path, "is missing")
    if _readable(root, "zarr.json") is None:
        yield Finding("zarr.json", "is damaged")


def _rows_alone(info: StoreInfo) -> Layout:
    """Layout as far as the root attributes know it."""
    return Layout(tuple(Bucket((each.height, each.width), tuple(range(each.rows))) for each in info.buckets))


def bytes_of(path: AnyPath) -> bytes | str:
    """Bytes of an object, or why there are none."""
    return ask(path.read_bytes)


def ask(ask: Callable[[], T]) -> T | str:
    """What is asked of an object, or why there is no answer."""
    try:
        return ask()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def fault_of(data: bytes | str, record: ManifestEntry | Record) -> str | None:
    """What is wrong with an object's bytes, or why there are none, by its record."""
    if isinstance(data, str):
        return data
    if problem := size_fault(len(data), record.bytes):
        return problem
    return (
        None if hashlib.sha256(data).hexdigest() == record.sha256 else "is damaged: its SHA-256 is not the recorded one"
    )


def size_fault(found: int, size: int) -> str | None:
    """What is wrong with the size of an object."""
    return None if found == size else f"has {found:,} bytes instead of {size:,}"
