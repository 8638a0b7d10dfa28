"""Atomic writes, flushed to the disk, and errors of storage."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from segprep.errors import StorageError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath

LOCK = ".lock"
"""File that is in a store while it is written; see `segprep.paths.lock`."""


PARTIAL = ".partial"
"""End of the names of files that are not yet in place."""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def remove_partials(root: AnyPath) -> None:
    """Remove files that were never put in place; objects in a bucket always are."""
    for path in [] if isinstance(root, BucketPath) else root.rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def exists(path: AnyPath) -> bool:
    """Whether there is something, a dangling link included; unlike `Path.exists` it does not take an error for a no."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def put(path: AnyPath, data: bytes) -> None:
    """Put an object in place: whole or not at all, and on the disk or in the bucket when this returns."""
    if isinstance(path, BucketPath):
        path.write_bytes(data)
        return
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


def make_folder(folder: Path) -> None:
    """Make a folder with those around it, on the disk when this returns."""
    missing = list(takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(root: AnyPath) -> Iterator[None]:
    """Translate what the system says of the disk."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or root}: cannot be written: {error.strerror}") from error
