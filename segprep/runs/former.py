"""A store as it was before an update, and what of its shards the update keeps.

An update writes tables and shards in place. Before the first of them, the hidden object `FORMER` gets the attributes of the
store and the places of its masks; it is removed when the update is complete. So a run that was killed at any time resumes from
the same start, and plans the same. What a shard holds is known from its record at any time: the fingerprint there depends on
the mask in each row.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import msgspec

from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import put, put_all, storage, storage_errors
from segprep.runs.audit import StoreState
from segprep.runs.images import stored_images
from segprep.runs.plan import KnownImages, Plan
from segprep.runs.scan import Scan
from segprep.store.layout import HOLE, Layout, Shard, Size
from segprep.store.places import Places
from segprep.store.schema import UPDATED, Record, StoreInfo, TargetInfo
from segprep.store.shards import TargetShard, read_record, target_shards

FORMER = "key/records/.update"
"""Path of the `Former` of an update that is not complete."""
INTERRUPTED = "its update was interrupted; update=True completes it, or overwrite=True replaces the store"
_CHECKSUM = 16


class Former(msgspec.Struct, frozen=True):
    """Attributes of a store before an update, the places of its masks, and their images if those are of a given folder."""

    info: StoreInfo
    places: Places
    images: dict[str, str] | None


class Stored(NamedTuple):
    """Rows of a `Shard` that stay as they are, and the shards of one target that hold them before an update, and after it."""

    shards: tuple[TargetShard, ...]
    after: tuple[TargetShard, ...]
    rows: frozenset[int]


def former_of(state: StoreState) -> Former:
    """The store as it is now; IntegrityError if its tables are damaged."""
    if state.placed is None:
        raise IntegrityError(
            f"{state.root}: the tables are damaged, so it cannot be updated; repair it with the data set it was made from, "
            "or overwrite it"
        )
    images = state.info.images
    known = stored_images(state) if images is not None and images.is_given else None
    return Former(state.info, state.placed, None if known is None else dict(known.names))


def given_images(former: Former) -> KnownImages | None:
    """Images of a store before an update that were found in a given folder; None if there are none."""
    if former.images is None or former.info.images is None:
        return None
    return KnownImages(former.images, former.info.images)


def unfinished_update(root: AnyPath, info: StoreInfo, *, is_needed: bool = True) -> Former | None:
    """The store before the update that was interrupted; None if there is none, or if it is damaged and not needed."""
    if info.status == "complete" or info.revision == 0:
        return None
    with storage_errors(root):
        try:
            data = (root / FORMER).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    body = data[_CHECKSUM:]
    try:
        former = msgspec.msgpack.decode(body, type=Former)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        former = None
    if former is None or data[:_CHECKSUM] != _checksum(body):
        if not is_needed:
            return None
        raise IntegrityError(f"{root}: {FORMER} is damaged, so its update cannot be completed: overwrite the store")
    return former if former.info.revision + 1 == info.revision else None


def require_no_update(root: AnyPath, info: StoreInfo) -> None:
    """Raise IntegrityError for a store whose update was interrupted."""
    if unfinished_update(root, info) is not None:
        raise IntegrityError(f"{root}: {INTERRUPTED}")


def put_former(root: AnyPath, former: Former) -> None:
    """Keep the store as it is before an update."""
    body = msgspec.msgpack.encode(former)
    put(root, FORMER, _checksum(body) + body)


def remove_former(root: AnyPath) -> None:
    """Forget the store before an update."""
    with storage_errors(root):
        (root / FORMER).unlink(missing_ok=True)


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


@dataclass(frozen=True, eq=False)
class Reuse:
    """Shards and rows that an update keeps.

    A row stays where it holds the same mask as before. A hole may have any values, since no reader sees it.
    """

    former: Former
    plan: Plan

    def stored(self, shard: Shard) -> dict[str, Stored]:
        """Rows of a shard that stay, of each target that has the same parameters as before."""
        bucket = self.plan.layout.buckets[shard.bucket].name
        if (bucket, shard.number) not in self._before:
            return {}
        before, shards = self._before[bucket, shard.number]
        had, has = _digests(before, self.former.places.digests), _digests(shard, self._digests)
        pairs = enumerate(zip(had, has, strict=False))
        rows = frozenset(row for row, (old, new) in pairs if old is not None and old == new)
        plan, after = self.plan, dict[str, list[TargetShard]]()
        for item in target_shards(plan.layout, shard, plan.info.targets, [None] * len(plan.targets), self._digests):
            after.setdefault(item.name, []).append(item)
        return {name: Stored(tuple(shards[name]), tuple(after[name]), rows) for name in self._alike if rows}

    def serves(self, shard: Shard, item: TargetShard) -> TargetShard | None:
        """Shard before the update that has everything of a new one, and needs but another record; None if there is none."""
        bucket = self.plan.layout.buckets[shard.bucket].name
        if (bucket, shard.number) not in self._before or item.name not in self._alike:
            return None
        before, shards = self._before[bucket, shard.number]
        old = next((old for old in shards[item.name] if (old.number, old.start) == (item.number, item.start)), None)
        if old is None or (old.spec.shard, old.spec.chunk) != (item.spec.shard, item.spec.chunk):
            return None
        had, has = _digests(before, self.former.places.digests), _digests(shard, self._digests)
        rows = range(item.start, item.start + item.rows)
        stays = all(has[row] is None or (old.has(row) and had[row] == has[row]) for row in rows)
        return old if stays else None

    def adopt(self, root: AnyPath) -> None:
        """Give the shards that serve as they are the record by which they count as written."""
        pairs = [(item, self.serves(shard, item)) for shard, items in self.items() for item in items]
        known = [(item, old) for item, old in pairs if old is not None]
        records = storage(root).map(lambda pair: read_record(root, pair[0]), known)
        adopted = {
            item.record_path: Record(record.bytes, record.sha256, item.fingerprint)
            for (item, old), record in zip(known, records, strict=True)
            if record is not None and record.fingerprint == old.fingerprint != item.fingerprint
        }
        put_all(root, {path: msgspec.json.encode(record) for path, record in adopted.items()})

    def remove_others(self, root: AnyPath) -> None:
        """Remove the buckets, arrays, shards and records of before that are no longer part of the store."""
        names = {bucket.name for bucket in self.plan.layout.buckets}
        kept = {item.path for _, items in self.items() for item in items}
        with storage_errors(root):
            for bucket in self.former.info.buckets:
                if bucket.name not in names:
                    storage(root / bucket.name).remove_tree()
            for (name, _), (_, shards) in self._before.items():
                for item in (item for items in shards.values() for item in items if name in names):
                    if item.path not in kept:
                        (root / item.record_path).unlink(missing_ok=True)
                        storage((root / item.path).parents[len(item.spec.shape) - 2]).remove_tree()

    def items(self) -> Iterator[tuple[Shard, list[TargetShard]]]:
        """Each `Shard` of the new layout, and the shards of all targets that hold its rows."""
        plan = self.plan
        for shard in plan.layout.shards():
            yield shard, target_shards(plan.layout, shard, plan.info.targets, plan.targets, self._digests)

    @cached_property
    def _digests(self) -> list[bytes]:
        return [bytes(row) for row in self.plan.tables["digest"]]

    @cached_property
    def _alike(self) -> list[str]:
        """Targets whose values are as before wherever the mask is."""
        had = {target.name: _settings(target) for target in self.former.info.targets}
        if self.former.info.instance_rule != self.plan.info.instance_rule:
            return []
        return [target.name for target in self.plan.info.targets if had.get(target.name) == _settings(target)]

    @cached_property
    def _before(self) -> dict[tuple[str, int], tuple[Shard, dict[str, list[TargetShard]]]]:
        """Each `Shard` before the update, by its bucket and number, and the shards of each target that hold its rows."""
        info, places = self.former.info, self.former.places
        layout = places.layout(info.buckets)
        digests = places.digests if info.format == UPDATED else None
        before = {}
        for shard in layout.shards():
            items: dict[str, list[TargetShard]] = {}
            for item in target_shards(layout, shard, info.targets, [None] * len(info.targets), digests):
                items.setdefault(item.name, []).append(item)
            before[layout.buckets[shard.bucket].name, shard.number] = shard, items
        return before


def _digests(shard: Shard, digests: Sequence[bytes]) -> list[bytes | None]:
    """Digest of the mask in each row of a shard, None for holes."""
    return [None if mask == HOLE else digests[mask] for mask in shard.masks]


def _settings(target: TargetInfo) -> tuple[object, ...]:
    """Everything that the values of a target depend on, but the mask."""
    return target.version, target.dtype, target.channels, target.parameters


def layout_after(former: Former, found: Scan, canvas: Size | None, *, compact: bool = False) -> Layout:
    """Layout of a store that follows its data, from the masks that were found and the canvas that is given, if any."""
    keys, sizes = [ref.key for ref in found.masks.refs], [mask.shape for mask in found.stats]
    if former.info.tiling is None or canvas is not None:
        new = Layout.fit(sizes, canvas=canvas)
    else:
        new = _layout_of_tiles(former, sizes, keys)
    return followed_layout(former, new, keys, compact=compact)


def _layout_of_tiles(former: Former, sizes: Sequence[Size], keys: Sequence[str]) -> Layout:
    """Layout of tiles, each on the canvas that it had, or on the smallest that it fits: one for all if none does.

    A store has one canvas for all tiles, but if all of its masks are smaller than a tile, others may be larger.
    """
    buckets = [(bucket.height, bucket.width) for bucket in former.info.buckets]
    had = dict(zip(former.places.keys, former.places.bucket, strict=True))
    largest = max(height for height, _ in sizes), max(width for _, width in sizes)
    rows: dict[Size, list[int]] = {}
    for tile, (size, key) in enumerate(zip(sizes, keys, strict=True)):
        own = [buckets[had[key]]] if key in had else []
        fitting = (canvas for canvas in (*own, *sorted(buckets, key=math.prod), largest) if _fits(size, canvas))
        rows.setdefault(next(fitting), []).append(tile)
    return Layout.of_rows(rows)


def _fits(size: Size, canvas: Size) -> bool:
    return size[0] <= canvas[0] and size[1] <= canvas[1]


def followed_layout(former: Former, layout: Layout, keys: Sequence[str], *, compact: bool = False) -> Layout:
    """Layout in which masks keep their rows, from the `layout` of a new store of the same masks.

    New masks follow the last row of their bucket, and so do those of another canvas than before. Rows of masks that went are
    holes; `compact` fills each with the last mask of its bucket.
    """
    info, places = former.info, former.places
    had = {
        key: (info.buckets[bucket].name, row)
        for key, bucket, row in zip(places.keys, places.bucket, places.row, strict=True)
    }
    rows = {(bucket.height, bucket.width): [HOLE] * bucket.rows for bucket in info.buckets}
    for bucket in layout.buckets:
        masks = rows.setdefault(bucket.canvas, [])
        is_kept = [had.get(keys[mask], ("", 0))[0] == bucket.name for mask in bucket.masks]
        for mask, stays in zip(bucket.masks, is_kept, strict=True):
            if stays:
                masks[had[keys[mask]][1]] = mask
        masks += [mask for mask, stays in zip(bucket.masks, is_kept, strict=True) if not stays]
    if compact:
        rows = {canvas: closed for canvas, masks in rows.items() if (closed := without_holes(masks))}
    return layout.of_rows(rows)


def without_holes(masks: Sequence[int]) -> list[int]:
    """Masks of a bucket, each hole filled with the last mask.

    >>> without_holes([5, HOLE, 7, 8, HOLE])
    [5, 8, 7]
    """
    closed = list(masks)
    for row in range(len(masks)):
        while closed and closed[-1] == HOLE:
            closed.pop()
        if row < len(closed) and closed[row] == HOLE:
            closed[row] = closed.pop()
    return closed
