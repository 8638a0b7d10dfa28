"""Folders of a data set, listed: sorted, without hidden files, and without links that lead out of it."""

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import storage

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})  # of file managers


@dataclass(frozen=True)
class Listing:
    """Visible folders and files of one folder, each sorted by name."""

    folders: list[AnyPath]
    files: list[AnyPath]

    def __bool__(self) -> bool:
        return bool(self.folders or self.files)

    def with_suffix(self, *suffixes: str) -> list[AnyPath]:
        """Files with one of these suffixes, in upper or lower case."""
        pairs = zip(self.files, self._suffixes, strict=True)
        return [file for file, suffix in pairs if suffix in suffixes]

    @cached_property
    def _suffixes(self) -> tuple[str, ...]:
        """Suffix of each file in lower case, for which all readers ask."""
        return tuple(file.suffix.lower() for file in self.files)

    def named(self, *names: str) -> list[AnyPath]:
        """Folders with one of these names, in upper or lower case."""
        return [folder for folder in self.folders if folder.name.lower() in names]


_KNOWN: ContextVar[dict[AnyPath, Listing] | None] = ContextVar("listings", default=None)
"""Listings that were made within the present `listed_once`, by their folders."""


@contextmanager
def listed_once(top: AnyPath) -> Iterator[None]:
    """Context in which each folder is listed once, and the objects at `top`, if that is in a bucket, all at once."""
    token = _KNOWN.set({})
    try:
        with storage(top).listed_once():
            yield
    finally:
        _KNOWN.reset(token)


def listing(folder: AnyPath) -> Listing:
    """Content of `folder`, without links, which may lead out of it or in a circle."""
    known = _KNOWN.get()
    if known is not None and folder in known:
        return known[folder]
    try:
        folders, files = storage(folder).listed()
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from error
    if not isinstance(folder, BucketPath):  # of which each part is logged
        logger.debug("listed %s", folder, extra={"files": len(files)})
    content = Listing(_visible(folders), _visible(files))
    if known is not None:
        known[folder] = content
    return content


def irregular(folder: AnyPath) -> list[AnyPath]:
    """Visible entries of `folder` that `listing` skips: links and pipes; a bucket has none."""
    if isinstance(folder, BucketPath):
        return []
    with os.scandir(folder) as scan:
        entries = [
            entry for entry in scan if not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False))
        ]
    return _visible([folder / entry.name for entry in entries])


def below(folder: AnyPath, depth: float = math.inf) -> list[Listing]:
    """Contents of a folder and of the folders below, up to `depth` deep, each before those in it."""
    inside = listing(folder)
    return [inside, *chain.from_iterable(below(child, depth - 1) for child in inside.folders if depth)]


def nearest(
    path: AnyPath, choose: Callable[[Listing], list[AnyPath]], *, names: Sequence[str] = (), depth: float = math.inf
) -> list[AnyPath]:
    """Paths that `choose` takes from a folder, or if none, from each folder below, only those in `names`, up to `depth` deep.

    A file counts as a folder with itself.
    """
    inside = listing(path) if path.is_dir() else Listing([], [path])
    if (chosen := choose(inside)) or not depth:
        return chosen
    folders = inside.named(*names) if names else inside.folders
    return [own for folder in folders for own in nearest(folder, choose, names=names, depth=depth - 1)]


def _visible(paths: Sequence[AnyPath]) -> list[AnyPath]:
    """Paths that are neither hidden nor clutter, sorted by name."""
    shown = (path for path in paths if not path.name.startswith(".") and path.name.lower() not in _CLUTTER)
    return sorted(shown, key=lambda path: path.name)


def start_of(file: AnyPath, count: int) -> bytes:
    """First `count` bytes of a file; read one more than allowed to recognise a file that is too large."""
    try:
        with file.open("rb") as opened:
            return opened.read(count)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error


def named_few(names: Sequence[str], *, most: int = 3) -> str:
    """Number of names, and the first of them, for a message.

    Examples
    --------
    >>> named_few(["a.png"]), named_few(["a", "b", "c", "d"])
    ('a.png', '4 (a, b, c, ...)')
    """
    if len(names) == 1:
        return names[0]
    return f"{len(names)} ({', '.join(names[:most])}{', ...' if len(names) > most else ''})"
