"""One writer for a store in a bucket, which has no locks: a lease that its owner renews.

The lease is the object ``.lock``, made by a conditional write, so that of two runs only one can make it; its owner rewrites it
every few seconds. Another run takes it over where the owner was a process of this machine that has ended, or where the object
is old and does not change for a while: clocks differ between machines, so an old time alone proves nothing.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from segprep.errors import OutputError, StorageError
from segprep.paths.bucket import BucketPath
from segprep.paths.files import LOCK
from segprep.paths.owner import Owner, decode_owner, is_being_written, this_process
from segprep.paths.version import Tag

RENEW_INTERVAL = 10
"""Seconds between two renewals of a lease."""
RELEASE_TIMEOUT = 4
"""Seconds that a run waits for the bucket when it ends."""
EXPIRY = 60
"""Seconds without renewal after which another run may take a lease over."""
_RUNS: set[str] = set()
"""Runs of this process."""


@contextmanager
def lease(root: BucketPath, part_name: str = "") -> Iterator[Callable[[], None]]:
    """Keep other runs from writing the store at `root`.

    A run of all shards excludes those of parts, and the reverse: each first acquires its own lease, then looks for others.
    The callable raises a StorageError once the lease is lost, as that of a machine that was suspended may be.
    """
    own = _Lease(root, f"{LOCK}-{part_name}" if part_name else LOCK)
    _RUNS.add(own.owner.run)
    try:
        own.acquire()
        with own.renewed():
            _check_others(root, own, part_name)
            yield own.check
    finally:
        own.release()
        _RUNS.discard(own.owner.run)


def _check_others(root: BucketPath, own: "_Lease", part_name: str) -> None:
    """Raise OutputError where a run is writing that this one excludes."""
    _, files = root.listed()
    for name in (file.name for file in files if file.name.startswith(LOCK)):
        if name != own.path.name and (not part_name or name == LOCK):
            other = _Lease(root, name)
            other.acquire()  # succeeds only where its owner is gone
            other.release()


class _Lease:
    """Object that names the run which may write; it changes with every renewal."""

    def __init__(self, root: BucketPath, name: str) -> None:
        self.root = root
        self.path = root / name
        self.owner = this_process()
        self.tag: Tag | None = None
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._lost = threading.Event()

    def acquire(self) -> None:
        """Make the object, or take it over."""
        while not (tag := self._put(self.owner, None)):
            with suppress(FileNotFoundError):  # released meanwhile
                former = self.path.stat().tag
                self._check_abandoned(former)
                if tag := self._put(self.owner, former):
                    break
        self.tag = tag

    def _put(self, owner: Owner, former: Tag | None) -> Tag | None:
        """Put the object in place of the one with the tag `former`; its new tag, or None if that one is not there."""
        tag = self.path.put_if(msgspec.json.encode(owner), former)
        if tag is None:
            with suppress(FileNotFoundError):
                # The first try may have succeeded and its answer been lost: then the second was refused.
                return self.path.stat().tag if self._stored_owner() == owner else None
        return tag

    def _check_abandoned(self, tag: Tag | None) -> None:
        """Raise OutputError unless the run that owns the lease has ended."""
        owner = self._stored_owner()
        if owner is not None:
            # A container that is restarted counts processes from the start: a former one may have had this number.
            had_this_number = owner.is_of_here() and owner.process == os.getpid() and owner.run not in _RUNS
            if had_this_number or owner.is_gone():
                return
        message = is_being_written(self.root, owner, self.path)
        if time.time() - self.path.stat().st_mtime_ns / 1e9 < EXPIRY:
            raise OutputError(f"{message}; if it was killed, its lease expires after {EXPIRY} s")
        time.sleep(2 * RENEW_INTERVAL)
        if self.path.stat().tag != tag:
            raise OutputError(message)

    def _stored_owner(self) -> Owner | None:
        return decode_owner(self.path.read_bytes())

    def release(self) -> None:
        """Remove the object, unless another run owns it by now; where the bucket does not answer in time, it stays."""
        thread = threading.Thread(target=self._remove, daemon=True)
        thread.start()
        thread.join(RELEASE_TIMEOUT)

    def _remove(self) -> None:
        with suppress(OSError):
            if self.tag is not None and not self._lost.is_set() and self._stored_owner() == self.owner:
                self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise StorageError once the lease is lost."""
        if self._lost.is_set() or time.monotonic() - self._renewed > EXPIRY:
            raise StorageError(
                f"{self.root}: the lease could not be renewed for {EXPIRY} s or was taken over by another run; "
                "when that has ended, run the same command again to resume"
            )

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in a thread until the context ends."""
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
