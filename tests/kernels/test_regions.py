import numpy as np
import pytest
from helpers.strategies import SEEDS, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import find_objects

from segprep.kernels.regions import bounding_box, fill_runs, front_labels, regions


@given(masks())
@unhurried
def test_areas_and_boxes_are_those_of_numpy_and_scipy(mask):
    count = len(mask.classes) - 1
    found = regions(mask.planes, count)
    areas = np.bincount(mask.planes.ravel(), minlength=count + 1)
    np.testing.assert_array_equal(found.areas[1:], areas[1:])
    assert found.areas[0] == 0
    for index, plane in enumerate(mask.planes):
        for number, box in enumerate(find_objects(plane, max_label=count), start=1):
            if box is not None:
                ys, xs = box
                assert found.boxes[number].tolist() == [ys.start, xs.start, ys.stop - ys.start, xs.stop - xs.start]
                assert found.planes[number] == index


@given(masks(), st.sampled_from([np.bool_, np.uint8, np.uint16]))
@unhurried
def test_the_bounding_box_is_that_of_scipy(mask, dtype):
    for plane in mask.planes:
        top, left, below, right = bounding_box(plane.astype(dtype))
        ys, xs = (find_objects((plane > 0).astype(int)) or [(slice(0, 0), slice(0, 0))])[0]
        assert (top, left, below, right) == (ys.start, xs.start, ys.stop, xs.stop)


@given(masks())
@unhurried
def test_the_runs_tell_every_pixel(mask):
    runs = regions(mask.planes, len(mask.classes) - 1).runs
    np.testing.assert_array_equal(np.repeat(runs[:, 0], runs[:, 1]).reshape(mask.planes.shape), mask.planes)


@given(masks(), SEEDS)
@unhurried
def test_the_instance_of_the_highest_rank_is_in_front(mask, seed):
    count = len(mask.classes) - 1
    ranks = np.append(0, 1 + np.random.default_rng(seed).permutation(count))
    shown, visible = front_labels(mask.planes, ranks, mask.regions)
    best = np.take_along_axis(mask.planes, ranks[mask.planes].argmax(axis=0)[np.newaxis], axis=0)[0]
    np.testing.assert_array_equal(shown, best)
    np.testing.assert_array_equal(visible, np.bincount(best.ravel(), minlength=count + 1))


@given(st.integers(1, 9), st.integers(1, 9), SEEDS)
@unhurried
def test_runs_fill_the_columns(height, width, seed):
    whole = np.random.default_rng(seed).random((width, height)) < 0.5  # column by column
    steps = np.diff(whole.ravel().astype(int), prepend=0, append=0)
    pixels = np.zeros((height, width), bool)
    fill_runs(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), height, pixels, (0, 0))
    np.testing.assert_array_equal(pixels, whole.T)


def test_a_number_beyond_the_last_instance_is_refused():
    with pytest.raises(ValueError, match="planes hold instance 7, but there are only 2"):
        regions(np.array([[[1, 2, 7]]], np.int32), 2)
