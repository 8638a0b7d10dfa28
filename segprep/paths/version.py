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


def close_ranges(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges in groups that one request fetches: in order, and at most a mebibyte apart.

    >>> list(close_ranges([(0, 10), (10, 5), (10_000_000, 4)]))
    [[(0, 10), (10, 5)], [(10000000, 4)]]
    """
    group: list[Range] = []
    for offset, length in ranges:
        if group and not 0 <= offset - sum(group[-1]) <= _GAP:
            yield group
            group = []
        group.append((offset, length))
    if group:
        yield group
