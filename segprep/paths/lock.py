"""One writer for a store: a second run is refused at once, and what a killed run left behind is taken over.

Runs of different parts of the shards may write one store side by side: they share its lock, and each has one of its own.

The lock is the system's own on a file in the store (``flock``): it ends with the process that holds it, however that ends.
The file says who that is. Where the file system has no such locks, the file alone decides: it counts unless the process
that it names was on this machine and is gone. In a bucket, a lease takes the place of the lock; see `segprep.paths.lease`.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from segprep.errors import OutputError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import LOCK, make_folder, remove_partials, storage_errors
from segprep.paths.lease import Owner, lease

RETRY_SECONDS = 1
"""Seconds that a run waits for what passes: of a part, that another part which ends holds the lock alone while it removes the
file; of any, that the one which has just taken the lock writes its name into it."""
_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL})


@contextmanager
def write_lock(root: AnyPath, part: str = "") -> Iterator[Callable[[], None]]:
    """Keep other runs from writing the store at `root`, and sweep what killed ones left half written.

    The folder is made where it is missing; if nothing is written to it, it is gone again at the end.

    Parameters
    ----------
    root : AnyPath
        The store.
    part : str
        Name of the part of the shards that this run writes: runs of other parts are not kept away. Empty for all.

    Yields
    ------
    callable
        Raises a StorageError where this run is no longer the only one, to be asked now and then.

    Raises
    ------
    OutputError
        Where another run is writing.
    StorageError
        Where the place cannot be written.
    """
    if isinstance(root, BucketPath):
        with storage_errors(root), lease(root, part) as check:
            yield check
    else:
        with _locked_folder(root, part):
            yield _always_held


def _always_held() -> None:
    """Nothing to check: the system takes no lock away."""


@contextmanager
def _locked_folder(root: Path, part: str) -> Iterator[None]:
    """As `write_lock`, for a store on this machine."""
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    held: list[tuple[Path, int]] = []
    try:
        with storage_errors(root):
            make_folder(root)
            held.append(_locked(root, LOCK, shared=bool(part)))
            if part:
                held.append(_locked(root, f"{LOCK}-{part}"))
            else:
                remove_partials(root)
        yield
    finally:
        if held and not part:
            with suppress(OSError):
                remove_partials(root)
        for path, file in reversed(held):
            _release(path, file)
        with suppress(OSError):  # as soon as one is not empty
            for folder in made:
                folder.rmdir()


def _release(path: Path, file: int) -> None:
    """Let go of a lock, and remove its file unless others share it."""
    with suppress(OSError):
        if _try_upgrade(file):
            path.unlink()
    os.close(file)


def _try_upgrade(file: int) -> bool:
    """Whether a lock that this process holds is shared with no other; from then on it cannot be."""
    return _is_free(file, None)


def _locked(root: Path, name: str, *, shared: bool = False) -> tuple[Path, int]:
    """Lock's file, and its descriptor that is held by this process."""
    path = root / name
    patience = time.monotonic() + RETRY_SECONDS
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            owner = _owner(file)
            free = _is_free(file, owner, shared=shared)
            ours = free and _is_at(path, file)
        except BaseException:
            os.close(file)
            raise
        if ours:
            _write_owner(path, file)
            return path, file
        os.close(file)
        if free:
            continue
        if (shared or owner is None or owner.is_gone()) and time.monotonic() < patience:
            time.sleep(RETRY_SECONDS / 20)
            continue
        who = f"process {owner.process} on {owner.host}" if owner else "another process"
        raise OutputError(f"{root}: is being written by {who}; wait for it to end (the lock is {path})")


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file is still there: the former owner of a lock may have removed it before it was locked anew."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write_owner(path: Path, file: int) -> None:
    """Write into a lock's file who holds it."""
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, msgspec.json.encode(Owner(socket.gethostname(), os.getpid())), 0)
    except BaseException:
        _release(path, file)
        raise


def _owner(file: int) -> Owner | None:
    """Who the file says holds the lock."""
    try:
        return msgspec.json.decode(os.pread(file, 4096, 0), type=Owner)
    except msgspec.MsgspecError:  # not yet written
        return None


def _is_free(file: int, owner: Owner | None, *, shared: bool = False) -> bool:
    """Whether the lock was to be had; then this process holds it."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return shared or owner is None or owner.is_gone()
    return True
