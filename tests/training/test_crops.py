"""Choice of crops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import OptionError
from segprep.training import crops

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
seeds = st.integers(0, 2**64)


@given(sizes, sizes, seeds)
def test_a_window_has_the_size_of_the_crop_or_of_the_image(size, crop, seed):
    y, x, height, width = crops.random_window(size, crop, np.random.default_rng(seed))
    assert (height, width) == (min(size[0], crop[0]), min(size[1], crop[1]))
    assert 0 <= y <= size[0] - height
    assert 0 <= x <= size[1] - width


@given(sizes, sizes, seeds, st.data())
def test_a_window_holds_its_pixel(size, crop, seed, data):
    pixel = tuple(data.draw(st.integers(0, side - 1)) for side in size)
    y, x, height, width = crops.window_with(pixel, size, crop, np.random.default_rng(seed))
    assert 0 <= y <= pixel[0] < y + height <= size[0]
    assert 0 <= x <= pixel[1] < x + width <= size[1]


def test_every_place_is_as_likely():
    random = np.random.default_rng(0)
    free = Counter(crops.random_window((5, 7), (3, 5), random)[:2] for _ in range(9000))
    held = Counter(crops.window_with((2, 0), (5, 7), (3, 5), random)[:2] for _ in range(3000))
    assert len(free) == 9
    assert held.keys() == {(y, 0) for y in range(3)}
    assert min(free.values()) > 850
    assert min(held.values()) > 850


@given(seeds, st.integers(0, 1000), st.integers(0, 10**9))
def test_random_numbers_depend_on_seed_epoch_and_index_alone(seed, epoch, index):
    def number(*parts):
        return int(crops.crop_random(*parts).integers(2**62))

    assert number(seed, epoch, index) == number(seed, epoch, index)
    assert len({number(seed, epoch, index), number(seed, epoch + 1, index), number(seed, epoch, index + 1)}) == 3


NAMES = ["background", "cell", "mitosis"]


@pytest.mark.parametrize(
    ("bias", "shares"),
    [
        (None, {}),
        ("foreground", {None: 1}),
        ("mitosis", {2: 1}),
        ({"mitosis": 0.25, 1: 0.25}, {2: 0.25, 1: 0.25}),
        ({"foreground": 0.5}, {None: 0.5}),
    ],
)
def test_a_bias_is_a_share_for_each_class(bias, shares):
    assert crops.class_shares(bias, NAMES) == shares


def test_a_class_named_foreground_is_that_class():
    assert crops.class_shares("foreground", ["background", "foreground"]) == {1: 1}


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        ("mitose", "did you mean 'mitosis'"),
        ({3: 0.5}, "bias=3: choose one of 0, 1, 2"),
        ({1: 0.7, 2: 0.6}, "at most 1 in all"),
        ({1: -0.1}, "at least 0"),
        ({1: float("nan")}, "at most 1 in all"),
        (3.5, "must be 'foreground'"),
    ],
)
def test_a_bias_that_makes_no_sense_is_refused(bias, message):
    with pytest.raises(OptionError, match=message):
        crops.class_shares(bias, NAMES)


def test_classes_are_chosen_by_their_shares_where_the_mask_has_them():
    random = np.random.default_rng(0)

    def counts(pixels):
        chosen = (crops.chosen_class({2: 0.2, None: 0.5}, np.array(pixels), random) for _ in range(10_000))
        return Counter(chosen)

    everything = counts([9, 5, 5])
    assert everything.keys() == {None, (2, 2), (1, 2)}
    assert abs(everything[(2, 2)] - 2000) < 200
    assert abs(everything[(1, 2)] - 5000) < 200
    assert counts([9, 5, 0]).keys() == {None, (1, 2)}
    assert counts([9, 0, 0]).keys() == {None}


def test_pixels_of_the_classes_are_equally_likely():
    classes = np.array([[0, 1, 2], [2, 0, 255]])
    random = np.random.default_rng(0)
    found = Counter(crops.pixel_of(classes, 1, 2, random) for _ in range(3000))
    assert found.keys() == {(0, 1), (0, 2), (1, 0)}
    assert min(found.values()) > 900
    assert crops.pixel_of(classes, 3, 3, random) == (None, None)


@pytest.mark.parametrize("crop", [0, -3, 2.5, "256", (1, 2, 3), (4, 0)])
def test_a_crop_that_is_no_size_is_refused(crop):
    with pytest.raises(OptionError, match="crop="):
        crops.crop_size(crop)
