"""From masks to a store: scan, plan, write."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from segprep import store
from segprep.errors import OptionError
from segprep.instances import InstanceRule
from segprep.layout import Size
from segprep.plan import merged, plan
from segprep.products import Classes, Labels, Product, Weights
from segprep.readers import ReadOptions, find_masks
from segprep.scanning import OnBad, checked, scan
from segprep.splits import SplitRule
from segprep.workers import Progress, Workers, crew, silent
from segprep.writing import Work, write

ALWAYS: tuple[Product, ...] = (Labels(), Classes())
"""Written to every store: all the others can be computed again from these and the instance table."""


@dataclass(frozen=True)
class Rules:
    """What decides about masks before any product is computed.

    Attributes
    ----------
    format : str or None
        Name of the input's format; None finds it out.
    reading : ReadOptions
        How masks are read.
    instances : InstanceRule
        How instances are told apart.
    split : SplitRule
        How masks are split into train, val and test.
    canvas : (int, int) or None
        One canvas for all masks, in pixels; None fits a few.
    on_bad : str
        ``skip``: what is bad within a mask is left out, and a mask that cannot be read ends the run before anything is
        written. ``skip-mask``: such a mask is left out. ``fail``: a bad annotation ends the run too.
    """

    format: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    instances: InstanceRule = field(default_factory=InstanceRule)
    split: SplitRule = field(default_factory=SplitRule)
    canvas: Size | None = None
    on_bad: OnBad = "skip"


def preprocess(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    products: Sequence[Product] = (Weights(),),
    rules: Rules | None = None,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> store.StoreInfo:
    """Read all masks of a data set, compute the products of each, and write them to a store.

    What the store already has is not computed again: products are added to it, and a run that was ended goes on.

    Parameters
    ----------
    data : path
        COCO file, label image, or a folder of masks; see `segprep.readers`.
    out : path
        The store: a new one, or one of the same masks and rules.
    products : sequence of Product
        What to compute besides labels and classes, which are always written.
    rules : Rules or None
        What decides about the masks.
    workers : Workers or None
        Where the work is done. The store is the same, to the byte, wherever that is.
    progress : Progress
        Is told how far the run is.

    Returns
    -------
    StoreInfo
        What the store holds.

    Raises
    ------
    InputError, OutputError, OptionError, StorageError
        Before anything is written, unless a mask changes or the disk fails during the run.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> info.masks, info.instances, info.status
    (1, 2, 'complete')
    """
    rules = rules or Rules()
    wanted = _with_always(products)
    workers = workers or Workers()
    source, root = workers.place(data), workers.place(out)
    before = store.existing(root)
    options = reading(rules)
    masks = find_masks(source, format=rules.format, options=options)
    split = _split(rules, before)
    with crew(workers, len(masks.refs)) as workforce:
        found = checked(scan(workforce, masks, rules.instances, progress), rules.on_bad)
        name = source.absolute().name.encode(errors="replace").decode()
        made = plan(
            name,
            found,
            products=wanted,
            instances=rules.instances,
            split=split,
            data=source,
            canvas=rules.canvas,
            reading=options,
        )
        made = made if before is None else merged(root, before, made)
        return write(workforce, Work(root, found.masks.refs, rules.instances, made), progress, before)


def _with_always(products: Sequence[Product]) -> list[Product]:
    """Products, with those that every store has; each name once."""
    names = [product.name for product in products]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"--products: {twice} is named twice; a store has one array of each name")
    return [*(each for each in ALWAYS if each.name not in names), *products]


def reading(rules: Rules) -> ReadOptions:
    """How masks are read: where instances are found anew, the values of label images are classes."""
    return replace(rules.reading, values="instances" if rules.instances.origin == "as-is" else "classes")


def _split(rules: Rules, before: store.StoreInfo | None) -> SplitRule:
    """How masks are split: where nothing is said, as they are."""
    if before is None or rules.split != SplitRule():
        return rules.split
    return msgspec.convert(before.split_rule, type=SplitRule)
