"""Masks that an update has added, changed and removed."""

from collections.abc import Mapping

from segprep.errors import SegprepError
from segprep.paths.anypath import AnyPath
from segprep.runs.former import unfinished_update
from segprep.store.metadata import read_info
from segprep.store.tables import decode_keys, read_table


def digests_in(store: AnyPath) -> dict[str, bytes]:
    """Digest of each mask of a store by its key, before its update if that was interrupted; empty unless one was complete."""
    try:
        info = read_info(store)
        if (former := unfinished_update(store, info)) is not None:
            return dict(zip(former.places.keys, former.places.digests, strict=True))
        if info.status != "complete":
            return {}
        keys, digests = (read_table(store, info, name) for name in ("key", "digest"))
        return dict(zip(decode_keys(keys), map(bytes, digests), strict=True))
    except SegprepError:  # that the run raises, too
        return {}


def changes(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> list[str]:
    """Numbers of masks that were added, changed and removed, of the digests by keys.

    >>> changes({"a": b"1", "b": b"2", "c": b"3"}, {"b": b"2", "c": b"4", "d": b"5", "e": b"6"})
    ['2 added', '1 changed', '1 removed']
    """
    counts = {
        "added": len(now.keys() - before.keys()),
        "changed": sum(now[key] != before[key] for key in now.keys() & before.keys()),
        "removed": len(before.keys() - now.keys()),
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count]
