"""Decision of a run: the plan of its store, and what becomes of a store that is there."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from segprep.errors import OptionError, OutputError, SegprepError, SegprepWarning, some
from segprep.paths.anypath import AnyPath
from segprep.runs.audit import StoreState, existing_state
from segprep.runs.changes import Diff, diff, has_masks, kept_splits, with_stored_targets
from segprep.runs.former import INTERRUPTED, Former, former_of, given_images, layout_after, unfinished_update
from segprep.runs.images import kept_images
from segprep.runs.listed import FoundData
from segprep.runs.plan import Plan, plan
from segprep.runs.scan import Scan
from segprep.runs.settings import Rules
from segprep.runs.update import Follow, planned_update
from segprep.runs.update_info import UpdateInfo, update_info
from segprep.store.schema import UPDATED, StoreInfo
from segprep.targets import Target

NO_UPDATE = Follow()
"""A run that is no update."""


class Existing(NamedTuple):
    """State of the store that is there, if any; and what it was before an update that was interrupted."""

    state: StoreState | None
    former: Former | None = None


def existing(
    root: AnyPath, targets: Sequence[Target], follow: Follow, *, overwrite: bool, is_part: bool = False
) -> Existing:
    """Store at `root`; OutputError if its update was interrupted, which only an update and `overwrite` accept."""
    for _ in range(
        1 + is_part
    ):  # another part may begin an update while the tables are read, which is known afterwards
        state = existing_state(root, targets)
        former = None if state is None else unfinished_update(root, state.info, is_needed=not overwrite)
        if former is not None:
            break
    if former is not None and not (follow.update or overwrite):
        raise OutputError(f"{root}: {INTERRUPTED}")
    return Existing(state, former)


class Decision(NamedTuple):
    """Plan of a run, the state of the store if anything of it is kept, and the targets to delete; None is everything.

    `former` is the store before an update.
    """

    plan: Plan
    kept: StoreState | None
    replaced: tuple[str | None, ...]
    former: Former | None = None


def decide(
    found: Scan,
    data: FoundData,
    rules: Rules,
    wanted: Sequence[Target],
    store: Existing,
    *,
    overwrite: bool,
    follow: Follow = NO_UPDATE,
    is_sample: bool = False,
) -> Decision:
    """Plan of a store of the masks found, and what becomes of the store that is there; OutputError if it is refused.

    If the masks are but a sample, a refusal does not count the shards that an update would write.
    """
    digest, (state, former) = found.input(), store
    is_same = state is not None and has_masks(state.info, digest, len(found.masks.classes))
    is_update = state is not None and follow.update and (not is_same or _needs_update(state, former, follow))
    split_rule, kept = (rules.split, (None, None)) if is_update else kept_splits(rules.split, state, digest)
    plan_of: Callable[..., Plan] = partial(
        plan,
        data.name,
        found,
        instances=rules.instances,
        split=split_rule,
        data=data.path,
        canvas=rules.canvas,
        reading=rules.reading,
        kept=kept,
        images=(None if data.has_folder else kept_images(state, digest)) or data.images,
        touching=None if state is None else state.info.touching_pairs,
        tiling=rules.tiling,
    )
    if state is None:
        return Decision(plan_of(targets=wanted), None, ())
    updated = partial(planned_update, state.root, found=found, rules=rules, targets=wanted, data=data.path)
    if is_update:
        former = former or former_of(state)
        images = (None if data.has_folder else given_images(former)) or data.images
        planned = updated(former, plan_of=partial(plan_of, images=images), follow=follow)
        return Decision(planned, None, (), former)
    is_lost = overwrite and (former is not None or (state.info.format == UPDATED and state.placed is None))
    if is_same and not is_lost and state.info.format == UPDATED:
        plan_of = _in_place(state, found, rules, plan_of)
    remedy = partial(_update_remedy, state, partial(updated, plan_of=plan_of), is_sample=is_sample)
    return _reconciled(state, wanted, plan_of, None if overwrite else remedy, is_same=is_same, is_lost=is_lost)


def _needs_update(state: StoreState, former: Former | None, follow: Follow) -> bool:
    """True for a store of the same masks whose update was interrupted, or which has a hole that is to be closed."""
    return former is not None or (follow.compact and state.info.holes > 0)


def _in_place(state: StoreState, found: Scan, rules: Rules, plan_of: Callable[..., Plan]) -> Callable[..., Plan]:
    """Planning in which masks of a store that was updated have their rows."""
    layout = layout_after(former_of(state), found, rules.canvas)
    return partial(plan_of, layout=layout, revision=state.info.revision)


def _reconciled(
    state: StoreState,
    wanted: Sequence[Target],
    plan_of: Callable[..., Plan],
    remedy_of: Callable[[], str] | None,
    *,
    is_same: bool,
    is_lost: bool,
) -> Decision:
    """Plan that keeps the targets of a store of the same masks, and nothing else if the places of these are lost.

    Without `remedy_of`, nothing is refused.
    """
    stored = [target for target in state.targets if target is not None]
    planned = plan_of(targets=wanted, stored=stored if is_same else ())
    both = with_stored_targets(state, planned) if is_same else planned
    changed = Diff(["the places of its masks are lost"], {}) if is_lost else diff(state, both)
    words = [*changed.of_masks, *(phrase for phrases in changed.of_targets.values() for phrase in phrases)]
    if words and remedy_of is not None:
        raise _refusal(state, "; ".join(dict.fromkeys(words)), "" if is_same else remedy_of())
    if changed.of_masks:
        names = {target.name for target in wanted}
        try:
            again = plan_of(
                targets=[*wanted, *(target for target in stored if target.name not in names)], layout=None, revision=0
            )
        except OptionError as error:
            raise OptionError(f"{state.root}: all targets of the store would be computed again: {error}") from error
        if state.unknown:
            warnings.warn(
                f"{state.root}: dropped {some(state.unknown)}, which is not part of segprep; pass its class in targets to "
                "compute it for the other masks",
                SegprepWarning,
                stacklevel=5,
            )
        return Decision(again, None, (None,))
    state.require_carried()
    return Decision(both, state, tuple(changed.of_targets))


def _refusal(state: StoreState, words: str, remedy: str) -> OutputError:
    """Error for a store that exists with other masks, if `remedy` is an update, or else with other settings."""
    if remedy:
        return OutputError(
            f"{state.root}: exists with other masks: {words}; {remedy}, overwrite=True to replace the store, or choose "
            "another name"
        )
    return OutputError(
        f"{state.root}: exists with other settings: {words}; choose another name, or overwrite=True replaces it"
    )


def _update_remedy(state: StoreState, updated: Callable[..., Plan], *, is_sample: bool) -> str:
    """Words for the update that a store needs, and its cost unless masks are a sample; empty if it cannot be updated."""
    try:
        former = former_of(state)
        planned = updated(former, follow=Follow(update=True))
        cost = "" if is_sample else _cost(update_info(former, planned), planned.info)
    except SegprepError:
        return ""
    return f"add update=True to follow the data{cost}"


def _cost(update: UpdateInfo, info: StoreInfo) -> str:
    """Work of an update in words."""
    kind = "masks" if info.tiling is None else "tiles"
    shards = f"writes {update.written:,} of {update.shards:,} shards"
    return f" ({shards}, computes {update.computed:,} of {info.masks:,} {kind})"
