"""Scan: every mask is loaded once, for the statistics that a plan needs before the first pixel is written."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, TypeAlias

from segprep.errors import InputError, OptionError, SegprepError, escape_controls
from segprep.masks.classes import ClassTable, class_table
from segprep.masks.instances import InstanceRule, read_mask, with_instances
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.masks.packed import PackedMask, packed
from segprep.masks.pieces import has_scattered_instance
from segprep.masks.splits import SPLITS
from segprep.masks.stats import MaskStats, input_digest, mask_stats
from segprep.masks.touching import touching_pairs
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.readers import MaskSet
from segprep.runs.settings import Data, OnError, Rules
from segprep.store.metadata import read_info
from segprep.store.schema import ProblemInfo
from segprep.workers.jobs import MAX_ATTEMPTS, Executor, Job, Progress, WorkerDied, Workers, try_jobs

LEFT_OUT = "mask left out"
OWN_REFS = "refs"
"""Format of a data set that is given as a sequence of refs."""
PIXEL_FORMATS = frozenset({"label-image", "instance-png"})
"""Formats of images whose instances may lie in pieces by mistake; polygons in several parts are meant."""
SCAN_BATCH, LARGEST_BATCH, SCAN_JOBS = 8, 64, 1000
"""Masks in one job of the scan: enough that the work outweighs the message, and more if there are more jobs than these."""
MOST_KEPT, MOST_KEPT_OF_ONE = 2**29, 2**20
"""Bytes of masks that are kept from the scan to the writing, in all and of one mask; others are read a second time."""
MOST_COMPRESSED = 2**25
"""Bytes of the runs of a mask, of which it is tried whether they fit when compressed."""
MOST_REASONS = 10
"""Masks that cannot be read whose reasons are printed."""

Classes: TypeAlias = ClassTable | Sequence[str] | None
Source: TypeAlias = AnyPath | tuple[MaskRef, ...]
"""A data set as `chosen_data` gives it."""


class Scan(NamedTuple):
    """Masks that can be read, the statistics of each, and the reasons why others cannot, by their keys.

    `packed` has masks that were read, by their keys: as many as `MOST_KEPT` bytes can hold.
    """

    masks: MaskSet
    stats: tuple[MaskStats, ...]
    unreadable: dict[str, str]
    packed: dict[str, PackedMask]

    def refs(self) -> tuple[MaskRef, ...]:
        """Refs of the masks that can be read: to memory for those that were kept, else to their files."""
        return tuple(self.packed.get(ref.key, ref) for ref in self.masks.refs)

    @property
    def digests(self) -> list[bytes]:
        """Fingerprint of each mask that can be read."""
        return [stats.digest for stats in self.stats]

    def input(self) -> str:
        """Fingerprint of all masks together; see `segprep.store.schema.StoreInfo`."""
        return input_digest([ref.key for ref in self.masks.refs], self.digests)

    def problems(self) -> tuple[ProblemInfo, ...]:
        """All problems and notices, printable, each with the key of its mask or the name of its file."""
        pairs = zip(self.masks.refs, self.stats, strict=True)
        within = [(ref.key, problem) for ref, stats in pairs for problem in stats.problems]
        unreadable = [(key, Problem(LEFT_OUT, message)) for key, message in self.unreadable.items()]
        return tuple(
            ProblemInfo(problem.kind, key, escape_controls(problem.where), problem.left_out)
            for key, problem in (*self.masks.problems, *self.masks.notices, *within, *unreadable)
        )


def chosen_data(data: Data, workers: Workers, name: str = "data") -> Source:
    """Data set as the workers need it; OptionError for anything else, InputError for a segprep store."""
    if isinstance(data, str | os.PathLike | BucketPath):
        path = workers.place(data, name)
        try:
            info = read_info(path)
        except SegprepError:
            return path
        raise InputError(
            f"{path}: is a segprep store, made from {info.source}, not a data set; give the data set first, "
            "and the store second"
        )
    if not isinstance(data, Iterable):
        raise OptionError(f"{name}={data!r}: must be a path, or a sequence of refs")
    refs = tuple(data)
    for ref in refs:
        lacking = [member for member in ("key", "split", "load") if not hasattr(ref, member)]
        if lacking:
            raise OptionError(f"{name}={data!r}: must be a path, or refs; {ref!r} lacks {', '.join(lacking)}")
        if not isinstance(ref.key, str):
            raise OptionError(f"{name}: {ref!r} has key={ref.key!r}: must be a string")
        if ref.split not in (None, *SPLITS):
            raise OptionError(f"{name}: {ref.key!r} has split={ref.split!r}: must be 'train', 'val', 'test' or None")
    return refs


def masks_of(source: Source, rules: Rules, classes: Classes = None) -> MaskSet:
    """Masks of a data set: those that a reader finds at a path, or given refs, whose only class is "instance" by default."""
    if not isinstance(source, tuple):
        if classes is not None:
            raise OptionError("classes: the data set has its own; give them only with a sequence of refs")
        from segprep.readers import find  # noqa: PLC0415 - all formats, which workers do not need

        return find(source, format=rules.format, options=rules.reading)
    if not isinstance(classes, ClassTable):
        if isinstance(classes, str) or not isinstance(classes, Sequence | None):
            raise OptionError(f"classes={classes!r}: must be a ClassTable or a list of names")
        classes = class_table((None, name) for name in classes or ["instance"])
    keys = [ref.key for ref in source]
    if not keys:
        raise InputError("data: contains no mask; give at least one ref")
    for key, count in Counter(keys).items():
        if count > 1:
            raise InputError(f"data: {count} refs have the key {key!r}; keys must be unique")
        if not key.isprintable():
            raise InputError(f"data: the key {key!a} has characters that cannot be written")
    return MaskSet(OWN_REFS, classes, source)


def scan(
    executor: Executor,
    masks: MaskSet,
    instances: InstanceRule,
    progress: Progress,
    known: Mapping[str, MaskStats] | None = None,
    *,
    kept: Mapping[str, PackedMask] | None = None,
    count_touching: bool = False,
) -> Scan:
    """Load every mask once, except those whose statistics are known by their keys; count touching instances on request.

    `kept` has masks that a former scan has read.
    """
    known, packs = known or {}, dict(kept or {})
    room = MOST_KEPT - sum(mask.size for mask in packs.values())
    found: dict[str, MaskStats | str] = {ref.key: known[ref.key] for ref in masks.refs if ref.key in known}
    unknown = tuple(packs.get(ref.key, ref) for ref in masks.refs if ref.key not in found)
    size = min(max(SCAN_BATCH, len(unknown) // SCAN_JOBS), LARGEST_BATCH)
    batches = [unknown[start : start + size] for start in range(0, len(unknown), size)]
    single = False
    looks = count_touching, instances.instances_from == "auto" and masks.format in PIXEL_FORMATS
    while batches:
        jobs = [
            Job(f"scan of {key_range(batch)}", _scan_batch, (batch, instances, len(masks.classes), *looks))
            for batch in batches
        ]
        suspects: list[MaskRef] = []
        for index, results in try_jobs(executor, jobs, MAX_ATTEMPTS if single else 1):
            if not isinstance(results, WorkerDied):
                for ref, (result, pack) in zip(batches[index], results, strict=True):
                    found[ref.key] = result
                    if pack is not None and pack.size <= room:
                        packs[ref.key] = pack
                        room -= pack.size
            elif single:
                found[batches[index][0].key] = results.message
            else:
                suspects += batches[index]
            progress("scan", len(found), len(masks.refs))
        batches, single = [(ref,) for ref in suspects], True  # one by one, to learn which of them it was
    pairs = list(zip(masks.refs, (found[ref.key] for ref in masks.refs), strict=True))
    readable = [(ref, result) for ref, result in pairs if isinstance(result, MaskStats)]
    return Scan(
        replace(masks, refs=tuple(ref for ref, _ in readable)),
        tuple(stats for _, stats in readable),
        {ref.key: result for ref, result in pairs if isinstance(result, str)},
        packs,
    )


def _scan_batch(
    refs: Sequence[MaskRef], instances: InstanceRule, n_classes: int, count_touching: bool, looks_scattered: bool
) -> list[tuple[MaskStats | str, PackedMask | None]]:
    """Statistics of a batch of masks, or the reason why one cannot be read, and each mask that is to be kept."""
    results: list[tuple[MaskStats | str, PackedMask | None]] = []
    for ref in refs:
        try:
            mask = read_mask(ref, n_classes)
            complete, separated = with_instances(mask, instances, ref.key)
        except InputError as error:
            results.append((str(error), None))
            continue
        stats = mask_stats(complete, n_classes, separated)
        if looks_scattered:
            stats = replace(stats, is_scattered=has_scattered_instance(complete))
        if count_touching:
            stats = replace(stats, touching=touching_pairs(complete.planes))
        results.append((stats, _kept(ref, complete if complete.planes is mask.planes else mask)))
    return results


def _kept(ref: MaskRef, mask: InstanceMask) -> PackedMask | None:
    """Mask that was read from a ref, compressed; None if it is so already, or too large to be kept."""
    if isinstance(ref, PackedMask) or mask.regions.runs.nbytes > MOST_COMPRESSED:
        return None
    pack = packed(ref, mask)
    return pack if pack.size <= MOST_KEPT_OF_ONE else None


def require_readable(found: Scan, on_error: OnError) -> Scan:
    """Scan, if `on_error` allows its problems and at least one mask can be read."""
    if found.unreadable and on_error != "skip-mask":
        share = f"{len(found.unreadable):,} of {len(found.unreadable) + len(found.stats):,} masks cannot be read"
        remedy = "fix them, or use on_error='skip-mask' to leave them out"
        raise _bad_masks(found.unreadable.values(), f"{share}, nothing was written; {remedy}")
    lines = [f"{item.key}: {item.kind}: {item.where}" for item in found.problems() if item.left_out]
    if lines and on_error == "fail":
        raise _bad_masks(lines, "nothing was written; on_error='skip-annotation' leaves out bad annotations")
    if not found.stats:
        raise InputError(f"no mask can be read: {next(iter(found.unreadable.values()))}")
    return found


def key_range(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"


def _bad_masks(reasons: Collection[str], remedy: str) -> InputError:
    """Error that ends a run before anything is written: the first reasons, and one remedy for all."""
    first, count = list(islice(reasons, MOST_REASONS)), len(reasons)
    if count == 1:
        return InputError(f"{first[0]}; {remedy}")
    return InputError(*first, *[f"and {count - len(first)} more"] * (count > len(first)), remedy)
