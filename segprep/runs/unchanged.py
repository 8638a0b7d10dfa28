"""Masks that are as they were when a store was made, by the refs and the files that these name.

A ref has everything that its mask depends on: the annotations themselves, or the paths of the files that have them. So a mask
is not loaded again if its ref is the same, and so are the size and the time of each of its files.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segprep.masks.mask import MaskRef
from segprep.masks.regions import RegionRef
from segprep.masks.stats import MaskStats
from segprep.masks.tiles import source_keys
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import storage
from segprep.readers import READERS, MaskSet
from segprep.runs.scan import Scan
from segprep.store.schema import RefStamp


class _UnknownError(TypeError):
    """A ref that has something else than values and files."""


def ref_prints(masks: MaskSet, data: AnyPath) -> dict[str, str]:
    """Fingerprint of each ref and of the files that it names, by its key; none for refs that open others."""
    forms = {
        masks.format,
        *(ref.region_format for ref in masks.refs[:1] if isinstance(ref, RegionRef) and ref.rule.code is None),
    }
    if any(form not in READERS or READERS[form].opens_others for form in forms):
        return {}
    known: dict[int, bytes] = {}

    def ref_print(ref: MaskRef) -> str | None:
        with suppress(OSError, _UnknownError):
            digest = hashlib.blake2b(digest_size=16)
            _add(digest.update, _members(ref), data, known)
            return digest.hexdigest()
        return None

    prints = storage(data).map(ref_print, masks.refs)
    return {ref.key: found for ref, found in zip(masks.refs, prints, strict=True) if found}


def _members(ref: MaskRef) -> list[Any]:
    """Type and fields of a ref, and the paths of the files that it names."""
    members: list[Any] = [getattr(ref, item.name) for item in fields(ref)] if is_dataclass(ref) else [ref]
    if isinstance(ref, RegionRef):
        refs = [_members(part) for part in (ref.source, ref.region) if part is not None]
        return [type(ref).__qualname__, *refs, ref.rule.named, ref.n_classes, ref.is_flat, ref.region_format]
    paths = getattr(ref, "paths", None)
    if paths is not None:  # then a folder among the fields is not itself read
        folder = members.index(getattr(ref, "folder", None))
        members[folder] = [str(members[folder]), *paths]
    return [type(ref).__qualname__, *members]


def _add(update: Callable[[bytes], None], value: Any, data: AnyPath, known: dict[int, bytes]) -> None:
    """Add a value to a fingerprint; `known` has those of values that refs share, by their ids."""
    if isinstance(value, Mapping) or is_dataclass(value):
        if id(value) not in known:
            digest = hashlib.blake2b(digest_size=16)
            for part in _parts(value):
                _add(digest.update, part, data, known)
            known[id(value)] = digest.digest()
        update(b"=" + known[id(value)])
    elif isinstance(value, Path | BucketPath):
        update(_file(value, data))
    elif isinstance(value, bytes | msgspec.Raw):
        content = bytes(value)
        update(b"%d:" % len(content) + content)
    elif value is None or isinstance(value, bool | int | float | str | np.dtype):
        update(f"{type(value).__name__} {value!r},".encode("utf-8", "surrogatepass"))
    else:
        for part in _parts(value):
            _add(update, part, data, known)


def _parts(value: Any) -> list[Any]:
    """Type, length and members of a value that has some."""
    if isinstance(value, Mapping):
        members: Sequence[Any] = [part for item in value.items() for part in item]
    elif isinstance(value, tuple | list):
        members = value
    elif is_dataclass(value):
        members = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, msgspec.Struct):
        members = [getattr(value, name) for name in value.__struct_fields__]
    else:
        raise _UnknownError
    return [type(value).__qualname__, len(members), *members]


def _file(path: AnyPath, data: AnyPath) -> bytes:
    """Name, size and time of a file; the name within the data, if it is there."""
    found = path.stat()
    if isinstance(found, os.stat_result) and not stat.S_ISREG(found.st_mode):
        raise _UnknownError
    tag = getattr(found, "tag", None)
    name = str(path).removeprefix(str(data))
    return f"{name}\0{found.st_size} {found.st_mtime_ns} {tag and tag.e_tag}\0".encode("utf-8", "surrogatepass")


def known_by_refs(
    stats: Mapping[str, MaskStats], stamps: Mapping[str, RefStamp], prints: Mapping[str, str]
) -> dict[str, MaskStats]:
    """Statistics of the masks whose refs are as they were, from those of all masks of a store, by keys."""
    return {
        key: mask
        for key, mask in stats.items()
        if mask.touching is not None and key in stamps and prints.get(key) == stamps[key].ref
    }


def with_touching(stats: Mapping[str, MaskStats], stamps: Mapping[str, RefStamp]) -> dict[str, MaskStats]:
    """Statistics by keys, with the touching pairs that the tables of a store lack."""
    return {key: replace(mask, touching=stamps[key].touching if key in stamps else None) for key, mask in stats.items()}


def ref_stamps(prints: Mapping[str, str], found: Scan) -> dict[str, RefStamp]:
    """Stamps of the masks of a scan by their keys, or of those that tiles were cut from, as far as these have fingerprints."""
    touching: dict[str, int | None] = {}
    for key, stats in zip(source_keys(found.masks.refs), found.stats, strict=True):
        before = touching.get(key, 0)
        touching[key] = None if before is None or stats.touching is None else before + stats.touching
    return {key: RefStamp(prints[key], pairs) for key, pairs in touching.items() if key in prints}
