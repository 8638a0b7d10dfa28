"""Check of a data set: everything is read and nothing is written."""

import logging
import math
from collections import Counter
from typing import Unpack

import msgspec

from segprep.masks.stats import total
from segprep.runs.findings import findings, touching_notice
from segprep.runs.foreground import NOTICE, scan_resolved
from segprep.runs.scan import OWN_REFS, Classes, chosen_data, masks_of
from segprep.runs.settings import Data, ReadSettings, read_rules
from segprep.store.schema import ProblemInfo
from segprep.workers.jobs import Progress, Workers, no_progress, open_executor

logger = logging.getLogger(__name__)


class ClassReport(msgspec.Struct, frozen=True):
    """One class: its id in the source, name, instances, and visible pixels."""

    id: int | None
    name: str
    instances: int
    pixels: int


class CheckReport(msgspec.Struct, frozen=True):
    """Contents and problems of a data set.

    `sizes` counts masks by height and width; `overlap_pixels` are hidden behind other instances. `problems` lists every
    problem, also the masks that cannot be read; `kinds` counts them. `notices` are decisions that were taken, and what may be
    meant, such as identical masks or touching instances; `touching_pairs` counts the pairs of these. `ignored_share` is the
    share of the pixels that are ignored, from 0 to 1.
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
    notices: tuple[str, ...] = ()
    touching_pairs: int = 0
    ignored_share: float = 0.0


def check(
    data: Data,
    *,
    classes: Classes = None,
    workers: int | str | Workers | None = None,
    progress: Progress = no_progress,
    **settings: Unpack[ReadSettings],
) -> CheckReport:
    """Read all masks of a data set and report its contents and its problems.

    The parameters are those of `segprep.preprocess`.

    Raises
    ------
    InputError
        If no reader recognises the data, or several do.

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
    rules, workers = read_rules(settings), Workers.of(workers)
    source = chosen_data(data, workers)
    masks = masks_of(source, rules, classes)
    with open_executor(workers, len(masks.refs)) as executor:
        found, rule = scan_resolved(executor, masks, rules, progress)
    logger.info("comparing masks and images with each other")
    is_decided = (rules.instances.instances_from, rule.instances_from) == ("auto", "components")
    kinds = {notice.kind for _, notice in masks.notices}
    lines = [f"{item.kind}: {item.key}: {item.where}" for item in found.problems() if item.kind in kinds]
    mistakes, more = findings(found)
    if found.touching and rule.separate == 0:
        more.append(touching_notice(found.touching))
    problems = (*(item for item in found.problems() if item.kind not in kinds), *mistakes)
    counts = total(found.stats, masks.classes)
    ignored = sum(stats.ignored for stats in found.stats)
    columns = zip(masks.classes.entries, counts.instances, counts.pixels, strict=True)
    return CheckReport(
        source=OWN_REFS if isinstance(source, tuple) else str(data),
        format=masks.format,
        masks=len(found.stats) + len(found.unreadable),
        instances=int(counts.instances.sum()),
        sizes=dict(Counter(f"{height}x{width}" for height, width in sorted(stats.shape for stats in found.stats))),
        classes=tuple(ClassReport(entry.id, entry.name, int(number), int(pixels)) for entry, number, pixels in columns),
        overlap_pixels=sum(stats.hidden for stats in found.stats),
        ignored_pixels=ignored,
        ignored_share=ignored / max(1, sum(math.prod(stats.shape) for stats in found.stats)),
        kinds=dict(Counter(problem.kind for problem in problems)),
        problems=problems,
        notices=(*([NOTICE] if is_decided else []), *lines, *more),
        touching_pairs=found.touching or 0,
    )
