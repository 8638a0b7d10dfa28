"""From masks to a store: scan, plan, write."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from segprep import store
from segprep.layout import Shard, Size
from segprep.mask import MaskRef
from segprep.plan import Plan, plan
from segprep.products import Classes, Labels, Product, Weights
from segprep.readers import Masks, ReadOptions, find_masks
from segprep.stats import MaskStats, mask_stats
from segprep.workers import Crew, Job, Workers, crew

DEFAULT_PRODUCTS: tuple[Product, ...] = (Labels(), Classes(), Weights())
SCAN_BATCH = 8
"""Masks in one job of the scan: enough that a job outweighs its message."""


class Progress(Protocol):
    """Called with the stage of the run and how many of all masks have passed it."""

    def __call__(self, stage: Literal["scan", "write"], done: int, masks: int) -> None:
        """See the class."""
        ...


def silent(stage: Literal["scan", "write"], done: int, masks: int) -> None:
    """Progress that nobody watches."""


def preprocess(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    products: Sequence[Product] = DEFAULT_PRODUCTS,
    format: str | None = None,  # noqa: A002 - the word of the option
    reading: ReadOptions | None = None,
    canvas: Size | None = None,
    workers: Workers | None = None,
    progress: Progress = silent,
) -> store.StoreInfo:
    """Read all masks of a data set, compute the products of each, and write them to a new store.

    Parameters
    ----------
    data : path
        COCO file, label image, or a folder of masks; see `segprep.readers`.
    out : path
        The store, which must not be there yet.
    products : sequence of Product
        What to compute.
    format : str or None
        Name of the input's format; None finds it out.
    reading : ReadOptions or None
        How masks are read.
    canvas : (int, int) or None
        One canvas for all masks, in pixels; None fits a few.
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
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> info = preprocess(folder / "cells.png", folder / "out.zarr")
    >>> info.masks, info.instances, info.status
    (1, 2, 'complete')
    """
    root = Path(out)
    store.check_free(root)
    how = reading or ReadOptions()
    masks = find_masks(Path(data), format=format, crowd=how.crowd, max_pixels=how.max_pixels)
    with crew(workers or Workers(), len(masks.refs)) as workforce:
        stats = _scan(workforce, masks, progress)
        made = plan(Path(data).name, masks, stats, products=products, canvas=canvas)
        store.create(root, made.info, made.layout, made.products, made.tables)
        _write(workforce, root, masks.refs, made, progress)
    store.commit(root, made.info)
    return store.read_info(root)


def _scan(workforce: Crew, masks: Masks, progress: Progress) -> list[MaskStats]:
    """Statistics of every mask, in order."""
    batches = [masks.refs[start : start + SCAN_BATCH] for start in range(0, len(masks.refs), SCAN_BATCH)]
    jobs = [Job(f"scan of {_names(batch)}", _scan_batch, (batch, len(masks.classes))) for batch in batches]
    found: list[list[MaskStats]] = [[] for _ in batches]
    done = 0
    for index, stats in workforce.completed(jobs):
        found[index] = stats
        done += len(stats)
        progress("scan", done, len(masks.refs))
    return [stats for batch in found for stats in batch]


def _scan_batch(refs: Sequence[MaskRef], n_classes: int) -> list[MaskStats]:
    """Load masks for their statistics alone."""
    return [mask_stats(ref.load(), n_classes) for ref in refs]


def _write(workforce: Crew, root: Path, refs: Sequence[MaskRef], made: Plan, progress: Progress) -> None:
    """Write every shard of every product."""
    shards = list(made.layout.shards())
    done = 0
    for index, _ in workforce.completed([_write_job(root, refs, made, shard) for shard in shards]):
        done += len(shards[index].masks)
        progress("write", done, len(refs))


def _write_job(root: Path, refs: Sequence[MaskRef], made: Plan, shard: Shard) -> Job:
    """Job that writes one shard of every product."""
    bucket = made.layout.buckets[shard.bucket]
    own = [refs[mask] for mask in shard.masks]
    specs = [store.array_spec(bucket, product) for product in made.products]
    fingerprints = [product.fingerprint for product in made.info.products]
    what = f"shard {shard.number} of {bucket.name}, {_names(own)}"
    return Job(what, _write_shard, (root, shard.number, own, made.products, specs, fingerprints))


def _write_shard(
    root: Path,
    number: int,
    refs: Sequence[MaskRef],
    products: Sequence[Product],
    specs: Sequence[store.ArraySpec],
    fingerprints: Sequence[str],
) -> None:
    """Compute one shard of every product from the input, and write it."""
    arrays = [store.padded(spec, len(refs)) for spec in specs]
    for row, ref in enumerate(refs):
        mask = ref.load()
        height, width = mask.shape
        for product, array in zip(products, arrays, strict=True):
            array[row, :height, :width] = product.compute(mask)
    for spec, array, fingerprint in zip(specs, arrays, fingerprints, strict=True):
        store.write_shard(root, spec, number, array, fingerprint)


def _names(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"
