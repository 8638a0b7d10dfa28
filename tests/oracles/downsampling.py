"""Masks at a lower resolution, block by block, as the documentation describes it."""

from collections import Counter

import numpy as np

from segprep.masks.mask import InstanceMask


def blocks(shape, factor):
    """Slices of each block, by its place in the result."""
    for y in range(0, shape[0], factor):
        for x in range(0, shape[1], factor):
            yield (y // factor, x // factor), (slice(y, y + factor), slice(x, x + factor))


def winner(values):
    """Value that occurs most often; of several the smallest, but the background None last of all."""
    most = max(Counter(values).values(), default=0)
    equal = [value for value, count in Counter(values).items() if count == most]
    return min((value for value in equal if value is not None), default=None)


def middle(array):
    """Value of the pixel in the middle of a block."""
    return array[array.shape[0] // 2, array.shape[1] // 2]


def downsampled_slowly(mask, factor, by):
    """Mask without gaps in the numbers of its instances, and the numbers before of those that are left."""
    shape = tuple(-(-side // factor) for side in mask.shape)
    planes, front = np.zeros((len(mask.planes), *shape), np.int32), np.zeros(shape, object)
    ignore, stuff = np.zeros(shape, bool), np.zeros(shape, np.int32)
    all_ignored = np.zeros(mask.shape, bool) if mask.ignore is None else mask.ignore
    all_stuff = np.zeros(mask.shape, np.int32) if mask.stuff is None else mask.stuff

    def value(number, code):
        return ("instance", number) if number else ("stuff", code) if code else None

    for at, block in blocks(mask.shape, factor):
        ignored = all_ignored[block]
        ignore[at] = 2 * ignored.sum() >= ignored.size if by == "majority" else middle(ignored)
        for index, plane in enumerate([*mask.planes, mask.labels]):
            counts = np.ones_like(ignored) if ignore[at] else ~ignored
            values = [value(*pair) for pair in zip(plane[block][counts], all_stuff[block][counts], strict=True)]
            found = winner(values) if by == "majority" else value(middle(plane[block]), middle(all_stuff[block]))
            if index == len(mask.planes):
                front[at] = found
            elif found is not None and found[0] == "instance":
                planes[index][at] = found[1]
    for at in np.ndindex(shape):
        if front[at] is not None and front[at][0] == "stuff" and not planes[:, *at].any():
            stuff[at] = front[at][1]
    left = np.union1d(np.unique(planes), [0])
    used = [plane for plane in planes if plane.any()] or [planes[0]]
    return InstanceMask(
        np.stack([np.searchsorted(left, plane).astype(np.int32) for plane in used]),
        mask.classes[left],
        ignore if ignore.any() else None,
        mask.problems,
        mask.overlap,
        stuff if stuff.any() else None,
    ), left
