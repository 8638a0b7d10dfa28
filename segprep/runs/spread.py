"""Choice of a sample of masks by their sizes, and of those of it that stand for others."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import TypeVar

from segprep.errors import is_foreign
from segprep.masks.mask import MaskRef
from segprep.masks.tiles import TileRef
from segprep.store.layout import Size

T = TypeVar("T")

LEAST, MOST_SECONDS = 16, 10
"""Masks that are read and computed all the same, until this many seconds are over."""
_GOLDEN = (math.sqrt(5) - 1) / 2
"""Fraction by which a point moves around a circle so that any number of its places are about equally far apart."""


def known_size(ref: MaskRef) -> Size | None:
    """Height and width of a mask that its file of annotations gives; None if it must be read for them."""
    if isinstance(ref, TileRef):
        return ref.window.height, ref.window.width
    sides = None if is_foreign(ref) else getattr(ref, "shape", getattr(ref, "sides", None))
    if not (isinstance(sides, tuple) and len(sides) == 2):  # noqa: PLR2004 - height and width
        return None
    height, width = sides
    return sides if type(height) is int and type(width) is int and min(sides) > 0 else None


def by_size(sizes: Sequence[Size | None], contents: Sequence[int] | None = None) -> list[int]:
    """Indices of masks from the smallest to the largest, those of one size or of none in random order.

    Numbers that tell how much is in each mask, if given, come before chance.
    """
    order = list(range(len(sizes)))
    Random(0).shuffle(order)  # noqa: S311 - no secret
    return sorted(order, key=lambda index: (math.prod(sizes[index] or (0, 0)), contents[index] if contents else 0))


def is_over(seconds: float, limit: float, masks: int) -> bool:
    """True if no further masks are to be read or computed after this time, and this many of them."""
    return seconds > (limit if masks >= LEAST else MOST_SECONDS)


def spread(order: Sequence[T], most: int) -> list[T]:
    """At most `most` items, of which the first ones, however many, are about equally far apart in the order.

    >>> spread(range(100), 4), spread("abc", 4)
    ([84, 46, 8, 69], ['c', 'b', 'a'])
    """
    chosen: dict[int, None] = {}
    place = Random(0).random()  # noqa: S311
    for _ in range(10 * most):
        chosen[int(place * len(order))] = None
        if len(chosen) == min(most, len(order)):
            break
        place = (place + _GOLDEN) % 1
    return [order[index] for index in chosen]


def stand_ins(order: Sequence[int], sample: Iterable[int]) -> dict[int, int]:
    """Item of a sample that stands for each item: itself, or one of about the same place in the order.

    >>> stand_ins(range(6), [0, 5])
    {0: 0, 5: 5, 1: 0, 2: 0, 3: 5, 4: 5}
    """
    own = set(sample)
    ordered = [item for item in order if item in own]
    others = [item for item in order if item not in own]
    return {item: item for item in ordered} | {
        item: ordered[index * len(ordered) // len(others)] for index, item in enumerate(others)
    }


def nearest(order: Sequence[int], sample: Iterable[int]) -> dict[int, int]:
    """Item of a sample that stands for each item: itself, or the nearest one in the order.

    >>> nearest(range(6), [0, 5])
    {0: 0, 1: 0, 2: 0, 3: 5, 4: 5, 5: 5}
    """
    own = set(sample)
    places = [place for place, item in enumerate(order) if item in own]
    middles = [(place + after) / 2 for place, after in pairwise(places)]
    return {item: order[places[bisect_left(middles, place)]] for place, item in enumerate(order)}


def ratio(index: int, sampled: int, sizes: Sequence[Size | None]) -> float:
    """Pixels of a mask, by those of the one that stands for it."""
    size, other = sizes[index], sizes[sampled]
    return math.prod(size) / math.prod(other) if size and other else 1
