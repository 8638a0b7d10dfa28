"""The two smallest distances to distinct instances, at less than the cost of one distance transform.

One distance transform per instance costs as many passes over the image as it has instances. Here each pixel carries the
nearest and the second nearest *distinct* instance at once:

1. per column, a downward and an upward sweep leave the nearest instance within that column, its distance, and the distance
   of the nearest other one;
2. per row, the columns at offset 1, 2, ... are searched, first for the nearest instance of all, its *owner*; then for the
   nearest other one: in each column it is the second where the nearest is the owner, else the nearest. Both loops are
   minima without branches, which the compiler vectorises, in 16 bits where distances and numbers fit.

Only boxes around the tiles of the image that have two instances within reach are worked on, unless they are most of it. A
block of columns is left as soon as no larger offset can improve any of its pixels. Work goes in bands of rows with a halo of
`reach`, so scratch memory does not grow with the height of the image, and a band depends on nothing that is farther away:
tiles and full images agree exactly.

Distances are Euclidean between pixel centres. Squared distances are integers, and exact; floating-point numbers only bound
the search, and decide what is within reach: exactly for a `reach` of up to 9,700 pixels, whose fourth power is below 2^53.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.kernels.boxes import active_boxes
from segprep.kernels.compiled import compiled
from segprep.kernels.planes import as_planes

SquaredArray: TypeAlias = NDArray[np.uint32]
Integers: TypeAlias = NDArray[Any]
"""Squared distances, or numbers of instances: int16, or int32 or int64 where these need more bits."""
Window: TypeAlias = tuple[slice, slice]

BEYOND = np.uint32(np.iinfo(np.uint32).max)
"""Squared distance that stands for 'not within reach'."""

_BLOCK = 512  # columns: fewer are left earlier, more amortise a search
_CELL = 32  # columns that are skipped where fewer than two instances are within reach
_BAND = 256  # rows, more if the image is narrow: the halo costs little, and the columns of a band fit the cache
_PIXELS = 2**18


def nearest_two(labels: NDArray[Any]) -> FloatArray:
    """Distances to the nearest and to the second nearest distinct instance: d1 and d2 of the U-Net weights.

    Parameters
    ----------
    labels : (H, W) or (K, H, W) integer array
        0 is background, positive numbers are instances; an instance may have several parts. Several planes where instances
        overlap.

    Returns
    -------
    (2, H, W) float32 array
        Euclidean distances between pixel centres in pixels, d1 <= d2. On an instance d1 is 0; where two overlap both are 0.
        d1 is infinite if there is no instance, d2 if there are fewer than two.

    Raises
    ------
    OptionError
        If `labels` is not a label image.

    Examples
    --------
    >>> nearest_two(np.array([[1, 0, 0, 0, 2]]))[:, 0]
    array([[0., 1., 2., 1., 0.],
           [4., 3., 2., 3., 4.]], dtype=float32)
    >>> nearest_two(np.array([[1, 0, 0]]))[:, 0]
    array([[ 0.,  1.,  2.],
           [inf, inf, inf]], dtype=float32)
    """
    planes = as_planes(labels)
    squared = nearest_two_squared(planes, reach=2 * sum(planes.shape[1:]))
    distances = np.where(squared == BEYOND, np.inf, np.sqrt(squared, dtype=np.float64)).astype(np.float32)
    instances = (planes > 0).any(axis=0)
    if instances.any() and (squared[0] == BEYOND).all():  # a single instance
        from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

        distances[0] = distance_transform_edt(~instances)
    return distances


def nearest_two_squared(planes: LabelArray, *, reach: int) -> SquaredArray:
    """Squared distances to the nearest and the second nearest distinct instance, within reach.

    `reach` is the largest d1 + d2 of interest, in pixels, at least 0. The result, of shape (2, H, W), is exact wherever
    d1 + d2 <= reach; it is `BEYOND` elsewhere, and if the image has fewer than two instances.

    Examples
    --------
    >>> nearest_two_squared(np.array([[[1, 0, 0, 0, 2]]], np.int32), reach=4)[:, 0]
    array([[ 0,  1,  4,  1,  0],
           [16,  9,  4,  9, 16]], dtype=uint32)
    """
    squared = np.full((2, *planes.shape[1:]), BEYOND)
    for window, *bands in nearest_two_bands(planes, reach=reach):
        for both, band in zip(squared, bands, strict=True):
            both[window] = np.where(band < 0, BEYOND, band)
    return squared


def nearest_two_bands(
    planes: LabelArray, *, reach: int, on_instances: bool = True
) -> Iterator[tuple[Window, Integers, Integers]]:
    """Windows of the image and both results of `nearest_two_squared` there; -1 stands for 'not within reach'.

    So are pixels that are in no window. The arrays of a window are valid until the next one is made. Without `on_instances`,
    pixels of instances are not within reach either, which is quicker.
    """
    planes = np.ascontiguousarray(planes)
    height, width = planes.shape[1:]
    reach = min(reach, 2 * (height + width))
    side = min(reach, width - 1)  # no column is farther away
    dtype = _integers((reach + 1) ** 2 + side**2, int(planes.max(initial=0)))
    for above, left, below, right in active_boxes(planes, reach):
        rows = min(below - above, max(_BAND, 4 * reach, _PIXELS // (right - left)))
        near, second = np.full((2, rows, right - left + 2 * side), (reach + 1) ** 2, dtype)
        owner = np.zeros(near.shape, dtype)
        first: Integers = np.empty((rows, right - left), dtype)
        other = np.empty_like(first)
        for top in range(above, below, rows):
            size = min(rows, below - top)
            _sweep_columns(planes, top, left - side, near[:size], second[:size], owner[:size], reach)
            _search_rows(near[:size], second[:size], owner[:size], first[:size], other[:size], reach, on_instances)
            yield (slice(top, top + size), slice(left, right)), first[:size], other[:size]


def _integers(most: int, largest: int) -> type:
    """Narrowest type for squared distances, and sums of two, and for numbers of instances, which are compared for equality."""
    if most < 2**15 and largest < 2**16:
        return np.int16
    return np.int32 if most < 2**31 else np.int64


@compiled
def _sweep_columns(
    planes: LabelArray, top: int, first: int, near: Integers, second: Integers, owner: Integers, reach: int
) -> None:
    """Squared distances of the two nearest instances in each column, and the nearest one; from row `top`, column `first` on.

    The columns to the left and right of the image stay as they are: far.
    """
    kind = near.dtype.type
    height = planes.shape[1]
    left, right = max(0, -first), min(near.shape[1], planes.shape[2] - first)
    width = right - left
    columns = slice(first + left, first + right)
    bottom = top + near.shape[0]
    far = kind(reach + 1)
    a1, a2, number = np.full(width, far, near.dtype), np.full(width, far, near.dtype), np.zeros(width, near.dtype)
    for y in range(max(0, top - reach), bottom):
        _age(a1, a2, number, planes, y, columns, far)
        if y >= top:
            _copy(a1, near[y - top, left:right])
            _copy(a2, second[y - top, left:right])
            _copy(number, owner[y - top, left:right])
    a1[:] = far
    a2[:] = far
    number[:] = 0
    for y in range(min(height, bottom + reach) - 1, top - 1, -1):
        _age(a1, a2, number, planes, y, columns, far)
        if y < bottom:
            _join(
                near[y - top, left:right],
                second[y - top, left:right],
                owner[y - top, left:right],
                a1,
                a2,
                number,
            )


@compiled
def _copy(source: Integers, target: Integers) -> None:
    """Fill `target` with `source`; for ``target[:] = source``, the message of an error would take 2 s to compile."""
    for i in range(np.uint64(target.size)):
        target[i] = source[i]


@compiled
def _age(
    near: Integers, second: Integers, owner: Integers, planes: LabelArray, y: int, columns: slice, far: Any
) -> None:
    """Move on to row `y`: known instances are a pixel farther away, and the instances of this row are at distance 0."""
    kind = near.dtype.type
    step = kind(1)
    for k in range(planes.shape[0]):
        row = planes[k, y, columns]
        for i in range(np.uint64(near.size)):
            site, number = row[i], owner[i]
            a, b = min(kind(near[i] + step), far), min(kind(second[i] + step), far)
            is_other = site > 0 and kind(site) != number
            near[i] = kind(0) if site > 0 else a
            second[i] = a if is_other else b
            owner[i] = kind(site) if site > 0 else number
        step = kind(0)


@compiled
def _join(
    near: Integers,
    second: Integers,
    owner: Integers,
    near_below: Integers,
    second_below: Integers,
    owner_below: Integers,
) -> None:
    """Join the instances above with those below, and square the distances."""
    kind = near.dtype.type
    for x in range(np.uint64(near.size)):
        a, b = near[x], near_below[x]
        a2, b2 = second[x], second_below[x]
        above, below = owner[x], owner_below[x]
        is_above = a <= b
        other = (b2 if is_above else a2) if above == below else max(a, b)
        other = min(other, a2 if is_above else b2)
        closest = min(a, b)
        near[x] = kind(closest * closest)
        second[x] = kind(other * other)
        owner[x] = above if is_above else below


@compiled
def _search_rows(
    near: Integers, second: Integers, owner: Integers, first: Integers, other: Integers, reach: int, on_instances: bool
) -> None:
    """Fill `first` and `other` row by row and block by block from the columns within `reach`."""
    height, width = first.shape
    side = (near.shape[1] - width) // 2
    numbers = np.empty(_BLOCK, near.dtype)
    cells = np.empty((3, -(-width // _CELL)), near.dtype)
    for y in range(height):
        _summarise(near[y, side:], second[y, side:], owner[y, side:], width, cells, (reach + 1) ** 2)
        x = 0
        while x < width:
            start, stop = x, min(width, x + _BLOCK)
            while x < stop and _several(cells, x // _CELL, -(-reach // _CELL), (reach + 1) ** 2):
                x = min(x + _CELL, width)
            if x > start:
                columns, size = slice(start, x + 2 * side), x - start
                n, s, o = near[y, columns], second[y, columns], owner[y, columns]
                p, q = first[y, start:x], other[y, start:x]
                _search_first(n, o, p, numbers[:size], reach)
                _search_other(n, s, o, p, q, numbers[:size], reach, on_instances)
            else:
                x = min(x + _CELL, width)
                first[y, start:x] = -1
                other[y, start:x] = -1


@compiled
def _summarise(near: Integers, second: Integers, owner: Integers, width: int, cells: Integers, far: int) -> None:
    """Lowest and highest number of an instance in each cell of a row, and the smallest second distance."""
    kind = near.dtype.type
    far = kind(far)
    for cell in range(cells.shape[1]):
        lowest, highest, nearest_second = kind(np.iinfo(kind).max), kind(np.iinfo(kind).min), far
        for i in range(np.uint64(cell * _CELL), np.uint64(min(width, (cell + 1) * _CELL))):
            is_site = near[i] < far
            number = owner[i]
            lowest = min(lowest, number if is_site else lowest)
            highest = max(highest, number if is_site else highest)
            nearest_second = min(nearest_second, second[i])
        cells[0, cell] = lowest
        cells[1, cell] = highest
        cells[2, cell] = nearest_second


@compiled
def _several(cells: Integers, cell: int, reach: int, far: int) -> bool:
    """True if the cells up to `reach` from a cell hold two distinct instances."""
    lowest, highest = cells[0, cell], cells[1, cell]
    for near in range(max(0, cell - reach), min(cells.shape[1], cell + reach + 1)):
        lowest = min(lowest, cells[0, near])
        highest = max(highest, cells[1, near])
        if lowest < highest or cells[2, near] < far:
            return True
    return False


@compiled
def _search_first(near: Integers, owner: Integers, first: Integers, numbers: Integers, reach: int) -> None:
    """Squared distance and number of the nearest instance of each pixel, if that distance is at most half of `reach`."""
    kind = near.dtype.type
    side = (near.size - first.size) // 2
    for i in range(np.uint64(first.size)):
        first[i] = near[i + np.uint64(side)]
        numbers[i] = owner[i + np.uint64(side)]
    most = np.int64((reach // 2 + 1) ** 2)
    for dx in range(1, min(reach // 2, side) + 1):
        if dx * dx >= most:
            break
        most = _nearer(first, numbers, near, owner, np.uint64(side - dx), np.uint64(side + dx), kind(dx * dx))


@compiled
def _nearer(
    first: Integers, numbers: Integers, near: Integers, owner: Integers, left: Any, right: Any, add: Any
) -> Any:
    """Let two columns compete with each pixel's nearest; returns the largest squared distance.

    Indices without a sign, here and below, spare the test for negative ones, which would prevent vectors.
    """
    kind = first.dtype.type
    most = kind(0)
    for i in range(np.uint64(first.size)):
        p, number = first[i], numbers[i]
        a, a_owner = kind(near[left + i] + add), owner[left + i]
        b, b_owner = kind(near[right + i] + add), owner[right + i]
        number = a_owner if a < p else number
        p = min(p, a)
        number = b_owner if b < p else number
        p = min(p, b)
        first[i] = p
        numbers[i] = number
        most = max(most, p)
    return most


@compiled
def _search_other(
    near: Integers,
    second: Integers,
    owner: Integers,
    first: Integers,
    other: Integers,
    numbers: Integers,
    reach: int,
    on_instances: bool,
) -> None:
    """Squared distance of the nearest instance but the one of `numbers`; both distances are -1 where not within reach.

    A pixel whose nearest instance is d1 away is searched up to ``reach - d1``.
    """
    kind = near.dtype.type
    side = (near.size - first.size) // 2
    half = kind(reach * reach // 4)
    least = kind(0) if on_instances else kind(1)
    most = np.int64(0)
    for i in range(np.uint64(first.size)):
        p, n, s, o = first[i], near[i + np.uint64(side)], second[i + np.uint64(side)], owner[i + np.uint64(side)]
        q = s if o == numbers[i] else n
        rest = (np.float32(reach) - np.sqrt(np.float32(p))) * np.float32(1 + 1e-6)  # a bound: never too small
        q = min(q, kind(rest * rest + np.float32(2)))
        q = q if least <= p <= half else kind(0)
        other[i] = q
        most = max(most, np.int64(q))
    for dx in range(1, side + 1):
        if dx * dx >= most:
            break
        most = _other(other, numbers, near, second, owner, np.uint64(side - dx), np.uint64(side + dx), kind(dx * dx))
    for i in range(np.uint64(first.size)):
        p, q = np.float64(first[i]), np.float64(other[i])
        rest = np.float64(reach) * reach - p - q
        within = least <= first[i] <= half and rest >= 0 and 4 * p * q <= rest * rest  # d1 + d2 <= reach
        first[i] = first[i] if within else kind(-1)
        other[i] = other[i] if within else kind(-1)


@compiled
def _other(
    other: Integers,
    numbers: Integers,
    near: Integers,
    second: Integers,
    owner: Integers,
    left: Any,
    right: Any,
    add: Any,
) -> Any:
    """Let two columns compete for the nearest instance but the one of `numbers`; returns the largest squared distance."""
    kind = other.dtype.type
    most = kind(0)
    for i in range(np.uint64(other.size)):
        number, q = numbers[i], other[i]
        a, a2, a_owner = near[left + i], second[left + i], owner[left + i]
        b, b2, b_owner = near[right + i], second[right + i], owner[right + i]
        a = a2 if a_owner == number else a
        b = b2 if b_owner == number else b
        q = min(q, kind(min(a, b) + add))
        other[i] = q
        most = max(most, q)
    return most
