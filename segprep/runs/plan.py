"""All that is decided between the scan and the first pixel: pure, from statistics alone."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

import segprep
from segprep.errors import IntegrityError, OptionError
from segprep.masks import splits
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import ClassTable
from segprep.masks.splits import SplitArray, SplitRule
from segprep.masks.stats import INSTANCE_ROW, Counts, MaskStats, total
from segprep.paths.anypath import Place
from segprep.readers import ReadOptions
from segprep.runs.scan import Found
from segprep.store.layout import Layout, Size
from segprep.store.metadata import (
    FORMAT,
    BucketInfo,
    ClassCounts,
    ClassInfo,
    FaultInfo,
    ProductInfo,
    StoreInfo,
    decode_keys,
    encode_keys,
    plain,
    read_splits,
    read_table,
)
from segprep.targets import PRODUCTS, Product
from segprep.targets.class_weights import FORMULAS

NAMED = 3
"""How many masks a message names."""


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

    info: StoreInfo
    layout: Layout
    products: tuple[Product, ...]
    tables: dict[str, NDArray[Any]]


def plan(  # noqa: PLR0913 - what follows the first two has a name each
    source: str,
    found: Found,
    *,
    products: Sequence[Product],
    instances: InstanceRule,
    split: SplitRule,
    data: Place | None = None,
    canvas: Size | None = None,
    reading: ReadOptions | None = None,
    kept: tuple[SplitArray, SplitArray] | None = None,
) -> Plan:
    """Decide what goes where, and bind what depends on the whole data set.

    Parameters
    ----------
    source : str
        What the user calls the data set.
    found : Found
        What is known of it.
    products : sequence of Product
        What to compute.
    instances : InstanceRule
        How the instances were told apart.
    split : SplitRule
        How to split the masks.
    data : Place or None
        Where a file with splits may lie.
    canvas : (int, int) or None
        One canvas for all masks, in pixels.
    reading : ReadOptions or None
        How the masks were read.
    kept : (SplitArray, SplitArray) or None
        Split and fold of each mask, where they stay as they are.
    """
    stats, classes = found.stats, found.masks.classes
    keys = [ref.key for ref in found.masks.refs]
    layout = Layout.fit([each.shape for each in stats], canvas=canvas)
    split_of, fold_of = kept or assign(keys, _class_counts(stats), split, data)
    everything = total(stats, classes)
    train = total([each for each, code in zip(stats, split_of, strict=True) if code == 0], classes)
    fitted = tuple(sorted((each.fit(train, everything) for each in products), key=_rank))
    digest = found.input()
    info = StoreInfo(
        format=FORMAT,
        status="incomplete",
        segprep=segprep.__version__,
        source=source,
        source_format=found.masks.format,
        input=digest,
        instance_rule=plain(instances),
        split_rule=plain(split),
        masks=len(stats),
        instances=int(everything.instances.sum()),
        ignored_pixels=sum(each.ignored for each in stats),
        hidden_pixels=sum(each.hidden for each in stats),
        classes=class_infos(classes, everything, train),
        splits=splits.SPLITS,
        buckets=tuple(
            BucketInfo(bucket.name, *bucket.canvas, len(bucket.masks), bucket.shard_shape[0])
            for bucket in layout.buckets
        ),
        products=tuple(product_info(product, layout, instances, digest) for product in fitted),
        faults=tuple(FaultInfo(fault.kind, key, fault.where) for key, fault in found.faults()),
        reading=plain(reading or ReadOptions()),
    )
    tables = _mask_table(keys, stats, layout) | _instance_table(stats) | {"split": split_of, "fold": fold_of}
    return Plan(info, layout, fitted, tables)


def assign(
    keys: Sequence[str], counts: NDArray[np.int64], rule: SplitRule, data: Place | None
) -> tuple[SplitArray, SplitArray]:
    """Split and fold of each mask.

    Parameters
    ----------
    keys : sequence of str
        Names of the masks.
    counts : (masks, columns) int64 array
        What to balance.
    rule : SplitRule
        How to split.
    data : Place or None
        Where a file with splits may lie.
    """
    groups = splits.groups_of(keys, rule.group)
    file = splits.file_of(rule, data)
    if rule.fractions is None:
        found = splits.by_file(keys, file) if file else splits.by_folder(keys)
        if found is None and rule.folds is None and (rule.group or rule.seed):
            raise OptionError(
                f"{'--group' if rule.group else '--seed'}: there is nothing to split: add --split or --folds"
            )
        split_of = np.zeros(len(keys), np.uint8) if found is None else found
        splits.check_groups(keys, groups, split_of)
    elif rule.stratify:
        split_of = splits.stratified(groups, counts, rule.fractions, rule.seed)
    else:
        split_of = splits.by_hash(groups, rule.fractions, rule.seed)
    splits.check_filled(split_of, rule)
    return split_of, splits.folds_of(groups, split_of, rule.folds, rule.seed)


def class_infos(classes: ClassTable, everything: Counts, train: Counts) -> tuple[ClassInfo, ...]:
    """Class table with its counts and with every formula's weights."""
    weights = {name: formula(train) for name, formula in FORMULAS.items()}
    return tuple(
        ClassInfo(
            entry.code,
            entry.id,
            entry.name,
            entry.is_thing,
            _class_counts_of(everything, entry.code),
            _class_counts_of(train, entry.code),
            {name: float(vector[entry.code]) for name, vector in weights.items()},
        )
        for entry in classes.entries
    )


def product_info(product: Product, layout: Layout, instances: InstanceRule, digest: str) -> ProductInfo:
    """Product with the fingerprint of all that its pixels and their place depend on."""
    parameters = plain(product)
    rule = plain(instances)
    parts = [FORMAT, product.name, product.version, parameters, rule, msgspec.to_builtins(layout), digest]
    fingerprint = hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
    return ProductInfo(product.name, product.version, fingerprint, parameters)


def _rank(product: Product) -> int:
    """Place of a product among all of them."""
    return [each.name for each in PRODUCTS].index(product.name)


def _class_counts_of(counts: Counts, code: int) -> ClassCounts:
    columns = (counts.pixels, counts.instances, counts.images, counts.image_pixels)
    return ClassCounts(*(int(column[code]) for column in columns))


def _class_counts(stats: Sequence[MaskStats]) -> NDArray[np.int64]:
    """Pixels and instances of each class in each mask, shape (masks, 2 C)."""
    return np.array([[*each.class_pixels, *each.class_instances] for each in stats], np.int64)


def _mask_table(keys: Sequence[str], stats: Sequence[MaskStats], layout: Layout) -> dict[str, NDArray[Any]]:
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


def _instance_table(stats: Sequence[MaskStats]) -> dict[str, NDArray[Any]]:
    """Columns with one row per instance, and the runs of those that the labels do not show whole."""
    rows = np.concatenate([each.instances for each in stats])
    runs = [each for stat in stats for each in stat.runs]
    counts = [len(each.instances) for each in stats]
    columns: dict[str, NDArray[Any]] = {name: rows[name] for name in INSTANCE_ROW.names or ()}
    columns["mask"] = np.repeat(np.arange(len(stats), dtype=np.uint32), counts)
    columns["run_count"] = np.array([len(each) for each in runs], np.uint32)
    columns["runs"] = np.concatenate([np.zeros(0, np.int64), *runs]).astype(np.uint32)
    return {f"instances/{name}": column for name, column in columns.items()}


class Change(NamedTuple):
    """What sets a plan apart from a store that is there.

    Attributes
    ----------
    of_masks : list of str
        What concerns all products: other masks, rules or layout.
    of_products : dict of str to list of str
        What concerns one, by its name.
    """

    of_masks: list[str]
    of_products: dict[str, list[str]]


def merged(before: StoreInfo, made: Plan) -> Plan:
    """Plan that also has the products that the store has, as they would be written now."""
    now = made.info
    names = {product.name for product in now.products}
    kept = [stored_product(info) for info in before.products if info.name not in names]
    products = tuple(sorted((*kept, *made.products), key=_rank))
    rule = msgspec.convert(now.instance_rule, type=InstanceRule)
    infos = tuple(product_info(each, made.layout, rule, now.input) for each in products)
    return replace(made, info=msgspec.structs.replace(now, products=infos), products=products)


def change(root: Place, before: StoreInfo, made: Plan) -> Change:
    """What sets the store at `root` and a plan that has all its products apart, in words."""
    now = made.info
    if before.input != now.input:
        try:
            words = ", ".join(_other_masks(root, made.tables))
        except IntegrityError:  # a run was killed before it had written them
            words = "some differ"
        return Change(
            [f"it holds {before.masks} masks of {before.source}; of the {now.masks} of {now.source} {words}"], {}
        )
    of_masks = [
        *_differing("instances", before.instance_rule, now.instance_rule),
        *(_differing("split", before.split_rule, now.split_rule) or _other_splits(root, before, made.tables)),
        *_differing("canvas", {"sizes": _canvases(before)}, {"sizes": _canvases(now)}),
    ]
    both = [(had, has) for had in before.products for has in now.products if had.name == has.name]
    of_products = {had.name: _differing(had.name, had.parameters, has.parameters) for had, has in both}
    if not of_masks:
        for had, has in both:
            if had.fingerprint != has.fingerprint and not of_products[had.name]:
                of_products[had.name] = [f"{had.name} is of segprep {before.segprep}, now {now.segprep}"]
    return Change(of_masks, {name: words for name, words in of_products.items() if words})


def _other_masks(root: Place, tables: dict[str, NDArray[Any]]) -> Iterator[str]:
    """What sets the masks of a store and of a plan apart."""
    had, has = (
        dict(zip(decode_keys(keys), map(bytes, digests), strict=True))
        for keys, digests in (
            (read_table(root, "key"), read_table(root, "digest")),
            (tables["key"], tables["digest"]),
        )
    )
    for keys, verb in (
        ([key for key in has if key not in had], "new"),
        ([key for key in had if key not in has], "missing"),
        ([key for key in has if key in had and has[key] != had[key]], "changed"),
    ):
        if keys:
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            yield f"{len(keys)} {'is' if len(keys) == 1 else 'are'} {verb} ({', '.join(keys[:NAMED])}{more})"
    if list(had) != list(has) and set(had) == set(has):
        yield "the order is another"


def _other_splits(root: Place, before: StoreInfo, tables: dict[str, NDArray[Any]]) -> Iterator[str]:
    """Says how many masks the same rule splits otherwise now, as it does where its file has changed."""
    kept = read_splits(root, before)
    if kept is not None:
        other = np.flatnonzero(kept[0] != tables["split"])
        if other.size:
            key = decode_keys(tables["key"])[other[0]]
            yield f"{other.size} masks are in another split than they were ({key} first)"


def _canvases(info: StoreInfo) -> str:
    """Names of the buckets."""
    return ",".join(bucket.name for bucket in info.buckets)


def _differing(what: str, before: dict[str, object], now: dict[str, object]) -> list[str]:
    """One phrase for each key whose values differ."""
    return [
        f"{what} {key} was {_short(before.get(key))}, now {_short(now.get(key))}"
        for key in sorted(before | now)
        if before.get(key) != now.get(key)
    ]


def _short(value: object) -> str:
    """Value, cut short."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - of a line


def stored_product(info: ProductInfo) -> Product:
    """Product as it was bound when the store was written."""
    kind = next((each for each in PRODUCTS if each.name == info.name), None)
    if kind is None:
        raise IntegrityError(f"the store has a product {info.name!r}, which this segprep does not know: update segprep")
    return msgspec.convert(info.parameters, type=kind)
