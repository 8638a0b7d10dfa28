"""Rounding to float16 is that of NumPy, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segprep.kernels.half import from_half, to_half


def assert_rounded_as_by_numpy(values):
    np.testing.assert_array_equal(to_half(values).view(np.uint16), values.astype(np.float16).view(np.uint16))


@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-65504, 65504, width=32)))
def test_numbers_of_any_size(values):
    assert_rounded_as_by_numpy(values)


@pytest.mark.parametrize("sign", [0, 0x8000])
def test_every_half_and_what_lies_around_and_between(sign):
    halves = (np.arange(0x7BFF) + sign).astype(np.uint16).view(np.float16).astype(np.float32)
    between = (halves[1:] + halves[:-1]) / 2  # ties
    for values in (halves, between, np.nextafter(between, np.float32(9e9)), np.nextafter(between, np.float32(-9e9))):
        assert_rounded_as_by_numpy(values)


def test_the_shape_and_the_order_are_kept():
    values = np.random.default_rng(0).normal(size=(3, 700, 5)).astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_half(values), values.astype(np.float16), strict=True)


def test_what_is_above_the_largest_half_becomes_that_number():
    assert to_half(np.array([1e9, -np.inf], np.float32)).tolist() == [65504, -65504]


def test_every_half_is_widened_as_by_numpy():
    halves = np.arange(1 << 16).astype(np.uint16).view(np.float16)
    np.testing.assert_array_equal(from_half(halves).view(np.uint32), halves.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("shape", [(), (0,), (3, 700, 5), (1023,), (1025,)])
def test_the_shape_is_kept_where_halves_are_widened(shape):
    halves = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    np.testing.assert_array_equal(from_half(halves.T), halves.T.astype(np.float32), strict=True)
