"""Choice of the masks that a report shows."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

CROWDED, CLOSE, PROBLEM, EMPTY, RANDOM = (
    *("most instances", "smallest gaps", "with a problem"),
    *("without an instance", "random"),
)


def chosen_masks(
    instances: NDArray[np.integer], problems: Collection[int], count: int, seed: int = 0, *, close: Sequence[int] = ()
) -> dict[int, str]:
    """Index of each chosen mask, and the reason for the choice.

    A quarter are those with the most instances, up to an eighth have the smallest gaps, up to a quarter have a problem, up to
    an eighth have no instance, and all others are random.

    Parameters
    ----------
    instances : (n,) array
        Number of instances of each mask.
    problems : collection of int
        Indices of the masks with a problem.
    count : int
        Number of masks to choose; all if there are fewer.
    seed : int
        Random seed.
    close : list of int
        Indices of masks with small gaps between instances, the smallest first.

    Examples
    --------
    >>> chosen_masks(np.array([3, 0, 9, 1, 2, 4]), {0}, 5)
    {2: 'most instances', 5: 'most instances', 0: 'with a problem', 1: 'without an instance', 3: 'random'}
    """
    order = np.random.default_rng(seed).permutation(len(instances))
    some, few = -(-count // 4), -(-count // 8)
    crowded = [index for index in np.argsort(-instances.astype(np.int64), kind="stable") if instances[index] > 0]
    groups = (
        (CROWDED, crowded[:some]),
        (CLOSE, [index for index in close if index not in crowded[:some]][:few]),
        (PROBLEM, [index for index in order if index in problems][:some]),
        (EMPTY, [index for index in order if instances[index] == 0][:few]),
        (RANDOM, order),
    )
    chosen: dict[int, str] = {}
    for reason, indices in groups:
        for index in indices:
            if len(chosen) < min(count, len(instances)):
                chosen.setdefault(int(index), reason)
    return chosen
