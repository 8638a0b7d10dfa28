"""Telling cheaply whether a data set is what it was, and what is known of its masks then.

Names, sizes and times of files are compared, as backup programs do. Whoever changes a file in place and sets its time back is
not noticed; contents tell that.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import segprep
from segprep.errors import InputError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import Problem
from segprep.masks.stats import MaskStats, input_digest
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.listing import listing
from segprep.readers import READERS, MaskSet, ReadOptions
from segprep.runs.scan import LEFT_OUT, Scan
from segprep.store.metadata import checksums_match
from segprep.store.schema import StoreInfo, to_builtins
from segprep.store.tables import TABLES, decode_keys, read_table, stats_in


def stat_fingerprint(data: AnyPath, out: AnyPath) -> str | None:
    """Fingerprint of the names, sizes and times of all files of a data set.

    Parameters
    ----------
    data : AnyPath
        A file, or a folder; in it hidden files and links are passed over, as readers do, and so are stores named ``*.zarr``.
    out : AnyPath
        Folder that counts as no part of the data, if it lies in there.

    Returns
    -------
    str or None
        SHA-256 in hexadecimal digits; None where a folder or file cannot be looked at.
    """
    digest = hashlib.sha256()
    try:
        for name, size, changed in _objects(data, out) if isinstance(data, BucketPath) else _files(data, out):
            digest.update(b"%b\0%d %b\0" % (name, size, changed.encode()))
    except (OSError, InputError):
        return None
    return digest.hexdigest()


def _files(data: Path, out: AnyPath) -> Iterator[tuple[bytes, int, str]]:
    """Name, size and time of each file of this machine, always in the same order."""
    whole, skipped = (Path(os.path.realpath(str(each))) for each in (data, out))
    for file in _visible(whole, skipped) if whole.is_dir() else [whole]:
        found = file.stat()
        yield os.fsencode(file.relative_to(whole)), found.st_size, str(found.st_mtime_ns)


def _visible(folder: Path, out: Path) -> Iterator[Path]:
    """Visible files below a folder, always in the same order."""
    folders: list[AnyPath] = [folder]
    while folders:
        inside = listing(folders.pop())
        yield from (file for file in inside.files if isinstance(file, Path))
        folders += [child for child in inside.folders if child != out and not _is_store(child)]


def _is_store(folder: AnyPath) -> bool:
    """Whether a folder is a Zarr store, also by its name: masks may lie in any other."""
    return folder.suffix == ".zarr" and (folder / "zarr.json").exists()


def _objects(data: BucketPath, out: AnyPath) -> Iterator[tuple[bytes, int, str]]:
    """Name, size, and time and tag of each object in a folder, or of a single one, always in the same order."""
    found = list(data.walk()) or [(data, data.stat())]
    stores = [path.parent for path, _ in found if path.name == "zarr.json" and path.parent.suffix == ".zarr"]
    skipped = frozenset(map(str, [*stores, out]))
    for path, stat in sorted(found):
        inside = path.key.relative_to(data.key)
        is_hidden = any(part.startswith(".") for part in inside.parts)
        if not is_hidden and skipped.isdisjoint(map(str, path.parents)):
            yield inside.as_posix().encode(), stat.st_size, f"{stat.st_mtime_ns} {stat.tag and stat.tag.e_tag}"


def covers_all_files(data: AnyPath, form: str) -> bool:
    """True if `stat_fingerprint` covers all files that the reader opens: it does not see those beside a single file."""
    return data.is_dir() or READERS[form].reads_one_file


def stats_from_store(
    root: AnyPath, info: StoreInfo, masks: MaskSet, instances: InstanceRule, reading: ReadOptions
) -> dict[str, MaskStats]:
    """Statistics of all masks of a store by their keys, as loading them again would give.

    Parameters
    ----------
    root : AnyPath
        The store.
    info : StoreInfo
        Its root attributes.
    masks : MaskSet
        What was found now, in files that have not changed since the store was made.
    instances : InstanceRule
        How instances are told apart now.
    reading : ReadOptions
        How masks are read now.

    Returns
    -------
    dict of str to MaskStats
        Empty where masks are read otherwise than for the store, or where its tables are not whole.
    """
    if not _is_alike(info, masks, instances, reading) or not checksums_match(root, TABLES):
        return {}
    tables = {name: read_table(root, name) for name in TABLES}
    keys = decode_keys(tables["key"])
    if input_digest(keys, [bytes(row) for row in tables["digest"]]) != info.input:
        return {}
    problems = _problems(info, len(masks.problems))
    return {
        key: replace(each, problems=tuple(problems.get(key, ())))
        for key, each in zip(keys, stats_in(tables, len(info.classes)), strict=True)
    }


def _is_alike(info: StoreInfo, masks: MaskSet, instances: InstanceRule, reading: ReadOptions) -> bool:
    """Whether the masks are read as those of a store were, by the same version of segprep."""
    of_files = Scan(replace(masks, refs=()), (), {}).problems()
    return (
        (info.segprep, info.source_format) == (segprep.__version__, masks.format)
        and info.reading == to_builtins(reading)
        and info.instance_rule == to_builtins(instances)
        and [(each.code, each.id, each.name, each.is_thing) for each in info.classes]
        == [(each.code, each.id, each.name, each.is_thing) for each in masks.classes.entries]
        and [(each.key, Problem(each.kind, each.where, each.left_out)) for each in info.problems[: len(of_files)]]
        == of_files
    )


def _problems(info: StoreInfo, of_files: int) -> dict[str, list[Problem]]:
    """Problems within each mask; before them stand those of whole files."""
    problems: dict[str, list[Problem]] = {}
    for each in info.problems[of_files:]:
        if each.kind != LEFT_OUT:
            problems.setdefault(each.key, []).append(Problem(each.kind, each.where, each.left_out))
    return problems
