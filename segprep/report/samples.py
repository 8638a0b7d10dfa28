"""Chosen masks with their panels."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from segprep.drawing.masks import mask_panels
from segprep.drawing.panels import Panel
from segprep.report.subject import Subject

SIDES = (1024, 768, 512, 360, 240)
"""Longest sides of panels that are tried, until all of them take at most `MOST_BYTES`."""
MOST_BYTES = 6_500_000
"""Bytes of all panels, so that a page of them in base64 stays below 10 MB."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One mask: its key, the reason for which it was chosen, its facts, problems and panels.

    `without_image` is the reason why there is no image, or empty.
    """

    key: str
    reason: str
    split: str
    shape: tuple[int, int]
    instances: int
    problems: tuple[str, ...]
    panels: tuple[Panel, ...]
    without_image: str


def samples_of(subject: Subject, chosen: Mapping[int, str], report: Callable[[int], None]) -> list[Sample]:
    """Samples of the masks of some indices; `report` is called with the number of those that are done."""
    problems = defaultdict(list)
    for problem in subject.problems:
        problems[problem.key].append(f"{problem.kind}: {problem.where}")
    found = []
    for index, reason in chosen.items():
        found.append(_sample(subject, index, reason, problems.get(subject.keys[index], [])))
        report(len(found))
    return found


def _sample(subject: Subject, index: int, reason: str, problems: Sequence[str]) -> Sample:
    """Sample of one mask."""
    tables, info = subject.tables, subject.info
    classes = [entry.name for entry in info.classes]
    panels, without_image = mask_panels(subject.arrays(index), classes, lambda: subject.image(index))
    return Sample(
        key=subject.keys[index],
        reason=reason,
        split=info.splits[int(tables["split"][index])],
        shape=(int(tables["height"][index]), int(tables["width"][index])),
        instances=int(tables["instance_count"][index]),
        problems=tuple(problems),
        panels=tuple(panels),
        without_image=without_image,
    )


def fitted_samples(samples: Sequence[Sample], most_bytes: int = MOST_BYTES) -> list[Sample]:
    """Samples whose panels together take at most `most_bytes` when encoded, or are as small as `SIDES` allows."""
    for side in SIDES:
        small = [replace(sample, panels=tuple(panel.within(side) for panel in sample.panels)) for sample in samples]
        if sum(len(panel.encoded()) for sample in small for panel in sample.panels) <= most_bytes:
            break
    return small
