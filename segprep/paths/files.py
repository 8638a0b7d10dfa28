"""Storage behind a path: listing, atomic writes that are flushed to the disk, removal, and errors."""

import errno
import mmap
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from segprep.errors import StorageError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath, is_hidden
from segprep.paths.version import ReplacedError, Version

T = TypeVar("T")
R = TypeVar("R")

LOCK = ".lock"
"""Start of the names of files that are in a store while it is written; see `segprep.paths.lock`."""
SCAN = ".segprep-scan"
"""Folder in a store that is not complete, with results of the scan; see `segprep.runs.journal`."""
PARTIAL = ".partial"
"""End of the names of files that are not yet in place."""
PUT_THREADS = 8
"""Files or objects that are put at the same time."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class DiskPath:
    """Path of this machine, with the methods of `BucketPath` that `pathlib` lacks."""

    path: Path

    def put(self, data: bytes) -> None:
        """Write a file completely or not at all; it is on the disk when this returns."""
        path = self.path
        make_folder(path.parent)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                sizes = f"{len(data):,} bytes were to be written, {shutil.disk_usage(path.parent).free:,} are free"
                raise OSError(error.errno, f"{error.strerror}: {sizes}", str(path)) from error
            raise
        _sync_folder(path.parent)

    def mapped(self) -> mmap.mmap | bytes:
        """Content of a file, mapped and not yet read."""
        with self.path.open("rb") as file:
            # An empty file cannot be mapped.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.path.stat().st_size else b""

    def version(self) -> Version:
        """Version of the file, which changes when another takes its place."""
        return _version(self.path.stat())

    def read_end(self, length: int) -> tuple[bytes, int, Version]:
        """Last `length` bytes of a file, or all if it has fewer, its size, and its version."""
        with self.path.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            length = min(length, found.st_size)
            return os.pread(file.fileno(), length, found.st_size - length), found.st_size, _version(found)

    def read_ranges(self, ranges: Sequence[tuple[int, int]], version: Version | None = None) -> list[bytes]:
        """Parts of a file, each from its offset and of its length in bytes; ReplacedError if it has another `version`."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if version is not None and _version(os.fstat(descriptor)) != version:
                raise ReplacedError(str(self.path))
            return [os.pread(descriptor, length, offset) for offset, length in ranges]
        finally:
            os.close(descriptor)

    def listed_once(self) -> AbstractContextManager[None]:
        """Context that does nothing: `segprep.paths.listing` keeps the listings of a disk."""
        return nullcontext()

    def listed(self) -> tuple[list[Path], list[Path]]:
        """Folders and files in a folder, without links, in no order."""
        with os.scandir(self.path) as scan:
            entries = list(scan)
        return (
            [self.path / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)],
            [self.path / entry.name for entry in entries if entry.is_file(follow_symlinks=False)],
        )

    def total_bytes(self) -> int:
        """Size of all files in a folder and below, except hidden ones and those in hidden folders."""
        files = (path for path in self.path.rglob("*") if path.is_file() and not is_hidden(path.relative_to(self.path)))
        return sum(path.stat().st_size for path in files)

    def remove_tree(self) -> None:
        """Remove a folder with all that is in it, or a file or link in its place, if there is anything."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
        """Results of a call that reads for each item, one after the other."""
        return map(function, items)


def storage(path: AnyPath) -> DiskPath | BucketPath:
    """Path with the operations that differ between a disk and a bucket."""
    return path if isinstance(path, BucketPath) else DiskPath(path)


def _version(found: os.stat_result) -> Version:
    return Version(found.st_ino, found.st_mtime_ns)


def put(root: AnyPath, name: str, data: bytes) -> None:
    """Put a file or an object in a store completely or not at all; it is stored when this returns."""
    with storage_errors(root):
        storage(root / name).put(data)


def put_all(root: AnyPath, contents: Mapping[str, bytes]) -> None:
    """Put files or objects in a store, in no order, each as by `put`; all are stored when this returns.

    Several at once: a disk flushes them together. The 66 small objects of a store took 30 ms, one after the other 300 to 800.
    """
    if not contents:
        return
    with storage_errors(root), ThreadPoolExecutor(PUT_THREADS) as threads:
        if isinstance(root, Path):
            for folder in dict.fromkeys((root / name).parent for name in contents):
                make_folder(folder)  # before threads could make it side by side
        puts = [threads.submit(storage(root / name).put, data) for name, data in contents.items()]
        for ended in puts:
            ended.result()


def remove_partials(root: Path) -> None:
    """Remove files that were never put in place."""
    for path in root.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def exists(path: AnyPath) -> bool:
    """True if there is something, a dangling link included; unlike `Path.exists`, it raises other errors."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def no_such_path(path: AnyPath) -> str:
    """Reason why a path that does not exist cannot be read, with one beside it that has almost the same name."""
    try:
        names = [other.name for other in path.parent.iterdir()] if isinstance(path, Path) else []
    except OSError:
        names = []
    close = get_close_matches(path.name, names, n=1, cutoff=0.8)
    return "no such file or folder" + (f"; did you mean {path.with_name(close[0])}?" if close else "")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; they are on the disk when this returns."""
    missing = list(takewhile(lambda parent: not parent.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for parent in missing:
        _sync_folder(parent.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(root: AnyPath) -> Iterator[None]:
    """Turn each OSError into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or root}: cannot be written: {error.strerror}") from error
