"""Recognising an unchanged data set, and the statistics of its masks from the store.

Names, sizes and times of files are compared, as backup programs do. A file edited in place without a change of its size and
time is not noticed; only loading the masks again does.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from segprep.errors import InputError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import MaskRef, Problem
from segprep.masks.regions import RegionRef, RegionRule
from segprep.masks.stats import MaskStats, input_digest
from segprep.paths.anypath import AnyPath, parse_path
from segprep.paths.bucket import BucketPath, is_hidden
from segprep.paths.listing import listing
from segprep.readers import READERS, MaskSet, ReadOptions
from segprep.runs.audit import StoreState
from segprep.runs.changes import other_regions
from segprep.runs.scan import LEFT_OUT, Scan
from segprep.store.schema import VERSION, exact
from segprep.store.tables import decode_keys, stats_in, table_names


def stat_fingerprint(data: AnyPath, out: AnyPath) -> str | None:
    """Fingerprint of the names, sizes and times of all files of a data set; None if one of them cannot be read.

    Hidden files and links are skipped, as readers do, and so are the folder `out` and stores named ``*.zarr``.
    """
    digest = hashlib.sha256()
    try:
        for name, size, changed in _objects(data, out) if isinstance(data, BucketPath) else _files(data, out):
            digest.update(b"%b\0%d %b\0" % (name, size, changed.encode()))
    except (OSError, InputError):
        return None
    return digest.hexdigest()


def _files(data: Path, out: AnyPath) -> Iterator[tuple[bytes, int, str]]:
    """Name, size and time of each local file, always in the same order."""
    top, skipped = (Path(os.path.realpath(str(path))) for path in (data, out))
    for file in _visible(top, skipped) if top.is_dir() else [top]:
        stat = file.stat()
        yield os.fsencode(file.relative_to(top)), stat.st_size, str(stat.st_mtime_ns)


def _visible(folder: Path, out: Path) -> Iterator[Path]:
    """Visible files below a folder, always in the same order, except those of stores."""
    folders: list[AnyPath] = [folder]
    while folders:
        inside = listing(folders.pop())
        yield from (file for file in inside.files if isinstance(file, Path))
        for child in inside.folders:
            if child != out and not (child.suffix == ".zarr" and (child / "zarr.json").exists()):
                folders.append(child)


def _objects(data: BucketPath, out: AnyPath) -> Iterator[tuple[bytes, int, str]]:
    """Name, size, and time and tag of each object in a folder, or of a single one, always in the same order."""
    objects = list(data.walk()) or [(data, data.stat())]
    stores = [path.parent for path, _ in objects if path.name == "zarr.json" and path.parent.suffix == ".zarr"]
    skipped = frozenset(map(str, [*stores, out]))
    for path, stat in sorted(objects):
        inside = path.key.relative_to(data.key)
        if not is_hidden(inside) and skipped.isdisjoint(map(str, path.parents)):
            yield inside.as_posix().encode(), stat.st_size, f"{stat.st_mtime_ns} {stat.tag and stat.tag.e_tag}"


def covers_all_files(data: AnyPath, form: str) -> bool:
    """True if `stat_fingerprint` covers all files that the reader opens: none is hidden or beside a single file."""
    reader = READERS.get(form)
    is_covered = data.is_dir() or (reader is not None and reader.reads_one_file)
    return is_covered and not (reader is not None and reader.opens_hidden)


def stat_of_regions(rule: RegionRule, out: AnyPath) -> str | None:
    """Fingerprint of the files of regions as `stat_fingerprint` gives it; None if they cannot be read, or are a class."""
    return None if rule.roi is None else stat_fingerprint(parse_path(rule.roi, "roi"), out)


def with_region_files(files: str | None, regions: str | None, refs: Sequence[MaskRef]) -> str | None:
    """Fingerprint of the files of masks and of their regions; None if it does not cover all files."""
    first = refs[0] if refs else None
    if files is None or not isinstance(first, RegionRef) or first.rule.code is not None or first.rule.roi is None:
        return files
    if regions is None or not covers_all_files(parse_path(first.rule.roi, "roi"), first.region_format):
        return None
    return hashlib.sha256(f"{files} {regions}".encode()).hexdigest()


class FromStore(NamedTuple):
    """Statistics of the masks of a store, without what its tables lack, and problems; by keys, those of tiles by any."""

    stats: dict[str, MaskStats]
    problems: dict[str, tuple[Problem, ...]]


def stats_from_store(
    state: StoreState, masks: MaskSet, instances: InstanceRule, reading: ReadOptions
) -> dict[str, MaskStats]:
    """Statistics of all masks of a store by their keys, as loading them again would give; see `from_store`."""
    stored = from_store(state, masks, instances, reading)
    return {} if stored is None else stored.stats


def from_store(state: StoreState, masks: MaskSet, instances: InstanceRule, reading: ReadOptions) -> FromStore | None:
    """Statistics of all masks of a store, as loading them again would give, but for what its tables lack.

    The masks lie in files that have not changed since the store was made. None if they were read in another way then, or
    if the tables are damaged.
    """
    info = state.info
    if instances.instances_from == "auto":
        instances = replace(instances, instances_from=info.instance_rule.instances_from)
    of_files = Scan(replace(masks, refs=()), (), {}, {}).problems()
    is_alike = (
        (info.segprep, info.source_format) == (VERSION, masks.format)
        and (info.reading, info.instance_rule) == (exact(reading), exact(instances))
        and info.class_table == masks.classes
        and not other_regions(info.regions, masks.regions)
        and info.problems[: len(of_files)] == of_files
    )
    if not (is_alike and state.has_these_masks and state.is_intact(*table_names(info))):
        return None
    tables = {name: state.table(name) for name in table_names(info)}
    keys = decode_keys(tables["key"])
    if input_digest(keys, [bytes(row) for row in tables["digest"]]) != info.input:
        return None
    problems: dict[str, tuple[Problem, ...]] = {}
    for item in info.problems[len(of_files) :]:
        if item.kind != LEFT_OUT:
            problem = Problem(item.kind, item.where, item.left_out)
            problems[item.key] = (*problems.get(item.key, ()), problem)
    stats = {
        key: replace(mask, problems=problems.get(key, ()))
        for key, mask in zip(keys, stats_in(tables, len(info.classes)), strict=True)
    }
    return FromStore(stats, problems)
