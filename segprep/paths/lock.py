"""One writer for a store: a second run is refused at once, and the store of a killed run is taken over.

The lock is the system's own (``flock``) on the file ``.lock`` in the store, so it ends with the process that holds it, however
that ends. The run of one part of the shards shares this lock with the runs of other parts, and has a file like
``.lock-1-of-4`` to itself. The files name their owners, and are removed at the end: zarr-python and xarray warn of every
other file in a group.

Where a file system has no such locks, the files alone decide: a lock is held while its file names a process, unless that was
one of this machine and has ended. In a bucket, a lease takes the place of the lock; see `segprep.paths.lease`.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from segprep.errors import OutputError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import LOCK, make_folder, remove_partials, storage_errors
from segprep.paths.lease import lease
from segprep.paths.owner import Owner, decode_owner, is_being_written, this_process

NAME_SECONDS = 1
"""Seconds that a refused run waits for the owner to write its name."""
_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL})


@contextmanager
def write_lock(root: AnyPath, part_name: str = "") -> Iterator[Callable[[], None]]:
    """Keep other runs from writing the store at `root`, and remove partial files of killed runs.

    The folder is made where it is missing; if nothing is written to it, it is removed at the end. `part_name`, such as
    ``1-of-4``, names the part of the shards that this run writes; runs of other parts may write at the same time. The callable
    raises a StorageError where this run has lost the lock: call it now and then.
    """
    if isinstance(root, BucketPath):
        with storage_errors(root), lease(root, part_name) as check:
            yield check
    else:
        with _locked_folder(root, part_name):
            yield lambda: None  # the system takes no lock away


def require_unlocked(root: AnyPath, part_name: str = "") -> None:
    """Raise OutputError where `write_lock` would, as far as that can be seen without writing: not in a bucket."""
    if isinstance(root, BucketPath):
        return
    for name in (LOCK, f"{LOCK}-{part_name}") if part_name else (LOCK,):
        with suppress(OSError):  # there is none, or it can only be opened for writing
            file = os.open(root / name, os.O_RDONLY)
            try:
                _lock(root, file, shared=bool(part_name) and name == LOCK)
            finally:
                os.close(file)


@contextmanager
def _locked_folder(root: Path, part_name: str) -> Iterator[None]:
    """As `write_lock`, for a store on this machine."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    held: list[int] = []
    try:
        with storage_errors(root):
            make_folder(root)
            held.append(_acquire(root, LOCK, shared=bool(part_name)))
            if part_name:
                held.append(_acquire(root, f"{LOCK}-{part_name}"))
            else:
                for path in root.glob(f"{LOCK}-*"):  # shown by `LOCK` too, where the file system has locks
                    os.close(_acquire(root, path.name))
                    path.unlink(missing_ok=True)
                remove_partials(root)
            for file in held:
                os.ftruncate(file, 0)  # a killed owner may be named there
            os.pwrite(held[-1], msgspec.json.encode(this_process()), 0)
        yield
    finally:
        with suppress(OSError):
            _release(root, held, part_name)
        for file in held:
            os.close(file)
        with suppress(OSError):  # from the first folder that is not empty
            for folder in missing:
                folder.rmdir()


def _acquire(root: Path, name: str, *, shared: bool = False) -> int:
    """Descriptor of a lock's file, whose lock this process holds."""
    path = root / name
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(root, file, shared=shared)
            with suppress(FileNotFoundError):  # its former owner may have removed the file before it was locked
                if os.path.samestat(os.fstat(file), path.stat()):
                    return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(root: Path, file: int, *, shared: bool) -> None:
    """Take the lock, or raise OutputError where another process holds it."""
    if not _try_lock(file, shared=shared):
        owner = _owner(root)
        if not _try_lock(file, shared=shared):  # a part that ends has the lock alone for a moment
            raise OutputError(is_being_written(root, owner, root / LOCK))


def _try_lock(file: int, *, shared: bool = False) -> bool:
    """Take the lock unless another process holds it; False in that case."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return _live_owner(os.pread(file, 4096, 0)) is None
    return True


def _owner(root: Path) -> Owner | None:
    """Owner that one of the lock's files names, as soon as one does."""
    patience = time.monotonic() + NAME_SECONDS
    while time.monotonic() < patience:
        for path in sorted(root.glob(f"{LOCK}*")):
            with suppress(FileNotFoundError):
                if owner := _live_owner(path.read_bytes()):
                    return owner
        time.sleep(NAME_SECONDS / 20)
    return None


def _live_owner(content: bytes) -> Owner | None:
    owner = decode_owner(content)
    return None if owner is None or owner.is_gone() else owner


def _release(root: Path, held: list[int], part_name: str) -> None:
    """Remove the file of a part, and that of the lock unless other parts share it."""
    if len(held) > 1:
        (root / f"{LOCK}-{part_name}").unlink()
    elif held and not part_name:
        remove_partials(root)
    if held and (not part_name or _try_lock(held[0])):
        (root / LOCK).unlink()
