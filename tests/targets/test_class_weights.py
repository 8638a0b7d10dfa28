import math

import numpy as np
import pytest
from helpers.strategies import image_counts, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import unet as oracles

from segprep.errors import OptionError
from segprep.masks.stats import Counts
from segprep.targets.class_weights import BETA, FORMULAS, Shaping, class_weights, inverse, mean_one

WEIGHING = [name for name in FORMULAS if name != "none"]
"""Formulas that give no weight to a class without a pixel."""
PIXELS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20)
SHAPINGS = st.builds(
    Shaping,
    absent_class=st.sampled_from(["zero", "cap"]),
    normalise=st.booleans(),
    clip_class_weights=st.none() | st.tuples(st.floats(0, 2), st.floats(2, 1e6)),
)

THREE_IMAGES = Counts.of_images(
    np.array([[60, 40, 0, 0], [90, 0, 10, 0], [50, 30, 20, 0]]),
    np.array([[0, 4, 0, 0], [0, 0, 1, 0], [0, 2, 1, 0]]),
    ["background", "cell", "debris", "ghost"],
)
"""300 pixels: 200, 70, 30 and none; 0, 6, 2 and 0 instances."""


def cui(instances):
    return (1 - 0.9999) / (1 - 0.9999**instances)


CUI = np.array([cui(3), cui(6), cui(2)])
"""The background counts once in each of three images."""

BY_HAND = {
    "inverse": [300 / (3 * 200), 300 / (3 * 70), 300 / (3 * 30), 0],
    "inverse-sqrt": np.append(np.sqrt([1 / 200, 1 / 70, 1 / 30]) * 300 / np.sqrt([200, 70, 30]).sum(), 0),
    "median-frequency": [0.35 / (200 / 300), 0.35 / (70 / 200), 0.35 / (30 / 200), 0],
    "enet": [1 / math.log(1.02 + 200 / 300), 1 / math.log(1.02 + 70 / 300), 1 / math.log(1.02 + 0.1), 0],
    "effective-number": [*(CUI * 3 / CUI.sum()), 0],
    "dice": [1 / 40000, 1 / 4900, 1 / 900, 0],
    "pos-weight": [100 / 200, 230 / 70, 270 / 30, 0],
    "wbce": [1 / 3, 2 / 3, 2 / 3, 0],
    "focal-alpha": [100 / 300, 230 / 300, 270 / 300, 0],
    "none": [1, 1, 1, 1],
}


def balanced(labels):
    """scikit-learn's documented formula: n_samples / (n_classes * np.bincount(y))."""
    return len(labels) / (len(np.unique(labels)) * np.bincount(labels))


def counts_of(images, names=None):
    return Counts.of_images(*images, names)


def test_every_formula_is_calculated_by_hand():
    assert set(BY_HAND) == set(FORMULAS)


@pytest.mark.parametrize("name", BY_HAND)
def test_weights_with_an_absent_class_are_as_calculated_by_hand(name):
    weights = class_weights(name, THREE_IMAGES)
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights, BY_HAND[name], rtol=1e-10)


@pytest.mark.parametrize(
    ("pixels", "weights"),
    [
        ([50, 50], [1, 1]),
        ([75, 25], [2 / 3, 2]),
        ([90, 0, 10], [100 / 180, 0, 5]),
        ([0, 8], [0, 1]),
        ([7], [1]),
        ([0, 0, 0], [0, 0, 0]),
        ([10**10, 1], [(10**10 + 1) / (2 * 10**10), (10**10 + 1) / 2]),
        ([10**10, 10**10, 2 * 10**10], [4 / 3, 4 / 3, 2 / 3]),
    ],
)
def test_inverse_is_as_calculated_by_hand(pixels, weights):
    np.testing.assert_allclose(inverse(Counts.of_pixels(pixels)), weights, rtol=1e-14)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200))
def test_inverse_is_what_scikit_learn_calls_balanced(codes):
    labels = np.unique(codes, return_inverse=True)[1]
    np.testing.assert_allclose(inverse(Counts.of_pixels(np.bincount(labels).tolist())), balanced(labels))


@given(PIXELS)
def test_inverse_is_the_formula(pixels):
    np.testing.assert_allclose(inverse(Counts.of_pixels(pixels)), oracles.inverse_class_weights(pixels), rtol=1e-14)


@given(PIXELS.filter(any), st.sampled_from(["inverse", "inverse-sqrt"]))
def test_mean_of_both_inverses_over_the_pixels_is_1(pixels, name):
    assert np.average(FORMULAS[name](Counts.of_pixels(pixels)), weights=pixels) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "pixels", "weights"),
    [
        ("inverse", [10**10, 10**9], [0.55, 5.5]),
        ("inverse-sqrt", [9 * 10**10, 10**10], [5 / 6, 5 / 2]),
        ("median-frequency", [3 * 10**10, 10**10], [2 / 3, 2]),
        ("enet", [3 * 10**10, 10**10], [1 / math.log(1.77), 1 / math.log(1.27)]),
        ("dice", [10**10, 2 * 10**10], [1e-20, 0.25e-20]),
        ("pos-weight", [10**10, 4 * 10**10], [4, 0.25]),
        ("wbce", [3 * 10**10, 10**10], [0.25, 0.75]),
        ("focal-alpha", [3 * 10**10, 10**10], [0.25, 0.75]),
    ],
)
def test_counts_beyond_32_bits_are_as_calculated_by_hand(name, pixels, weights):
    np.testing.assert_allclose(class_weights(name, Counts.of_pixels(pixels)), weights, rtol=1e-12)


def test_enet_is_between_its_limits_of_1_42_and_50_5():
    weights = class_weights("enet", Counts.of_pixels([10**12, 1]))
    assert weights[0] == pytest.approx(1 / math.log(2.02)) == pytest.approx(1.42, abs=0.005)
    assert weights[1] == pytest.approx(1 / math.log(1.02)) == pytest.approx(50.5, abs=0.005)


@given(PIXELS)
def test_enet_never_leaves_its_limits(pixels):
    weights = FORMULAS["enet"](Counts.of_pixels(pixels))[np.array(pixels) > 0]
    assert ((weights >= 1.4222) & (weights <= 50.4984)).all()


def test_median_frequency_counts_the_images_in_which_a_class_occurs_alone():
    rare = Counts.of_images(np.array([[50, 50], *[[100, 0]] * 9]), np.zeros((10, 2), int))
    np.testing.assert_allclose(class_weights("median-frequency", rare), [0.725 / 0.95, 0.725 / 0.5])


def test_median_frequency_is_not_spoilt_by_a_class_that_never_occurs():
    without, with_absent = Counts.of_pixels([60, 30, 10]), Counts.of_pixels([60, 0, 30, 10, 0])
    expected = class_weights("median-frequency", without)
    np.testing.assert_allclose(expected, [0.5, 1, 3])
    np.testing.assert_array_equal(class_weights("median-frequency", with_absent), [expected[0], 0, *expected[1:], 0])


def test_effective_number_counts_instances_not_pixels():
    pixels = [8 * 10**6, 10**6, 2 * 10**6]
    few = Counts.of_images(np.array([pixels]), np.array([[0, 30_000, 10]]))
    weights = class_weights("effective-number", few)
    assert weights[2] / weights[1] == pytest.approx(cui(10) / cui(30_000), rel=1e-9)
    assert weights[2] / weights[1] > 900
    assert weights.sum() == pytest.approx(3)
    assert all(1 - BETA**count == 1 for count in pixels)


@pytest.mark.parametrize(
    ("instances", "weights"),
    [([1, 1], [1, 1]), ([1, 2], [1.9999 * 2 / 2.9999, 2 / 2.9999]), ([10**9, 1], [2e-4 / 1.0001, 2 / 1.0001])],
)
def test_effective_number_is_exact_for_one_instance_and_for_very_many(instances, weights):
    counts = Counts.of_images(np.array([[0, 5, 5]]), np.array([[0, *instances]]))
    np.testing.assert_allclose(class_weights("effective-number", counts), [0, *weights], rtol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.99, 0.999999])
def test_effective_number_with_another_beta_is_the_formula_of_the_paper(beta):
    numbers = np.array([1, 2, 10, 1000])
    counts = Counts.of_images(np.full((1, 4), 5), numbers[np.newaxis])
    expected = np.array([(1 - beta) / (1 - beta**number) for number in numbers.tolist()])
    found = class_weights("effective-number", counts, Shaping(beta=beta))
    np.testing.assert_allclose(found, expected * 4 / expected.sum(), rtol=1e-9)


def test_a_beta_belongs_to_effective_number_alone():
    for rule, name in (("inverse", "inverse"), ({"background": 1.0}, "given weights")):
        with pytest.raises(OptionError, match=f"beta=0.5: belongs to the formula effective-number, not to {name}"):
            class_weights(rule, THREE_IMAGES, Shaping(beta=0.5))


def test_effective_number_does_not_count_hidden_instances():
    hidden, without = (Counts.of_images(np.array([[9, 0, 4]]), np.array([[0, n, 2]])) for n in (3, 0))
    np.testing.assert_array_equal(class_weights("effective-number", hidden), class_weights("effective-number", without))


@unhurried
@given(image_counts())
def test_effective_number_balances_the_classes_that_have_pixels(images):
    weights = class_weights("effective-number", counts_of(images))
    present = np.count_nonzero(images[0].any(axis=0))
    assert weights.sum() == pytest.approx(present)


@pytest.mark.parametrize("name", FORMULAS)
@unhurried
@given(image_counts(), SHAPINGS)
def test_no_counts_give_nan_or_infinity_or_a_negative_weight(name, images, shaping):
    weights = class_weights(name, counts_of(images), shaping)
    assert weights.shape == (images[0].shape[1],)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()


@pytest.mark.parametrize("name", WEIGHING)
@unhurried
@given(image_counts())
def test_a_class_without_pixels_gets_0_or_the_largest_of_the_others(name, images):
    counts = counts_of(images)
    absent = counts.pixels == 0
    zero, cap = (class_weights(name, counts, Shaping(absent_class=rule)) for rule in ("zero", "cap"))
    assert not zero[absent].any()
    assert (cap[absent] == zero.max()).all()
    np.testing.assert_array_equal(cap[~absent], zero[~absent])


@pytest.mark.parametrize("name", FORMULAS)
def test_a_class_without_a_pixel_may_be_refused_by_name(name):
    with pytest.raises(OptionError, match=r"absent_class='error': no pixel of ghost in the train split"):
        class_weights(name, THREE_IMAGES, Shaping(absent_class="error"))
    complete = Counts.of_pixels([3, 2])
    np.testing.assert_array_equal(
        class_weights(name, complete, Shaping(absent_class="error")), class_weights(name, complete)
    )


@pytest.mark.parametrize("name", WEIGHING)
@unhurried
@given(image_counts())
def test_normalise_makes_the_mean_over_the_pixels_1_and_keeps_the_ratios(name, images):
    counts = counts_of(images)
    plain, scaled = (class_weights(name, counts, Shaping(normalise=normalise)) for normalise in (False, True))
    if plain.any():
        assert np.average(scaled, weights=counts.pixels) == pytest.approx(1)
        np.testing.assert_allclose(scaled * plain.max(), plain * scaled.max(), rtol=1e-9)
    else:
        assert not scaled.any()


def test_clip_bounds_the_weights_of_the_classes_that_have_pixels():
    counts = Counts.of_pixels([900, 90, 10, 0])
    np.testing.assert_allclose(class_weights("inverse", counts), [1000 / 2700, 1000 / 270, 1000 / 30, 0])
    clipped = class_weights("inverse", counts, Shaping(clip_class_weights=(0.5, 5)))
    np.testing.assert_allclose(clipped, [0.5, 1000 / 270, 5, 0])


def test_normalising_comes_before_clipping_and_capping_after_it():
    counts = Counts.of_pixels([90, 10, 0])
    shaping = Shaping(absent_class="cap", normalise=True, clip_class_weights=(0, 4))
    assert class_weights("pos-weight", counts, shaping).tolist() == pytest.approx([1 / 9, 4, 4])


@given(PIXELS)
def test_none_is_1_for_every_class(pixels):
    assert class_weights("none", Counts.of_pixels(pixels)).tolist() == [1.0] * len(pixels)


def test_counts_of_nothing_give_no_weight():
    for name in WEIGHING:
        assert class_weights(name, Counts.of_pixels([0, 0])).tolist() == [0, 0], name
    assert mean_one(np.ones(2), Counts.of_pixels([0, 0])).tolist() == [0, 0]


def test_weights_by_name_go_to_the_classes_of_these_names():
    weights = {"ghost": 7, "debris": 3.5, "background": 0, "cell": 2}
    assert class_weights(weights, THREE_IMAGES).tolist() == [0, 2, 3.5, 7]
    assert class_weights(weights, THREE_IMAGES, Shaping(clip_class_weights=(1, 3))).tolist() == [1, 2, 3, 7]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "missing: background, cell, debris, ghost; unknown: none"),
        ({"background": 1, "cell": 1, "debris": 1}, "missing: ghost; unknown: none"),
        ({"background": 1, "cell": 1, "debris": 1, "ghost": 1, "car": 2}, "missing: none; unknown: car"),
        ({"background": 1, "Cell": 1, "debris": 1, "ghost": 1}, "missing: cell; unknown: Cell"),
        ({"background": 1, "cell": -1, "debris": 1, "ghost": 1}, r"at least 0"),
        ({"background": 1, "cell": math.nan, "debris": 1, "ghost": 1}, r"finite"),
        ({"background": 1, "cell": math.inf, "debris": 1, "ghost": 1}, r"finite"),
    ],
)
def test_refuses_weights_by_name_that_do_not_fit_the_classes(weights, message):
    with pytest.raises(OptionError, match=message):
        class_weights(weights, THREE_IMAGES)


@pytest.mark.parametrize("name", ["inverted", "", "INVERSE"])
def test_refuses_an_unknown_formula_and_lists_the_known_ones(name):
    with pytest.raises(OptionError, match=rf"class_weights='{name}': choose one of inverse, inverse-sqrt"):
        class_weights(name, THREE_IMAGES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"absent_class": "one"}, r"absent_class='one': choose one of zero, cap, error"),
        (
            {"clip_class_weights": (2.0, 1.0)},
            r"clip_class_weights=\(2.0, 1.0\): must be finite and at least 0",
        ),
        ({"clip_class_weights": (-1.0, 1.0)}, r"clip_class_weights=\(-1.0"),
        ({"clip_class_weights": (0.0, math.inf)}, r"clip_class_weights=\(0.0, inf"),
        ({"clip_class_weights": (math.nan, 1.0)}, r"clip_class_weights=\(nan"),
        ({"beta": 1.0}, r"beta=1\.0: must be at least 0 and less than 1"),
        ({"beta": -0.1}, r"beta=-0\.1: must be"),
        ({"beta": math.nan}, r"beta=nan: must be"),
    ],
)
def test_refuses_shapings_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        Shaping(**options)


def test_a_weight_given_to_an_absent_class_stays_or_is_the_largest():
    counts = Counts.of_pixels([90, 10, 0])
    given = {"0": 1, "1": 2, "2": 50}
    assert class_weights(given, counts).tolist() == [1, 2, 50]
    assert class_weights(given, counts, Shaping(absent_class="cap")).tolist() == [1, 2, 2]


def test_the_background_may_be_absent_where_no_class_may_be():
    assert class_weights("none", Counts.of_pixels([0, 10]), Shaping(absent_class="error")).tolist() == [1, 1]
