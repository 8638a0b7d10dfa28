"""Pixels of polygons by COCO's rule, in any window of an image.

The rule draws the outline at five times the resolution, and a pixel belongs to the polygon if the outline crosses the column
through its centre an odd number of times above it. Each crossing is computed from the corners alone, in the coordinates of
the complete image, so a window has exactly the pixels that the complete image has there; the time depends on the corners and
on the columns of the window, not on the length of the outline.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.kernels.compiled import compiled


class Shapes(NamedTuple):
    """Shapes ``0..N - 1`` of one or several polygons each, with holes.

    Attributes
    ----------
    points : (P, 2) int32 array
        x and y of all corners, as from `fifths`.
    rings : (R + 1,) int64 array
        First corner of each ring, and P.
    is_hole : (R,) bool array
        True for the holes of the last ring before that is none.
    spans : (N, 2) int64 array
        First ring of each shape, and the one after its last.
    """

    points: NDArray[np.int32]
    rings: CountArray
    is_hole: BoolArray
    spans: CountArray


def fifths(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Coordinates in pixels, rounded to fifths as COCO's rule does.

    >>> fifths(np.array([[10.7, 0.25]]))
    array([[54,  1]], dtype=int32)
    """
    return (5 * points + 0.5).astype(np.int32)


@compiled
def boxes_of(shapes: Shapes, height: int, width: int) -> NDArray[np.int32]:
    """Rows and columns of an image that shapes may cover, shape (N, 4): the first row and column, and those after the last."""
    boxes = np.zeros((len(shapes.spans), 4), np.int32)
    for shape in range(len(boxes)):
        first, stop = shapes.spans[shape]
        points = shapes.points[shapes.rings[first] : shapes.rings[stop]]
        left, right = points[:, 0].min(), points[:, 0].max()
        top, below = points[:, 1].min(), points[:, 1].max()
        boxes[shape, 0] = min(max((top + 2) // 5, 0), height)
        boxes[shape, 1] = min(max((left + 2) // 5, 0), width)
        boxes[shape, 2] = max(min((below + 2) // 5, height), boxes[shape, 0])
        boxes[shape, 3] = max(min((right + 2) // 5, width), boxes[shape, 1])
    return boxes


@compiled
def pixels_of(shapes: Shapes, shape: int, top: int, left: int, below: int, right: int) -> BoolArray:
    """Pixels of a shape in the rows from `top` to `below` and the columns from `left` to `right` of the image.

    Examples
    --------
    >>> square, hole = [[0, 0], [15, 0], [15, 15], [0, 15]], [[5, 5], [10, 5], [10, 10], [5, 10]]
    >>> rings, is_hole = np.array([0, 4, 8]), np.array([False, True])
    >>> one = Shapes(np.array([*square, *hole], np.int32), rings, is_hole, np.array([[0, 2]]))
    >>> pixels_of(one, 0, 0, 1, 3, 4).astype(int)
    array([[1, 1, 0],
           [0, 1, 0],
           [1, 1, 0]])
    """
    first, stop = shapes.spans[shape]
    part = _inside(shapes, first, top, left, below, right)
    if stop == first + 1:
        return part
    found = np.zeros_like(part)
    for ring in range(first + 1, stop):
        inside = _inside(shapes, ring, top, left, below, right)
        if shapes.is_hole[ring]:
            part &= ~inside
        else:
            found |= part
            part = inside
    return found | part


@compiled
def _inside(shapes: Shapes, ring: int, top: int, left: int, below: int, right: int) -> BoolArray:
    """Pixels inside one ring, as `pixels_of`."""
    height, width = below - top, right - left
    inside = np.zeros((height + 1, width), np.bool_)
    _cross(shapes.points[shapes.rings[ring] : shapes.rings[ring + 1]], top, left, inside)
    for y in range(1, height):
        above, row = inside[y - 1], inside[y]
        for x in range(width):  # compiled to vector instructions
            row[x] ^= above[x]
    return inside[:height]


@compiled
def _cross(points: NDArray[np.int32], top: int, left: int, crossings: BoolArray) -> None:
    """Flip the first pixel after each crossing of an outline with the columns of a window; all above count for its first row.

    The last row of `crossings` is below the window.
    """
    height, width = crossings.shape[0] - 1, crossings.shape[1]
    for index in range(len(points)):
        x0, y0 = int(points[index - 1, 0]), int(points[index - 1, 1])
        x1, y1 = int(points[index, 0]), int(points[index, 1])
        across, down = abs(x1 - x0), abs(y1 - y0)
        is_steep = across < down
        if (is_steep and y0 > y1) or (not is_steep and x0 > x1):
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = max(left, (min(x0, x1) + 2) // 5), min(left + width - 1, (max(x0, x1) - 3) // 5)
        if (min(y0, y1) + 2) // 5 >= top + height:
            continue
        for x in range(first, last + 1):
            centre = 5 * x + 3  # the outline is at its left in one step, and here in the next, or the other way round
            if is_steep:
                y = _step_across(x0, (x1 - x0) / down, centre, down) - 1 + y0
            else:
                slope = (y1 - y0) / across
                step = centre - x0
                y = min(int(y0 + slope * (step - 1) + 0.5), int(y0 + slope * step + 0.5))
            row = min(max((y + 2) // 5, top), top + height) - top
            crossings[row, x - left] ^= True


@compiled
def _step_across(start: int, slope: float, centre: int, steps: int) -> int:
    """First step of a steep line at which it is on the other side of the left edge of `centre` than at its start."""
    step = min(max(int((centre - 0.5 - start) / slope), 0), steps)
    while step > 0 and (int(start + slope * (step - 1) + 0.5) >= centre) == (slope > 0):
        step -= 1
    while step < steps and (int(start + slope * step + 0.5) >= centre) != (slope > 0):
        step += 1
    return step


@compiled
def draw(
    shapes: Shapes,
    chosen: CountArray,
    plane_of: CountArray,
    boxes: NDArray[np.int32],
    corner: tuple[int, int],
    planes: LabelArray,
) -> BoolArray:
    """Set the pixels of shapes in a window, `planes` of shape (K, H, W), to 1, 2, ... in the order of `chosen`.

    `plane_of` has the plane of each of `chosen`, `boxes` belong to all shapes, and `corner` is the row and column of the
    window's first pixel. The result, one for each of `chosen`, is False for shapes without a pixel there, which get no
    number.
    """
    height, width = planes.shape[1:]
    is_drawn, count = np.zeros(len(chosen), np.bool_), 0
    for index in range(len(chosen)):
        shape = chosen[index]
        top, left, below, right = _meet(boxes[shape], corner, height, width)
        pixels, plane = pixels_of(shapes, shape, top, left, below, right), planes[plane_of[index]]
        for y in range(below - top):
            for x in range(right - left):
                if pixels[y, x]:
                    plane[y + top - corner[0], x + left - corner[1]] = count + 1
                    is_drawn[index] = True
        count += is_drawn[index]
    return is_drawn


@compiled
def _meet(box: NDArray[np.int32], corner: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """Part of a box that lies in a window, as `pixels_of` takes it."""
    top, left = max(box[0], corner[0]), max(box[1], corner[1])
    return top, left, max(top, min(box[2], corner[0] + height)), max(left, min(box[3], corner[1] + width))


@compiled
def by_block(boxes: NDArray[np.int32], size: int, rows: int, columns: int) -> tuple[CountArray, CountArray]:
    """Shapes whose boxes meet each block of an image, row by row: first item of each block, and the items.

    Blocks are squares of `size` pixels.

    >>> by_block(np.array([[0, 0, 4, 9], [5, 6, 9, 8]], np.int32), 5, 2, 2)
    (array([0, 1, 2, 2, 3]), array([0, 0, 1]))
    """
    starts = np.zeros(rows * columns + 1, np.int64)
    for top, left, below, right in boxes:
        if below > top and right > left:
            for row in range(top // size, (below - 1) // size + 1):
                for column in range(left // size, (right - 1) // size + 1):
                    starts[row * columns + column + 1] += 1
    starts = np.cumsum(starts)
    items, ends = np.empty(starts[-1], np.int64), starts[:-1].copy()
    for shape in range(len(boxes)):
        top, left, below, right = boxes[shape]
        if below > top and right > left:
            for row in range(top // size, (below - 1) // size + 1):
                for column in range(left // size, (right - 1) // size + 1):
                    items[ends[row * columns + column]] = shape
                    ends[row * columns + column] += 1
    return starts, items


@compiled
def measure(
    shapes: Shapes,
    chosen: CountArray,
    boxes: NDArray[np.int32],
    window: tuple[int, int, int, int],
    found: tuple[CountArray, NDArray[np.int32], CountArray],
    most: int,
) -> tuple[CountArray, int]:
    """Add up the pixels of shapes in a window, and find those that overlap there.

    `found` belongs to all shapes and is changed: areas; boxes of the pixels; and for each shape the last one known to overlap
    it. `window` has its first row and column, its height and its width.

    Returns
    -------
    pairs : (P, 2) int64 array
        Shapes that overlap, the smaller number first; not those that are known.
    crowded : int
        The first shape of which a pixel lies over `most` others, or -1.
    """
    areas, ends, known = found
    corner, height, width = (window[0], window[1]), window[2], window[3]
    depth, deepest = np.zeros((height, width), np.int32), 0
    layers = np.zeros((1, height, width), np.int32)
    pairs, count = np.empty((16, 2), np.int64), 0
    for index in range(len(chosen)):
        shape = chosen[index]
        if deepest == len(layers):
            layers = np.concatenate((layers, np.zeros_like(layers)))
        if count + index > len(pairs):
            pairs = np.concatenate((pairs, np.empty((len(pairs) + index, 2), np.int64)))
        top, left, below, right = _meet(boxes[shape], corner, height, width)
        pixels = pixels_of(shapes, shape, top, left, below, right)
        _add(pixels, top, left, shape, areas, ends)
        part = slice(top - corner[0], below - corner[0]), slice(left - corner[1], right - corner[1])
        count, under = _lay(pixels, shape, depth[part], layers[:, part[0], part[1]], known, pairs, count)
        if under >= most:
            return pairs[:count], shape
        deepest = max(deepest, under + 1)
    return pairs[:count], -1


@compiled
def _lay(
    pixels: BoolArray,
    shape: int,
    depth: LabelArray,
    layers: LabelArray,
    known: CountArray,
    pairs: CountArray,
    count: int,
) -> tuple[int, int]:
    """Lay a shape over those before, whose numbers are in the first `depth` of `layers`, and append the pairs to `pairs`.

    Returns the number of pairs, and the most shapes that lie under a pixel of this one.
    """
    deepest = 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            if not pixels[y, x]:
                continue
            under = depth[y, x]
            for layer in range(under):
                other = layers[layer, y, x]
                if known[other] != shape:
                    known[other] = shape
                    pairs[count, 0], pairs[count, 1] = other, shape
                    count += 1
            layers[under, y, x] = shape
            depth[y, x] = under + 1
            deepest = max(deepest, under)
    return count, deepest


@compiled
def _add(pixels: BoolArray, top: int, left: int, shape: int, areas: CountArray, ends: NDArray[np.int32]) -> None:
    """Add pixels of a shape, whose first is at a row and column of the image, to its area and its box."""
    height, width = pixels.shape
    for y in range(height):
        row, count = pixels[y], 0
        for x in range(width):
            count += row[x]
        if count == 0:
            continue
        areas[shape] += count
        first, last = 0, width - 1
        while not row[first]:
            first += 1
        while not row[last]:
            last -= 1
        ends[shape, 0], ends[shape, 1] = min(ends[shape, 0], y + top), min(ends[shape, 1], first + left)
        ends[shape, 2], ends[shape, 3] = max(ends[shape, 2], y + top + 1), max(ends[shape, 3], last + left + 1)


@compiled
def first_free(pairs: CountArray, count: int, most: int) -> CountArray:
    """Plane of each of `count` shapes: the first in which no shape before overlaps it; -1 if `most` planes do not suffice.

    `pairs`, shape (P, 2), has the shapes that overlap, the smaller number first, sorted by the larger one.

    >>> first_free(np.array([[0, 1], [0, 2], [1, 3]]), 4, 8)
    array([0, 1, 1, 0])
    """
    planes, at = np.zeros(count, np.int64), 0
    is_taken = np.full(most, -1, np.int64)
    for shape in range(count):
        while at < len(pairs) and pairs[at, 1] == shape:
            if planes[pairs[at, 0]] >= 0:
                is_taken[planes[pairs[at, 0]]] = shape
            at += 1
        while planes[shape] < most and is_taken[planes[shape]] == shape:
            planes[shape] += 1
        if planes[shape] == most:
            planes[shape] = -1
    return planes
