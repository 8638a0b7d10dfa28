"""A store that was opened, and may be changed meanwhile.

Whatever changes a store writes the root attributes first, and only then tables and shards. So an object belongs to the
attributes that were read before it if these are still there after it was read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import storage
from segprep.paths.version import Version
from segprep.store.metadata import read_info
from segprep.store.schema import StoreInfo
from segprep.store.tables import MISSING

_SECOND = 10**9
"""Resolution of times in buckets, in ns."""


@dataclass(eq=False)
class OpenedStore:
    """Attributes of a store when it was opened; without `is_checked`, it may have any others now."""

    root: AnyPath
    info: StoreInfo
    is_checked: bool = True
    _now: StoreInfo | None = field(default=None, init=False)
    _version: Version | None = field(default=None, init=False)

    def require(self, target: str | None = None, read: Version | None = None) -> None:
        """Raise IntegrityError unless what was read last belongs to the attributes.

        That is a table, or of a shard of `target` the version `read`.
        """
        if not self.is_checked:
            return
        if not self._is_older(read):
            try:
                version = storage(self.root / "zarr.json").version()
            except MISSING:
                version = None
            if version is None or version != self._version:
                self._now, self._version = read_info(self.root), version  # raises where it is missing
        now, info = self._now or self.info, self.info
        is_same = (now.input, now.buckets, now.revision) == (info.input, info.buckets, info.revision)
        if not is_same or (target is not None and _of(now, target) != _of(info, target)):
            raise IntegrityError(f"{self.root}: was changed since it was opened; open it again")

    @contextmanager
    def explained(self, target: str | None = None) -> Iterator[None]:
        """Context in which errors of reading are those of `require` where the store was changed."""
        try:
            yield
        except (*MISSING, ValueError, IntegrityError):
            self.require(target)
            raise

    def _is_older(self, read: Version | None) -> bool:
        """True if an object in a bucket was written before the attributes, which then need not be requested again."""
        if read is None or self._version is None or not isinstance(self.root, BucketPath):
            return False
        return read.written_ns + _SECOND < self._version.written_ns


def _of(info: StoreInfo, target: str) -> object:
    """Description of a target; None if there is none."""
    return next((item for item in info.targets if item.name == target), None)
