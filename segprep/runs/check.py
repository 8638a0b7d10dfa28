"""Reading everything and writing nothing: what a run would read, and all that is wrong with it."""

import os
from collections import Counter

import msgspec

from segprep.masks.stats import total
from segprep.paths.anypath import AnyPath
from segprep.readers import find
from segprep.runs.preprocess import Rules, reading
from segprep.runs.scan import Scan, scan
from segprep.store.schema import ProblemInfo
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor


class ClassReport(msgspec.Struct, frozen=True):
    """One class: its id in the source, name, instances, and visible pixels."""

    id: int | None
    name: str
    instances: int
    pixels: int


class CheckReport(msgspec.Struct, frozen=True):
    """What a data set holds.

    `sizes` counts masks by height and width; `overlap_pixels` are hidden behind other instances. `problems` has all that is
    wrong, masks that cannot be read included, and `kinds` counts it.
    """

    source: str
    format: str
    masks: int
    instances: int
    sizes: dict[str, int]
    classes: tuple[ClassReport, ...]
    overlap_pixels: int
    ignored_pixels: int
    kinds: dict[str, int]
    problems: tuple[ProblemInfo, ...]


def check(
    data: str | os.PathLike[str] | AnyPath,
    *,
    rules: Rules | None = None,
    workers: Workers | None = None,
    progress: Progress = no_progress,
) -> CheckReport:
    """Read all masks of a data set and report what is there and all that is wrong.

    Parameters are those of `segprep.preprocess`.

    Raises
    ------
    InputError
        Where it cannot be known at all what the data are.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> Image.fromarray(np.array([[1, 0, 0, 0, 2]], np.uint8)).save(folder / "cells.png")
    >>> report = check(folder)
    >>> report.format, report.masks, report.instances, report.problems
    ('label-image', 1, 2, ())
    """
    rules, workers = rules or Rules(), workers or Workers()
    masks = find(workers.place(data), format=rules.format, options=reading(rules))
    with open_executor(workers, len(masks.refs)) as executor:
        found = scan(executor, masks, rules.instances, progress)
    return _report(str(data), found)


def _report(source: str, found: Scan) -> CheckReport:
    """CheckReport of what was found."""
    counts = total(found.stats, found.masks.classes)
    columns = zip(found.masks.classes.entries, counts.instances, counts.pixels, strict=True)
    problems = tuple(
        ProblemInfo(problem.kind, key, problem.where, problem.left_out) for key, problem in found.problems()
    )
    return CheckReport(
        source=source,
        format=found.masks.format,
        masks=len(found.stats) + len(found.unreadable),
        instances=int(counts.instances.sum()),
        sizes=dict(Counter(f"{height}x{width}" for height, width in sorted(each.shape for each in found.stats))),
        classes=tuple(ClassReport(entry.id, entry.name, int(number), int(pixels)) for entry, number, pixels in columns),
        overlap_pixels=sum(each.hidden for each in found.stats),
        ignored_pixels=sum(each.ignored for each in found.stats),
        kinds=dict(Counter(problem.kind for problem in problems)),
        problems=problems,
    )
