"""Tables of a store: one row per mask, or per instance; their columns, written and read."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore, ObjectStore

from segprep.errors import IntegrityError
from segprep.masks.rle import Runs
from segprep.masks.stats import INSTANCE_ROW, MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.client import as_os_errors, client
from segprep.store.layout import Bucket, Layout
from segprep.store.schema import StoreInfo
from segprep.store.shards import codecs

TABLE_CHUNK = 65_536
"""Rows in a chunk of a table."""


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


def encode_table(memory: MemoryStore, name: str, table: NDArray[Any]) -> None:
    """Create a table's column in `memory` and fill it."""
    dimensions = TABLE_DIMENSIONS.get(name, ("instance",) if name.startswith("instances/") else ("mask",))
    array = zarr.create_array(
        memory,
        name=name,
        shape=table.shape,
        chunks=(min(max(1, len(table)), TABLE_CHUNK), *table.shape[1:]),
        dtype=table.dtype,
        compressors=codecs(),
        dimension_names=dimensions,
        config={"write_empty_chunks": True},
    )
    array[:] = table


def zarr_store(root: AnyPath) -> Any:
    """What zarr-python opens the arrays of a store by, to read them."""
    return ObjectStore(client(str(root)), read_only=True) if isinstance(root, BucketPath) else root


def read_table(root: AnyPath, name: str) -> NDArray[Any]:
    """One column of the store's tables, for example ``height`` or ``instances/area``."""
    try:
        with as_os_errors(root):
            array: Any = zarr.open_array(zarr_store(root), path=name, mode="r")
            # Zarr takes a chunk that is missing for one of zeros.
            for chunk in range(-(-array.shape[0] // array.chunks[0])):
                (root / name / "/".join(["c", str(chunk), *("0" for _ in array.shape[1:])])).stat()
            return np.asarray(array[:])
    except (OSError, ValueError, KeyError, TypeError) as error:  # the latter of metadata that are JSON, but no array's
        raise IntegrityError(f"{root}: table {name} cannot be read: {error}") from error


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


def read_layout(root: AnyPath, info: StoreInfo) -> Layout:
    """Layout of a store."""
    bucket, row = read_table(root, "bucket"), read_table(root, "row")
    buckets = []
    for index, each in enumerate(info.buckets):
        masks = np.flatnonzero(bucket == index)
        buckets.append(Bucket((each.height, each.width), tuple(masks[np.argsort(row[masks])].tolist())))
    return Layout(tuple(buckets))


def mask_columns(keys: Sequence[str], stats: Sequence[MaskStats], layout: Layout) -> dict[str, NDArray[Any]]:
    """Columns with one row per mask."""
    places = np.zeros((len(stats), 2), np.uint32)
    for number, bucket in enumerate(layout.buckets):
        places[list(bucket.masks)] = np.stack(np.broadcast_arrays(number, np.arange(len(bucket.masks))), axis=1)
    pixels = [each.shape[0] * each.shape[1] for each in stats]
    return {
        "key": encode_keys(keys),
        "bucket": places[:, 0],
        "row": places[:, 1],
        "height": np.array([each.shape[0] for each in stats], np.uint32),
        "width": np.array([each.shape[1] for each in stats], np.uint32),
        "instance_count": np.array([len(each.instances) for each in stats], np.uint32),
        "class_pixels": np.array([each.class_pixels for each in stats], np.uint64),
        "ignored": np.array([each.ignored for each in stats], np.uint64),
        "hidden": np.array([each.hidden for each in stats], np.uint64),
        "digest": np.array([list(each.digest) for each in stats], np.uint8),
        "filled_foreground": np.array([each.filled for each in stats], np.bool_),
        "filled_class": np.array(
            [each.class_pixels.max() == size for each, size in zip(stats, pixels, strict=True)], np.bool_
        ),
    }


def instance_columns(stats: Sequence[MaskStats]) -> dict[str, NDArray[Any]]:
    """Columns with one row per instance, and the runs of those that the labels do not show whole."""
    rows = np.concatenate([each.instances for each in stats])
    runs = [each for stat in stats for each in stat.runs]
    counts = [len(each.instances) for each in stats]
    columns: dict[str, NDArray[Any]] = {name: rows[name] for name in INSTANCE_ROW.names or ()}
    columns["mask"] = np.repeat(np.arange(len(stats), dtype=np.uint32), counts)
    columns["run_count"] = np.array([len(each) for each in runs], np.uint32)
    columns["runs"] = np.concatenate([np.zeros(0, np.int64), *runs]).astype(np.uint32)
    return {f"instances/{name}": column for name, column in columns.items()}


Tables = dict[str, NDArray[Any]]


def stats_in(tables: Tables, n_classes: int) -> Iterator[MaskStats]:
    """Statistics of each mask, without its problems."""
    rows, runs = _instance_rows(tables), _runs(tables)
    class_instances = np.zeros((len(tables["key"]), n_classes), np.int64)
    np.add.at(class_instances, (tables["instances/mask"], rows["class"]), 1)
    class_pixels = tables["class_pixels"].astype(np.int64)
    stops = np.cumsum(tables["instance_count"], dtype=np.int64).tolist()
    for mask, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        yield MaskStats(
            shape=(int(tables["height"][mask]), int(tables["width"][mask])),
            class_pixels=class_pixels[mask],
            class_instances=class_instances[mask],
            instances=rows[start:stop],
            runs=tuple(runs[start:stop]),
            ignored=int(tables["ignored"][mask]),
            hidden=int(tables["hidden"][mask]),
            filled=bool(tables["filled_foreground"][mask]),
            problems=(),
            digest=bytes(tables["digest"][mask]),
        )


def _instance_rows(tables: Tables) -> NDArray[np.void]:
    """One `INSTANCE_ROW` per instance of all masks."""
    rows = np.zeros(len(tables["instances/mask"]), INSTANCE_ROW)
    for name in INSTANCE_ROW.names or ():
        rows[name] = tables[f"instances/{name}"]
    return rows


def _runs(tables: Tables) -> list[Runs]:
    """Runs of each instance of all masks; none where the labels show it whole."""
    runs = tables["instances/runs"].astype(np.int64)
    stops = np.cumsum(tables["instances/run_count"], dtype=np.int64).tolist()
    return [runs[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
