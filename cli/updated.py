"""Summary of an update, from the store before and after it."""

from collections.abc import Iterator

from segprep.errors import SegprepError, escape_controls
from segprep.paths.anypath import AnyPath
from segprep.runs.former import Former, unfinished_update
from segprep.runs.plan import Plan
from segprep.runs.update_info import UpdateInfo, update_info
from segprep.store.metadata import read_info
from segprep.store.places import PLACE_TABLES, Places
from segprep.store.schema import StoreInfo
from segprep.store.tables import read_table


def former_in(store: AnyPath) -> Former | None:
    """The store as it is before an update, also before one that was interrupted; None unless it was complete then."""
    try:
        info = read_info(store)
        if (former := unfinished_update(store, info)) is not None:
            return former
        return Former(info, _places(store, info), None) if info.status == "complete" else None
    except SegprepError:  # that the run raises, too
        return None


def update_in(store: AnyPath, info: StoreInfo, former: Former | None) -> UpdateInfo | None:
    """Summary of the update that a run has made, or a part of it; None if it has made none."""
    if former is None or info.revision != former.info.revision + 1:
        return None
    places = _places(store, info)
    tables = {"key": read_table(store, info, "key"), "digest": read_table(store, info, "digest")}
    return update_info(former, Plan(info, places.layout(info.buckets), (None,) * len(info.targets), tables))


def _places(store: AnyPath, info: StoreInfo) -> Places:
    return Places.of({name: read_table(store, info, name) for name in PLACE_TABLES})


def counts(update: UpdateInfo) -> list[str]:
    """Numbers of the masks that were added, changed and removed, as ``2 added``."""
    return [f"{masks.masks:,} {word}" for word, masks in update.changes().items()]


def lines(update: UpdateInfo) -> Iterator[str]:
    """Lines with the first masks that were added, changed and removed, and with the work."""
    for word, masks in update.changes().items():
        yield f"    {word}: {escape_controls(masks.named())}"
    yield f"    {update.work}"
