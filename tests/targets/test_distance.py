import numpy as np
import pytest
from helpers.strategies import SEEDS, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import targets as oracles

from segprep.errors import OptionError
from segprep.kernels.distance import signed_distance
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.distance import Distance

PER = ["foreground", "class", "instance"]
COUNTS = Counts.of_pixels([1] * 6)
"""Of the six class codes that `masks` may have."""


def mask_of(planes, classes=None, ignore=None):
    """Mask whose instances all have class 1, if not told."""
    planes = np.array(planes, np.int32)
    classes = np.arange(planes.max() + 1) > 0 if classes is None else classes
    return InstanceMask(planes, np.array(classes, np.int32), ignore)


def field(mask, per, **options):
    """Distances of a mask, in float32."""
    return Distance(distance_per=per, dtype="float32", **options).fit(COUNTS, COUNTS).compute(mask)


def known(mask):
    return np.ones(mask.shape, bool) if mask.ignore is None else ~mask.ignore


@unhurried
@given(masks(), st.sampled_from(PER))
def test_is_the_formula_and_0_where_there_is_no_truth(mask, per):
    distance = field(mask, per)
    expected = np.where(known(mask), oracles.distance(mask.planes, mask.classes, per, 6), 0)
    assert distance.dtype == np.float32
    assert distance.shape == ((6, *mask.shape) if per == "class" else mask.shape)
    np.testing.assert_allclose(distance, expected, rtol=1e-6, atol=1e-6)


@unhurried
@given(masks())
def test_per_class_is_the_published_loaders_field_of_the_one_hot_mask(mask):
    codes = mask.classes[mask.planes]
    one_hot = np.array([(codes == code).any(axis=0) for code in range(1, 6)])
    partly = ~one_hot.all(axis=(1, 2))
    expected = np.where(known(mask), oracles.one_hot2dist(one_hot[partly]), 0)
    np.testing.assert_allclose(field(mask, "class")[1:][partly], expected, rtol=1e-6, atol=1e-6)


@unhurried
@given(masks())
def test_foreground_is_the_published_loaders_field(mask):
    inside = (mask.planes > 0).any(axis=0)
    if not inside.all():
        expected = np.where(known(mask), oracles.one_hot2dist(inside[np.newaxis])[0], 0)
        np.testing.assert_allclose(field(mask, "foreground"), expected, rtol=1e-6, atol=1e-6)


@unhurried
@given(masks())
def test_is_0_on_the_inner_boundary_1_beside_it_and_negative_inside(mask):
    inside = (mask.planes > 0).any(axis=0)
    distance = field(mask_of(mask.planes), "foreground")
    if inside.any() and not inside.all():
        np.testing.assert_array_equal(distance == 0, oracles.touches(inside, ~inside))
        np.testing.assert_array_equal(distance == 1, oracles.touches(~inside, inside))
        np.testing.assert_array_equal(distance > 0, ~inside)
    else:
        assert not distance.any()


@unhurried
@given(masks())
def test_each_instance_has_its_own_zeros_also_where_it_touches_another(mask):
    labels = mask.planes[0]
    if (labels != labels[0, 0]).any():
        rims = [oracles.touches(labels == number, labels != number) for number in np.unique(labels[labels > 0])]
        np.testing.assert_array_equal(field(mask_of([labels]), "instance") == 0, np.any(rims, axis=0))


@unhurried
@given(masks(), st.sampled_from(PER), SEEDS)
def test_changes_by_no_more_than_the_way_and_2_pixels(mask, per, seed):
    distance = field(InstanceMask(mask.planes, mask.classes), per).reshape(-1, *mask.shape)
    ys, xs = (np.random.default_rng(seed).integers(0, side, (2, 200)) for side in mask.shape)
    way = np.hypot(ys[0] - ys[1], xs[0] - xs[1])
    assert (np.abs(distance[:, ys[0], xs[0]] - distance[:, ys[1], xs[1]]) <= way + 2).all()


@pytest.mark.parametrize(
    ("per", "labels", "distances"),
    [
        ("foreground", [0, 0, 1, 1, 1, 0], [2, 1, 0, -1, 0, 1]),
        ("foreground", [1, 1, 1, 2, 2, 0], [-4, -3, -2, -1, 0, 1]),
        ("instance", [1, 1, 1, 2, 2, 0], [-2, -1, 0, 0, 0, 1]),
        ("instance", [1, 1, 1, 2, 2, 2], [-2, -1, 0, 0, -1, -2]),
        ("instance", [1, 0, 0, 0, 0, 2], [0, 1, 2, 2, 1, 0]),
        ("instance", [0, 1, 2, 3, 0, 0], [1, 0, 0, 0, 1, 2]),
        ("foreground", [1, 2, 1, 2, 1, 2], [0, 0, 0, 0, 0, 0]),
        ("foreground", [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        ("instance", [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        ("instance", [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_distances_of_six_pixels_are_as_calculated_by_hand(per, labels, distances):
    for turned in (np.array([[labels]]), np.array([[labels]]).swapaxes(1, 2)):
        assert field(mask_of(turned), per).ravel().tolist() == distances


@pytest.mark.parametrize("per", PER)
def test_a_class_that_is_absent_or_fills_the_image_is_0(per):
    full, empty = mask_of([[[1, 1], [1, 2]]]), mask_of([[[0, 0], [0, 0]]])
    assert not field(empty, per).any()
    if per == "instance":
        full = mask_of([[[1, 1], [1, 1]]])
    assert not field(full, per).any()


def test_per_class_has_a_field_for_each_code_and_zeros_if_absent():
    distance = field(mask_of([[[1, 1, 0, 2]]], [0, 2, 4]), "class")
    assert distance[:, 0].tolist() == [
        [2, 1, 0, 1],
        [0, 0, 0, 0],
        [-1, 0, 1, 2],
        [0, 0, 0, 0],
        [3, 2, 1, 0],
        [0, 0, 0, 0],
    ]


def test_hidden_parts_of_instances_count_too():
    nested = mask_of([[[1, 1, 1, 1, 1, 0]], [[0, 0, 2, 0, 0, 0]]], [0, 1, 2])
    assert nested.labels.tolist() == [[1, 1, 2, 1, 1, 0]]
    assert field(nested, "class")[1].tolist() == [[-4, -3, -2, -1, 0, 1]]
    assert field(nested, "class")[2].tolist() == [[2, 1, 0, 1, 2, 3]]
    assert field(nested, "instance").tolist() == [[-4, -3, -2, -1, 0, 1]]


def test_where_instances_overlap_the_one_whose_boundary_is_farthest_counts():
    overlapping = mask_of([[[1, 1, 1, 1, 0, 0]], [[0, 0, 2, 2, 2, 2]]])
    assert field(overlapping, "instance").tolist() == [[-3, -2, -1, -1, -2, -3]]


@unhurried
@given(masks(), st.sampled_from(PER), st.floats(0.01, 30))
def test_clip_bounds_the_distance_either_way_and_changes_nothing_else(mask, per, clip):
    expected = np.clip(field(mask, per), np.float32(-clip), np.float32(clip))
    np.testing.assert_array_equal(field(mask, per, distance_clip=clip), expected)


@unhurried
@given(masks(), st.sampled_from(PER))
def test_float16_is_float32_rounded_once(mask, per):
    half = Distance(distance_per=per).fit(COUNTS, COUNTS).compute(mask)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, field(mask, per).astype(np.float16))


def test_float16_keeps_a_relative_precision_of_2_to_the_minus_11():
    mask = mask_of([np.eye(1000, 1000, dtype=int)])
    exact = field(mask, "foreground").astype(np.float64)
    half = Distance().compute(mask).astype(np.float64)
    assert (np.abs(half - exact) <= exact * 2**-11).all()
    assert np.abs(half - exact).max() > 0


def test_refuses_distances_that_float16_cannot_hold():
    long = mask_of([np.eye(1, 70_000, dtype=int)])
    assert field(long, "foreground").max() == 69_999
    assert Distance(distance_clip=60_000).compute(long).max() == 60_000
    with pytest.raises(OptionError, match=r"float16.*float32"):
        Distance().compute(long)


@unhurried
@given(masks(), st.sampled_from(PER), st.sampled_from([np.s_[..., ::-1], np.s_[..., ::-1, :]]))
def test_follows_flips(mask, per, flip):
    flipped = InstanceMask(mask.planes[flip], mask.classes)
    np.testing.assert_array_equal(field(flipped, per), field(InstanceMask(mask.planes, mask.classes), per)[flip])


@unhurried
@given(masks(), st.data())
def test_does_not_depend_on_instance_numbers(mask, data):
    order = np.array([0, *data.draw(st.permutations(range(1, len(mask.classes))))], np.int32)
    renumbered = InstanceMask(order[mask.planes], mask.classes[np.argsort(order)], mask.ignore)
    for per in PER:
        np.testing.assert_array_equal(field(renumbered, per), field(mask, per))


def test_touching_labels_have_a_zero_on_both_sides():
    labels = np.kron(np.array([[1, 2], [3, 3]], np.int32), np.ones((4, 4), np.int32))
    distance = signed_distance(labels)
    assert (distance[3:5] == 0).all()
    assert (distance[:4, 3:5] == 0).all()
    assert (distance <= 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance_per": "pixel"}, r"distance_per='pixel': choose one of foreground, class, instance"),
        ({"distance_clip": 0}, r"distance_clip=0: must be above 0"),
        ({"distance_clip": -3.0}, r"distance_clip=-3.0: must be above 0"),
        ({"distance_clip": float("nan")}, r"distance_clip=nan: must be above 0"),
        ({"distance_clip": float("inf")}, r"distance_clip=inf: must be above 0"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        Distance(**options)


@pytest.mark.parametrize(("per", "channels"), [("foreground", 0), ("class", 6), ("instance", 0)])
def test_has_a_channel_for_each_class_code_only_per_class(per, channels):
    assert Distance(distance_per=per).fit(Counts.of_pixels([1]), COUNTS).channels == channels


def test_stuff_is_foreground_and_a_separate_class():
    stuff = np.array([[0, 0, 0, 2, 2]], np.int32)
    mask = InstanceMask(np.array([[[1, 0, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32), stuff=stuff)
    assert Distance().compute(mask).tolist() == [[0, 1, 1, 0, -1]]
    per_class = Distance(distance_per="class", channels=3).compute(mask)
    assert per_class.tolist() == [[[1, 0, 0, 1, 2]], [[0, 1, 2, 3, 4]], [[3, 2, 1, 0, -1]]]
