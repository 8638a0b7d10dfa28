import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segprep.class_weights import FORMULAS, inverse, none
from segprep.stats import Counts

PIXELS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20)


def balanced(labels):
    """scikit-learn's documented formula: n_samples / (n_classes * np.bincount(y))."""
    return len(labels) / (len(np.unique(labels)) * np.bincount(labels))


@pytest.mark.parametrize(
    ("pixels", "weights"),
    [
        ([50, 50], [1, 1]),
        ([75, 25], [2 / 3, 2]),
        ([80, 16, 4], [100 / 240, 100 / 48, 100 / 12]),
        ([90, 0, 10], [100 / 180, 0, 5]),
        ([0, 8], [0, 1]),
        ([7], [1]),
        ([0, 0, 0], [0, 0, 0]),
        ([10**10, 1], [(10**10 + 1) / (2 * 10**10), (10**10 + 1) / 2]),
        ([10**10, 10**10, 2 * 10**10], [4 / 3, 4 / 3, 2 / 3]),
    ],
)
def test_inverse_is_as_calculated_by_hand(pixels, weights):
    computed = inverse(Counts.of_pixels(pixels))
    assert computed.dtype == np.float64
    np.testing.assert_allclose(computed, weights, rtol=1e-14)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200))
def test_inverse_is_what_scikit_learn_calls_balanced(codes):
    labels = np.unique(codes, return_inverse=True)[1]
    np.testing.assert_allclose(inverse(Counts.of_pixels(np.bincount(labels).tolist())), balanced(labels))


@given(PIXELS)
def test_inverse_is_the_formula(pixels):
    np.testing.assert_allclose(inverse(Counts.of_pixels(pixels)), oracles.inverse_class_weights(pixels), rtol=1e-14)


@given(PIXELS.filter(any))
def test_mean_of_inverse_over_the_pixels_is_1(pixels):
    assert np.average(inverse(Counts.of_pixels(pixels)), weights=pixels) == pytest.approx(1)


@given(PIXELS)
def test_inverse_is_finite_and_0_for_a_class_without_pixels(pixels):
    weights = inverse(Counts.of_pixels(pixels))
    assert np.isfinite(weights).all()
    assert (weights == 0).tolist() == [count == 0 for count in pixels]


@given(PIXELS)
def test_none_is_1_for_every_class(pixels):
    assert none(Counts.of_pixels(pixels)).tolist() == [1.0] * len(pixels)


def test_formulas_are_found_by_name():
    assert (FORMULAS["inverse"], FORMULAS["none"]) == (inverse, none)
