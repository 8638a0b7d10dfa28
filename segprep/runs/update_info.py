"""Summary of an update: the masks that it adds, changes and removes, and the work that they cost."""

from collections.abc import Sequence

import msgspec

from segprep.runs.changes import NAMED
from segprep.runs.former import Former, Reuse
from segprep.runs.plan import Plan
from segprep.store.layout import HOLE, Shard
from segprep.store.shards import TargetShard
from segprep.store.tables import decode_keys

LISTED = 20
"""Number of masks that a summary lists by their keys."""


class MaskList(msgspec.Struct, frozen=True):
    """Some masks of a data set.

    Attributes
    ----------
    masks : int
        Their number.
    first : list of str
        Keys of the first of them, at most 20.
    """

    masks: int
    first: tuple[str, ...]

    def named(self) -> str:
        """Keys of the first masks, as many as a line names.

        >>> MaskList(5, ("a", "b", "c", "d", "e")).named()
        'a, b, c and 2 more'
        """
        more = f" and {self.masks - NAMED:,} more" if self.masks > NAMED else ""
        return ", ".join(self.first[:NAMED]) + more


class UpdateInfo(msgspec.Struct, frozen=True):
    """Difference that an update makes to a store, and its work; the same where it was interrupted and resumed.

    Attributes
    ----------
    added : MaskList
        Masks that the store did not have.
    changed : MaskList
        Masks that have other pixels than before.
    removed : MaskList
        Masks that are gone.
    computed : int
        Number of masks of which a target is computed.
    copied : int
        Number of other masks in shards that are written again.
    written : int
        Number of shards that are written.
    shards : int
        Number of shards of all targets.
    """

    added: MaskList
    changed: MaskList
    removed: MaskList
    computed: int
    copied: int
    written: int
    shards: int

    def changes(self) -> dict[str, MaskList]:
        """The masks that are added, changed and removed, by this word, if there are any."""
        found = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return {word: masks for word, masks in found.items() if masks.masks}

    @property
    def work(self) -> str:
        """Work of the update in words."""
        written = f"{self.written:,} of {self.shards:,} shards written"
        return f"{written}; masks: {self.computed:,} computed, {self.copied:,} copied"


def update_info(former: Former, plan: Plan) -> UpdateInfo:
    """Summary of the update from a store to the `plan` of the updated one."""
    had = dict(zip(former.places.keys, former.places.digests, strict=True))
    has = dict(zip(decode_keys(plan.tables["key"]), map(bytes, plan.tables["digest"]), strict=True))
    reuse, computed, copied, written, shards = Reuse(former, plan), 0, 0, 0, 0
    for shard, items in reuse.items():
        lacking = [item for item in items if reuse.serves(shard, item) is None]
        are_computed = _are_computed(shard, lacking, reuse) if lacking else []
        written, shards = written + len(lacking), shards + len(items)
        computed, copied = computed + are_computed.count(True), copied + are_computed.count(False)
    return UpdateInfo(
        _listed([key for key in has if key not in had]),
        _listed([key for key in has if key in had and has[key] != had[key]]),
        _listed([key for key in had if key not in has]),
        computed,
        copied,
        written,
        shards,
    )


def _are_computed(shard: Shard, lacking: Sequence[TargetShard], reuse: Reuse) -> list[bool]:
    """For each mask in the shards that are to be written, True if a target of it is computed, False if all are copied."""
    kept = {name: stored.rows for name, stored in reuse.stored(shard).items()}
    filled = [row for row, mask in enumerate(shard.masks) if mask != HOLE]
    of_rows = [(row, [item for item in lacking if item.has(row)]) for row in filled]
    return [any(row not in kept.get(item.name, ()) for item in items) for row, items in of_rows if items]


def _listed(keys: Sequence[str]) -> MaskList:
    """Number of keys, and the first of them.

    >>> _listed([*map(str, range(30))]).first[-1]
    '19'
    """
    return MaskList(len(keys), tuple(keys[:LISTED]))
