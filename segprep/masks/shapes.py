"""Polygons of an image that is too large for the memory, drawn window by window.

What depends on the complete image is found once, block by block: the area of each shape, those that overlap, and the plane of
each. So a window is the part of the mask that all shapes together make.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray
from segprep.errors import InputError
from segprep.kernels.polygons import Shapes, boxes_of, by_block, draw, fifths, first_free, measure, pixels_of
from segprep.masks.crops import MAX_PLANES, InstanceCrop
from segprep.masks.mask import InstanceMask, Overlap, Problem, first_problems
from segprep.masks.regions import OUTSIDE, RegionRule
from segprep.masks.tiles import Cut, Window

BLOCK = 512
"""Pixels of a side of the blocks in which shapes are looked up and measured."""


Outline: TypeAlias = list[tuple[NDArray[np.float64], bool]]
"""Rings of a shape, each with its corners, x0, y0, x1, ... in pixels, and True if it is a hole of the ring before."""


def shapes_of(outlines: Sequence[Outline]) -> Shapes:
    """Shapes of these outlines.

    >>> shapes_of([[(np.array([0, 0, 2.1, 0, 2.1, 3]), False)]]).points.tolist()
    [[0, 0], [11, 0], [11, 15]]
    """
    rings = [ring for outline in outlines for ring in outline]
    ends = np.cumsum([0, *map(len, outlines)], dtype=np.int64)
    return Shapes(
        fifths(np.concatenate([np.zeros(0), *[points for points, _ in rings]]).reshape(-1, 2)),
        np.cumsum([0, *[len(points) // 2 for points, _ in rings]], dtype=np.int64),
        np.array([is_hole for _, is_hole in rings], np.bool_),
        np.column_stack([ends[:-1], ends[1:]]),
    )


def joined(parts: Sequence[Shapes]) -> Shapes:
    """Shapes of several groups, in their order."""
    points = np.cumsum([0, *[len(part.points) for part in parts]])
    rings = np.cumsum([0, *[len(part.is_hole) for part in parts]])
    return Shapes(
        np.concatenate([part.points for part in parts]),
        np.concatenate([np.zeros(1, np.int64), *[p.rings[1:] + at for p, at in zip(parts, points, strict=False)]]),
        np.concatenate([part.is_hole for part in parts]),
        np.concatenate([part.spans + at for part, at in zip(parts, rings, strict=False)]),
    )


def shape_crop(shapes: Shapes, shape: tuple[int, int]) -> InstanceCrop | None:
    """Pixels of the first shape in an image of this height and width, within their bounding box; None if there is none."""
    top, left, below, right = boxes_of(shapes, *shape)[0].tolist()
    pixels = pixels_of(shapes, 0, top, left, below, right)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if rows.size == 0:
        return None
    own = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return InstanceCrop(top + int(rows[0]), left + int(columns[0]), own)


@dataclass(frozen=True, eq=False)
class ShapeIndex:
    """Shapes of an image with at least one pixel each, and facts about them.

    Attributes
    ----------
    shapes : Shapes
        The shapes ``0..N - 1``, the instances ``1..N`` of the complete mask.
    codes, areas, planes : (N,) arrays
        Class code of each, its pixels, and its plane in the complete mask.
    boxes : (N, 4) int32 array
        First row and column of each, and those after the last.
    pairs : (P, 2) int64 array
        Shapes that overlap, the smaller number first.
    starts, items : int64 arrays
        Shapes in each block of the image, as from `by_block`.
    columns : int
        Columns of blocks.
    problems : tuple of Problem
        Problems of the shapes that were left out.
    """

    shapes: Shapes
    codes: NDArray[np.int32]
    areas: CountArray
    planes: CountArray
    boxes: NDArray[np.int32]
    pairs: CountArray
    starts: CountArray
    items: CountArray
    columns: int
    problems: tuple[Problem, ...] = ()

    def meeting(self, window: Window) -> CountArray:
        """Shapes whose boxes meet a window, in ascending order."""
        first, last = window.x // BLOCK, (window.x + window.width - 1) // BLOCK
        rows = range(window.y // BLOCK, (window.y + window.height - 1) // BLOCK + 1)
        spans = [(row * self.columns + first, row * self.columns + last + 1) for row in rows]
        found = np.unique(np.concatenate([self.items[self.starts[at] : self.starts[stop]] for at, stop in spans]))
        top, left, below, right = self.boxes[found].T
        meets_rows = (top < window.y + window.height) & (below > window.y)
        met: CountArray = found[meets_rows & (left < window.x + window.width) & (right > window.x)]
        return met

    def ranked(self, shapes: CountArray, overlap: Overlap) -> CountArray:
        """Some of the shapes, in ascending order, from the back to the front by a rule for overlaps."""
        if overlap == "smallest":
            return shapes[np.argsort(-self.areas[shapes], kind="stable")]
        return shapes[::-1] if overlap == "first" else shapes


def shape_index(
    where: str, shapes: Shapes, codes: NDArray[np.int32], shape: tuple[int, int]
) -> tuple[ShapeIndex, CountArray]:
    """Facts about the shapes of an image, and the numbers of those without a pixel, which are left out.

    InputError if too many lie over each other; `where` is the file, for the message.
    """
    rows, columns = (-(-side // BLOCK) for side in shape)
    boxes = boxes_of(shapes, *shape)
    starts, items = by_block(boxes, BLOCK, rows, columns)
    areas, ends, known = np.zeros(len(codes), np.int64), np.zeros_like(boxes), np.full(len(codes), -1, np.int64)
    ends[:, :2] = np.iinfo(np.int32).max
    found = [np.zeros((0, 2), np.int64)]
    for block in np.flatnonzero(np.diff(starts)).tolist():
        y, x = BLOCK * (block // columns), BLOCK * (block % columns)
        window = y, x, min(BLOCK, shape[0] - y), min(BLOCK, shape[1] - x)
        chosen = items[starts[block] : starts[block + 1]]
        pairs, crowded = measure(shapes, chosen, boxes, window, (areas, ends, known), MAX_PLANES)
        if crowded >= 0:
            raise _crowded(where, crowded)
        found.append(pairs)
    is_kept = areas > 0
    kept, ends = np.flatnonzero(is_kept), ends[is_kept]
    pairs = (np.cumsum(is_kept) - 1)[np.unique(np.concatenate(found), axis=0)]
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    planes = first_free(pairs, len(kept), MAX_PLANES)
    if (planes < 0).any():
        raise _crowded(where, int(kept[planes.argmin()]))
    shapes = shapes._replace(spans=shapes.spans[kept])
    blocks = by_block(ends, BLOCK, rows, columns)
    index = ShapeIndex(shapes, codes[kept], areas[kept], planes, ends, pairs, *blocks, columns)
    return index, np.flatnonzero(~is_kept)


def _crowded(where: str, shape: int) -> InputError:
    return InputError(f"{where}: shape {shape + 1} lies over {MAX_PLANES} others, the limit; remove repeated instances")


class Shown(NamedTuple):
    """Shapes that are instances of a mask, after the rule of its regions.

    Attributes
    ----------
    numbers : (N,) int64 array
        Number of each shape in the complete mask, or 0.
    is_region : (N,) bool array or None
        Shapes that are annotated regions; None if all pixels are annotated.
    codes : (N,) int32 array
        Class codes without that of the regions.
    is_layered : bool
        True if the complete mask has several planes.
    problems : tuple of Problem
        All problems of the complete mask.
    """

    numbers: CountArray
    is_region: BoolArray | None
    codes: NDArray[np.int32]
    is_layered: bool
    problems: tuple[Problem, ...]


@dataclass(frozen=True, eq=False)
class ShapeSlide:
    """Mask of shapes, of which any window is drawn.

    Attributes
    ----------
    key : str
        Key of the mask.
    shape : (int, int)
        Height and width in pixels.
    load : callable
        Index of its shapes, which is only made when the first window is read.
    max_instances : int
        Largest number of instances of a window.
    regions : RegionRule
        Rule of the annotated regions.
    """

    key: str
    shape: tuple[int, int]
    load: Callable[[], ShapeIndex]
    max_instances: int
    regions: RegionRule = field(default_factory=RegionRule)

    def limited(self, regions: RegionRule) -> "ShapeSlide":
        """The same with the annotated regions of a class, decided by all pixels of each instance."""
        return replace(self, regions=regions)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the complete mask."""
        return self._shown.problems

    def read(self, window: Window, overlap: Overlap = "smallest") -> Cut:
        """Part of the mask, and the numbers of its instances; in it, the ``last`` one is in front, as `overlap` decides."""
        index, shown = self._index, self._shown
        found = index.meeting(window)
        chosen = found[shown.numbers[found] > 0]
        if shown.is_layered:
            chosen = index.ranked(chosen, overlap)
        used, plane_of = np.unique(index.planes[chosen], return_inverse=True)
        planes = np.zeros((max(1, len(used)), window.height, window.width), np.int32)
        is_drawn = draw(index.shapes, chosen, plane_of, index.boxes, (window.y, window.x), planes)
        is_used = planes.any(axis=(1, 2))
        chosen, planes = chosen[is_drawn], planes[is_used] if is_used.any() else planes[:1]
        if len(chosen) > self.max_instances:
            raise InputError(
                f"{self.key}: {len(chosen)} instances of a tile are more than max_instances={self.max_instances}; "
                "raise the limit"
            )
        ignore = None
        if shown.is_region is not None:
            ignore = ~drawn_region(index, found[shown.is_region[found]], window)
        classes, numbers = np.append(np.int32(0), shown.codes[chosen]), np.append(0, shown.numbers[chosen])
        mask = InstanceMask(planes, classes, ignore if ignore is not None and ignore.any() else None, (), "last")
        return Cut(mask, numbers)

    def close(self) -> None:
        """Nothing: no file is open."""

    @cached_property
    def _index(self) -> ShapeIndex:
        return self.load()

    @cached_property
    def _shown(self) -> Shown:
        """Instances of the mask, with the errors of `RegionRef.load`."""
        index, code = self._index, self.regions.code
        if code is None:
            numbers = np.arange(1, len(index.codes) + 1)
            return Shown(numbers, None, index.codes, bool(index.planes.any()), index.problems)
        is_region, problems = index.codes == code, [*index.problems]
        is_inside = np.zeros(len(is_region), np.bool_)
        first, second = index.pairs.T
        is_inside[second[is_region[first]]] = is_inside[first[is_region[second]]] = True
        limits: BoolArray | None = is_region
        if not is_region.any():
            problems.append(self.regions.without(self.key))
            if self.regions.without_roi == "annotated":
                limits, is_inside[:] = None, True
        is_kept = is_inside & ~is_region
        corners = index.boxes[~is_inside & ~is_region, :2].tolist()
        problems += first_problems(Problem(OUTSIDE, f"y={y}, x={x}") for y, x in corners)
        codes = np.where(index.codes > code, index.codes - 1, index.codes).astype(np.int32)
        is_layered = len(np.unique(index.planes[is_kept])) > 1
        return Shown(np.cumsum(is_kept) * is_kept, limits, codes, is_layered, tuple(problems))


def drawn_region(index: ShapeIndex, shapes: CountArray, window: Window) -> BoolArray:
    """Pixels of a window in any of some shapes, shape (H, W)."""
    planes = np.zeros((1, window.height, window.width), np.int32)
    draw(index.shapes, shapes, np.zeros(len(shapes), np.int64), index.boxes, (window.y, window.x), planes)
    return np.asarray(planes[0] > 0)
