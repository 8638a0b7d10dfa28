import numpy as np
import pytest
from helpers.strategies import SEEDS, label_images, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import targets as oracles

from segprep.kernels.to_other import NOWHERE, distance_to_other

FLIPS = st.sampled_from([np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]])


def expected(labels):
    """What the kernel should return to the last bit: a square root of a whole number, rounded once."""
    return oracles.distance_to_other(labels).astype(np.float32)


@unhurried
@given(label_images())
def test_is_the_transform_of_each_labels_region(labels):
    distance = distance_to_other(labels)
    assert distance.dtype == np.float32
    np.testing.assert_array_equal(distance, expected(labels))


@pytest.mark.parametrize(
    ("labels", "distances"),
    [
        ([[0, 0, 1, 1, 1, 2]], [[2, 1, 1, 2, 1, 1]]),
        ([[3, 3, 3, 3]], [[np.inf] * 4]),
        ([[5]], [[np.inf]]),
        ([[-1, -1, 2]], [[2, 1, 1]]),
        ([[1, 0, 1, 1, 0]], [[1, 1, 1, 1, 1]]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 7]], [[8**0.5, 5**0.5, 2], [5**0.5, 2**0.5, 1], [2, 1, 1]]),
        ([[4], [4], [4], [0]], [[3], [2], [1], [1]]),
    ],
)
def test_distances_of_a_few_pixels_are_as_calculated_by_hand(labels, distances):
    computed = distance_to_other(np.array(labels, np.int32))
    np.testing.assert_array_equal(computed, np.array(distances, np.float32))


@unhurried
@given(label_images())
def test_one_label_alone_has_no_other(labels):
    nowhere = distance_to_other(labels) == NOWHERE
    assert nowhere.all() if (labels == labels[0, 0]).all() else not nowhere.any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_image_without_pixels_has_no_distances(shape):
    assert distance_to_other(np.zeros(shape, np.int32)).shape == shape


@unhurried
@given(label_images(), FLIPS)
def test_follows_flips(labels, flip):
    np.testing.assert_array_equal(distance_to_other(labels[flip]), distance_to_other(labels)[flip])


@unhurried
@given(label_images())
def test_follows_transposition(labels):
    np.testing.assert_array_equal(distance_to_other(labels.T), distance_to_other(labels).T)


@unhurried
@given(label_images(), SEEDS)
def test_does_not_depend_on_the_numbers_of_the_labels(labels, seed):
    values, index = np.unique(labels, return_inverse=True)
    others = np.random.default_rng(seed).choice(2**32, len(values), replace=False) - 2**31
    renumbered = others.astype(np.int32)[index].reshape(labels.shape)
    np.testing.assert_array_equal(distance_to_other(renumbered), distance_to_other(labels))


@unhurried
@given(label_images(), st.tuples(*[st.integers(0, 9)] * 4))
def test_the_images_edge_is_no_boundary(labels, margins):
    top, bottom, left, right = margins
    wider = distance_to_other(np.pad(labels, ((top, bottom), (left, right)), mode="edge"))
    inner = wider[top : top + labels.shape[0], left : left + labels.shape[1]]
    np.testing.assert_array_equal(inner, distance_to_other(labels))


@pytest.mark.parametrize("length", [5000, 100_000])
def test_distances_along_a_line_are_integers(length):
    labels = np.zeros((1, length), np.int32)
    labels[0, 0] = 1
    ramp = np.append(1, np.arange(1, length))
    np.testing.assert_array_equal(distance_to_other(labels)[0], ramp)
    np.testing.assert_array_equal(distance_to_other(labels[:, ::-1].T)[:, 0], ramp[::-1])


@pytest.mark.parametrize("shape", [(1, 5000), (2, 5000), (40, 3000), (700, 900)])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_is_exact_for_large_distances(shape, count):
    rng = np.random.default_rng(count)
    labels = np.zeros(shape, np.int32)
    labels.flat[rng.choice(labels.size, count, replace=False)] = rng.integers(1, 4, count)
    np.testing.assert_array_equal(distance_to_other(labels), expected(labels))
    np.testing.assert_array_equal(distance_to_other(labels.T), expected(labels.T))


def test_an_image_of_long_sides_has_the_distances_of_its_parts():
    labels = np.random.default_rng(0).integers(0, 3, (4, 33_000)).astype(np.int32)
    part = distance_to_other(labels[:, :1000])
    np.testing.assert_array_equal(distance_to_other(labels)[:, :900], part[:, :900])
    np.testing.assert_array_equal(distance_to_other(labels.T)[:900], part[:, :900].T)
