"""Shards of a store's arrays, and the record of each.

zarr-python decodes them where a store is verified, so that one implementation checks the other.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import put_all, storage, storage_errors
from segprep.store import encoding
from segprep.store.encoding import ArrayForm, Place
from segprep.store.layout import HOLE, Bucket, Layout, Shard
from segprep.store.schema import NO_JSON, Record, TargetInfo, sha256, shard_fingerprint
from segprep.targets import Target
from segprep.targets.target import channels_of, pad_of

if TYPE_CHECKING:
    import zarr
    from zarr.abc.buffer import Buffer
    from zarr.storage import MemoryStore

Chunks: TypeAlias = dict[Place, bytes]
"""Encoded chunks by their places in a shard."""


class ArraySpec(NamedTuple):
    """One array of the store: its path in it, and what its shards depend on.

    The shapes are rows, height, width; or rows, classes, height, width. `fill` and `pad` are as in `Target`.
    """

    path: str
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    fill: float
    pad: float

    @property
    def form(self) -> ArrayForm:
        """Form of the array in Zarr."""
        return ArrayForm(self.shape, np.dtype(self.dtype), self.chunk, self.shard, self.fill)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of its dimensions."""
        return ("row", "class", "y", "x") if len(self.shape) == 4 else ("row", "y", "x")  # noqa: PLR2004


class TargetShard(NamedTuple):
    """One shard of one target, which is None if its class is not known.

    `rows` of it hold masks, from the row `start` of a `Shard` on: that of a target with channels is cut into several.
    """

    target: Target | None
    spec: ArraySpec
    number: int
    rows: int
    fingerprint: str
    start: int = 0

    def has(self, row: int) -> bool:
        """True if it holds this row of the `Shard`."""
        return self.start <= row < self.start + self.rows

    @property
    def name(self) -> str:
        """Name of the target."""
        return self.spec.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """Path of the shard in the store."""
        return f"{self.spec.path}/{shard_name(self.number, len(self.spec.shape))}"

    @property
    def record_path(self) -> str:
        """Path of its record in the store."""
        return f"{self.spec.path}/records/{self.number}.json"


def array_spec(bucket: Bucket, target: Target | TargetInfo) -> ArraySpec:
    """Array of `target` for the masks of `bucket`; without fill value and padding if only its attributes are known."""
    _, height, width = bucket.shard_shape
    count = target.channels if isinstance(target, TargetInfo) else channels_of(target)
    channels = (count,) if count else ()
    return ArraySpec(
        path=f"{bucket.name}/{target.name}",
        shape=(len(bucket.masks), *channels, *bucket.canvas),
        shard=(bucket.rows_of(count), *channels, height, width),
        chunk=(1, *(1 for _ in channels), *bucket.chunk),
        dtype=target.dtype,
        fill=0 if isinstance(target, TargetInfo) else target.fill,
        pad=0 if isinstance(target, TargetInfo) else pad_of(target),
    )


def target_shards(
    layout: Layout,
    shard: Shard,
    infos: Sequence[TargetInfo],
    targets: Sequence[Target | None],
    digests: Sequence[bytes] | None = None,
) -> list[TargetShard]:
    """The shards of every target that hold the masks of one `Shard`: one, or several of a target with channels.

    `digests` are those of all masks in a store that was updated, whose shards have fingerprints of their own.
    """
    bucket, count = layout.buckets[shard.bucket], len(shard.masks)
    shards = []
    for info, target in zip(infos, targets, strict=True):
        spec = array_spec(bucket, target or info)
        rows = spec.shard[0]
        first = shard.number * -(-bucket.shard_shape[0] // rows)
        for index, start in enumerate(range(0, count, rows)):
            fingerprint = info.fingerprint
            if digests is not None:
                own = [None if mask == HOLE else digests[mask] for mask in shard.masks[start : start + rows]]
                fingerprint = shard_fingerprint(fingerprint, [spec.shard, spec.chunk], own)
            shards.append(TargetShard(target, spec, first + index, min(rows, count - start), fingerprint, start))
    return shards


def encode_row(spec: ArraySpec, row: int, images: Iterable[tuple[Place, NDArray[Any]]]) -> Chunks:
    """Chunks of one row of a shard, from the (H, W) image of each channel that is not all padding; see `images_of`.

    They are encoded as soon as an image is there, so that neither a row nor a shard is ever in memory as an array.
    """
    form, chunks, present = spec.form, Chunks(), set[Place]()
    absent = np.empty((0, 0), form.dtype)
    others = ((channel, absent) for channel in np.ndindex(*spec.shape[1:-2]) if channel not in present)
    for channel, values in chain(images, others):
        present.add(channel)
        chunks.update(((row, *channel, *at), data) for at, data in encoding.encode_image(form, values, spec.pad))
    return chunks


def write_shards(root: AnyPath, shards: Iterable[tuple[TargetShard, Chunks]]) -> None:
    """Write complete shards from the chunks of all their rows, several at once, and their records when all are stored."""
    encoded = [(shard, encoding.encode_shard(shard.spec.form, chunks)) for shard, chunks in shards]
    for shard, _ in encoded:
        drop_record(root, shard)
    put_all(root, {shard.path: data for shard, data in encoded})
    records = [(shard.record_path, Record(len(data), sha256(data), shard.fingerprint)) for shard, data in encoded]
    put_all(root, {path: msgspec.json.encode(record) for path, record in records})


def drop_record(root: AnyPath, shard: TargetShard) -> None:
    """Remove the record of a shard, which then counts as missing."""
    with storage_errors(root):
        (root / shard.record_path).unlink(missing_ok=True)


def is_written(root: AnyPath, shard: TargetShard) -> bool:
    """True if a shard has the recorded size, and its record this fingerprint."""
    record = read_record(root, shard)
    return record is not None and record.fingerprint == shard.fingerprint


def stored_rows(root: AnyPath, shard: TargetShard) -> dict[int, Chunks]:
    """Encoded chunks of each row of a shard, counted as in `TargetShard.has`, by their places in the row.

    Empty unless the bytes are those that its record lists, with this fingerprint.
    """
    try:
        record = msgspec.json.decode((root / shard.record_path).read_bytes(), type=Record)
        if record.fingerprint != shard.fingerprint:
            return {}
        data = (root / shard.path).read_bytes()
    except (OSError, *NO_JSON):
        return {}
    if record.sha256 != sha256(data):
        return {}
    rows: dict[int, Chunks] = {}
    for (row, *place), chunk in encoding.decode_shard_index(shard.spec.form, data):
        rows.setdefault(shard.start + row, {})[tuple(place)] = chunk
    return rows


def read_record(root: AnyPath, shard: TargetShard) -> Record | None:
    """Record of a shard that has the recorded size; None if there is none."""
    try:
        record = msgspec.json.decode((root / shard.record_path).read_bytes(), type=Record)
        size = (root / shard.path).stat().st_size
    except (OSError, *NO_JSON):
        return None
    return record if record.bytes == size else None


def are_written(root: AnyPath, shards: Sequence[TargetShard]) -> list[bool]:
    """Result of `is_written` for each of many shards."""
    return list(storage(root).map(lambda shard: is_written(root, shard), shards))


def shard_name(number: int, dimensions: int) -> str:
    """Path of a shard, or of a chunk of a table, within its array: it spans all dimensions but the rows."""
    return "/".join(["c", str(number), *["0"] * (dimensions - 1)])


def decode_shard(spec: ArraySpec, rows: int, data: bytes) -> NDArray[Any]:
    """Rows of a shard from its bytes, independent of the metadata on the disk."""
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415 - slow to import
    from zarr.storage import MemoryStore  # noqa: PLC0415

    objects: dict[str, Buffer] = {}
    array = encode_array(MemoryStore(objects), spec._replace(shape=(rows, *spec.shape[1:])))
    objects[f"{spec.path}/{shard_name(0, len(spec.shape))}"] = default_buffer_prototype().buffer.from_bytes(data)
    try:
        return np.asarray(array[:])
    except (ValueError, RuntimeError) as error:
        raise IntegrityError(f"{spec.path}: cannot be decoded: {error}") from error


def encode_array(memory: "MemoryStore", spec: ArraySpec) -> "zarr.Array[Any]":
    """Create the array of `spec` in `memory`, by zarr-python."""
    import zarr  # noqa: PLC0415 - slow to import
    from zarr.codecs import Crc32cCodec, ZstdCodec  # noqa: PLC0415

    return zarr.create_array(
        memory,
        name=spec.path,
        shape=spec.shape,
        shards=spec.shard,
        chunks=spec.chunk,
        dtype=spec.dtype,
        fill_value=spec.fill,
        compressors=(ZstdCodec(level=encoding.LEVEL), Crc32cCodec()),
        dimension_names=spec.dimensions,
        config={"write_empty_chunks": True},
    )
