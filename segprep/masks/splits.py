"""Splits of masks into training, validation and test.

The hash of a seed and of a mask's group, by default its key, is a number in [0, 1), and the fractions cut that interval. So
further masks move no other, and masks of one slide, patient or video stay together. Folds are filled evenly instead: there are
few of them, and an empty one is useless.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError, OptionError, check_fields
from segprep.paths.anypath import AnyPath

SPLITS = ("train", "val", "test")
"""In the order of their codes."""
FOLDERS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}
"""Names of folders that are splits."""
FILES = ("splits.json", "splits.csv")
"""Names of files that list the splits of the data set beside them."""

NO_FOLD = 255
"""Fold of a mask that is in none, and split or fold of one that has none yet."""

SplitArray = NDArray[np.uint8]
"""Index into `SPLITS` of each mask."""


@dataclass(frozen=True)
class SplitRule:
    """How masks are split.

    Attributes
    ----------
    fractions : (float, float, float) or None
        Shares of train, val and test, which sum to 1. None obeys what the data set says by folders or a file, and else
        takes everything for training.
    seed : int
        Random seed.
    group : str or None
        Regular expression for the part of a mask's name that its group has in common, such as ``slide[0-9]+``; the masks of a
        group get the same split. If it has parentheses, only what they match counts.
    stratify : bool
        Balance classes over the splits of given shares, and over the folds; adding masks later may then change the split
        of others.
    folds : int or None
        Number of folds for cross-validation, at least 2; test masks belong to no fold.
    file : str or None
        JSON or CSV file that names the split of each key.
    """

    fractions: tuple[float, float, float] | None = field(default=None, metadata={"bound": True})
    seed: int = 0
    group: str | None = None
    stratify: bool = False
    folds: int | None = None
    file: str | None = field(default=None, metadata={"bound": True})

    def __post_init__(self) -> None:
        check_fields(self)
        if self.fractions is not None:
            _check_fractions(self.fractions)
        if self.stratify and self.fractions is None and self.folds is None:
            raise OptionError("stratify=True: needs shares or folds to balance, as split=(0.8, 0.1, 0.1) or folds=5")
        if self.fractions is not None and self.file is not None:
            raise OptionError("split: give shares or a file, not both")
        if self.folds is not None and not 2 <= self.folds <= 254:  # noqa: PLR2004 - a byte, and one value for none
            raise OptionError(f"folds={self.folds}: must be from 2 to 254")
        if self.group is not None:
            try:
                re.compile(self.group)
            except (re.error, OverflowError) as error:
                raise OptionError(f"group={self.group!r}: not a regular expression: {error}") from None


def _check_fractions(fractions: Sequence[float]) -> None:
    """Raise if the shares do not cut [0, 1)."""
    shown = f"({', '.join(f'{share:g}' for share in fractions)})"
    if len(fractions) != len(SPLITS):
        raise OptionError(f"split={shown}: give three shares, of train, val and test")
    if not all(0 <= share <= 1 for share in fractions) or abs(sum(fractions) - 1) > 1e-9:  # noqa: PLR2004 - rounding
        raise OptionError(f"split={shown}: the shares sum to {sum(fractions):g}; they must be at least 0 and sum to 1")
    if fractions[0] == 0:
        raise OptionError(f"split={shown}: nothing would be left for training")


def groups_of(keys: Sequence[str], pattern: str | None) -> list[str]:
    r"""Group of each key.

    >>> groups_of(["slide1_a.png", "slide1_b.png", "slide2_a.png"], r"slide\d+")
    ['slide1', 'slide1', 'slide2']
    """
    if pattern is None:
        return list(keys)
    matches = [re.search(pattern, key) for key in keys]
    if None in matches:
        raise OptionError(f"group={pattern!r}: does not match {keys[matches.index(None)]!r}")
    parts = [match.groups("") or (match.group(),) for match in matches if match]
    if blank := next((key for key, own in zip(keys, parts, strict=True) if not any(own)), None):
        raise OptionError(f"group={pattern!r}: matches no character of {blank!r}; use + or {{1,}} instead of * and ?")
    return ["\0".join(own) for own in parts]


def fraction_of(group: str, seed: int) -> float:
    """Number in [0, 1) that depends on the group and the seed alone.

    >>> round(fraction_of("slide1", 0), 3)
    0.909
    """
    digest = hashlib.blake2b(f"{seed}/{group}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def by_hash(groups: Sequence[str], fractions: Sequence[float], seed: int) -> SplitArray:
    """Split of each mask, by its group alone."""
    bounds = np.cumsum(fractions)[:-1]
    return np.searchsorted(bounds, [fraction_of(group, seed) for group in groups], side="right").astype(np.uint8)


def folds_of(
    groups: Sequence[str],
    splits: SplitArray,
    folds: int | None,
    seed: int,
    counts: NDArray[np.int64] | None = None,
    had: SplitArray | None = None,
) -> SplitArray:
    """Fold of each mask, 255 for masks in none: test masks, or all if there are no folds.

    The largest groups go first, each to the fold that has the fewest masks; a hash puts groups of one size in order. With
    `counts`, shape (masks, columns), folds share these and the masks that have any of each column, as `stratified` does.
    `had` has the folds of masks before an update, which they keep; 255 for the others.
    """
    fold = np.full(len(groups), NO_FOLD, np.uint8)
    if folds is None:
        return fold
    outside = np.flatnonzero(splits != SPLITS.index("test")).tolist()
    sizes = Counter(groups[mask] for mask in outside)
    if len(sizes) < folds:
        raise OptionError(f"folds={folds}: more than the {len(sizes)} masks or groups outside test; use fewer")
    if counts is not None:
        columns = np.hstack([counts[outside], counts[outside] > 0])
        kept = None if had is None else had[outside]
        fold[outside] = stratified([groups[mask] for mask in outside], columns, [1 / folds] * folds, seed, kept)
        return fold
    filled = [0] * folds
    fold_of = _kept_groups(groups, outside, had)
    for group, kept_fold in fold_of.items():
        filled[kept_fold] += sizes[group]
    for group in sorted(sizes, key=lambda name: (-sizes[name], fraction_of(f"fold/{name}", seed))):
        if group in fold_of:
            continue
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    fold[outside] = [fold_of[groups[mask]] for mask in outside]
    return fold


def _kept_groups(groups: Sequence[str], masks: Iterable[int], had: SplitArray | None) -> dict[str, int]:
    """Split or fold of each group of which a mask had one before, 255 for none."""
    kept: dict[str, int] = {}
    if had is None:
        return kept
    for mask in masks:
        if had[mask] != NO_FOLD:
            kept.setdefault(groups[mask], int(had[mask]))
    return kept


def stratified(
    groups: Sequence[str],
    counts: NDArray[np.int64],
    fractions: Sequence[float],
    seed: int,
    had: SplitArray | None = None,
) -> SplitArray:
    """Split of each mask so that every column of `counts` is shared by `fractions`, as well as the groups allow.

    Greedy: groups go one by one, those with the rarest columns and the largest first, to where they reduce the squared
    error of the shares most; the last ones go to splits that would otherwise be empty. `counts` has shape (masks, columns).
    `had` has the splits of masks before an update, which they keep; 255 for the others.
    """
    names, member = np.unique(np.array(groups), return_inverse=True)
    share = np.zeros((len(names), counts.shape[1] + 1))
    np.add.at(share, member, np.column_stack([counts, np.ones(len(groups))]))
    share = share[:, share.sum(axis=0) > 0]
    share /= share.sum(axis=0)
    order = sorted(range(len(names)), key=lambda i: (-share[i].max(), fraction_of(str(names[i]), seed)))
    goal = np.array(fractions)[:, None]
    have = np.zeros((len(fractions), share.shape[1]))
    chosen = np.zeros(len(names), np.uint8)
    kept = _kept_groups(groups, range(len(groups)), had)
    for i in (i for i in order if names[i] in kept):
        chosen[i] = kept[names[i]]
        have[chosen[i]] += share[i]
    order = [i for i in order if names[i] not in kept]
    for left, i in zip(range(len(order), 0, -1), order, strict=True):
        empty = (goal[:, 0] > 0) & (have.sum(axis=1) == 0)
        open_to = empty if np.count_nonzero(empty) >= left else goal[:, 0] > 0
        gain = (((goal - have) * share[i] - share[i] ** 2 / 2) / np.maximum(goal, 1e-12)).sum(axis=1)
        chosen[i] = np.argmax(np.where(open_to, gain, -np.inf))
        have[chosen[i]] += share[i]
    return chosen[member]


def folder_split(key: str) -> str | None:
    """Split of a mask by the first folder in its key that is named as a split; None if there is none.

    >>> folder_split("images/Training/a.png"), folder_split("train.png")
    ('train', None)
    """
    if "/" not in key:
        return None
    return next((SPLITS[FOLDERS[part]] for part in key.lower().split("/")[:-1] if part in FOLDERS), None)


def by_layout(names: Sequence[str | None]) -> SplitArray | None:
    """Split of each mask by the layout of the data set, which gives a name or None for each; None unless all have one.

    >>> by_layout(["train", "val"])
    array([0, 1], dtype=uint8)
    >>> by_layout(["train", None]) is None
    True
    """
    codes = [None if name is None else SPLITS.index(name) for name in names]
    return None if not codes or None in codes else np.array(codes, np.uint8)


def by_file(keys: Sequence[str], path: AnyPath) -> SplitArray:
    """Split of each mask by a file.

    JSON: ``{"train": [key, ...], "val": [...]}`` or ``{key: "train", ...}``. CSV: two columns, key and split, with such a head
    or without. InputError if the file cannot be read, names an unknown split, or does not list a mask.
    """
    listed = {key: split.strip().lower() for key, split in _read_file(path).items()}
    unknown = next((name for name in listed.values() if name not in FOLDERS), None)
    if unknown is not None:
        raise InputError(f"{path}: split {unknown!r} is unknown; use train, val or test")
    missing = [key for key in keys if key not in listed]
    if missing:
        raise InputError(
            f"{path}: does not list {len(missing)} masks (first: {missing[0]!r}); give the split of each key"
        )
    return np.array([FOLDERS[listed[key]] for key in keys], np.uint8)


def _read_file(path: AnyPath) -> Mapping[str, str]:
    """Split of each key, as the file has it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            listed = json.loads(text)
            if all(isinstance(value, list) for value in listed.values()):
                return _once((str(key), split) for split, keys in listed.items() for key in keys)
            return {str(key): str(split) for key, split in listed.items()}
        rows = [row for row in csv.reader(text.splitlines()) if row]
        head = bool(rows) and [cell.strip().lower() for cell in rows[0][1:]] == ["split"]
        return _once((key, split) for key, split in rows[head:])
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError, RecursionError, csv.Error) as error:
        raise InputError(f"{path}: not a table of splits: {error}") from None


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Split of each key, which may be listed twice but not with two splits."""
    listed: dict[str, str] = {}
    for key, split in pairs:
        if listed.setdefault(key, split) != split:
            raise ValueError(f"{key!r} is in {listed[key]} and in {split}")
    return listed


def check_filled(splits: SplitArray, rule: SplitRule, groups: int) -> None:
    """Raise an OptionError if a split with a share has no mask; `groups` is the number of groups."""
    fractions = rule.fractions or ()
    shown, wanted = f"split=({', '.join(f'{share:g}' for share in fractions)})", sum(share > 0 for share in fractions)
    if groups < wanted:
        raise OptionError(f"{shown}: {wanted} splits need at least {wanted} masks or groups; the data set has {groups}")
    for code, share in enumerate(fractions):
        if share > 0 and not (splits == code).any():
            remedy = "" if rule.stratify else f"stratify=True, seed={rule.seed + 1}, or "
            raise OptionError(f"{shown}: none of {len(splits)} masks is in {SPLITS[code]}; try {remedy}other shares")


def check_groups(keys: Sequence[str], groups: Sequence[str], splits: SplitArray) -> None:
    """Raise an OptionError if the masks of a group are in several splits, by a file or by folders."""
    first: dict[str, int] = {}
    for mask, group in enumerate(groups):
        other = first.setdefault(group, mask)
        if splits[mask] != splits[other]:
            raise OptionError(
                f"group: {keys[other]!r} is in {SPLITS[splits[other]]} and {keys[mask]!r}, of the same group, in "
                f"{SPLITS[splits[mask]]} by the data set or the file of splits; correct that, or leave it out"
            )


def file_of(rule: SplitRule, data: AnyPath | None) -> AnyPath | None:
    """File that lists the splits: the rule's, or one of `FILES` in the folder of the data."""
    if rule.file is not None:
        return Path(rule.file)
    if data is None or not data.is_dir():
        return None
    files = (data / name for name in FILES)
    return next((file for file in files if file.is_file() and not file.is_symlink()), None)


def file_split(file: AnyPath) -> str | None:
    """Split in the name of a file, else that of its folder; None if there is none, or the name has several.

    >>> file_split(Path("a/instances_train2017.json")), file_split(Path("valid/_annotations.coco.json"))
    ('train', 'val')
    """
    words = re.findall(r"[a-z]+", file.stem.lower())
    codes = {FOLDERS[word] for word in words if word in FOLDERS}
    codes = codes or {FOLDERS[word] for word in [file.parent.name.lower()] if word in FOLDERS}
    return SPLITS[codes.pop()] if len(codes) == 1 else None
