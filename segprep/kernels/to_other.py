"""Distance to the nearest pixel of another label, for all labels in one exact transform.

A signed distance needs the distance to the other side on both sides of a boundary: two transforms of a binary mask, and
two for every instance where each has its own field. Here one transform serves them all, because a row is cut into runs of
equal label: pixels beyond the end of a run are farther away than the end itself, which already belongs to another label.
So the lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012) is taken run by run, without a division per column: a
parabola between two others is dropped by the sign of a polynomial (Maurer et al. 2003).

Distances are Euclidean between pixel centres. The squares are integers, and so is every comparison that decides.
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
        along = np.empty(labels.shape, np.int16 if sum(labels.shape) < np.iinfo(np.int16).max else np.int32)
        _columns(labels, along)
        _rows(labels, along, distance, signed)
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
def _rows(labels: LabelArray, along: NDArray[Any], distance: FloatArray, signed: bool) -> None:
    """Fill `distance`, run by run of equal labels."""
    height, width = labels.shape
    apexes, heights = np.empty(width + 2, np.int64), np.empty(width + 2, np.int64)
    squared = np.empty(width, np.int64)
    for y in range(height):
        row, out = labels[y], distance[y]
        start = 0
        while start < width:
            stop = start + 1
            while stop < width and row[stop] == row[start]:
                stop += 1
            count = _envelope(along[y], start, stop, height + width, apexes, heights)
            _fill(apexes, heights, count, start, squared[start:stop])
            start = stop
        for x in range(np.uint64(width)):
            step = np.float32(np.sqrt(np.float64(squared[x]))) if squared[x] >= 0 else NOWHERE
            out[x] = np.float32(1) - step if signed and row[x] > 0 else step


@compiled
def _envelope(
    along: NDArray[Any], start: int, stop: int, none: int, apexes: NDArray[np.int64], heights: NDArray[np.int64]
) -> int:
    """Parabolas of the lower envelope over a run, with the columns beyond its ends, at distance 0; returns their number."""
    count = 0
    if start > 0:
        apexes[0], heights[0] = start - 1, 0
        count = 1
    for x in range(start, min(stop + 1, along.size)):
        if x < stop and along[x] >= none:
            continue
        height = np.int64(along[x]) * np.int64(along[x]) if x < stop else np.int64(0)
        while count > 1 and _is_above(
            apexes[count - 1] - apexes[count - 2],
            x - apexes[count - 1],
            heights[count - 2],
            heights[count - 1],
            height,
        ):
            count -= 1
        apexes[count], heights[count] = x, height
        count += 1
    return count


@compiled
def _is_above(before: Any, after: Any, left: Any, middle: Any, right: Any) -> Any:
    """True if a parabola is nowhere below the two beside it, whose apexes are `before` and `after` columns away."""
    both = before + after
    return both * middle - after * left - before * right >= before * after * both


@compiled
def _fill(
    apexes: NDArray[np.int64], heights: NDArray[np.int64], count: int, start: int, squared: NDArray[np.int64]
) -> None:
    """Squared distances of a run that begins at `start`, parabola by parabola; -1 if there is none."""
    if count == 0:
        squared[:] = -1
    x, stop = start, start + squared.size
    for k in range(count):
        end = stop
        if k + 1 < count:  # the last column in which this parabola is not above the next one
            a, b = apexes[k], apexes[k + 1]
            end = min(stop, max(x, (heights[k + 1] + b * b - heights[k] - a * a) // (2 * (b - a)) + 1))
        for i in range(np.uint64(x - start), np.uint64(end - start)):
            away = np.int64(i) + start - apexes[k]
            squared[i] = heights[k] + away * away
        x = end
