"""Problems and warnings: one for each fact, the most important first, with a few examples in lines below."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from shlex import quote
from typing import NamedTuple

from segprep.errors import escape_controls, some
from segprep.paths.anypath import AnyPath
from segprep.runs.check import CheckReport
from segprep.runs.findings import touching_notice, touching_pairs
from segprep.runs.foreground import notice
from segprep.runs.plan import doubts
from segprep.runs.scan import LEFT_OUT
from segprep.store.schema import ProblemInfo, StoreInfo

from .console import console
from .regions import ignored_text
from .render import class_warnings, counted, split_warnings
from .spelling import in_options

NAMED, NAMED_IN_INFO = 3, 20
"""Problems of a kind that a warning shows, and that the summary of a store shows."""
LONGEST, MORE = 200, 40
"""Characters of a line that holds more than one thing, and those of them for its name and the number of what is left out."""


class Warned(NamedTuple):
    """A warning: its line, and the lines below."""

    line: str
    details: tuple[str, ...] = ()


def warnings(info: StoreInfo, listed: str, most: int = NAMED) -> Iterator[Warned]:
    """Warnings about a store: what was left out, other problems, classes, and how foreground masks were read.

    `listed` is the place where the problems are that are not shown.
    """
    yield from problem_warnings(info.problems, listed, most)
    if info.instances == 0:
        yield Warned("there is no instance in any mask")
    for target in info.targets:
        if target.parameters.get("vector") and target.parameters["class_weights"] != "none":
            yield from map(Warned, class_warnings(info, target.parameters["vector"], is_doubted=any(doubts(info))))
    if line := notice(info):
        yield Warned(line)


def problem_warnings(problems: Sequence[ProblemInfo], listed: str, most: int = NAMED) -> Iterator[Warned]:
    """Warning for each kind of problem: masks that were left out, annotations that were, and the others."""
    if console.is_verbose:
        most = len(problems)
    for kind, left_out in dict.fromkeys((problem.kind, problem.left_out) for problem in by_weight(problems)):
        alike = [in_options(where(item)) for item in problems if (item.kind, item.left_out) == (kind, left_out)]
        shown, more = alike[:most], len(alike) - most
        details = (*shown, *([f"and {more:,} more ({listed})"] if more > 0 else []))
        if kind == LEFT_OUT:
            yield Warned(f"left out {counted(len(alike), 'mask')} that cannot be read:", details)
            continue
        line = f"{kind}: {'1 left out: ' * left_out}{alike[0]}"
        if len(alike) == 1 and len(line) <= LONGEST:
            yield Warned(line)
        else:
            count = f" {len(alike):,}{' left out' * left_out}:" if left_out or len(alike) > 1 else ""
            yield Warned(f"{kind}:{count}", details)


def by_weight(problems: Sequence[ProblemInfo]) -> list[ProblemInfo]:
    """Problems, those by which most is lost first."""
    return sorted(problems, key=lambda problem: (problem.kind != LEFT_OUT, not problem.left_out))


def where(problem: ProblemInfo) -> str:
    """Place of a problem; a message that begins with the file of the mask needs no key."""
    if f"/{problem.key}/" in f"/{problem.where.partition(': ')[0]}/":
        return problem.where
    return f"{problem.key}: {problem.where}"


def advice(info: StoreInfo) -> Iterator[str]:
    """One line if a complete store has instances that touch, and a preset would separate them."""
    if info.status == "complete" and (pairs := touching_pairs(info)):
        yield touching_notice(pairs)


def store_warnings(path: AnyPath, info: StoreInfo) -> Iterator[str]:
    """Lines of warnings in the summary of a store."""
    facts = (
        *warnings(info, f"segprep info {quote(str(path))} --json", NAMED_IN_INFO),
        *map(Warned, doubts(info)),
        *map(Warned, split_warnings(path, info)),
    )
    for fact in facts:
        yield f"warning: {in_options(fact.line)}"
        yield from (f"    {detail}" for detail in fact.details)


def report_text(report: CheckReport) -> str:
    """Contents of a data set, and every problem, by kind."""
    classes = [f"{escape_controls(entry.name)} ({entry.instances:,})" for entry in report.classes if entry.instances]
    lines = [
        f"{report.source}: {report.format}: {counted(report.masks, 'mask')}, {counted(report.instances, 'instance')}, "
        f"{report.overlap_pixels:,} overlapping and {ignored_text(report)}",
        f"sizes    {_that_fit([f'{size} ({count:,})' for size, count in Counter(report.sizes).most_common()])}",
        f"classes  {_that_fit(classes) or 'no instance of any class'}",
    ]
    lines += report.notices
    problems = by_weight(report.problems)
    for kind in dict.fromkeys(problem.kind for problem in problems):
        alike = [f"    {where(problem)}" for problem in problems if problem.kind == kind]
        lines += [f"{kind}: {len(alike):,}", *alike]
    masks, kinds = len({problem.key for problem in problems}), len(report.kinds)
    of_kinds = f" of {counted(kinds, 'kind')}" if len(problems) > 1 else ""
    count = f"{counted(len(problems), 'problem')}{of_kinds} in {counted(masks, 'mask')}; exit code 1"
    return "\n".join(map(escape_controls, [*lines, count if problems else "no problems found"]))


def _that_fit(items: Sequence[str]) -> str:
    """First items, as many as fit into a line.

    >>> _that_fit(["a" * 99, "b" * 40, "c" * 40]).replace("a" * 99, "A")
    'A, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb and 1 more'
    """
    ends = accumulate(len(item) + 2 for item in items)
    return some(items, most=max(1, sum(end <= LONGEST - MORE for end in ends)))
