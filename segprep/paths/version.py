"""Versions of files and objects, which another process may replace between two reads."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

Range = tuple[int, int]
"""Offset and length of a part of an object, in bytes."""

_GAP = 1 << 20
"""Bytes between two parts that are fetched by one request, as in obstore."""


class ReplacedError(Exception):
    """An object that is no longer the one that was read before."""


class Version(NamedTuple):
    """Version of an object: its tag, that of a file being its number in the file system, and when it was written, in ns."""

    tag: str | int | None
    written_ns: int


class Tag(NamedTuple):
    """Version of an object, for conditional writes: Google's compare the version, those of others the e_tag."""

    e_tag: str | None
    version: str | None


class BucketStat(NamedTuple):
    """Status of an object, with names of `os.stat_result`."""

    st_size: int
    st_mtime_ns: int
    tag: Tag | None


def version_of(found: BucketStat) -> Version:
    """Version of an object, from its status."""
    return Version(found.tag and found.tag.e_tag, found.st_mtime_ns)


def close_ranges(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges in groups that one request fetches: sorted, and at most a mebibyte apart.

    >>> list(close_ranges([(10, 5), (10_000_000, 4), (0, 10)]))
    [[(0, 10), (10, 5)], [(10000000, 4)]]
    """
    group: list[Range] = []
    for offset, length in sorted(set(ranges)):
        if group and offset - max(map(sum, group)) > _GAP:
            yield group
            group = []
        group.append((offset, length))
    if group:
        yield group
