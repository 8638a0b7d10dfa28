"""Arrays of an open store, each opened once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from segprep.errors import OptionError
from segprep.paths.files import storage
from segprep.store.chunks import ChunkReader, Window, checked_window, open_chunks
from segprep.store.schema import BucketInfo, TargetInfo
from segprep.store.selection import OpenTables
from segprep.store.shards import array_spec
from segprep.store.tables import bucket_of, reading_errors
from segprep.store.values import HandedOut, handed_out


@dataclass(frozen=True, eq=False)
class OpenArrays:
    """Arrays of the store with these tables; `incomplete` and `dtype` are as in `segprep.open`."""

    tables: OpenTables
    incomplete: bool
    dtype: HandedOut

    def read(self, mask: int, key: str, targets: Sequence[str], window: Window | None) -> dict[str, NDArray[Any]]:
        """Window of some targets of the mask in a row of the tables; in a bucket of an object store, all at the same time."""
        root = self.tables.root
        for target in targets:
            if target not in self.targets:
                raise OptionError(f"{root}: has no target {target!r}, only {', '.join(self.targets)}")
        bucket, row, shape = self.tables.place(mask)
        part = (0, 0, *shape) if window is None else checked_window(window, shape, key)

        def read(target: str) -> NDArray[Any]:
            with reading_errors(root, f"{bucket.name}/{target}: row {row}"):
                return handed_out(self._reader(bucket, target).read(row, part), self.dtype)

        return dict(zip(targets, storage(root).map(read, targets), strict=True))

    def _reader(self, bucket: BucketInfo, target: str) -> ChunkReader:
        """Reader of the array of a target in a bucket."""
        path = f"{bucket.name}/{target}"
        if path not in self._readers:
            spec = array_spec(bucket_of(bucket), self.targets[target])
            self._readers[path] = open_chunks(
                self.tables.root, spec, incomplete=self.incomplete, opened=self.tables.opened
            )
        return self._readers[path]

    @cached_property
    def targets(self) -> dict[str, TargetInfo]:
        """Targets of the store, by their names."""
        return {target.name: target for target in self.tables.info.targets}

    @cached_property
    def _readers(self) -> dict[str, ChunkReader]:
        """Arrays opened so far, by their paths."""
        return {}
