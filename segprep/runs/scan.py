"""Scan: every mask is loaded once, for the statistics that a plan needs before the first pixel is written."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import NamedTuple, TypeAlias, TypeVar

from segprep.errors import InputError, OptionError, SegprepError, escape_controls
from segprep.masks.classes import ClassTable, class_table
from segprep.masks.instances import InstanceRule, read_mask, with_instances
from segprep.masks.mask import InstanceMask, MaskRef, Problem
from segprep.masks.packed import PackedMask, packed
from segprep.masks.pieces import has_scattered_instance
from segprep.masks.splits import SPLITS
from segprep.masks.stats import MaskStats, input_digest, mask_stats
from segprep.masks.tiles import TileRef, Tiling, source_keys, tile_stats
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.readers import MaskSet
from segprep.runs.journal import Journal
from segprep.runs.regions import with_regions
from segprep.runs.settings import Data, OnError, Rules
from segprep.store.layout import Part
from segprep.store.metadata import read_info
from segprep.store.schema import ProblemInfo
from segprep.targets.parts import Loaded, Loader
from segprep.workers.jobs import MAX_ATTEMPTS, Executor, Job, Progress, WorkerDied, Workers, try_jobs

logger = logging.getLogger(__name__)
T = TypeVar("T")

LEFT_OUT = "mask left out"
OWN_REFS = "refs"
"""Format of a data set that is given as a sequence of refs."""
PIXEL_FORMATS = frozenset({"label-image", "instance-png"})
"""Formats of images whose instances may lie in pieces by mistake; polygons in several parts are meant."""
SCAN_BATCH, LARGEST_BATCH, SCAN_JOBS = 8, 64, 1000
"""Masks in one job of the scan: enough that the work outweighs the message, and more if there are more jobs than these."""
MOST_KEPT_OF_ONE = 2**20
"""Bytes of the largest mask that is kept from the scan to the writing; others are read a second time."""
MOST_COMPRESSED = 2**25
"""Bytes of the runs of a mask, of which it is tried whether they fit when compressed."""
MOST_REASONS = 10
"""Masks that cannot be read whose reasons are printed."""

Classes: TypeAlias = ClassTable | Sequence[str] | None
Source: TypeAlias = AnyPath | tuple[MaskRef, ...]
"""A data set as `chosen_data` gives it."""


class Scan(NamedTuple):
    """Masks that can be read, the statistics of each, and the reasons why others cannot, by their keys.

    `packed` has the masks that a `Journal` has kept, by their keys. If the masks are tiles, `sources` has the statistics of
    the masks that they were cut from, by their keys; those of masks that are `trusted` are not complete.
    """

    masks: MaskSet
    stats: tuple[MaskStats, ...]
    unreadable: dict[str, str]
    packed: dict[str, PackedMask]
    sources: Mapping[str, MaskStats] | None = None
    trusted: Collection[str] = ()

    def refs(self) -> tuple[MaskRef, ...]:
        """Refs of the masks that can be read: to memory for those that were kept, else to their files."""
        return tuple(self.packed.get(ref.key, ref) for ref in self.masks.refs)

    @property
    def digests(self) -> list[bytes]:
        """Fingerprint of each mask that can be read."""
        return [stats.digest for stats in self.stats]

    def checked(self) -> tuple[list[str], list[MaskStats]]:
        """Keys and statistics of the complete masks, from which targets are computed, except those that are trusted."""
        if self.sources is not None:
            keys = [key for key in self.sources if key not in self.trusted]
            return keys, [self.sources[key] for key in keys]
        return [ref.key for ref in self.masks.refs], [*self.stats]

    def loaded(self) -> list[MaskStats]:
        """Statistics of the complete mask that is loaded for each mask, for the memory that this needs."""
        sources = self.sources
        return [
            mask if sources is None else sources.get(key, mask)  # tiles of slides are loaded alone
            for key, mask in zip(source_keys(self.masks.refs), self.stats, strict=True)
        ]

    @property
    def touching(self) -> int | None:
        """Pairs of instances that touch in all masks; None where the statistics are those of a store."""
        counts = [stats.touching for stats in self.stats if stats.touching is not None]
        return sum(counts) if len(counts) == len(self.stats) else None

    def input(self) -> str:
        """Fingerprint of all masks together; see `segprep.store.schema.StoreInfo`."""
        return input_digest([ref.key for ref in self.masks.refs], self.digests)

    def problems(self) -> tuple[ProblemInfo, ...]:
        """All problems and notices, printable, each with the key of its mask or the name of its file."""
        pairs = zip(source_keys(self.masks.refs), self.stats, strict=True)
        within = [(key, problem) for key, stats in pairs for problem in stats.problems]
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

        logger.info("finding masks in %s", source)
        masks = find(source, format=rules.format, options=rules.reading)
        logger.info("found %d masks; format: %s; classes: %d", len(masks.refs), masks.format, len(masks.classes) - 1)
        return with_regions(masks, rules.regions, rules.reading)
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
    return with_regions(MaskSet(OWN_REFS, classes, source), rules.regions, rules.reading)


def scan(
    executor: Executor,
    masks: MaskSet,
    instances: InstanceRule,
    progress: Progress,
    known: Mapping[str, MaskStats] | None = None,
    *,
    journal: Journal | None = None,
    tiling: Tiling | None = None,
) -> Scan:
    """Load every mask once, except those whose statistics are known by their keys.

    `journal` has the results of former scans, and gets those of this one. With `tiling`, the statistics have those of tiles.
    """
    journal, rule, known = journal or Journal(), instances.instances_from, known or {}
    count = len(masks.refs) - len(known)
    stats, unreadable = journal.stats(rule), dict[str, str]()
    stats.update(known)
    unknown = tuple(journal.packs.get(ref.key, ref) for ref in masks.refs if ref.key not in stats)
    if unknown or (stats and not known):
        progress("scan", count - len(unknown), count)
    batches, single = in_order_of(journal.part, batches_of(unknown)), False
    looks_scattered = rule == "auto" and masks.format in PIXEL_FORMATS

    def is_scanned(index: int) -> bool:
        return all(ref.key in stats for ref in batches[index])

    while batches:
        jobs = [
            Job(
                f"scan of {key_range(batch)}",
                scan_batch,
                (batch, instances, len(masks.classes), looks_scattered, tiling),
            )
            for batch in batches
        ]
        suspects: list[MaskRef] = []
        for index, results in try_jobs(executor, jobs, MAX_ATTEMPTS if single else 1, is_done=is_scanned):
            if not isinstance(results, WorkerDied):
                for ref, (result, pack) in zip(batches[index], results, strict=True):
                    if isinstance(result, str):
                        unreadable[ref.key] = result
                    else:
                        journal.add(rule, ref.key, result, pack)
            elif single:
                unreadable[batches[index][0].key] = results.message
            else:
                suspects += batches[index]
            journal.sync(rule)
            progress("scan", min(len(stats) + len(unreadable) - len(known), count), count)
        batches, single = [(ref,) for ref in suspects], True  # one by one, to learn which of them it was
    journal.sync(rule, ends=True)
    readable = tuple(ref for ref in masks.refs if ref.key in stats)
    return Scan(
        replace(masks, refs=readable),
        tuple(stats[ref.key] for ref in readable),
        {ref.key: unreadable[ref.key] for ref in masks.refs if ref.key not in stats},
        journal.packs,
    )


def batches_of(items: Sequence[T]) -> list[Sequence[T]]:
    """Items, each for a mask to scan, in those of each job."""
    size = min(max(SCAN_BATCH, len(items) // SCAN_JOBS), LARGEST_BATCH)
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_order_of(part: Part, batches: Sequence[T]) -> list[T]:
    """Batches in the order in which a part scans them: its share, then the others, shuffled so that parts rarely meet.

    >>> in_order_of(Part(2, 4), range(8))
    [2, 3, 4, 5, 1, 6, 7, 0]
    """
    start, stop = (len(batches) * number // part.parts for number in (part.number - 1, part.number))
    others = [*batches[:start], *batches[stop:]]
    Random(part.number).shuffle(others)  # noqa: S311 - no secret
    return [*batches[start:stop], *others]


def scan_batch(
    refs: Sequence[MaskRef], instances: InstanceRule, n_classes: int, looks_scattered: bool, tiling: Tiling | None
) -> list[tuple[MaskStats | str, PackedMask | None]]:
    """Statistics of a batch of masks, or the reason why one cannot be read, and each mask that is to be kept."""
    results: list[tuple[MaskStats | str, PackedMask | None]] = []
    loader = Loader(instances, n_classes)
    for ref in refs:
        try:
            if isinstance(ref, TileRef):
                results.append((_tile_of_slide(loader.load(ref), n_classes), None))
                continue
            mask = read_mask(ref, n_classes)
            complete, separated = with_instances(mask, instances, ref.key)
            stats = mask_stats(complete, n_classes, separated)
            if tiling is not None and tiling.tile is not None:
                stats = replace(stats, tiles=tile_stats(complete, separated, tiling, ref.key, stats))
        except InputError as error:
            results.append((str(error), None))
            continue
        if looks_scattered:
            stats = replace(stats, is_scattered=has_scattered_instance(complete))
        results.append((stats, _kept(ref, complete if complete.planes is mask.planes else mask)))
    loader.close()
    return results


def _tile_of_slide(tile: Loaded, n_classes: int) -> MaskStats:
    """Statistics of a tile of a slide, which is not loaded as a complete mask."""
    stats, numbers = mask_stats(tile.complete, n_classes, tile.shown), tile.numbers[1:].tobytes()
    return replace(stats, digest=tile.digest, source_numbers=numbers, problems=tile.problems)


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
        fix, leave = ("fix it", "this mask") if len(found.unreadable) == 1 else ("fix them", "these masks")
        remedy = f"{fix}, or add on_error='skip-mask' to leave {leave} out"
        raise _bad_masks(dict.fromkeys(found.unreadable.values()), f"{share}, nothing was written; {remedy}")
    lines = [f"{item.key}: {item.kind}: {item.where}" for item in found.problems() if item.left_out]
    if lines and on_error == "fail":
        count = f"{len(lines):,} {'problem' if len(lines) == 1 else 'problems'} with on_error='fail'"
        remedy = "use on_error='skip-annotation' to leave bad annotations out"
        raise _bad_masks(lines, f"{count}, nothing was written; {remedy}")
    if not found.stats:
        raise InputError(f"no mask can be read: {next(iter(found.unreadable.values()))}")
    return found


def key_range(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    if not refs:
        return "no mask"
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"


def _bad_masks(reasons: Collection[str], remedy: str) -> InputError:
    """Error that ends a run before anything is written: the first reasons, and one remedy for all."""
    first, count = list(islice(reasons, MOST_REASONS)), len(reasons)
    return InputError(*first, *[f"and {count - len(first)} more"] * (count > len(first)), remedy)
