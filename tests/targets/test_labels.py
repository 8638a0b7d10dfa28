import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from oracles import unet as oracles

from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.labels import Labels
from segprep.targets.target import pad_of


def fitted(most_instances):
    """Target for a data set whose fullest mask has this number of instances."""
    counts = Counts.of_images(np.array([[1, 1], [1, 1]]), np.array([[0, most_instances], [0, 1]]))
    return Labels().fit(counts, counts)


@unhurried
@given(masks())
def test_shows_the_smaller_instance_in_front_and_of_equals_the_last(mask):
    labels = Labels().compute(mask)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, oracles.front(mask.planes))


def test_does_not_depend_on_where_there_is_no_truth():
    planes = np.array([[[1, 0, 2]]], np.int32)
    mask = InstanceMask(planes, np.array([0, 1, 1], np.int32), np.ones((1, 3), bool))
    assert Labels().compute(mask).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(
    ("most_instances", "dtype", "fill"),
    [
        (0, "uint16", 65_535),
        (65_534, "uint16", 65_535),
        (65_535, "uint32", 4_294_967_295),
        (70_000, "uint32", 4_294_967_295),
    ],
)
def test_type_holds_every_number_below_its_maximum(most_instances, dtype, fill):
    target = fitted(most_instances)
    assert (target.dtype, target.fill, pad_of(target)) == (dtype, fill, 0)
    planes = np.arange(270 * 270, dtype=np.int32).reshape(1, 270, 270)
    planes[planes > most_instances] = 0
    labels = target.compute(InstanceMask(planes, np.ones(most_instances + 1, np.int32)))
    assert labels.dtype == dtype
    assert labels.max() == most_instances < fill
    np.testing.assert_array_equal(labels, planes[0])


def test_type_is_that_of_all_splits_together():
    train, everything = Counts.of_pixels([1]), Counts.of_images(np.array([[1, 1]]), np.array([[0, 65_535]]))
    assert Labels().fit(train, everything).dtype == "uint32"
