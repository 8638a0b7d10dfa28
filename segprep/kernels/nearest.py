"""The two smallest distances to distinct instances, at the cost of one distance transform.

One distance transform per instance costs as many passes over the image as it has instances. Here each pixel carries the
nearest and the second nearest *distinct* instance at once, packed as integer keys, squared distance above instance
number, so that `min` compares distances and an exclusive-or shows if two keys belong to the same instance:

1. per column, a downward and an upward sweep leave the two nearest instances within that column;
2. per row, the columns at offset 1, 2, ... are merged in, nearest first, by branch-free minima and maxima that the
   compiler vectorises. Two per column are enough: an instance that is third nearest in its own column is at most third
   nearest anywhere.

A block of columns is skipped where fewer than two instances are within reach, and left as soon as no larger offset can
improve any of its pixels. Work goes in bands of rows with a halo of `reach`, so scratch memory does not grow with the
height of the image, and a band depends on nothing that is farther away: tiles and full images agree exactly.

Distances are Euclidean between pixel centres. Everything is integer arithmetic: nothing is rounded.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.kernels.compiled import compiled
from segprep.kernels.planes import as_planes

SquaredArray: TypeAlias = NDArray[np.uint32]
KeyArray: TypeAlias = NDArray[Any]
"""int32 keys, or int64 where reach and instance numbers need more bits."""

BEYOND = np.iinfo(np.uint32).max
"""Squared distance that stands for 'not within reach'."""

_BLOCK = 256  # columns: fewer are left earlier, more amortise a merge; 64, 128 and 192 measured slower
_BAND = 256  # rows: the halo costs little, and keys of a 2048 px wide band fit the cache


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
    height, width = planes.shape[1:]
    squared = np.empty((2, height, width), np.uint32)
    for rows, band in nearest_two_bands(planes, reach=reach):
        squared[:, rows] = band
    return squared


def nearest_two_bands(planes: LabelArray, *, reach: int) -> Iterator[tuple[slice, SquaredArray]]:
    """Rows and result of `nearest_two_squared`, a band of rows at a time, so that scratch memory stays small."""
    planes = np.ascontiguousarray(planes)
    height, width = planes.shape[1:]
    reach = min(reach, 2 * (height + width))
    far = reach * reach + 1
    dtype, shift = _key_format(far, int(planes.max(initial=0)))
    band = min(height, max(_BAND, 4 * reach))
    keys = np.full((2, band, width + 2 * reach), far << shift, dtype)
    for top in range(0, height, band):
        rows = slice(top, min(top + band, height))
        squared = np.empty((2, rows.stop - top, width), np.uint32)
        near, second = keys[0, : rows.stop - top], keys[1, : rows.stop - top]
        _sweep_columns(planes, top, near, second, reach, shift)
        _merge_rows(near, second, squared, reach, shift)
        yield rows, squared


def _key_format(far: int, largest: int) -> tuple[type, int]:
    """Integer type of the keys and the bit at which their distance begins.

    Two distances are added before they are compared, so the distance needs the bits of ``2 * far``.
    """
    bits = (2 * far).bit_length()
    narrow, wide = (np.iinfo(dtype).bits - 1 - bits for dtype in (np.int32, np.int64))
    if narrow > 0 and largest < 1 << narrow:
        return np.int32, narrow
    return np.int64, wide


@compiled
def _sweep_columns(planes: LabelArray, top: int, near: KeyArray, second: KeyArray, reach: int, shift: int) -> None:
    """Fill `near` and `second` with the two nearest instances of each column, from `top` on.

    The columns `reach` to the left and right of the image stay as they are: far.
    """
    key = near.dtype.type
    height, width = planes.shape[1:]
    bottom = top + near.shape[0]
    far = key((reach * reach + 1) << shift)
    number = key((1 << shift) - 1)
    a1 = np.full(width, far, near.dtype)
    a2 = np.full(width, far, near.dtype)
    for y in range(max(0, top - reach), bottom):
        _age(a1, a2, planes[:, y], reach, shift, far)
        if y >= top:
            near[y - top, reach : reach + width] = a1
            second[y - top, reach : reach + width] = a2
    a1[:] = far
    a2[:] = far
    for y in range(min(height, bottom + reach) - 1, top - 1, -1):
        _age(a1, a2, planes[:, y], reach, shift, far)
        if y < bottom:
            n = near[y - top, reach : reach + width]
            s = second[y - top, reach : reach + width]
            _merge(n, s, a1, a2, key(0), far, number, far)
            _square(n, shift, far)
            _square(s, shift, far)


@compiled
def _age(a1: KeyArray, a2: KeyArray, sites: LabelArray, reach: int, shift: int, far: Any) -> None:
    """Move one row on: known instances are a pixel farther away, and the instances of this row are at distance 0."""
    key = a1.dtype.type
    step = key(1 << shift)
    lost = key((reach + 1) << shift)
    number = key((1 << shift) - 1)
    for x in range(a1.size):
        p = key(a1[x] + step)
        q = key(a2[x] + step)
        a1[x] = p if p < lost else far
        a2[x] = q if q < lost else far
    for k in range(sites.shape[0]):
        row = sites[k]
        for x in range(a1.size):
            b = key(row[x]) if row[x] > 0 else far
            p = a1[x]
            worse = far if (p ^ b) & number == 0 else max(p, b)
            a1[x] = min(p, b)
            a2[x] = min(a2[x], worse)


@compiled
def _square(keys: KeyArray, shift: int, far: Any) -> None:
    """Turn distances along a column into squared distances."""
    key = keys.dtype.type
    number = key((1 << shift) - 1)
    for x in range(keys.size):
        p = keys[x]
        d = key(p >> shift)
        keys[x] = key(((d * d) << shift) | (p & number)) if p < far else far


@compiled
def _merge(
    a1: KeyArray, a2: KeyArray, left: KeyArray, right: KeyArray, add: Any, limit: Any, number: Any, far: Any
) -> Any:
    """Merge the candidates `left` and `right`, each `add` farther, into the two nearest distinct ones.

    Returns the largest second key among the pixels whose first is below `limit`: those that can still change.
    """
    key = a1.dtype.type
    worst = key(0)
    for i in range(a1.size):
        p = a1[i]
        q = a2[i]
        b = key(left[i] + add)  # the sum of two int32 would be int64, and half as many fit a vector
        worse = far if (p ^ b) & number == 0 else max(p, b)
        p = min(p, b)
        q = min(q, worse)
        b = key(right[i] + add)
        worse = far if (p ^ b) & number == 0 else max(p, b)
        p = min(p, b)
        q = min(q, worse)
        a1[i] = p
        a2[i] = q
        worst = max(worst, q if p < limit else key(0))
    return worst


@compiled
def _merge_rows(near: KeyArray, second: KeyArray, squared: SquaredArray, reach: int, shift: int) -> None:
    """Merge the neighbours within `reach` of every row, block by block, into `squared`."""
    height, width = squared.shape[1:]
    far = near.dtype.type((reach * reach + 1) << shift)
    scratch = np.empty((2, _BLOCK), near.dtype)
    for y in range(height):
        for x in range(0, width, _BLOCK):
            size = min(_BLOCK, width - x)
            d1 = squared[0, y, x : x + size]
            d2 = squared[1, y, x : x + size]
            n = near[y, x : x + size + 2 * reach]
            s = second[y, x : x + size + 2 * reach]
            if _several(n, s, shift, far):
                a1 = scratch[0, :size]
                a2 = scratch[1, :size]
                _merge_block(n, s, a1, a2, reach, shift, far)
                _write(a1, a2, d1, d2, reach, shift)
            else:
                d1[:] = BEYOND
                d2[:] = BEYOND


@compiled
def _several(near: KeyArray, second: KeyArray, shift: int, far: Any) -> bool:
    """True if these columns hold two distinct instances."""
    key = near.dtype.type
    number = key((1 << shift) - 1)
    lowest = number
    highest = key(0)
    nearest_second = far
    for x in range(near.size):
        p = near[x]
        lowest = min(lowest, p & number if p < far else number)
        highest = max(highest, p & number if p < far else key(0))
        nearest_second = min(nearest_second, second[x])
    return bool(lowest < highest or nearest_second < far)


@compiled
def _merge_block(
    near: KeyArray, second: KeyArray, a1: KeyArray, a2: KeyArray, reach: int, shift: int, far: Any
) -> None:
    """Two nearest distinct instances, as keys, of the columns `reach` inside `near` and `second`.

    A candidate at offset `dx` is at least `dx` away. As the second nearest it matters only where d1 + dx <= reach. It
    could become the nearest too, which matters only while 2 dx <= reach.
    """
    key = near.dtype.type
    number = key((1 << shift) - 1)
    size = a1.size
    a1[:] = near[reach : reach + size]
    a2[:] = second[reach : reach + size]
    worst = a2.max()
    first_bound = near.min() >> shift
    second_bound = second.min() >> shift
    for dx in range(1, reach + 1):
        open_ = worst >> shift
        if open_ <= dx * dx + first_bound:
            break
        add = key((dx * dx) << shift)
        rest = reach - dx - 1
        limit = key(far + 1) if 2 * (dx + 1) <= reach else key((rest * rest + 1) << shift)
        left = reach - dx
        right = reach + dx
        worst = _merge(a1, a2, near[left : left + size], near[right : right + size], add, limit, number, far)
        if open_ > dx * dx + second_bound:
            worst = _merge(a1, a2, second[left : left + size], second[right : right + size], add, limit, number, far)


@compiled
def _write(a1: KeyArray, a2: KeyArray, d1: SquaredArray, d2: SquaredArray, reach: int, shift: int) -> None:
    """Squared distances of keys; `BEYOND` where d1 + d2 > reach: in integers, 4 p q > (reach^2 - p - q)^2."""
    for x in range(a1.size):
        p = np.int64(a1[x] >> shift)
        q = np.int64(a2[x] >> shift)
        rest = np.int64(reach) * reach - p - q
        within = rest >= 0 and 4 * p * q <= rest * rest
        d1[x] = p if within else BEYOND
        d2[x] = q if within else BEYOND
