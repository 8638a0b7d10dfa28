"""Loading every mask once, for what must be known before the first pixel is written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias, get_args

from segprep.errors import InputError, OptionError
from segprep.masks.instances import InstanceRule, load_mask
from segprep.masks.mask import MaskRef, Problem
from segprep.masks.stats import MaskStats, input_digest, mask_stats
from segprep.readers import MaskSet
from segprep.workers.jobs import MAX_ATTEMPTS, Job, Jobs, Progress, WorkerDied

OnError: TypeAlias = Literal["skip-annotation", "skip-mask", "fail"]
"""What to do about bad input: leave a bad annotation out; leave a mask that cannot be read out too; or neither."""

LEFT_OUT = "mask left out"
SCAN_BATCH = 8
"""MaskSet in one job of the scan: enough that a job outweighs its message."""


class Unreadable(NamedTuple):
    """A mask that cannot be read, and why."""

    message: str


class BadMasksError(InputError):
    """Some masks cannot be read.

    Attributes
    ----------
    messages : tuple of str
        One line for each.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__(f"{len(messages)} masks cannot be read: {'; '.join(messages)}")
        self.messages = tuple(messages)


class Scan(NamedTuple):
    """MaskSet that can be read, what is known of them, and what was left out.

    Attributes
    ----------
    masks : MaskSet
        Those that can be read.
    stats : tuple of MaskStats
        Statistics of each.
    unreadable : dict of str to str
        Why each of the others cannot be read, by its key.
    """

    masks: MaskSet
    stats: tuple[MaskStats, ...]
    unreadable: dict[str, str]

    @property
    def digests(self) -> list[bytes]:
        """Fingerprint of each mask that can be read."""
        return [each.digest for each in self.stats]

    def input(self) -> str:
        """Fingerprint of them all; see `segprep.store.schema.StoreInfo`."""
        return input_digest([ref.key for ref in self.masks.refs], self.digests)

    def problems(self) -> list[tuple[str, Problem]]:
        """All that was left out, in words that can be printed, with the key of its mask or the name of its file."""
        within = [
            (ref.key, problem)
            for ref, each in zip(self.masks.refs, self.stats, strict=True)
            for problem in each.problems
        ]
        unreadable = [(key, Problem(LEFT_OUT, message)) for key, message in self.unreadable.items()]
        return [
            (key, Problem(problem.kind, escape_controls(problem.where)))
            for key, problem in (*self.masks.problems, *within, *unreadable)
        ]


def escape_controls(text: str) -> str:
    r"""Text on one line: problems quote from files, which may hold what moves a terminal's cursor.

    Examples
    --------
    >>> print(escape_controls("größe\n"))
    größe\n
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def scan(
    executor: Jobs,
    masks: MaskSet,
    instances: InstanceRule,
    progress: Progress,
    known: Mapping[str, MaskStats] | None = None,
) -> Scan:
    """Load every mask once, but for those whose statistics are known.

    Parameters
    ----------
    executor : Crew
        Who does it.
    masks : MaskSet
        What was found.
    instances : InstanceRule
        How instances are told apart.
    progress : Progress
        Is told how far it is.
    known : mapping of str to MaskStats, optional
        Statistics of masks by their keys.
    """
    known = known or {}
    found: dict[str, MaskStats | Unreadable] = {ref.key: known[ref.key] for ref in masks.refs if ref.key in known}
    unknown = tuple(ref for ref in masks.refs if ref.key not in found)
    batches = [unknown[start : start + SCAN_BATCH] for start in range(0, len(unknown), SCAN_BATCH)]
    single = False
    while batches:
        jobs = [
            Job(f"scan of {key_range(batch)}", _scan_batch, (batch, instances, len(masks.classes))) for batch in batches
        ]
        suspects: list[MaskRef] = []
        for index, results in executor.attempted(jobs, MAX_ATTEMPTS if single else 1):
            if not isinstance(results, WorkerDied):
                found |= zip((ref.key for ref in batches[index]), results, strict=True)
            elif single:
                found[batches[index][0].key] = Unreadable(results.message)
            else:
                suspects += batches[index]
            progress("scan", len(found), len(masks.refs))
        batches, single = [(ref,) for ref in suspects], True  # one by one, to tell which of them it was
    pairs = list(zip(masks.refs, (found[ref.key] for ref in masks.refs), strict=True))
    readable = [(ref, each) for ref, each in pairs if isinstance(each, MaskStats)]
    return Scan(
        replace(masks, refs=tuple(ref for ref, _ in readable)),
        tuple(each for _, each in readable),
        {ref.key: each.message for ref, each in pairs if isinstance(each, Unreadable)},
    )


def _scan_batch(refs: Sequence[MaskRef], instances: InstanceRule, n_classes: int) -> list[MaskStats | Unreadable]:
    """Statistics of masks, which are loaded for these alone."""
    return [_scanned(ref, instances, n_classes) for ref in refs]


def _scanned(ref: MaskRef, instances: InstanceRule, n_classes: int) -> MaskStats | Unreadable:
    try:
        complete, separated = load_mask(ref, instances)
    except InputError as error:
        return Unreadable(str(error))
    return mask_stats(complete, n_classes, separated)


def require_readable(found: Scan, on_error: OnError) -> Scan:
    """What was found, if that is good enough.

    Raises
    ------
    BadMasksError
        Where masks cannot be read and shall not be left out, or something within a mask shall not be.
    InputError
        Where no mask is left.
    """
    if on_error not in get_args(OnError):
        raise OptionError(f"--on-error {on_error}: choose one of {', '.join(get_args(OnError))}")
    if found.unreadable and on_error != "skip-mask":
        raise BadMasksError(tuple(found.unreadable.values()))
    problems = found.problems()
    if problems and on_error == "fail":
        raise BadMasksError([f"{key}: {problem.kind}: {problem.where}" for key, problem in problems])
    if not found.stats:
        raise InputError(f"no mask can be read: {next(iter(found.unreadable.values()))}")
    return found


def key_range(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"
