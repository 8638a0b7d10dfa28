"""Root attributes, records and the manifest of a store, as typed data; msgspec does the JSON."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np

from segprep.errors import IntegrityError, OptionError
from segprep.masks.classes import ClassEntry, ClassTable
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import RegionRule
from segprep.masks.splits import SplitRule
from segprep.masks.stats import Counts
from segprep.masks.tiles import Tiling
from segprep.readers import ReadOptions
from segprep.store.layout import Layout
from segprep.targets import TARGETS, Target
from segprep.targets.target import channels_of, require_name, version_of

FORMAT = 2
"""Version of the store's layout; stores of any other are refused, but for `UPDATED`."""
UPDATED = 3
"""Version of the layout of a store that was updated: rows may be holes, and the fingerprint of a shard is that of its rows."""
VERSION = version("segprep")
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Errors of msgspec for bytes that are not JSON of the expected type."""

A = TypeVar("A")
D = TypeVar("D")


class ClassCounts(msgspec.Struct, frozen=True):
    """Counts of one class: valid pixels, instances, images in which it occurs, and the valid pixels of these."""

    pixels: int
    instances: int
    images: int
    image_pixels: int


class ClassInfo(msgspec.Struct, frozen=True):
    """One class: as in `ClassEntry`, with its counts in all masks and in train, and its weight by every formula."""

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


class TargetInfo(msgspec.Struct, frozen=True):
    """One target: its array's type, its parameters, and the fingerprint of everything that its values depend on.

    `parameters` are those of any target, also of one that is not part of segprep; `stored_target` types them.
    """

    name: str
    version: int
    dtype: str
    channels: int
    fingerprint: str
    parameters: dict[str, Any]


class ProblemInfo(msgspec.Struct, frozen=True):
    """A problem found in a mask or file of the input."""

    kind: str
    key: str
    where: str
    left_out: bool = True


class ImagesInfo(msgspec.Struct, frozen=True):
    """Images of the masks: how many are known, and the name of the folder in which their paths begin.

    That is the data, unless a folder of images was given; it is a file if the paths begin beside it, and empty for refs.
    """

    folder: str
    is_given: bool
    known: int = 0


class StoreInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Contents of a store, kept as its root attributes.

    `input` is the fingerprint of all masks. `images` is None in a store without the table ``image``, and `touching_pairs`,
    which counts pairs of instances that touch before any separation, in a store of a version that did not count them. `tiling`
    is None unless the masks are tiles; the pairs are then those of the masks that these were cut from. `regions` is None
    unless pixels outside annotated regions are ignored. `revision` counts the updates.
    """

    format: int
    status: Literal["incomplete", "complete"]
    segprep: str
    source: str
    source_format: str
    input: str
    reading: ReadOptions
    instance_rule: InstanceRule
    split_rule: SplitRule
    masks: int
    instances: int
    ignored_pixels: int
    hidden_pixels: int
    classes: tuple[ClassInfo, ...]
    splits: tuple[str, ...]
    buckets: tuple[BucketInfo, ...]
    targets: tuple[TargetInfo, ...]
    problems: tuple[ProblemInfo, ...]
    images: ImagesInfo | None = None
    touching_pairs: int | None = None
    tiling: Tiling | None = None
    regions: RegionRule | None = None
    revision: int = 0

    def __repr__(self) -> str:
        return f"<StoreInfo of {self.source!r}: {self.contents}; {self.status}>"

    @property
    def contents(self) -> str:
        """Numbers of masks and instances, and the targets, as text."""
        counts = ", ".join(
            f"{count:,} {noun}{'' if count == 1 else 's'}"
            for count, noun in ((self.masks, "mask"), (self.instances, "instance"))
        )
        return f"{counts}; {', '.join(target.name for target in self.targets)}"

    @property
    def holes(self) -> int:
        """Number of rows whose mask an update has removed or moved."""
        return sum(bucket.rows for bucket in self.buckets) - self.masks

    @property
    def class_table(self) -> ClassTable:
        """Classes without their counts."""
        return ClassTable(tuple(ClassEntry(item.code, item.id, item.name, item.is_thing) for item in self.classes))


class Record(msgspec.Struct, frozen=True):
    """Proof that a shard was written: its size in bytes, its SHA-256, and the fingerprint of its target."""

    bytes: int
    sha256: str
    fingerprint: str


class ManifestEntry(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 of an object."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """Every object that is neither a shard nor a record, by its path, and the SHA-256 of this list.

    The root's zarr.json is listed as it is once the store is complete.
    """

    objects: dict[str, ManifestEntry]
    sha256: str


class RefStamp(msgspec.Struct, frozen=True, array_like=True):
    """Fingerprint of the ref of a mask and of its files, and the number of its pairs of instances that touch, if known."""

    ref: str
    touching: int | None = None


class InputStamp(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fingerprint of the names, sizes and times of the input's files, and that of the masks read from them.

    The second is the `StoreInfo.input` of the store; if they differ, the stamp belongs to other masks. `refs` are by keys.
    """

    files: str
    masks: str
    refs: dict[str, RefStamp] = {}


class FormatOnly(msgspec.Struct):
    """Root attributes of any format: the format alone."""

    format: int
    segprep: str


class RootMetadata(msgspec.Struct, Generic[A]):
    """The root's zarr.json, as far as it is read."""

    attributes: A


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def manifest_digest(objects: dict[str, ManifestEntry]) -> str:
    """SHA-256 of the list of objects."""
    return sha256(msgspec.json.encode(objects))


def decode_exactly(data: bytes, kind: type[D]) -> D | None:
    """Value from its JSON; None unless the bytes are exactly its encoding."""
    try:
        value = msgspec.json.decode(data, type=kind)
    except NO_JSON:
        return None
    return value if msgspec.json.encode(value) == data else None


def decode_manifest(data: bytes) -> dict[str, ManifestEntry]:
    """Entries of a `Manifest` from its bytes; empty if it is damaged, or a path leads out of the store."""
    manifest = decode_exactly(data, Manifest)
    if manifest is None or "zarr.json" not in manifest.objects or manifest_digest(manifest.objects) != manifest.sha256:
        return {}
    is_inside = all({"", ".."}.isdisjoint(path.split("/")) for path in manifest.objects)
    return manifest.objects if is_inside else {}


def train_counts(info: StoreInfo) -> Counts:
    """Counts of the train split of a store; `most_instances` is not among the attributes and is 0."""
    pixels, instances, images, image_pixels = (
        np.array([getattr(item.train, name) for item in info.classes], np.int64)
        for name in ClassCounts.__struct_fields__
    )
    return Counts(tuple(item.name for item in info.classes), pixels, instances, images, image_pixels, most_instances=0)


# --- targets and rules -----------------------------------------------------------------------------------------------


def exact(values: D) -> D:
    """Dataclass as it is read back from JSON: an integer given for a float becomes a float."""
    return msgspec.convert(msgspec.to_builtins(values), type=type(values))


def parameters_of(target: Target) -> dict[str, Any]:
    """Parameters of a target as they are read back from JSON."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(exact(target)))
    except (TypeError, msgspec.MsgspecError) as error:
        raise OptionError(
            f"targets: {type(target).__qualname__} must be a dataclass of numbers, texts and booleans: {error}"
        ) from error
    return fields


def description(target: Target) -> str:
    """Docstring of a target up to its parameters, on one line."""
    return " ".join((inspect.getdoc(type(target)) or "").partition("\n\nAttributes\n")[0].split())


def target_info(target: Target, layout: Layout, instances: InstanceRule, digest: str, form: int = FORMAT) -> TargetInfo:
    """Target with the fingerprint of everything that its values and their places depend on.

    In a store that was updated, of the format `UPDATED`, of all but the masks and their places: see `shard_fingerprint`.
    """
    parameters, number, channels = parameters_of(target), version_of(target), channels_of(target)
    masks = [] if form == UPDATED else [layout, digest]
    parts = [form, target.name, number, target.dtype, channels, parameters, exact(instances), *masks]
    if channels and masks:
        parts.append([bucket.rows_of(channels) for bucket in layout.buckets])
    fingerprint = sha256(msgspec.json.encode(parts, order="sorted"))
    return TargetInfo(target.name, number, target.dtype, channels, fingerprint, parameters)


def shard_fingerprint(target: str, shapes: Sequence[tuple[int, ...]], rows: Sequence[bytes | None]) -> str:
    """Fingerprint of a shard in a store that was updated.

    It depends on the fingerprint of its target, its shape and that of its chunks, and the digest of the mask in each row,
    None for holes.
    """
    return sha256(msgspec.json.encode([target, shapes, [None if row is None else row.hex() for row in rows]]))


def target_types(targets: Iterable[type[Target] | Target] = ()) -> dict[str, type[Target]]:
    """Classes of targets by their names: those of segprep, then those of `targets`."""
    types = {kind.name: kind for kind in TARGETS}
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise OptionError(f"targets={targets!r}: must be a list of classes of targets, as targets=[...]")
    for target in targets:
        kind = target if isinstance(target, type) else type(target)
        if not (hasattr(kind, "name") and hasattr(kind, "compute")):
            raise OptionError(f"targets={target!r}: must be classes of targets")
        require_name(kind)
        if types.setdefault(kind.name, kind) is not kind:
            raise OptionError(f"targets: {kind.__qualname__} has the name of another target, {kind.name!r}; rename it")
    return types


def stored_target(info: TargetInfo, types: Mapping[str, type[Target]]) -> Target | None:
    """Target as it was fitted when the store was written; None if its class is not among `types`."""
    if info.name not in types:
        return None
    try:
        return msgspec.convert(info.parameters, type=types[info.name])
    except (msgspec.MsgspecError, OptionError) as error:
        kind = types[info.name].__qualname__
        raise IntegrityError(f"target {info.name!r}: its stored parameters do not fit {kind}: {error}") from error
