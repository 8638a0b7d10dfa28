"""One writer for a store: a second run is refused at once, and what a killed run left behind is taken over.

The lock is the system's own on a file in the store (``flock``): it ends with the process that holds it, however that ends.
The file says who that is. Where the file system has no such locks, the file alone decides: it counts unless the process
that it names was on this machine and is gone.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from segprep.errors import OutputError
from segprep.store import LOCK, storage_errors, sweep

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL})


class Owner(msgspec.Struct, frozen=True):
    """Who writes a store."""

    host: str
    process: int


@contextmanager
def sole_writer(root: Path) -> Iterator[None]:
    """Keep all other runs from writing the store at `root`, and sweep what killed ones left half written.

    The folder is made where it is missing; if nothing is written to it, it is gone again at the end.

    Raises
    ------
    OutputError
        Where another run is writing.
    StorageError
        Where the place cannot be written.
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        file = _locked(root)
    try:
        sweep(root)
        yield
    finally:
        with suppress(OSError):
            sweep(root)
            (root / LOCK).unlink()
            os.close(file)
        with suppress(OSError):  # as soon as one is not empty
            for folder in made:
                folder.rmdir()


def _locked(root: Path) -> int:
    """Descriptor of the lock's file, held by this process."""
    path = root / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        owner = _owner(file)
        if not _is_free(file, owner):
            os.close(file)
            who = f"process {owner.process} on {owner.host}" if owner else "another process"
            raise OutputError(f"{root}: is being written by {who}; wait for it to end (the lock is {path})")
        # Its former owner may have removed the file between our opening and locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                os.ftruncate(file, 0)
                os.pwrite(file, msgspec.json.encode(Owner(socket.gethostname(), os.getpid())), 0)
                return file
        os.close(file)


def _owner(file: int) -> Owner | None:
    """Who the file says holds the lock."""
    try:
        return msgspec.json.decode(os.pread(file, 4096, 0), type=Owner)
    except msgspec.MsgspecError:  # not yet written
        return None


def _is_free(file: int, owner: Owner | None) -> bool:
    """Whether the lock was to be had; then this process holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return owner is None or (owner.host == socket.gethostname() and not _is_alive(owner.process))


def _is_alive(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is someone else's
        return True
    return True
