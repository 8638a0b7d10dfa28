import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import unet as oracles

import segprep
from segprep.errors import OptionError
from segprep.kernels.border import NEGLIGIBLE, border_weights, reach
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.readers import find
from segprep.targets.weights import Weights

W0 = st.floats(0, 100)
SIGMA = st.floats(0.05, 12)
VECTORS = st.lists(st.floats(0, 100), min_size=6, max_size=6).map(tuple)
"""Weights of the six class codes that `masks` may have."""


def mask_of(planes, ignore=None):
    """Mask whose instances all have class 1."""
    planes = np.array(planes, np.int32)
    classes = (np.arange(planes.max() + 1) > 0).astype(np.int32)
    return InstanceMask(planes, classes, ignore)


def counts(*pixels):
    """Counts of one image with these pixels of each class."""
    return Counts.of_pixels(pixels)


def formula(mask, vector, w0, sigma):
    return oracles.unet_weights(mask.planes, mask.classes, mask.ignore, vector, w0=w0, sigma=sigma)


@unhurried
@given(masks(), W0, SIGMA)
def test_border_is_the_papers_within_1e_4(mask, w0, sigma):
    border = border_weights(mask.planes, w0=w0, sigma=sigma)
    np.testing.assert_allclose(border, oracles.border(mask.planes, w0, sigma), rtol=0, atol=1e-4)


@unhurried
@given(masks(), W0, SIGMA)
def test_border_is_from_0_to_w0_and_0_on_instances(mask, w0, sigma):
    border = border_weights(mask.planes, w0=w0, sigma=sigma)
    assert border.dtype == np.float32
    assert ((border >= 0) & (border <= np.float32(w0))).all()
    assert (border[(mask.planes > 0).any(axis=0)] == 0).all()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ([1, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        ([1, 1, 1, 1, 1], [0, 0, 0, 0, 0]),
        ([1, 0, 1, 0, 1], [0, 0, 0, 0, 0]),
        ([1, 1, 2, 2, 2], [0, 0, 0, 0, 0]),
        ([1, 0, 2, 2, 2], [0, 10 * np.exp(-4 / 50), 0, 0, 0]),
        ([1, 2, 0, 0, 0], [0, 0, 10 * np.exp(-9 / 50), 10 * np.exp(-25 / 50), 10 * np.exp(-49 / 50)]),
        ([2, 0, 0, 0, 1], [0, *[10 * np.exp(-16 / 50)] * 3, 0]),
    ],
)
def test_border_of_five_pixels_is_as_calculated_by_hand(labels, expected):
    np.testing.assert_allclose(border_weights(np.array([[labels]], np.int32))[0], expected, rtol=1e-6)


@unhurried
@given(st.floats(1e-6, 1e6), st.floats(0.05, 1000))
def test_reach_is_the_smallest_that_leaves_out_only_what_is_negligible(w0, sigma):
    def term(d):
        return w0 * np.exp(-(d**2) / (2 * sigma**2))

    assert term(reach(w0, sigma)) <= NEGLIGIBLE * (1 + 1e-6)
    assert term(reach(w0, sigma) - 1) > NEGLIGIBLE * (1 - 1e-6)


def test_border_is_0_beyond_reach():
    planes = np.zeros((1, 1, 41), np.int32)
    planes[0, 0, [0, 1]] = 1, 2
    border = border_weights(planes)[0]
    assert (border[2:17] > 0).all()  # d1 + d2 is 2 x - 1, and the reach 31
    assert (border[17:] == 0).all()


@pytest.mark.parametrize("w0", [0, 1e-300, 1e-7])
def test_negligible_w0_leaves_no_border(w0):
    assert (border_weights(np.array([[[1, 0, 2]]], np.int32), w0=w0) == 0).all()


@pytest.mark.parametrize("sigma", [0.001, 300, 1000])
def test_border_is_right_for_extreme_sigma(sigma):
    planes = mask_of([[[1, 0, 0, 0, 2], [0, 0, 0, 0, 0], [0, 0, 3, 0, 0]]]).planes
    np.testing.assert_allclose(border_weights(planes, sigma=sigma), oracles.border(planes, 10, sigma), atol=1e-5)


@unhurried
@given(masks(), VECTORS, W0, SIGMA)
def test_float32_is_the_formula_within_1e_4(mask, vector, w0, sigma):
    weights = Weights(w0=w0, sigma=sigma, dtype="float32", vector=vector).compute(mask)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, formula(mask, vector, w0, sigma), rtol=0, atol=1e-4)


@unhurried
@given(masks(), VECTORS, W0, SIGMA)
def test_float16_is_the_formula_within_its_rounding(mask, vector, w0, sigma):
    weights = Weights(w0=w0, sigma=sigma, vector=vector).compute(mask)
    expected = formula(mask, vector, w0, sigma)
    half_a_step = np.spacing(expected.astype(np.float16)).astype(np.float64) / 2
    assert weights.dtype == np.float16
    assert (np.abs(weights - expected) <= half_a_step + 1e-6 * expected + 2 * NEGLIGIBLE).all()


@unhurried
@given(masks(), VECTORS, W0, SIGMA)
def test_float16_is_float32_rounded_once(mask, vector, w0, sigma):
    half = Weights(w0=w0, sigma=sigma, vector=vector).compute(mask)
    single = Weights(w0=w0, sigma=sigma, vector=vector, dtype="float32").compute(mask)
    np.testing.assert_array_equal(half, single.astype(np.float16))


@unhurried
@given(masks(), VECTORS, W0, SIGMA, st.sampled_from(["float16", "float32"]))
def test_weights_are_finite_and_never_above_w_c_plus_w0(mask, vector, w0, sigma, dtype):
    weights = Weights(w0=w0, sigma=sigma, vector=vector, dtype=dtype).compute(mask)
    w_c = np.array(vector, np.float32)[mask.classes[mask.labels]]
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert (weights <= (w_c + np.float32(w0)).astype(dtype)).all()


@unhurried
@given(masks(), st.sampled_from(["inverse", "none", "per-image"]))
def test_weights_are_exactly_0_where_there_is_no_truth_and_only_there(mask, class_weights):
    target = Weights(class_weights=class_weights).fit(counts(5, 4, 3, 2, 1, 1), counts(5, 4, 3, 2, 1, 1))
    ignore = np.zeros(mask.shape, bool) if mask.ignore is None else mask.ignore
    np.testing.assert_array_equal(target.compute(mask) == 0, ignore)


@unhurried
@given(masks(), st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_inverse_weighs_by_the_counts_of_the_train_split_alone(mask, pixels):
    assume(any(pixels))
    target = Weights(class_weights="inverse", dtype="float32").fit(counts(*pixels), counts(9, 9, 9, 9, 9, 9))
    expected = formula(mask, oracles.inverse_class_weights(pixels), 10, 5)
    np.testing.assert_allclose(target.compute(mask), expected, rtol=1e-6, atol=1e-5)


@unhurried
@given(masks(), st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_none_weighs_every_class_1(mask, pixels):
    target = Weights(class_weights="none", dtype="float32").fit(counts(*pixels), counts(*pixels))
    np.testing.assert_allclose(target.compute(mask), formula(mask, [1] * 6, 10, 5), rtol=1e-6, atol=1e-5)


@unhurried
@given(masks(), st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_per_image_weighs_by_the_visible_pixels_of_each_image(mask, elsewhere):
    target = Weights(class_weights="per-image", dtype="float32").fit(counts(*elsewhere), counts(*elsewhere))
    vector = oracles.inverse_class_weights(oracles.visible_pixels(mask.planes, mask.classes, mask.ignore, 6))
    np.testing.assert_allclose(target.compute(mask), formula(mask, vector, 10, 5), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("w0", [-1, -1e-9, np.nan, np.inf])
def test_refuses_w0(w0):
    with pytest.raises(OptionError, match=r"w0=.*at least 0"):
        Weights(w0=w0)


@pytest.mark.parametrize("sigma", [0, 1e-200, -5, 1001, np.nan, np.inf])
def test_refuses_sigma(sigma):
    with pytest.raises(OptionError, match=r"sigma=.*from 0.001 to 1000 pixels"):
        Weights(sigma=sigma)


@pytest.mark.parametrize(("class_weights", "w0"), [("inverse", 0), ("inverse", 10), ("none", 65_504)])
def test_refuses_weights_that_float16_cannot_hold(class_weights, w0):
    train = counts(2_000_000, 10)
    with pytest.raises(OptionError, match=r"float16 ends at 65504.*dtype='float32'"):
        Weights(class_weights=class_weights, w0=w0).fit(train, train)
    Weights(class_weights=class_weights, w0=w0, dtype="float32").fit(train, train)


@pytest.mark.parametrize("class_weights", ["inverse", "none"])
def test_refuses_weights_that_float32_cannot_hold(class_weights):
    with pytest.raises(OptionError, match=r"float32 ends at"):
        Weights(class_weights=class_weights, w0=3.5e38, dtype="float32").fit(counts(1, 1), counts(1, 1))


def test_largest_weight_of_float16_is_finite():
    target = Weights(class_weights="none", w0=65_503, sigma=1000).fit(counts(1, 1), counts(1, 1))
    weights = target.compute(mask_of([[[1, 0, 2]]]))
    assert weights[0, 1] == 65_504


def test_refuses_an_image_whose_own_weights_float16_cannot_hold():
    planes = np.zeros((1, 400, 400), np.int32)
    planes[0, 7, 7] = 1
    with pytest.raises(OptionError, match=r"weights reach 80010.*float16"):
        Weights(class_weights="per-image").compute(mask_of(planes))
    single = Weights(class_weights="per-image", dtype="float32").compute(mask_of(planes))
    assert single[7, 7] == 80_000


def test_an_instance_behind_another_counts_with_its_full_mask():
    alone = [[1, 1, 1, 0, 0, 0, 3]]
    behind = mask_of([alone, [[0, 0, 2, 0, 0, 0, 0]]])
    weights = Weights(class_weights="none", dtype="float32").fit(counts(1, 1), counts(1, 1)).compute(behind)
    np.testing.assert_allclose(weights[0, 3], 1 + 10 * np.exp(-4 / 50), rtol=1e-6)  # 1 and 2 are both 1 away


@pytest.mark.slow
def test_weights_of_real_nuclei_equal_brute_force(data_dir):
    refs = find(data_dir / "dsb2018").refs
    assert len(refs) == 48
    for ref in refs:
        mask = ref.load()
        own = (mask.planes > 0).any(axis=0)
        w_c = oracles.inverse_class_weights([np.count_nonzero(~own), np.count_nonzero(own)])
        border = oracles.border_of(oracles.nearest_two_within(mask.planes, 32), 10, 5)
        weights = Weights(class_weights="per-image", dtype="float32").compute(mask)
        np.testing.assert_allclose(weights, w_c[own.astype(int)] + border, rtol=0, atol=1e-5, err_msg=ref.key)
        assert border.any(), ref.key


def test_stored_weights_of_real_nuclei_are_the_papers_when_rounded(data_dir, dsb2018_store, tmp_path):
    data = data_dir / "dsb2018" / "stage1_train"
    segprep.preprocess(data, tmp_path / "out.zarr", targets=(Weights(dtype="float32"),))
    half, single = segprep.open(dsb2018_store, dtype="stored"), segprep.open(tmp_path / "out.zarr")
    vector = np.array(half.info.targets[2].parameters["vector"])
    rng = np.random.default_rng(0)
    for index, ref in enumerate(find(data).refs):
        planes = ref.load().planes
        own = (planes > 0).any(axis=0)
        expected = vector[own.astype(int)] + oracles.border_of(oracles.nearest_two_within(planes, 32), 10, 5)
        stored = half[index]["weights"].astype(np.float64)
        spacing = np.spacing(half[index]["weights"]).astype(np.float64)
        assert (np.abs(stored - expected) <= spacing / 2 + 1e-6).all(), ref.key
        np.testing.assert_allclose(single[index]["weights"], expected, rtol=0, atol=1e-4, err_msg=ref.key)
        renumbered = np.append(0, rng.permutation(planes.max()) + 1).astype(np.int32)[planes]
        np.testing.assert_array_equal(border_weights(renumbered), border_weights(planes))


def test_formulas_want_a_pixel_in_the_train_split_to_be_fitted_on():
    nothing, everything = counts(0, 0, 0, 0, 0, 0), counts(9, 9, 9, 9, 9, 9)
    with pytest.raises(
        OptionError, match=r"class_weights='dice': the train split has no pixels .* split=\(1, 0, 0\) does"
    ):
        Weights(class_weights="dice").fit(nothing, everything)
    assert Weights(class_weights="none").fit(nothing, everything).vector == (1,) * 6


def test_weights_of_which_float16_would_keep_few_digits_are_refused():
    with pytest.raises(
        OptionError, match="down to 1e-07, of which float16 keeps few digits: use dtype='float32', normalise=True"
    ):
        Weights(class_weights={str(code): 1e-7 for code in range(6)}).fit(
            counts(1, 1, 1, 1, 1, 1), counts(1, 1, 1, 1, 1, 1)
        )


def test_a_rule_of_single_images_suggests_no_option_that_does_not_apply():
    tiny = InstanceMask(np.eye(1, 640 * 480, dtype=np.int32).reshape(1, 480, 640), np.array([0, 1], np.int32))
    with pytest.raises(OptionError, match=r"float16 ends at 65504: use dtype='float32'$"):
        Weights(class_weights="per-image").compute(tiny)
