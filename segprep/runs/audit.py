"""State of a store, which may be damaged: its attributes, manifest, tables and layout, each object read once."""

import errno
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import IntegrityError, OptionError, StorageError
from segprep.masks.splits import SplitArray
from segprep.paths.anypath import AnyPath
from segprep.paths.files import storage
from segprep.store.layout import Layout, Shard
from segprep.store.metadata import MANIFEST, ROOT_COPY, NewerFormatError, decode_info, open_existing, read_info
from segprep.store.places import PLACE_TABLES, PLACES, Places, decode_places
from segprep.store.schema import UPDATED, ManifestEntry, Record, StoreInfo, decode_manifest, stored_target, target_types
from segprep.store.shards import TargetShard, target_shards
from segprep.store.tables import bucket_of, decode_keys, decode_table, layout_of, read_table, table_names
from segprep.targets import Target

T = TypeVar("T")
DAMAGE = frozenset({errno.EIO, errno.EISDIR, errno.ELOOP})
"""Errors of the system for a damaged object: bad sectors, and a folder or a circular link in its place."""
Targets = Iterable[type[Target] | Target]
"""Targets that are not part of segprep, by their classes."""
KeptSplits = tuple[SplitArray | None, SplitArray | None]
"""Split and fold of each mask, None where they have to be computed."""


class Finding(msgspec.Struct, frozen=True):
    """A damaged object: its path, the damage, and the masks that a shard holds, first to last."""

    path: str
    what: str
    masks: str = ""


@dataclass(frozen=True, eq=False)
class StoreState:
    """A store as it was read at one time.

    `info` is from the copy of the root attributes if they are damaged themselves; a target is None if its class is not
    known. The manifest is empty if it is damaged; `contents` are the bytes of what it lists, as far as they are intact.
    A killed run may leave tables of a former one: `has_these_masks` and `has_these_splits` are True if they fit `info`.
    """

    root: AnyPath
    info: StoreInfo
    targets: tuple[Target | None, ...]
    manifest: dict[str, ManifestEntry]
    contents: dict[str, bytes]
    findings: tuple[Finding, ...]
    has_these_masks: bool
    has_these_splits: bool

    @property
    def objects(self) -> int:
        """Number of objects that were checked: the manifest, what it lists, and the copy of the root attributes."""
        return 1 if any(finding.path == MANIFEST for finding in self.findings) else len(self.manifest) + 2

    def is_intact(self, *tables: str) -> bool:
        """True if these tables are as the manifest lists them."""
        return all(
            f"{name}/zarr.json" in self.manifest
            and all(path in self.contents for path in self.manifest if path.startswith(f"{name}/") and path != PLACES)
            for name in tables
        )

    def table(self, name: str) -> NDArray[Any]:
        """One table; if its checksum is wrong or unknown, as far as it can be read."""
        if self.is_intact(name):
            return decode_table(self.root, self.info, name, self.contents)
        return read_table(self.root, self.info, name)

    @cached_property
    def placed(self) -> Places | None:
        """Place of each mask, from the tables or their copy; None where both are damaged or of other masks."""
        if not self.has_these_masks:
            return None
        if self.is_intact(*PLACE_TABLES) or not self.manifest:
            with suppress(IntegrityError):
                return Places.of({name: self.table(name) for name in PLACE_TABLES})
        return decode_places(self.contents[PLACES]) if PLACES in self.contents else None

    def places(self) -> tuple[Layout, list[str] | None]:
        """Layout and names of the masks; without intact tables, they count from 0 in every bucket and have no names."""
        if self.info.format == UPDATED and self.placed is not None:
            with suppress(IntegrityError):
                return self.placed.layout(self.info.buckets), self.placed.keys
        names = ("key", "bucket", "row")
        if self.has_these_masks and (self.is_intact(*names) or not self.manifest):
            with suppress(IntegrityError):
                keys, bucket, row = map(self.table, names)
                return layout_of(self.info.buckets, bucket, row), decode_keys(keys)
        return Layout(tuple(map(bucket_of, self.info.buckets))), None

    def splits(self) -> KeptSplits:
        """Split and fold of each mask; None where the table is damaged or belongs to another rule."""

        def kept(name: str) -> SplitArray | None:
            if self.has_these_splits and (self.is_intact(name) or not self.manifest):
                with suppress(IntegrityError):
                    table = self.table(name)
                    return table if table.shape == (self.info.masks,) and table.dtype == np.uint8 else None
            if self.has_these_splits and self.info.format == UPDATED and self.placed is not None:
                return np.array(getattr(self.placed, name), np.uint8)
            return None

        return kept("split"), kept("fold")

    @property
    def unknown(self) -> list[str]:
        """Names of the targets whose classes are not known."""
        return [info.name for info, target in zip(self.info.targets, self.targets, strict=True) if target is None]

    def bound(self) -> tuple[Target, ...]:
        """The fitted targets; OptionError if the class of one is not known."""
        if self.unknown:
            raise needs_class(self.root, self.unknown[0])
        return tuple(target for target in self.targets if target is not None)

    def require_carried(self) -> None:
        """Raise OptionError if the metadata of a target whose class is not known are damaged, and so cannot be kept."""
        for name in self.unknown:
            if not self.is_intact(*(f"{bucket.name}/{name}" for bucket in self.info.buckets)):
                raise needs_class(self.root, name)

    def shards(self, layout: Layout, shard: Shard) -> list[TargetShard]:
        """One shard of every target."""
        if self.info.format != UPDATED:
            return target_shards(layout, shard, self.info.targets, self.targets)
        if self.placed is None:
            shards = target_shards(layout, shard, self.info.targets, self.targets)
            return [item._replace(fingerprint="") for item in shards]  # it cannot be known
        return target_shards(layout, shard, self.info.targets, self.targets, self.placed.digests)


def needs_class(root: AnyPath, target: str) -> OptionError:
    """Error for a target that must be computed or checked, and whose class is not known."""
    return OptionError(
        f"{root}: has a target {target!r} that is not part of segprep, and this needs its class: in Python, pass it as "
        "targets=[...]"
    )


def existing_state(root: AnyPath, targets: Targets = ()) -> StoreState | None:
    """State of the store at `root`; None if nothing is there."""
    target_types(targets)  # the names are checked also where there is no store yet
    return None if open_existing(root) is None else read_state(root, targets)


def read_state(root: AnyPath, targets: Targets = ()) -> StoreState:
    """State of the store at `root`; `targets` are those that are not part of segprep."""
    types = target_types(targets)
    objects = {name: bytes_of(root / name) for name in ("zarr.json", ROOT_COPY, MANIFEST)}
    data = objects[MANIFEST]
    manifest = decode_manifest(data) if isinstance(data, bytes) else {}
    others = [path for path in manifest if path != "zarr.json"]
    objects |= zip(others, storage(root).map(lambda path: bytes_of(root / path), others), strict=True)
    listed = manifest | ({ROOT_COPY: manifest["zarr.json"]} if manifest else {})
    damage = {path: problem for path, entry in listed.items() if (problem := problem_of(objects[path], entry))}
    contents = {path: body for path in listed if path not in damage and isinstance(body := objects[path], bytes)}
    info, copy = _root_info(root, objects, damage, is_listed=bool(manifest))
    is_complete = info.status == "complete"
    is_current = is_complete or (
        copy is not None and ROOT_COPY not in damage and msgspec.structs.replace(copy, status=info.status) == info
    )
    if not is_complete and "zarr.json" in damage:
        damage["zarr.json"] = "has the status incomplete"
    if not (manifest and is_current):
        reason = "is from a former run" if manifest else "is damaged" if isinstance(data, bytes) else data
        unlisted = f"{reason}: metadata and tables have no valid checksums; repair with the data set writes them"
        damage = {MANIFEST: unlisted} | _missing_metadata(root, info, objects)
    return StoreState(
        root=root,
        info=info,
        targets=tuple(stored_target(target, types) for target in info.targets),
        manifest=manifest,
        contents=contents,
        findings=tuple(Finding(path, problem) for path, problem in damage.items()),
        has_these_masks=is_complete
        or (
            copy is not None and (copy.input, copy.buckets, copy.revision) == (info.input, info.buckets, info.revision)
        ),
        has_these_splits=is_complete
        or (copy is not None and (copy.input, copy.split_rule) == (info.input, info.split_rule)),
    )


def _root_info(
    root: AnyPath, objects: dict[str, bytes | str], damage: dict[str, str], *, is_listed: bool
) -> tuple[StoreInfo, StoreInfo | None]:
    """Root attributes, from their copy if they are damaged themselves; and the copy, if it can be read."""
    decoded: dict[str, StoreInfo] = {}
    for name in ("zarr.json", ROOT_COPY):
        data = objects[name]
        if isinstance(data, bytes):
            try:
                decoded[name] = decode_info(root, name, data)
            except NewerFormatError:
                if name == "zarr.json":  # which a later version replaces first
                    raise
            except IntegrityError:
                pass
    copy = decoded.get(ROOT_COPY)
    if not decoded:
        return read_info(root), None  # raises
    first, *others = decoded.values()
    if first.status != "complete" or (not is_listed and others in ([], [first])):
        return first, copy
    intact = [info for name, info in decoded.items() if is_listed and name not in damage]
    if not intact:
        raise IntegrityError(f"{root}: zarr.json is damaged, and so is its copy: make the store again")
    return intact[0], copy


def _missing_metadata(root: AnyPath, info: StoreInfo, objects: dict[str, bytes | str]) -> dict[str, str]:
    """Metadata that are missing, for a store whose manifest does not list them."""
    groups = ["instances", *(bucket.name for bucket in info.buckets)]
    arrays = [f"{bucket.name}/{target.name}" for bucket in info.buckets for target in info.targets]
    paths = [f"{name}/zarr.json" for name in (*groups, *arrays, *table_names(info))]
    missing = {path: "is missing" for path in paths if not (root / path).is_file()}
    data = objects["zarr.json"]
    if isinstance(data, str):
        return {"zarr.json": data} | missing
    try:
        decode_info(root, "zarr.json", data)
    except IntegrityError:
        return {"zarr.json": "is damaged"} | missing
    return missing


def bytes_of(path: AnyPath) -> bytes | str:
    """Bytes of an object, or the reason why there are none."""
    return answer_of(path.read_bytes)


def answer_of(read: Callable[[], T]) -> T | str:
    """Result of reading an object, or the reason why there is none; StorageError where that is not the object's."""
    try:
        return read()
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        if error.errno not in DAMAGE:
            raise StorageError(f"{error.filename}: cannot be read: {error.strerror}") from error
        return f"cannot be read: {error.strerror}"


def problem_of(data: bytes | str, record: ManifestEntry | Record) -> str | None:
    """Damage of an object, from its bytes or the reason why there are none, and its record."""
    if isinstance(data, str):
        return data
    if problem := size_problem(len(data), record.bytes):
        return problem
    is_same = hashlib.sha256(data).hexdigest() == record.sha256
    return None if is_same else "is damaged: its SHA-256 is not the recorded one"


def size_problem(size: int, recorded: int) -> str | None:
    """Damage of an object that has another size than recorded."""
    return None if size == recorded else f"has {size:,} bytes instead of {recorded:,}"
