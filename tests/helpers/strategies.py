"""Random inputs for Hypothesis."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segprep.masks.crops import InstanceCrop, mask_from_crops
from segprep.masks.mask import InstanceMask

unhurried = settings(deadline=None)
"""Decorator of tests whose first example may have to compile a kernel; the profile sets the number of examples."""


def bitmaps():
    """(H, W) bool arrays with at least one pixel set."""
    shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)
    return arrays.arrays(np.bool_, shapes).filter(np.any)


def polygons():
    """Lists of x0, y0, x1, y1, ... that lie in, across and outside of small images; many coordinates are tenths."""
    tenths = st.integers(-200, 600).map(lambda number: number / 10)
    anywhere = st.floats(-100, 100)
    return st.lists(st.tuples(tenths | anywhere, tenths | anywhere), min_size=3, max_size=8).map(
        lambda points: [coordinate for point in points for coordinate in point]
    )


SIDES = st.integers(1, 20)
SHAPES = st.tuples(st.just(1), SIDES) | st.tuples(SIDES, st.just(1)) | st.tuples(SIDES, SIDES)
CODES = st.sampled_from([1, 2, 5])
SEEDS = st.integers(0, 2**32 - 1)


def masks():
    """Instance masks: drawn instance by instance, or dense noise."""
    return drawn_masks() | noise_masks()


@st.composite
def drawn_masks(draw):
    """Masks of 0 to 6 instances that may touch, overlap, hide, repeat or fill each other, or have several parts."""
    shape = draw(SHAPES)
    bitmaps = []
    for _ in range(draw(st.integers(0, 6))):
        bitmaps.append(draw(_instances(shape, bitmaps)))
    codes = draw(st.lists(CODES, min_size=len(bitmaps), max_size=len(bitmaps)))
    crops = [InstanceCrop(0, 0, bitmap) for bitmap in bitmaps]
    return mask_from_crops(shape, crops, codes, ignore=draw(_ignored(shape)))


@st.composite
def noise_masks(draw):
    """Masks of one plane in which each pixel is at random background or one of up to 40 instances of many parts."""
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(SEEDS))
    numbers = rng.integers(1, draw(st.integers(1, 40)), shape, endpoint=True)
    labels = np.where(rng.random(shape) < draw(st.sampled_from([0.02, 0.1, 0.5, 1])), numbers, 0)
    used = np.unique(labels[labels > 0])
    planes = np.searchsorted(np.append(0, used), labels).astype(np.int32)[np.newaxis]
    codes = rng.choice([1, 2, 5], len(used))
    return InstanceMask(planes, np.append(0, codes).astype(np.int32), draw(_ignored(shape)))


def _instances(shape, earlier):
    """Bitmaps of one instance; `earlier` are those that it may repeat or lie in."""
    parts = st.lists(_boxes(shape), min_size=1, max_size=3).map(np.logical_or.reduce)
    kinds = [parts, _boxes(shape, most=1), st.just(np.ones(shape, bool))]
    if earlier:
        again = st.sampled_from(earlier)
        inside = st.tuples(again, _boxes(shape)).map(np.logical_and.reduce).filter(np.any)
        kinds += [again, inside]
    return st.one_of(kinds)


@st.composite
def _boxes(draw, shape, most=None):
    """Bitmaps of one rectangle, with sides of at most `most` pixels."""
    bitmap = np.zeros(shape, bool)
    y, x = (draw(st.integers(0, side - 1)) for side in shape)
    height, width = (draw(st.integers(1, most or side)) for side in shape)
    bitmap[y : y + height, x : x + width] = True
    return bitmap


def _ignored(shape):
    """Where there is no truth: nowhere, in a box, or anywhere."""
    return st.none() | _boxes(shape) | arrays.arrays(np.bool_, shape)


@st.composite
def label_images(draw):
    """(H, W) int32 labels, none of them special: noise, blocks, lines a pixel wide, or a single label."""
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(SEEDS))
    block = draw(st.sampled_from([1, 2, 5]))
    coarse = rng.integers(0, draw(st.sampled_from([1, 2, 3, 40])), [-(-side // block) for side in shape])
    labels = np.kron(coarse, np.ones((block, block), int))[: shape[0], : shape[1]]
    if draw(st.booleans()):
        labels[rng.random(shape) < 0.05] = -7
    return labels.astype(np.int32)


@st.composite
def image_counts(draw):
    """Pixels and instances of 1 to 6 classes in 1 to 5 images, (images, C) int64 each; up to 1e10 pixels, many of them 0."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    many = st.just(0) | st.integers(0, 5) | st.integers(0, 10**10)
    pixels = draw(arrays.arrays(np.int64, shape, elements=many))
    instances = draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 10**6)))
    instances[:, 0] = 0
    return pixels, instances


def _mask_of(planes, classes=None):
    """Mask whose instances all have class 1 by default."""
    planes = np.array(planes, np.int32)
    classes = np.arange(planes.max() + 1) > 0 if classes is None else classes
    return InstanceMask(planes, np.array(classes, np.int32))


def _three_discs():
    """Label image of three discs that touch each other."""
    grid = np.indices((40, 44))
    labels = np.zeros((40, 44), np.int32)
    for number, (y, x, radius) in enumerate([(12, 12, 9), (12, 31, 9), (28, 21, 9)], start=1):
        labels[((grid - np.reshape([y, x], (2, 1, 1))) ** 2).sum(axis=0) <= radius**2] = number
    return labels


HAND_MADE = {
    "gap of a pixel": _mask_of([[[1, 1, 1, 0, 2, 2, 2]] * 5]),
    "three touching discs": _mask_of([_three_discs()], [0, 1, 2, 2]),
    "one instance": _mask_of([np.pad(np.ones((3, 4), int), 6)]),
    "one of two parts": _mask_of([[[1, 1, 0, 0, 0, 0, 1]] * 3]),
    "none": _mask_of([np.zeros((4, 5), int)]),
    "overlap": _mask_of([[[1, 1, 1, 1, 0, 0, 0, 3]] * 6, [[0, 0, 2, 2, 2, 0, 0, 0]] * 6], [0, 1, 1, 2]),
    "nested": _mask_of([np.pad(np.ones((7, 7), int), 3), np.pad(np.full((3, 3), 2), 5)]),
    "identical": _mask_of([[[0, 1, 1, 0, 0]] * 3, [[0, 2, 2, 0, 0]] * 3]),
    "one fills the image": _mask_of([np.ones((5, 6), int)]),
    "one fills the image behind two others": _mask_of([np.ones((4, 7), int), [[2, 2, 0, 0, 0, 3, 3]] * 4]),
    "two fill the image": _mask_of([[[1, 1, 1, 2, 2, 2, 2]] * 4]),
    "a class each": _mask_of([[[1, 0, 2, 0, 0, 3]] * 2], [0, 1, 2, 3]),
    "one pixel": _mask_of([[[1]]]),
}
"""Masks made by hand, by what is special about them."""
