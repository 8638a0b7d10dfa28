"""Distance to the nearest pixel of another label, for all labels in one exact transform.

A signed distance needs the distance to the other side on both sides of a boundary: two transforms of a binary mask, and
two for every instance where each has its own field. Here one transform serves them all, because a row is cut into runs of
equal label: pixels beyond the end of a run are farther away than the end itself, which already belongs to another label.
So the lower envelope of parabolas (Felzenszwalb & Huttenlocher 2012) is taken run by run.

Distances are Euclidean between pixel centres. The squares are integers, and so is every comparison that decides: the
crossing of two parabolas is a fraction whose denominator is below twice the width, far coarser than float64.
"""

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import LabelArray
from segprep.kernels.compiled import compiled

NOWHERE = np.float32(np.inf)
"""Distance in an image of a single label."""


def distance_to_other(labels: LabelArray) -> NDArray[np.float32]:
    """Distance of each pixel to the nearest pixel that has another label.

    Parameters
    ----------
    labels : (H, W) int32 array
        Any labels; 0 is a label like the others.

    Returns
    -------
    (H, W) float32 array
        In pixels, at least 1; `NOWHERE` if all pixels have the same label. The image's edge is no boundary.

    Examples
    --------
    >>> distance_to_other(np.array([[0, 0, 1, 1, 1, 2]], np.int32))
    array([[2., 1., 1., 2., 1., 1.]], dtype=float32)
    """
    labels = np.ascontiguousarray(labels)
    distance = np.empty(labels.shape, np.float32)
    if labels.size:
        _rows(labels, _columns(labels), distance)
    return distance


@compiled
def _columns(labels: LabelArray) -> NDArray[np.int32]:
    """Distance within each column to the nearest pixel of another label; ``height + width`` where there is none."""
    height, width = labels.shape
    none = np.int32(height + width)
    along = np.empty(labels.shape, np.int32)
    along[0] = none
    for y in range(1, height):
        for x in range(width):
            step = min(np.int32(along[y - 1, x] + 1), none)
            along[y, x] = step if labels[y, x] == labels[y - 1, x] else 1
    below = np.full(width, none, np.int32)
    for y in range(height - 2, -1, -1):
        for x in range(width):
            step = min(np.int32(below[x] + 1), none)
            below[x] = step if labels[y, x] == labels[y + 1, x] else 1
            along[y, x] = min(along[y, x], below[x])
    return along


@compiled
def _rows(labels: LabelArray, along: NDArray[np.int32], distance: NDArray[np.float32]) -> None:
    """Fill `distance`, run by run of equal labels."""
    height, width = labels.shape
    none = height + width
    apex = np.empty(width + 2, np.int64)
    cross = np.empty(width + 3, np.float64)
    for y in range(height):
        start = np.int64(0)  # a literal 0 would compile `_run` once more
        while start < width:
            stop = start + 1
            while stop < width and labels[y, stop] == labels[y, start]:
                stop += 1
            _run(along[y], distance[y], start, stop, none, apex, cross)
            start = stop


@compiled
def _run(
    along: NDArray[np.int32],
    distance: NDArray[np.float32],
    start: np.int64,
    stop: np.int64,
    none: int,
    apex: NDArray[np.int64],
    cross: NDArray[np.float64],
) -> None:
    """Lower envelope over the columns of one run, and over the first column beyond either end, which is at distance 0."""
    first = start - 1 if start > 0 else start
    last = stop if stop < along.size else stop - 1
    count = 0
    for x in range(first, last + 1):
        inside = start <= x < stop
        if inside and along[x] >= none:
            continue
        height = np.int64(along[x]) * along[x] if inside else np.int64(0)
        while count:
            at = apex[count - 1]
            other = np.int64(along[at]) * along[at] if start <= at < stop else np.int64(0)
            crossing = (height + x * x - other - at * at) / (2.0 * (x - at))
            if crossing > cross[count - 1]:
                cross[count] = crossing
                break
            count -= 1
        if count == 0:
            cross[0] = -np.inf
        apex[count] = x
        count += 1
    cross[count] = np.inf
    k = 0
    for x in range(start, stop):
        if count == 0:
            distance[x] = NOWHERE
            continue
        while cross[k + 1] < x:
            k += 1
        at = apex[k]
        height = np.int64(along[at]) * along[at] if start <= at < stop else np.int64(0)
        distance[x] = np.sqrt(np.float64(height + (x - at) * (x - at)))
