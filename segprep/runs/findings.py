"""Findings about all masks of a data set together: duplicates, masks without content, missing classes.

Only an image that is in two splits is surely a mistake, and a problem. All others may be meant, so they are notices, which do
not change the exit code: tiles may be alike by chance, and an image may show nothing.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from segprep.errors import escape_controls, some
from segprep.masks.mask import MaskRef
from segprep.masks.splits import SPLITS
from segprep.masks.stats import MaskStats
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.listing import named_few
from segprep.runs.scan import Scan
from segprep.store.schema import ProblemInfo, StoreInfo
from segprep.targets import Border, Weights

SAME_IMAGE = "the same image in several splits"
MOST_COPIES = 10
"""Masks of a group of copies that are named."""
_START = 2**16
"""Bytes that are compared before a file is read completely."""
_BLOCK = 2**20

T = TypeVar("T")


def findings(found: Scan) -> tuple[list[ProblemInfo], list[str]]:
    """Problems and notices of all masks of a data set together, from a scan that has loaded every mask.

    Instances that touch are left out: whether they matter depends on what is computed, see `touching_notice`.
    """
    problems, copies = [], []
    for group in _same_images(found.masks.refs):
        if _is_across(group):
            others = some((ref.key for ref in group[1:]), most=MOST_COPIES)
            problems.append(ProblemInfo(SAME_IMAGE, group[0].key, escape_controls(others), False))
        else:
            copies.append(group)
    masks = _same_masks(found)
    notices = [
        *_contents(found),
        *_copies("identical images", copies),
        *_copies("identical masks in several splits", [group for group in masks if _is_across(group)]),
        *_copies("identical masks", [group for group in masks if not _is_across(group)]),
    ]
    return problems, [*map(escape_controls, notices), *map(escape_controls, _missing_classes(found))]


def touching_notice(pairs: int, remedy: str = "preset='crowded'") -> str:
    """Recommendation of a preset, where a number of pairs of instances touch and are not separated.

    >>> touching_notice(3)
    "3 pairs of instances touch; without background between, a network learns to merge them: use preset='crowded'"
    """
    subject = "1 pair of instances touches" if pairs == 1 else f"{pairs:,} pairs of instances touch"
    return f"{subject}; without background between, a network learns to merge them: use {remedy}"


def touching_pairs(info: StoreInfo) -> int:
    """Number of pairs of instances that touch, and that a preset would separate; 0 for a store without the border term."""
    has_border = any(target.name in (Weights.name, Border.name) for target in info.targets)
    return (info.touching_pairs or 0) if has_border and info.instance_rule.separate == 0 else 0


def _contents(found: Scan) -> Iterator[str]:
    """Notices of masks without an annotation, and of those that are ignored completely."""
    pairs = list(zip(found.masks.refs, found.stats, strict=True))
    ignored = [ref.key for ref, stats in pairs if stats.ignored == stats.shape[0] * stats.shape[1]]
    empty = [ref.key for ref, stats in pairs if not stats.ignored and not _has_content(stats)]
    for kind, keys in (("masks without an annotation", empty), ("masks that are ignored completely", ignored)):
        if keys:
            yield f"{kind}: {named_few(keys)}"


def _has_content(stats: MaskStats) -> bool:
    return len(stats.instances) > 0 or bool(stats.class_pixels[1:].any())


def _same_masks(found: Scan) -> list[list[MaskRef]]:
    """Groups of masks with the same pixels, except for those without annotation or of one class everywhere."""
    pairs = list(zip(found.masks.refs, found.stats, strict=True))
    varied = [(ref, stats) for ref, stats in pairs if _has_content(stats) and np.count_nonzero(stats.class_pixels) > 1]
    return [[ref for ref, _ in group] for group in _alike(varied, lambda pair: pair[1].digest)]


def _copies(kind: str, groups: Sequence[Sequence[MaskRef]]) -> Iterator[str]:
    """Notice of the first groups of copies."""
    if groups:
        keys = [some((ref.key for ref in group), most=MOST_COPIES, separator=" = ") for group in groups]
        yield f"{kind}: {named_few(keys)}"


def _is_across(group: Sequence[MaskRef]) -> bool:
    """True if masks are in several splits."""
    return len({ref.split for ref in group}) > 1


def _missing_classes(found: Scan) -> Iterator[str]:
    """Notices of classes that a split has and train has not, where the layout gives splits."""
    if not any(ref.split == SPLITS[0] for ref in found.masks.refs):
        return
    present = {split: np.zeros(len(found.masks.classes), np.bool_) for split in (None, *SPLITS)}
    for ref, stats in zip(found.masks.refs, found.stats, strict=True):
        if ref.split in present:
            present[ref.split] |= (stats.class_pixels > 0) | (stats.class_instances > 0)
    for split in SPLITS[1:]:
        codes = np.flatnonzero(present[split] & ~present[SPLITS[0]])
        names = [found.masks.classes.entries[code].name for code in codes if code > 0]
        if names:
            yield f"classes of {split} that train lacks: {named_few(names)}"


def _same_images(refs: Sequence[MaskRef]) -> list[list[MaskRef]]:
    """Groups of masks whose images have the same content, by size, start, and then the complete file."""
    images: dict[AnyPath, MaskRef] = {}
    for ref in refs:
        image = getattr(ref, "image", None)
        if isinstance(image, Path | BucketPath):
            images.setdefault(image, ref)
    groups = [list(images)]
    for key in (_size, lambda file: _digest(file, _START), _digest):
        groups = [alike for group in groups for alike in _alike(group, key)]
    return [[images[image] for image in group] for group in groups]


def _alike(items: Sequence[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Groups of several items with the same key; an item whose key is None is in none."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        if (value := key(item)) is not None:
            groups.setdefault(value, []).append(item)
    return [group for group in groups.values() if len(group) > 1]


def _size(file: AnyPath) -> int | None:
    """Bytes of a file; None if it cannot be read."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def _digest(file: AnyPath, most: int | None = None) -> bytes | None:
    """Fingerprint of the first bytes of a file, by default of all; None if it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with file.open("rb") as opened:
            while (most is None or opened.tell() < most) and (block := opened.read(min(_BLOCK, most or _BLOCK))):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
