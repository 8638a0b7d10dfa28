"""Arrays computed from one mask, for training.

A target is one file: a frozen dataclass whose fields are at once the parameters, the command's options and the array's
attributes; see `Target`. Its arithmetic lies in `segprep.kernels`.
"""

from collections.abc import Iterable

from segprep.targets.border import Border
from segprep.targets.boundaries import Boundaries
from segprep.targets.classes import Classes
from segprep.targets.distance import Distance
from segprep.targets.labels import Labels
from segprep.targets.target import Target
from segprep.targets.weights import Weights

__all__ = [
    "TARGETS",
    "Border",
    "Boundaries",
    "Classes",
    "Distance",
    "Labels",
    "Target",
    "Weights",
    "in_order",
    "ordered",
]

TARGETS: tuple[type[Target], ...] = (Labels, Classes, Weights, Border, Boundaries, Distance)
"""All targets of segprep, in the order in which they are written."""


def in_order(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Targets in the order of `TARGETS`, then those from outside of segprep by name.

    >>> [target.name for target in in_order([Distance(), Labels()])]
    ['labels', 'distance']
    """
    of = {target.name: target for target in targets}
    return tuple(of[name] for name in ordered(of))


def ordered(names: Iterable[str]) -> list[str]:
    """Names of targets in the order of `in_order`."""
    ranks = {kind.name: rank for rank, kind in enumerate(TARGETS)}
    return sorted(names, key=lambda name: (ranks.get(name, len(ranks)), name))
