"""Distance to the nearest pixel of another label, for all labels in one exact transform.

A signed distance needs the distance to the other side on both sides of a boundary: two transforms of a binary mask, and
two for every instance where each has its own field. Here one transform serves them all, because a row is cut into runs of
equal label: pixels beyond the end of a run are farther away than the end itself, which already belongs to another label.
So the lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012) is taken run by run, without a division per column:
crossings are compared as fractions.

Distances are Euclidean between pixel centres. The squares are integers, and every comparison that decides is exact: a
crossing is an integer, or at least 1 / (2 width) away from one, far more than the rounding of float64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.kernels.compiled import compiled

NOWHERE = np.float32(np.inf)
"""Distance in an image of a single label."""


def distance_to_other(labels: LabelArray, *, signed: bool = False) -> FloatArray:
    """Distance of each pixel to the nearest pixel that has another label.

    Parameters
    ----------
    labels : (H, W) int32 array
        Any labels; 0 is a label like the others.
    signed : bool
        1 minus the distance where the label is above 0.

    Returns
    -------
    (H, W) float32 array
        In pixels, at least 1 unless `signed`; `NOWHERE` if all pixels have the same label. The image's edge is no boundary.

    Examples
    --------
    >>> distance_to_other(np.array([[0, 0, 1, 1, 1, 2]], np.int32))
    array([[2., 1., 1., 2., 1., 1.]], dtype=float32)
    >>> distance_to_other(np.array([[0, 0, 1, 1, 1, 2]], np.int32), signed=True)
    array([[ 2.,  1.,  0., -1.,  0.,  0.]], dtype=float32)
    """
    labels = np.ascontiguousarray(labels)
    distance = np.empty(labels.shape, np.float32)
    if labels.size:
        height, width = labels.shape
        along = np.empty(labels.shape, np.int16 if height + width < np.iinfo(np.int16).max else np.int32)
        _columns(labels, along)
        if along.itemsize == distance.itemsize:
            distance = along.view(
                np.float32
            )  # each row is read before it is filled: a quarter of a large image's memory
        integer, real = (np.int32, np.float32) if height**2 + width**2 < 2**24 else (np.int64, np.float64)  # exact
        _rows(labels, along, distance, signed, np.empty(width, integer), np.empty(width, real))
    return distance


@compiled
def _columns(labels: LabelArray, along: NDArray[Any]) -> None:
    """Distance within each column to the nearest pixel of another label; ``height + width`` where there is none."""
    kind = along.dtype.type
    height, width = labels.shape
    one, none = kind(1), kind(height + width)
    along[0] = none
    for y in range(1, height):
        here, above, row, before = labels[y], labels[y - 1], along[y], along[y - 1]
        for x in range(np.uint64(width)):
            row[x] = min(kind(before[x] + one), none) if here[x] == above[x] else one
    below = np.full(width, none, along.dtype)
    for y in range(height - 2, -1, -1):
        here, under, row = labels[y], labels[y + 1], along[y]
        for x in range(np.uint64(width)):
            step = min(kind(below[x] + one), none) if here[x] == under[x] else one
            below[x] = step
            row[x] = min(row[x], step)


@compiled
def _rows(
    labels: LabelArray,
    along: NDArray[Any],
    distance: FloatArray,
    signed: bool,
    squared: NDArray[Any],
    roots: NDArray[Any],
) -> None:
    """Fill `distance`, run by run of equal labels; `squared` and `roots` are scratch for a row."""
    height, width = labels.shape
    apexes, sums = np.empty(width + 2, np.int64), np.empty(width + 2, np.int64)
    for y in range(height):
        row, out = labels[y], distance[y]
        start = 0
        while start < width:
            stop = start + 1
            while stop < width and row[stop] == row[start]:
                stop += 1
            count = _envelope(along[y], start, stop, height + width, apexes, sums)
            _fill(apexes, sums, count, start, squared[start:stop])
            start = stop
        for x in range(np.uint64(width)):
            roots[x] = squared[x]
            step = np.float32(np.sqrt(roots[x])) if squared[x] >= 0 else NOWHERE
            out[x] = np.float32(1) - step if signed and row[x] > 0 else step


@compiled
def _envelope(
    along: NDArray[Any], start: int, stop: int, none: int, apexes: NDArray[np.int64], sums: NDArray[np.int64]
) -> int:
    """Parabolas of the lower envelope over a run, with the columns beyond its ends, at distance 0; returns their number.

    A parabola ``height + (x - apex)^2`` is given by its apex and by ``height + apex^2``: two of them cross where the
    difference of these sums is twice x times that of the apexes.
    """
    count = 0
    if start > 0:
        apexes[0], sums[0] = start - 1, (start - 1) * (start - 1)
        count = 1
    for x in range(start, min(stop + 1, along.size)):
        if x < stop and along[x] >= none:
            continue
        square = np.int64(x) * np.int64(x)
        if x < stop:
            square += np.int64(along[x]) * np.int64(along[x])
        while count > 1:  # the last parabola is nowhere below both if it crosses the one before after that at x
            before, after = apexes[count - 1] - apexes[count - 2], x - apexes[count - 1]
            if (sums[count - 1] - sums[count - 2]) * after < (square - sums[count - 1]) * before:
                break
            count -= 1
        apexes[count], sums[count] = x, square
        count += 1
    return count


@compiled
def _fill(apexes: NDArray[np.int64], sums: NDArray[np.int64], count: int, start: int, squared: NDArray[Any]) -> None:
    """Squared distances of a run that begins at `start`, parabola by parabola; -1 if there is none."""
    kind = squared.dtype.type
    if count == 0:
        squared[:] = -1
    x, stop = start, start + squared.size
    for k in range(count):
        end = stop
        if k + 1 < count:  # after the last column in which this parabola is not above the next one
            crossing = np.float64(sums[k + 1] - sums[k]) / np.float64(2 * (apexes[k + 1] - apexes[k]))
            end = min(stop, max(x, int(np.floor(crossing)) + 1))
        height, shift = kind(sums[k] - apexes[k] * apexes[k]), kind(start - apexes[k])
        for i in range(np.uint64(x - start), np.uint64(end - start)):
            away = kind(kind(i) + shift)
            squared[i] = height + away * away
        x = end
