"""All that is decided between the scan and the first pixel: pure, from statistics alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import segprep
from segprep import store
from segprep.layout import Layout, Size
from segprep.mask import ClassTable, MaskRef
from segprep.products import Product
from segprep.readers import Masks
from segprep.stats import INSTANCE_ROW, Counts, MaskStats, total


@dataclass(frozen=True, eq=False)
class Plan:
    """What goes where.

    Attributes
    ----------
    info : StoreInfo
        Root attributes of the store, incomplete.
    layout : Layout
        Bucket and row of every mask.
    products : tuple of Product
        Bound to the class weights and types that the data ask for.
    tables : dict of str to array
        Columns of the root tables and of the instance table.
    """

    info: store.StoreInfo
    layout: Layout
    products: tuple[Product, ...]
    tables: dict[str, NDArray[Any]]


def plan(
    source: str, masks: Masks, stats: Sequence[MaskStats], *, products: Sequence[Product], canvas: Size | None = None
) -> Plan:
    """Decide what goes where, and bind what depends on the whole data set.

    Parameters
    ----------
    source : str
        What the user calls the data set.
    masks : Masks
        What was found.
    stats : sequence of MaskStats
        Statistics of each mask, in the same order.
    products : sequence of Product
        What to compute.
    canvas : (int, int) or None
        One canvas for all masks, in pixels.
    """
    layout = Layout.fit([each.shape for each in stats], canvas=canvas)
    counts = total(stats)
    fitted = tuple(product.fit(counts, counts) for product in products)
    digest = _digest(masks.refs, stats)
    info = store.StoreInfo(
        format=store.FORMAT,
        status="incomplete",
        segprep=segprep.__version__,
        source=source,
        source_format=masks.format,
        masks=len(stats),
        instances=int(counts.instances.sum()),
        ignored_pixels=sum(each.ignored for each in stats),
        hidden_pixels=sum(each.hidden for each in stats),
        classes=_class_infos(masks.classes, counts),
        splits=store.SPLITS,
        buckets=tuple(
            store.BucketInfo(bucket.name, *bucket.canvas, len(bucket.masks), bucket.shard_shape[0])
            for bucket in layout.buckets
        ),
        products=tuple(_product_info(product, layout, digest) for product in fitted),
        faults=tuple(
            store.FaultInfo(fault.kind, ref.key, fault.where)
            for ref, each in zip(masks.refs, stats, strict=True)
            for fault in each.faults
        ),
    )
    return Plan(info, layout, fitted, _tables(masks.refs, stats, layout))


def _class_infos(classes: ClassTable, counts: Counts) -> tuple[store.ClassInfo, ...]:
    """Class table with its counts."""
    columns = zip(classes.entries, counts.pixels, counts.instances, counts.images, strict=True)
    return tuple(
        store.ClassInfo(entry.code, entry.id, entry.name, entry.is_thing, int(pixels), int(instances), int(images))
        for entry, pixels, instances, images in columns
    )


def _product_info(product: Product, layout: Layout, digest: str) -> store.ProductInfo:
    """Product with the fingerprint of all that its pixels and their place depend on."""
    parameters = msgspec.to_builtins(product)
    parts = [store.FORMAT, product.name, product.version, parameters, msgspec.to_builtins(layout), digest]
    fingerprint = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    return store.ProductInfo(product.name, product.version, fingerprint, parameters)


def _digest(refs: Sequence[MaskRef], stats: Sequence[MaskStats]) -> str:
    """Fingerprint of the input: names, sizes, classes, and every instance's place and area."""
    digest = hashlib.sha256()
    for ref, each in zip(refs, stats, strict=True):
        digest.update(repr((ref.key, each.shape, each.class_pixels.tolist(), each.ignored)).encode())
        digest.update(each.instances.tobytes())
    return digest.hexdigest()


def _tables(refs: Sequence[MaskRef], stats: Sequence[MaskStats], layout: Layout) -> dict[str, NDArray[Any]]:
    """Columns of the root tables, one row per mask, and of the instance table."""
    places = np.zeros((len(refs), 2), np.uint32)
    for number, bucket in enumerate(layout.buckets):
        for row, mask in enumerate(bucket.masks):
            places[mask] = number, row
    instances = np.concatenate([each.instances for each in stats])
    columns: dict[str, NDArray[Any]] = {
        "key": store.encode_keys([ref.key for ref in refs]),
        "bucket": places[:, 0],
        "row": places[:, 1],
        "height": np.array([each.shape[0] for each in stats], np.uint32),
        "width": np.array([each.shape[1] for each in stats], np.uint32),
        "split": np.zeros(len(refs), np.uint8),
        "instances_of_mask": np.array([len(each.instances) for each in stats], np.uint32),
        "ignored": np.array([each.ignored for each in stats], np.uint64),
        "hidden": np.array([each.hidden for each in stats], np.uint64),
        "instances/mask": np.repeat(np.arange(len(refs), dtype=np.uint32), [len(each.instances) for each in stats]),
    }
    return columns | {f"instances/{name}": instances[name] for name in INSTANCE_ROW.names or ()}
