"""One writer for a store in a bucket, where there are no locks of a system: a lease that its owner renews.

The lease is an object, made by a conditional write, so that of two runs one makes it. Its owner writes it anew every few
seconds. Another run takes it over where the owner was a process of this machine that is gone, or where the object stays as
it is although it is old: clocks differ between machines, so that an old time alone proves nothing.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from segprep.errors import OutputError, StorageError
from segprep.paths.bucket import BucketPath, Tag
from segprep.paths.files import LOCK

RENEW_INTERVAL = 10
"""Seconds after which a lease is renewed."""
RELEASE_TIMEOUT = 4
"""Seconds that a run waits for the bucket when it ends."""
EXPIRY = 60
"""Seconds without renewal after which a lease is looked at for whether it has been left behind."""


class Owner(msgspec.Struct, frozen=True):
    """Who writes a store; in a lease, also a name of this very run, how often that was said, and where its process counts."""

    host: str
    process: int
    run: str = ""
    renewals: int = 0
    space: str = ""

    def is_gone(self) -> bool:
        """Whether it was a process of this machine, and is no more."""
        if not self.is_of_here():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is someone else's
            return False
        return False

    def is_of_here(self) -> bool:
        """Whether its number means something here: containers may share a name, and count processes each for itself."""
        return self.host == socket.gethostname() and self.space in {"", _pid_namespace()}


def _pid_namespace() -> str:
    """Name of the space in which processes are numbered, where the system has several."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


@contextmanager
def lease(root: BucketPath, part: str = "") -> Iterator[Callable[[], None]]:
    """Keep other runs from writing the store at `root`.

    A run of all shards and those of parts keep each other away: each first takes its own lease, then looks for the others'.

    Parameters
    ----------
    root : BucketPath
        The store.
    part : str
        Name of the part of the shards that this run writes. Empty for all.

    Yields
    ------
    callable
        Raises a StorageError once the lease is lost, as that of a machine that was asleep may be.

    Raises
    ------
    OutputError
        Where another run is writing.
    OSError
        Where the bucket cannot be written, or has no conditional writes.
    """
    lease = _Lease(root, f"{LOCK}-{part}" if part else LOCK)
    _HELD.add(lease.owner.run)
    try:
        lease.take()
        with lease.renewed():
            _check_others(root, lease, part)
            yield lease.check
    finally:
        lease.give_up()
        _HELD.discard(lease.owner.run)


def _check_others(root: BucketPath, own: "_Lease", part: str) -> None:
    """Raise where a run is writing that this one excludes."""
    _, files = root.listed()
    names = [file.name for file in files if file.name.startswith(LOCK)]
    for name in names:
        if name != own.path.name and (not part or name == LOCK):
            other = _Lease(root, name)
            other.take()  # only where its owner is gone
            other.give_up()


_HELD: set[str] = set()
"""Runs of this process."""


def _was_here(owner: Owner) -> bool:
    """Whether the owner had the number of this process but is no run of it: a container that starts again counts anew."""
    return owner.is_of_here() and owner.process == os.getpid() and owner.run not in _HELD


class _Lease:
    """An object that says who may write; it changes with every renewal."""

    def __init__(self, root: BucketPath, name: str) -> None:
        self.root = root
        self.path = root / name
        self.owner = Owner(socket.gethostname(), os.getpid(), uuid.uuid4().hex, space=_pid_namespace())
        self.tag: Tag | None = None
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._lost = threading.Event()

    def take(self) -> None:
        """Make the object, or take it over."""
        self.tag = self._put(self.owner, None)
        while self.tag is None:
            with suppress(FileNotFoundError):  # given up meanwhile
                former = self.path.stat().tag
                self._check_left(former)
                self.tag = self._put(self.owner, former)
            if self.tag is None:
                self.tag = self._put(self.owner, None)

    def _put(self, owner: Owner, former: Tag | None) -> Tag | None:
        """Put the object in place of the former one; its tag, or None if that was not there."""
        tag = self.path.put_if(msgspec.json.encode(owner), former)
        if tag is None:
            with suppress(FileNotFoundError):
                # It may have been put although the answer was lost: then asking again was refused.
                return self.path.stat().tag if self._owner() == owner else None
        return tag

    def _check_left(self, tag: Tag | None) -> None:
        """Raise OutputError unless the lease was left behind by a run that is no more."""
        owner = self._owner()
        if owner is not None and (owner.is_gone() or _was_here(owner)):
            return
        who = f"process {owner.process} on {owner.host}" if owner else "another process"
        message = f"{self.root}: is being written by {who}; wait for it to end (the lease is {self.path})"
        if time.time() - self.path.stat().st_mtime_ns / 1e9 < EXPIRY:
            raise OutputError(f"{message}; if it was killed, its lease lapses after {EXPIRY} s")
        time.sleep(2 * RENEW_INTERVAL)
        if self.path.stat().tag != tag:
            raise OutputError(message)

    def _owner(self) -> Owner | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Owner)
        except msgspec.MsgspecError:
            return None

    def give_up(self) -> None:
        """Remove the object, unless it is another's by now; where the bucket does not answer soon, it is left behind."""
        thread = threading.Thread(target=self._remove, daemon=True)
        thread.start()
        thread.join(RELEASE_TIMEOUT)

    def _remove(self) -> None:
        with suppress(OSError):
            if self.tag is not None and not self._lost.is_set() and self._owner() == self.owner:
                self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise StorageError once the lease is lost."""
        if self._lost.is_set() or time.monotonic() - self._renewed > EXPIRY:
            raise StorageError(
                f"{self.root}: its lease could not be renewed for {EXPIRY} s or was taken over by another run; "
                "the same command goes on once that has ended"
            )

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in a thread of its own until the context ends."""
        thread = threading.Thread(target=self._renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(RELEASE_TIMEOUT)

    def _renew(self) -> None:
        self._renewed = time.monotonic()
        while not self._ended.wait(RENEW_INTERVAL):
            owner = msgspec.structs.replace(self.owner, renewals=self.owner.renewals + 1)
            try:
                tag = self._put(owner, self.tag)
            except OSError:  # the network may be back in time
                continue
            if tag is None:
                self._lost.set()
                return
            self.owner, self.tag, self._renewed = owner, tag, time.monotonic()
