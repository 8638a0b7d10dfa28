"""Meaning of the values of label images, judged over the complete data set."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from segprep.errors import InputError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import Problem, SourceValues
from segprep.masks.stats import MaskStats
from segprep.readers import MaskSet
from segprep.runs.journal import Journal
from segprep.runs.scan import Scan, require_readable, scan
from segprep.runs.settings import OnError, Rules
from segprep.store.schema import StoreInfo
from segprep.workers.jobs import Executor, Progress, Stage

logger = logging.getLogger(__name__)

NOTICE = (
    "all masks hold the same one value besides 0, so they are foreground masks, whose connected components are the "
    "instances; use instances_from='as-is' to keep one instance per mask"
)
NO_BACKGROUND = "no pixel is 0 in any mask"
VOID = "255 is beside a few small values"
SCATTERED = "one value in several pieces far apart"
SCATTERED_FILE = "one file with several pieces far apart"
CONTRADICTION = "foreground masks and others"
INVERTED = "foreground masks that may be inverted"

LARGEST_SMALL = 190
"""Largest value beside which 255 is remarkable, since instances are numbered without gaps."""
WHITE = 255
LARGEST_SHARE = 0.6
"""Share of an image above which its foreground may be the background."""


class Sources(NamedTuple):
    """Values of label images, the keys of the masks, and those with an instance in several pieces far apart."""

    keys: list[str]
    values: list[SourceValues]
    scattered: list[str]

    @property
    def filled(self) -> list[tuple[str, SourceValues]]:
        """Those of masks that hold a value besides 0."""
        return [(key, source) for key, source in zip(self.keys, self.values, strict=True) if source.distinct]


def scan_resolved(
    executor: Executor,
    masks: MaskSet,
    rules: Rules,
    progress: Progress,
    known: dict[str, MaskStats] | None = None,
    on_error: OnError | None = None,
    *,
    journal: Journal | None = None,
) -> tuple[Scan, InstanceRule]:
    """Scan, and the rule of instances without ``auto``; foreground masks are scanned once more, for their components.

    Without `on_error` no problem ends the run, not even some masks that look like foreground masks where others contradict.
    """
    rule, journal = rules.instances, journal or Journal()
    found = scan(executor, masks, rule, progress, known, journal=journal, tiling=rules.tiling)
    if on_error is not None:
        require_readable(found, on_error)
    is_auto, scattered = rule.instances_from == "auto", _scattered_masks(found)
    sources = _sources(found, scattered)
    if is_auto:
        rule = replace(rule, instances_from="components" if _is_foreground(sources) else "as-is")
    problems = _problems(sources, is_scattered_odd=is_auto and rule.instances_from == "as-is")
    if sources is None:
        problems |= _scattered_files(found, scattered)
    contradiction = problems.get(CONTRADICTION)
    if on_error is not None and contradiction is not None:
        raise InputError(contradiction[1].where)
    if is_auto and rule.instances_from == "components":
        logger.info("foreground masks: their connected components are the instances")
        shown = partial(_components, progress)
        again = scan(executor, found.masks, rule, shown, journal=journal, tiling=rules.tiling)
        found = again._replace(unreadable=found.unreadable | again.unreadable)
        problems |= _inverted(found)
    return _with_problems(found, list(problems.values())), rule


def _components(progress: Progress, stage: Stage, done: int, masks: int) -> None:  # noqa: ARG001 - it is the scan
    """Show the progress of the second scan under another name."""
    progress("components", done, masks)


def notice(info: StoreInfo) -> str | None:
    """Line for a store whose masks were recognised as foreground masks; None for any other."""
    is_decided = info.instance_rule.instances_from == "components" and info.reading.values == "instances"
    return NOTICE if is_decided and info.source_format == "label-image" else None


def stored_rule(
    info: StoreInfo, stats: Sequence[MaskStats], rule: InstanceRule, *, is_all: bool = True
) -> InstanceRule:
    """Rule with the decision that the same masks led to when a store was made; with ``auto`` if they must be read for it.

    Unless these are all masks, others may contradict that they are foreground masks.
    """
    if rule.instances_from != "auto":
        return rule
    resolved = replace(rule, instances_from=info.instance_rule.instances_from)
    is_decided = info.source_format != "label-image" or any(len(mask.instances) > 1 for mask in stats)
    is_certain = is_all if notice(info) else is_decided
    return resolved if is_certain else rule


def _scattered_masks(found: Scan) -> list[str]:
    """Keys of the masks with an instance in several pieces far apart."""
    return [ref.key for ref, stats in zip(found.masks.refs, found.stats, strict=True) if stats.is_scattered]


def _scattered_files(found: Scan, scattered: list[str]) -> dict[str, tuple[str, Problem]]:
    """Doubt about files of one instance each, of which many hold several objects."""
    filled = sum(len(stats.instances) > 0 for stats in found.stats)
    remedy = "use instances_from='components' if a file holds all objects of a class, or instances_from='as-is' if each file "
    problem = _scattered(SCATTERED_FILE, scattered, filled, remedy + "is one instance")
    return {} if problem is None else {SCATTERED_FILE: problem}


def _sources(found: Scan, scattered: list[str]) -> Sources | None:
    """Values of the masks, if all are label images that were loaded."""
    values = [stats.source for stats in found.stats if stats.source is not None]
    keys = [ref.key for ref in found.masks.refs]
    return Sources(keys, values, scattered) if len(values) == len(found.stats) > 0 else None


def _is_foreground(sources: Sources | None) -> bool:
    """True if all masks hold the same one value besides 0."""
    if sources is None:
        return False
    return len({source.smallest for _, source in sources.filled}) == 1 and sources.filled[0][1].distinct == 1


def _problems(sources: Sources | None, *, is_scattered_odd: bool) -> dict[str, tuple[str, Problem]]:
    """Doubts about the meaning of the values, by kind, each with the key of a mask that shows it."""
    if sources is None or not sources.filled:
        return {}
    no_background = _no_background(sources)
    found = [no_background or _void(sources)]
    if is_scattered_odd and no_background is None:
        remedy = (
            "use instances_from='components' if values are classes, or instances_from='as-is' if they are instances"
        )
        scattered = _scattered(SCATTERED, sources.scattered, len(sources.filled), remedy)
        found.append(_contradiction(sources) or scattered)
    return {item[1].kind: item for item in found if item is not None}


def _no_background(sources: Sources) -> tuple[str, Problem] | None:
    has_one = all(source.distinct == 1 for source in sources.values)  # which may well cover its image
    if has_one or any(source.has_background for source in sources.values):
        return None
    value, count = Counter(source.commonest for source in sources.values).most_common(1)[0]
    key = next(key for key, source in sources.filled if source.commonest == value)
    where = f"{value} is the commonest value in {count} of {len(sources.values)} masks; background={value} makes it background"
    return key, Problem(NO_BACKGROUND, where, left_out=False)


def _void(sources: Sources) -> tuple[str, Problem] | None:
    largest = {value for _, source in sources.filled for value in source.largest}
    others = largest - {WHITE}
    white = [key for key, source in sources.filled if WHITE in source.largest]
    if not white or not others or max(others) > LARGEST_SMALL:
        return None
    small = sorted({value for _, source in sources.filled for value in source.smallest} - {WHITE})
    named = _first(small, len(small))
    where = (
        f"beside {named} in {len(white)} of {len(sources.keys)} masks; ignore=255 if it marks pixels without ground truth, "
        "background=255 if it is background"
    )
    return white[0], Problem(VOID, where, left_out=False)


def _first(values: Sequence[int], count: int) -> str:
    """First of some values, for a message."""
    return ", ".join(map(str, values[:3])) + ", ..." * (count > 3)  # noqa: PLR2004 - as many as are named


def _contradiction(sources: Sources) -> tuple[str, Problem] | None:
    """Masks that contradict most of the others, which look like foreground masks."""
    filled = sources.filled
    single = [(key, source) for key, source in filled if source.distinct == 1]
    if not single:
        return None
    value, count = Counter(source.smallest for _, source in single).most_common(1)[0]
    alike = {key for key, source in single if source.smallest == value}
    scattered = [key for key in sources.scattered if key in alike]
    if not (2 * count > len(filled) and 2 * len(scattered) >= count):
        return None
    key, other = next((key, source) for key, source in filled if source.smallest != value)
    values = _first(other.smallest, other.distinct)
    where = (
        f"{scattered[0]} is a foreground mask, with the one value {value[0]} in several pieces, but {key} has {values}; fix "
        "the mask, or use instances_from='components' if values are classes, or instances_from='as-is' if they are instances"
    )
    return key, Problem(CONTRADICTION, where, left_out=False)


def _scattered(kind: str, scattered: list[str], filled: int, remedy: str) -> tuple[str, Problem] | None:
    """Doubt, if at least half of the masks that have instances have one in several pieces far apart."""
    if not scattered or 2 * len(scattered) < filled:
        return None
    where = f"in {len(scattered)} of {filled} masks, this one first; {remedy}"
    return scattered[0], Problem(kind, where, left_out=False)


def _inverted(found: Scan) -> dict[str, tuple[str, Problem]]:
    """Doubt about foreground masks that cover most of most images."""
    keys = [ref.key for ref in found.masks.refs]
    shares = [mask.class_pixels[1:].sum() / (mask.shape[0] * mask.shape[1]) for mask in found.stats]
    large = [key for key, share in zip(keys, shares, strict=True) if LARGEST_SHARE < share < 1]
    if 2 * len(large) <= sum(share > 0 for share in shares):
        return {}
    where = (
        f"it covers more than {LARGEST_SHARE:.0%} of the pixels in {len(large)} of {len(keys)} masks, this one first; if it "
        "is the background, invert the masks"
    )
    return {INVERTED: (large[0], Problem(INVERTED, where, left_out=False))}


def _with_problems(found: Scan, problems: list[tuple[str, Problem]]) -> Scan:
    """Scan in which masks have further problems."""
    stats = list(found.stats)
    for key, problem in problems:
        index = [ref.key for ref in found.masks.refs].index(key)
        stats[index] = replace(stats[index], problems=(*stats[index].problems, problem))
    return found._replace(stats=tuple(stats))
