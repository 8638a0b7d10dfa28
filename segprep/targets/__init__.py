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

__all__ = ["TARGETS", "Border", "Boundaries", "Classes", "Distance", "Labels", "Target", "Weights", "in_order"]

TARGETS: tuple[type[Target], ...] = (Labels, Classes, Weights, Border, Boundaries, Distance)
"""All targets of segprep, in the order in which they are written."""


def in_order(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Targets in the order of `TARGETS`, then those from outside of segprep by name.

    >>> [target.name for target in in_order([Distance(), Labels()])]
    ['labels', 'distance']
    """
    ranks = {kind.name: rank for rank, kind in enumerate(TARGETS)}
    return tuple(sorted(targets, key=lambda target: (ranks.get(target.name, len(ranks)), target.name)))
