"""Arrays computed from one mask, for training.

A target is one file: a frozen dataclass whose fields are at once the parameters, the command's options and the array's
attributes; see `Target`. Its arithmetic lies in `segprep.kernels`.
"""

from collections.abc import Iterable

from segprep.errors import OptionError, check_choice
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
    "kinds_named",
    "targets_named",
]

TARGETS: tuple[type[Target], ...] = (Labels, Classes, Weights, Border, Boundaries, Distance)
"""All targets of segprep, in the order in which they are written."""


def in_order(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Targets in the order of `TARGETS`, then those from outside of segprep by name.

    Examples
    --------
    >>> [target.name for target in in_order([Distance(), Labels()])]
    ['labels', 'distance']
    """
    names = [kind.name for kind in TARGETS]
    return tuple(
        sorted(
            targets, key=lambda target: (names.index(target.name) if target.name in names else len(names), target.name)
        )
    )


def kinds_named(names: str) -> tuple[type[Target], ...]:
    """Kinds of targets by their names, with commas between; labels and classes are always written and need no name.

    Raises
    ------
    OptionError
        If there is no target of a name, or a name occurs twice.

    Examples
    --------
    >>> kinds_named("weights, distance") == (Weights, Distance)
    True
    """
    kinds = {kind.name: kind for kind in TARGETS}
    named = [name.strip() for name in names.split(",") if name.strip()]
    for name in named:
        check_choice("targets", name, kinds)
        if named.count(name) > 1:
            raise OptionError(f"targets={names!r}: {name} is named twice")
    return tuple(kinds[name] for name in named)


def targets_named(names: str) -> tuple[Target, ...]:
    """Targets with their default parameters, by their names as in `kinds_named`.

    Examples
    --------
    >>> targets_named("distance")
    (Distance(distance_per='foreground', distance_clip=None, dtype='float16', channels=0),)
    """
    return tuple(kind() for kind in kinds_named(names))
