"""Root attributes, records and the manifest of a store, as typed data; msgspec does the JSON."""

import hashlib
import inspect
from typing import Any, Literal

import msgspec
import numpy as np

from segprep.errors import IntegrityError
from segprep.masks.instances import InstanceRule
from segprep.masks.stats import Counts
from segprep.store.layout import Layout
from segprep.targets import TARGETS, Target
from segprep.targets.target import version_of

FORMAT = 2
"""Version of the store's layout; a reader refuses a larger one."""


NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON it was told of."""


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


class TargetInfo(msgspec.Struct, frozen=True):
    """One target: its parameters, and the fingerprint of all that its pixels depend on."""

    name: str
    version: int
    fingerprint: str
    parameters: dict[str, Any]


class ProblemInfo(msgspec.Struct, frozen=True):
    """Problem of a mask, as in `Problem`, with the key of the mask or the name of the file."""

    kind: str
    key: str
    where: str
    left_out: bool = True


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
    targets: tuple[TargetInfo, ...]
    problems: tuple[ProblemInfo, ...]
    reading: dict[str, Any] = msgspec.field(default_factory=dict)


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
    """Every object that is neither a shard nor a record, by its path, and the SHA-256 of this very list.

    The root's zarr.json stands there as it is once the store is complete.
    """

    objects: dict[str, ManifestEntry]
    sha256: str


class InputStamp(msgspec.Struct, frozen=True):
    """Fingerprint of the names, sizes and times of the input's files, and that of the masks which were found in them.

    The second is the `StoreInfo.input` of the store: where it is another, the note is of other masks.
    """

    files: str
    masks: str


def manifest_digest(objects: dict[str, ManifestEntry]) -> str:
    """SHA-256 of the list of objects."""
    return hashlib.sha256(msgspec.json.encode(objects)).hexdigest()


def to_builtins(parameters: Any) -> dict[str, Any]:
    """Fields of a frozen dataclass as they come back from JSON; an integer that stands for a float is one."""
    exact = msgspec.convert(msgspec.to_builtins(parameters), type=type(parameters))
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(exact))
    return fields


def summary(target: Target) -> str:
    """What a target is, with its conventions: its docstring up to the parameters."""
    return " ".join((inspect.getdoc(type(target)) or "").partition("\n\nAttributes\n")[0].split())


def decode_record(data: bytes) -> Record | None:
    """Record from its bytes; None where these are not the very bytes of one."""
    try:
        record = msgspec.json.decode(data, type=Record)
    except NO_JSON:
        return None
    return record if msgspec.json.encode(record) == data else None


def decode_manifest(data: bytes) -> dict[str, ManifestEntry] | None:
    """Records of the objects from the bytes of `Manifest`; None where these are not the very bytes of it."""
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except NO_JSON:
        return None
    whole = msgspec.json.encode(found) == data and manifest_digest(found.objects) == found.sha256
    return found.objects if whole else None


class _Format(msgspec.Struct):
    format: int


class FormatOnly(msgspec.Struct):
    """Root metadata of any version: the format alone."""

    attributes: _Format


class RootMetadata(msgspec.Struct):
    """The root's zarr.json."""

    attributes: StoreInfo


def train_counts(info: StoreInfo) -> Counts:
    """Counts of the train split of a store; instances of the fullest mask are not among them."""
    pixels, instances, images, image_pixels = (
        np.array([getattr(each.train, name) for each in info.classes], np.int64)
        for name in ClassCounts.__struct_fields__
    )
    return Counts(tuple(each.name for each in info.classes), pixels, instances, images, image_pixels, most_instances=0)


def target_info(target: Target, layout: Layout, instances: InstanceRule, digest: str) -> TargetInfo:
    """Target with the fingerprint of all that its pixels and their place depend on."""
    parameters = to_builtins(target)
    rule = to_builtins(instances)
    parts = [FORMAT, target.name, version_of(target), parameters, rule, msgspec.to_builtins(layout), digest]
    fingerprint = hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
    return TargetInfo(target.name, version_of(target), fingerprint, parameters)


def stored_target(info: TargetInfo) -> Target:
    """Target as it was bound when the store was written."""
    kind = next((each for each in TARGETS if each.name == info.name), None)
    if kind is None:
        raise IntegrityError(f"the store has a target {info.name!r}, which this segprep does not know: update segprep")
    return msgspec.convert(info.parameters, type=kind)
