import numpy as np
import pytest
from helpers.strategies import HAND_MADE, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import targets as oracles

from segprep.errors import OptionError
from segprep.kernels.border import NEGLIGIBLE, border_weights, inner_boundaries
from segprep.masks.mask import InstanceMask
from segprep.targets.border import Border

W0 = st.floats(0, 100)
SIGMA = st.floats(0.05, 12)
ON = st.sampled_from(["background", "all"])
SINGLE = st.sampled_from(["zero", "d1"])
COMPETE = st.sampled_from(["all", "same-class"])


def mask_of(planes, classes=None, ignore=None):
    """Mask whose instances all have class 1, if not told."""
    planes = np.array(planes, np.int32)
    classes = np.arange(planes.max() + 1) > 0 if classes is None else classes
    return InstanceMask(planes, np.array(classes, np.int32), ignore)


def bell(*distances, w0=10, sigma=5):
    """Term of d1 and d2, or of d1 alone."""
    return w0 * np.exp(-(sum(distances) ** 2) / (2 * sigma**2))


def expected(mask, w0, sigma, on, single_instance, border_between):
    term = oracles.border(
        mask.planes,
        mask.classes,
        w0=w0,
        sigma=sigma,
        border_on=on,
        single_instance=single_instance,
        border_between=border_between,
    )
    return term if mask.ignore is None else np.where(mask.ignore, 0, term)


@unhurried
@given(masks(), W0, SIGMA, ON, SINGLE, COMPETE)
def test_every_reading_of_the_paper_is_its_formula_within_1e_4(mask, w0, sigma, on, single_instance, border_between):
    border = Border(w0, sigma, on, single_instance, border_between, "float32").compute(mask)
    assert border.dtype == np.float32
    np.testing.assert_allclose(
        border, expected(mask, w0, sigma, on, single_instance, border_between), rtol=1e-6, atol=1e-4
    )


@pytest.mark.parametrize("name", HAND_MADE)
@pytest.mark.parametrize("on", ["background", "all"])
@pytest.mark.parametrize("single_instance", ["zero", "d1"])
@pytest.mark.parametrize("border_between", ["all", "same-class"])
def test_hand_made_masks_have_the_formulas_border(name, on, single_instance, border_between):
    mask = HAND_MADE[name]
    border = Border(10, 5, on, single_instance, border_between, "float32").compute(mask)
    np.testing.assert_allclose(border, expected(mask, 10, 5, on, single_instance, border_between), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "options", "term"),
    [
        ([1, 1, 0, 2, 2], {}, [0, 0, bell(1, 1), 0, 0]),
        ([1, 1, 0, 2, 2], {"border_on": "all"}, [bell(1, 3), bell(0, 2), bell(1, 1), bell(0, 2), bell(1, 3)]),
        ([1, 1, 1, 2, 2], {"border_on": "all"}, [bell(2, 3), bell(1, 2), bell(0, 1), bell(0, 1), bell(1, 2)]),
        ([1, 1, 1, 2, 2], {}, [0, 0, 0, 0, 0]),
        ([0, 0, 1, 0, 0], {"single_instance": "d1"}, [bell(2), bell(1), 0, bell(1), bell(2)]),
        ([0, 1, 1, 1, 0], {"single_instance": "d1", "border_on": "all"}, [bell(1), 10, bell(1), 10, bell(1)]),
        ([0, 1, 1, 1, 0], {"border_on": "all"}, [0, 0, 0, 0, 0]),
        ([1, 1, 1, 1, 1], {"single_instance": "d1", "border_on": "all"}, [0, 0, 0, 0, 0]),
        ([1, 1, 1, 1, 1], {"single_instance": "d1"}, [0, 0, 0, 0, 0]),
        ([0, 0, 0, 0, 0], {"single_instance": "d1", "border_on": "all"}, [0, 0, 0, 0, 0]),
        ([1, 0, 1, 0, 1], {"single_instance": "d1"}, [0, bell(1), 0, bell(1), 0]),
        ([1, 0, 0, 0, 2], {"single_instance": "d1"}, [0, bell(1, 3), bell(2, 2), bell(3, 1), 0]),
    ],
)
def test_border_of_five_pixels_is_as_calculated_by_hand(labels, options, term):
    np.testing.assert_allclose(border_weights(np.array([[labels]], np.int32), **options)[0], term, rtol=1e-6)


@pytest.mark.parametrize("on", ["background", "all"])
def test_an_instance_before_one_that_fills_the_image_is_not_single(on):
    planes = np.array([[[1, 1, 1, 1, 1]], [[0, 0, 2, 2, 0]]], np.int32)
    assert not border_weights(planes, border_on=on, single_instance="d1").any()


@pytest.mark.parametrize(
    ("options", "term"),
    [
        ({}, [0, bell(1, 1), 0, bell(1, 2), bell(1, 2), 0]),
        ({"border_between": "same-class"}, [0, bell(1, 4), 0, bell(3, 2), bell(4, 1), 0]),
        (
            {"border_between": "same-class", "single_instance": "d1"},
            [0, bell(5) + bell(1), 0, bell(5) + bell(1), bell(5) + bell(2), 0],
        ),
        (
            {"border_between": "same-class", "single_instance": "d1", "border_on": "all"},
            [
                bell(5) + bell(2),
                bell(5) + bell(1),
                bell(5) + 10,
                bell(5) + bell(1),
                bell(5) + bell(2),
                bell(5) + bell(3),
            ],
        ),
    ],
)
def test_classes_may_compete_each_alone_and_their_terms_are_summed(options, term):
    mask = mask_of([[[1, 0, 2, 0, 0, 3]]], [0, 1, 2, 1])
    np.testing.assert_allclose(Border(dtype="float32", **options).compute(mask)[0], term, rtol=1e-6)


@unhurried
@given(masks(), W0, SIGMA, SINGLE, COMPETE)
def test_on_the_background_all_and_background_are_identical(mask, w0, sigma, single_instance, border_between):
    background = (mask.planes == 0).all(axis=0)
    everywhere = Border(w0, sigma, "all", single_instance, border_between, "float32").compute(mask)
    outside = Border(w0, sigma, "background", single_instance, border_between, "float32").compute(mask)
    np.testing.assert_array_equal(everywhere[background], outside[background])


@unhurried
@given(masks(), W0, SIGMA, ON, SINGLE)
def test_border_is_from_0_to_w0(mask, w0, sigma, on, single_instance):
    border = border_weights(mask.planes, w0=w0, sigma=sigma, border_on=on, single_instance=single_instance)
    assert ((border >= 0) & (border <= np.float32(w0))).all()


@unhurried
@given(masks(), ON, SINGLE, COMPETE)
def test_is_exactly_0_where_there_is_no_truth(mask, on, single_instance, border_between):
    border = Border(10, 5, on, single_instance, border_between).compute(mask)
    assert mask.ignore is None or not border[mask.ignore].any()


@unhurried
@given(masks(), ON, SINGLE, COMPETE, st.data())
def test_does_not_depend_on_instance_numbers(mask, on, single_instance, border_between, data):
    order = np.array([0, *data.draw(st.permutations(range(1, len(mask.classes))))], np.int32)
    renumbered = InstanceMask(order[mask.planes], mask.classes[np.argsort(order)], mask.ignore)
    target = Border(10, 5, on, single_instance, border_between)
    np.testing.assert_array_equal(target.compute(renumbered), target.compute(mask))


@unhurried
@given(masks(), ON, SINGLE, COMPETE, st.sampled_from([np.s_[..., ::-1], np.s_[..., ::-1, :]]))
def test_follows_flips(mask, on, single_instance, border_between, flip):
    target = Border(10, 5, on, single_instance, border_between)
    flipped = target.compute(InstanceMask(mask.planes[flip], mask.classes))
    np.testing.assert_array_equal(flipped, target.compute(InstanceMask(mask.planes, mask.classes))[flip])


@unhurried
@given(masks())
def test_inner_boundaries_are_the_pixels_with_a_4_neighbour_outside(mask):
    found = inner_boundaries(mask.planes)
    for number in range(1, len(mask.classes)):
        inside = mask.planes == number
        expected_here = [oracles.touches(plane, ~plane) for plane in inside]
        np.testing.assert_array_equal(found == number, expected_here)


def test_the_term_is_high_where_discs_touch_and_low_far_from_them():
    planes = HAND_MADE["three touching discs"].planes
    labels, border = planes[0], border_weights(planes, border_on="all")
    assert border[12, 21] == pytest.approx(bell(0, 1)) == border[12, 22]
    assert (labels[12, 21], labels[12, 22]) == (1, 2)
    assert border[0, 0] < 0.01


def test_float16_is_float32_rounded_once():
    mask = HAND_MADE["three touching discs"]
    half, single_instance = (Border(border_on="all", dtype=dtype).compute(mask) for dtype in ("float16", "float32"))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, single_instance.astype(np.float16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"w0": -1.0}, r"w0=-1.0: .*at least 0"),
        ({"w0": float("nan")}, r"w0=nan: "),
        ({"w0": 1e5}, r"w0=100000.* float16.* use dtype='float32'"),
        ({"sigma": 0.0}, r"sigma=0.0: must be from 0.001"),
        ({"sigma": 1001.0}, r"sigma=1001.0: .*to 1000"),
        ({"border_on": "edge"}, r"border_on='edge': choose one of background, all"),
        ({"single_instance": "d2"}, r"single_instance='d2': choose one of zero, d1"),
        ({"border_between": "none"}, r"border_between='none': choose one of all, same-class"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        Border(**options)


@pytest.mark.parametrize("single_instance", ["zero", "d1"])
def test_negligible_w0_leaves_no_border(single_instance):
    mask = HAND_MADE["one instance"]
    assert not Border(w0=NEGLIGIBLE, border_on="all", single_instance=single_instance).compute(mask).any()


def test_refuses_a_sum_over_classes_that_float16_cannot_hold():
    between_two_pairs = mask_of([[[1, 0, 2]], [[3, 0, 4]]], [0, 1, 1, 2, 2])
    options = {"w0": 40_000, "border_between": "same-class"}
    assert Border(**options, dtype="float32").compute(between_two_pairs)[0, 1] > 70_000
    with pytest.raises(OptionError, match=r"float16.*float32"):
        Border(**options).compute(between_two_pairs)
