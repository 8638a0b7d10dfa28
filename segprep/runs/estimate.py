"""Estimate of a run, from a sample of the masks that is read, computed and compressed; nothing is written.

The plan is that of the run itself, over statistics in which those of the sample stand for the other masks, so refusals,
shards and objects are its own. Tables are encoded for the masks that were read, and their bytes scaled.
"""

import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, Unpack

import msgspec

from segprep.errors import InputError, OptionError, SegprepWarning
from segprep.paths.anypath import AnyPath
from segprep.paths.lock import require_unlocked
from segprep.readers import MaskSet
from segprep.runs.audit import StoreState
from segprep.runs.costs import encode_sample
from segprep.runs.decision import NO_UPDATE, Decision, Existing, decide, existing
from segprep.runs.listed import listed
from segprep.runs.memory import available, warn_if_too_large
from segprep.runs.needs import TargetEstimate, need_of, shard_bytes, stored
from segprep.runs.plan import doubts
from segprep.runs.preprocess import MANY, chosen_part, require_all, with_always
from segprep.runs.sample import Before, Read, read_sample
from segprep.runs.scan import Classes as ClassNames
from segprep.runs.scan import chosen_data
from segprep.runs.settings import Data, Settings, Split, Targets, run_rules, typed_value
from segprep.runs.slides import DRAWN_FORMATS, require_labels, rule_of_slides, slides_in, with_slides
from segprep.runs.stopwatch import Stopwatch
from segprep.runs.tiled import kept_tiling
from segprep.runs.write import Work, is_alike, shards_of
from segprep.store.metadata import open_existing
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor

Status: TypeAlias = Literal["new", "continued", "replaced", "up to date"]
MOST_STARTING = 1.0
"""Seconds of CPU up to which the process has only started: more have done other work, as in a notebook."""


class Estimate(msgspec.Struct, frozen=True):
    """Contents and needs of a run that has not begun.

    Attributes
    ----------
    source, format : str
        Data set and its format.
    store : str or None
        Store, if one is given.
    status : str
        ``new``, ``continued`` (the store lacks something), ``replaced`` (something differs, and overwrite is on), or
        ``up to date``.
    masks : int
        Masks of the data set that the run would write, and the store would have.
    done : int
        Those of which it has everything.
    left_out : int
        Masks that cannot be read, which ``on_error="skip-mask"`` leaves out.
    sampled : int
        Masks that were read for the estimate, or tiles of these.
    is_sample : bool
        True if these stand for others; else bytes, masks and objects are exact.
    canvases : dict of str to int
        Masks by the canvas, height x width in pixels, that they are padded to.
    targets : tuple of TargetEstimate
        All arrays.
    other_bytes : int
        Bytes of tables, metadata and records.
    shards, shards_to_write : int
        Shards of all arrays, and those that this run would write.
    objects : int
        Files or objects of the complete store, without hidden ones.
    bytes, bytes_to_write : int
        Bytes of the complete store, and of what this run would write.
    processes : int
        Processes that compute; with more than one, there is another that gives them their work.
    memory : int
        Peak memory of the largest process, in bytes.
    memory_of_all : int
        That of all processes on this machine.
    seconds : float
        Duration of the run, with these workers on this machine.
    cpu_seconds : float
        CPU time of all processes, which hardly depends on what else the machine does.
    compile_seconds : float
        Seconds that the estimate has spent to compile kernels, once for this machine; not part of `seconds`.
    """

    source: str
    format: str
    store: str | None
    status: Status
    masks: int
    done: int
    left_out: int
    sampled: int
    is_sample: bool
    canvases: dict[str, int]
    targets: tuple[TargetEstimate, ...]
    other_bytes: int
    shards: int
    shards_to_write: int
    objects: int
    bytes: int
    bytes_to_write: int
    processes: int
    memory: int
    memory_of_all: int
    seconds: float
    cpu_seconds: float
    compile_seconds: float


def estimate(  # noqa: PLR0913 - keywords
    data: Data,
    store: str | os.PathLike[str] | AnyPath | None = None,
    *,
    targets: Targets = "weights,distance",
    split: Split = None,
    classes: ClassNames = None,
    workers: int | str | Workers | None = None,
    overwrite: bool = False,
    part: str | tuple[int, int] | None = None,
    reread: bool = False,
    images: str | os.PathLike[str] | AnyPath | None = None,
    sample: int = 64,
    progress: Progress = no_progress,
    **settings: Unpack[Settings],
) -> Estimate:
    """Estimate bytes, memory and time of `segprep.preprocess` with the same arguments, without writing anything.

    A sample of the masks is read, computed and compressed, for about 5 seconds. Where files of annotations give the sizes of
    the images, it is spread over these. The only files that may be written are those of compiled kernels, beside the package.

    Parameters
    ----------
    data, targets, split, classes, workers, overwrite, part, reread, images, progress, **settings
        As those of `segprep.preprocess`.
    store : path, optional
        Store that the run would write. If it exists, what it has already counts, and it may be refused. Masks that are not
        read are taken to be those that it has under the same names.
    sample : int
        Largest number of masks, and tiles of slides, that are read.

    Returns
    -------
    Estimate
        Counts, bytes, memory and seconds. If all masks were read, counts and bytes are exact.

    Raises
    ------
    InputError, OutputError, OptionError, StorageError
        As the run would, before it writes anything.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> found = estimate(folder / "cells.png", folder / "out.zarr", sigma=3)
    >>> found.masks, found.status, found.shards, (folder / "out.zarr").exists()
    (1, 'new', 4, False)
    """
    start, started = time.perf_counter(), min(time.process_time(), MOST_STARTING)
    chosen, rules = run_rules(settings, targets, split)
    wanted, workers, own_part = with_always(chosen), Workers.of(workers), chosen_part(part)
    overwrite, reread = typed_value("overwrite", overwrite, bool), typed_value("reread", reread, bool)
    if typed_value("sample", sample, int) < 1:
        raise OptionError(f"sample={sample}: must be at least 1")
    source, root = chosen_data(data, workers), None if store is None else workers.place(store)
    if root is not None:
        open_existing(root)
    require_all(part, own_part, overwrite=overwrite)
    if root is not None:
        require_unlocked(root, "" if part is None else own_part.name)
    there = Existing(None) if root is None else existing(root, chosen, NO_UPDATE, overwrite=overwrite)
    state = there.state
    folder = None if images is None else workers.place(images, "images")
    rules = replace(rules, tiling=kept_tiling(state, rules.tiling, overwrite=overwrite))
    complete, given, files = listed(source, rules, classes, folder, root)
    masks = with_slides(complete, rules.tiling)
    _require_pixels(masks)
    is_labelled = rules.instances.instances_from == "as-is"
    rules = replace(rules, instances=rule_of_slides(rules.instances, slides_in(masks), wanted))
    began, cpu = time.perf_counter() - start, time.process_time()
    with open_executor(workers, len(masks.refs) if rules.tiling.tile is None else MANY) as executor:
        watch = Stopwatch(executor)
        progress("sample", 0, min(sample, len(masks.refs)))
        before = Before(root, state, None if reread else files, wanted, overwrite)
        read = read_sample(watch, masks, rules, before, sample)
        if not is_labelled:
            check_labels(read)
        decision = decide(read.found, given, read.rules, wanted, there, overwrite=overwrite, is_sample=read.is_sample)
        kept = None if decision.kept is None else root
        works = list(shards_of(kept, decision.plan))
        costs = encode_sample(watch, read, works, sample, progress)
        processes = watch.capacity()
    for doubt in doubts(decision.plan.info):
        warnings.warn(doubt, SegprepWarning, stacklevel=2)
    own = [work for index, work in enumerate(works) if own_part.has(index)]
    contents = stored(kept, decision.plan, read, works, costs)
    status = _status(state, decision, own)
    need = need_of(watch, read, own, costs, processes, 0 if status == "up to date" else contents.other_objects)
    if workers.scheduler is None:
        warn_if_too_large(root or given.name, need.jobs, processes, available())
    to_write = sum(shard_bytes(costs, shard, item) for shard, items, _ in own for item in items)
    return Estimate(
        source=given.name if given.path is None else str(data),
        format=masks.format,
        store=None if root is None else str(root),
        status=status,
        masks=sum(len(shard.filled) for shard, _, _ in own),
        done=sum(len(shard.filled) for shard, items, _ in own if not items),
        left_out=read.left_out,
        sampled=max(read.sampled, len(costs.encoded)),
        is_sample=read.is_sample or set(costs.stand_in) != set(costs.encoded),
        canvases={bucket.name: bucket.filled for bucket in decision.plan.layout.buckets if bucket.filled},
        targets=tuple(contents.targets),
        other_bytes=contents.other_bytes,
        shards=sum(target.shards for target in contents.targets),
        shards_to_write=sum(len(items) for _, items, _ in own),
        objects=contents.array_objects + contents.other_objects,
        bytes=contents.other_bytes + sum(target.bytes for target in contents.targets),
        bytes_to_write=0 if status == "up to date" else round(to_write) + contents.other_bytes,
        processes=processes,
        memory=need.largest,
        memory_of_all=need.of_all,
        seconds=round(started + began + need.seconds, 3),
        cpu_seconds=round(need.cpu + (0 if processes == 1 else cpu), 3),
        compile_seconds=round(watch.compile_seconds, 3),
    )


def _require_pixels(masks: MaskSet) -> None:
    """Raise OptionError for slides that are drawn from a file of shapes, which each worker reads once for all tiles."""
    slides = slides_in(masks)
    if slides and masks.format in DRAWN_FORMATS:
        raise OptionError(
            f"{slides[0].source.key}: an estimate does not know slides of polygons; estimate a part of the slide that has at "
            "most max_pixels pixels"
        )


def check_labels(read: Read) -> None:
    """Raise an InputError for a slide that is a foreground mask; warn if only some of its tiles were read."""
    found, real = read.found, read.real
    masks = replace(found.masks, refs=tuple(found.masks.refs[index] for index in real))
    try:
        require_labels(masks, [found.stats[index] for index in real])
    except InputError as error:
        if not read.is_sample:
            raise
        warnings.warn(
            f"{error}; all tiles that were read show this, and the run reads all", SegprepWarning, stacklevel=3
        )


def _status(state: StoreState | None, decision: Decision, own: Sequence[Work]) -> Status:
    """Status of an estimate, by the store that is there and what of it is kept."""
    if state is None:
        return "new"
    if decision.kept is None or decision.replaced:
        return "replaced"
    complete = msgspec.structs.replace(decision.plan.info, status="complete")
    is_done = not any(items for _, items, _ in own) and not state.findings and is_alike(state, decision.plan, complete)
    return "up to date" if is_done else "continued"
