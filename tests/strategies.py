"""Random inputs for Hypothesis."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segprep.mask import InstanceMask, Piece, mask_of_pieces

unhurried = settings(deadline=None, max_examples=100)
"""Decorator of tests that may have to compile a kernel first."""


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
    pieces = [Piece(0, 0, bitmap) for bitmap in bitmaps]
    return mask_of_pieces(shape, pieces, codes, ignore=draw(_ignored(shape)))


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
