"""Values against the papers' formulas, and what they do not depend on."""

import inspect

import numpy as np
import pytest
from helpers.examples import fuzzed
from helpers.losses import CASES, CLASSES, VARIANTS, Case
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from segprep.training import losses

SHAPES = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
every = pytest.mark.parametrize("case", CASES, ids=str)
of_pixels = pytest.mark.parametrize("case", [case for case in CASES if case.truth != "boxes"], ids=str)

WITH_REDUCTION = [case for case in CASES if "reduction" in case.loss_parameters]
OF_REGIONS = [case for case in WITH_REDUCTION if "per_image" in case.loss_parameters]
OF_PIXELS = [case for case in WITH_REDUCTION if "per_image" not in case.loss_parameters]


def test_every_loss_has_a_case():
    names = {name for name, function in vars(losses).items() if inspect.isfunction(function)}
    assert names == {case.name for case in CASES} | {"sigmoid", "softmax", "boundary_shares"}


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
@fuzzed(20)
@given(seed=st.integers(0, 2**32), shape=SHAPES, ignored=st.sampled_from([0, 0.3, 0.9, 1]))
def test_equals_the_papers_formula(case, seed, shape, ignored):
    arrays = case.arrays(seed, shape, ignored=ignored)
    assert_allclose(case.loss(*arrays), case.expected(*arrays), rtol=1e-9, atol=1e-12)


@every
def test_float16_gives_the_float32_value_of_the_same_numbers(case):
    prediction, *others = case.arrays(3, dtype=np.float16)
    loss = case.loss(prediction, *others)
    assert loss.dtype == np.float32
    assert loss == case.loss(prediction.astype(np.float32), *others)
    assert_allclose(loss, case.expected(prediction, *others), rtol=1e-5)


@every
def test_arguments_are_left_as_they_are(case):
    arrays = case.arrays(4)
    kept = [None if array is None else array.copy() for array in arrays]
    case.loss(*arrays)
    for array, copy in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@of_pixels
def test_flips_change_nothing(case):
    arrays = case.arrays(5)
    flipped = [None if array is None else array[..., ::-1, ::-1] for array in arrays]
    assert_allclose(case.loss(*flipped), case.loss(*arrays))


@of_pixels
def test_ignored_pixels_have_no_influence(case):
    prediction, truth, _ = case.arrays(6, ignored=0)
    weights = np.ones((2, 3, 4))
    weights[:, 1] = 0
    expected = case.loss(np.delete(prediction, 1, -2), np.delete(truth, 1, -2), np.delete(weights, 1, -2))
    prediction[..., 1, :] = np.nan
    if truth.dtype.kind == "f":
        truth[..., 1, :] = np.nan
    assert_allclose(case.loss(prediction, truth, weights), expected)


@of_pixels
@pytest.mark.parametrize("code", [0, 1, 2])
def test_one_class_alone_equals_the_papers_formula(case, code):
    prediction, truth, weights = case.arrays(7, ignored=0)
    truth = np.full_like(truth, code, dtype=truth.dtype if truth.dtype.kind == "f" else np.uint8)
    assert_allclose(case.loss(prediction, truth, weights), case.expected(prediction, truth, weights), rtol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case.truth in ("foreground", "classes")], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int8, np.int32, np.int64])
def test_integer_type_of_the_truth_has_no_influence(case, dtype):
    prediction, _, weights = case.arrays(8)
    codes = np.random.default_rng(8).integers(0, CLASSES, weights.shape if weights is not None else (2, 3, 4))
    assert case.loss(prediction, codes.astype(dtype), weights) == case.loss(prediction, codes, weights)


@pytest.mark.parametrize("case", [case for case in CASES if case.truth == "classes"], ids=str)
@pytest.mark.parametrize("code", [CLASSES, 254])
def test_class_code_without_a_channel_makes_the_loss_nan(case, code):
    prediction, _, _ = case.arrays(9)
    classes = np.zeros((2, 3, 4), np.uint8)
    classes[0, 1, 1] = code
    assert np.isnan(case.loss(prediction, classes))
    weights = (classes == 0).astype(float)
    assert np.isfinite(case.loss(prediction, classes, weights))


@pytest.mark.parametrize("case", OF_PIXELS, ids=str)
def test_reductions_are_the_weighted_losses_their_sum_and_that_over_the_sum_of_weights(case):
    prediction, truth, _ = case.arrays(10, ignored=0)
    weights = np.random.default_rng(10).uniform(0, 3, (2, 3, 4))
    each = case.loss(prediction, truth, weights, reduction="none")
    of_one = case.loss(prediction, truth, reduction="none")
    spread = np.broadcast_to(weights[..., None, :, :] if case.truth == "distances" else weights, each.shape)
    assert_allclose(each, spread * of_one)
    assert_allclose(case.loss(prediction, truth, weights, reduction="sum"), each.sum())
    assert_allclose(case.loss(prediction, truth, weights), each.sum() / spread.sum())


@pytest.mark.parametrize("case", OF_REGIONS, ids=str)
@pytest.mark.parametrize("per_image", [False, True])
def test_reductions_of_regions_are_over_classes_and_images(case, per_image):
    arrays = case.arrays(11, (2, 3, 4, 5), ignored=0)
    each = case.loss(*arrays, per_image=per_image, reduction="none")
    by_class = case.truth == "classes" and case.name != "generalised_dice_loss"
    assert each.shape == ((2, 3) if per_image else ()) + ((CLASSES,) if by_class else ())
    assert_allclose(case.loss(*arrays, per_image=per_image), each.mean())
    assert_allclose(case.loss(*arrays, per_image=per_image, reduction="sum"), each.sum())


def test_losses_of_pixels_take_no_batch_axis_or_several():
    case = Case("cross_entropy", "classes")
    prediction, classes, _ = case.arrays(12, (2, 3, 4, 5))
    each = [case.loss(prediction[i, j], classes[i, j], reduction="none") for i in range(2) for j in range(3)]
    assert_allclose(np.reshape(each, (2, 3, 4, 5)), case.loss(prediction, classes, reduction="none"))


def test_certain_logits_lose_as_much_as_they_are_wrong():
    logits = np.array([[6e4, -6e4]], np.float16)
    wrong = np.array([[0, 1]], np.uint8)
    assert losses.binary_cross_entropy(logits, wrong) == np.float32(np.float16(6e4))
    assert losses.binary_cross_entropy(logits, 1 - wrong) == 0
    assert losses.binary_cross_entropy(np.array([[20.0]]), np.array([[True]])) == pytest.approx(np.exp(-20), rel=1e-6)


def test_sum_over_more_pixels_than_float16_can_count_is_right():
    p, y = np.full((512, 512), 0.5, np.float16), np.ones((512, 512), bool)
    assert losses.dice_loss(p, y, smooth=0) == pytest.approx(1 / 3)


def test_shares_follow_the_published_schedule():
    shares = [losses.boundary_shares(epoch) for epoch in (0, 1, 50, 90, 150)]
    assert_allclose(shares, [(1, 0.01), (0.99, 0.02), (0.5, 0.51), (0.1, 0.91), (0.1, 1.51)])
    assert_allclose(losses.boundary_shares(150, schedule="increase"), (1, 1.51))


def test_dice_and_cross_entropy_are_those_of_the_measured_experiment():
    rng = np.random.default_rng(13)
    z, y, w = rng.normal(0, 2, (4, 8, 8)), rng.random((4, 8, 8)) < 0.3, 1 + rng.uniform(0, 9, (4, 8, 8))
    p = 1 / (1 + np.exp(-z))
    bce = np.where(y, -np.log(p), -np.log(1 - p))
    expected = (w * bce).sum() / w.sum() + 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
    assert losses.dice_cross_entropy(z, y, w) == pytest.approx(expected)
