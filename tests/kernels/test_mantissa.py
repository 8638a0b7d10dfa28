"""Rounding to fewer bits of the mantissa is to nearest, ties to even, whatever the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numcodecs.bitround import BitRound

from segprep.kernels.half import to_half
from segprep.kernels.mantissa import keep_bits

SMALLEST = float(np.finfo(np.float32).smallest_normal)
NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32).filter(lambda value: value == 0 or abs(value) >= SMALLEST)


def by_fractions(value, bits):
    """The nearest number with `bits` bits after the first, of two the even one: Python's `round` breaks ties so."""
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(fraction, bits + 1)), exponent - bits - 1)


@given(arrays.arrays(np.float32, st.integers(0, 20), elements=NUMBERS), st.integers(1, 23))
def test_it_is_the_nearest_number(values, bits):
    assert keep_bits(values, bits).tolist() == [by_fractions(value, bits) for value in values.tolist()]
    if bits < 23:  # the codec changes the type where it changes nothing else
        np.testing.assert_array_equal(
            keep_bits(values, bits).view(np.int32), BitRound(bits).encode(values).view(np.int32)
        )


@pytest.mark.parametrize("bits", range(1, 11))
def test_ties_go_to_the_even_number(bits):
    steps = 1 + np.arange(2**bits) / 2**bits
    ties = np.append(steps + 2.0 ** -(bits + 1), -steps - 2.0 ** -(bits + 1)).astype(np.float32)
    assert keep_bits(ties, bits).tolist() == [by_fractions(value, bits) for value in ties.tolist()]


@pytest.mark.parametrize("bits", range(1, 11))
def test_a_float16_of_them_is_exact_and_within_the_bound(bits):
    values = np.exp(np.random.default_rng(bits).uniform(np.log(2.0**-14), np.log(30_000), 10_000)).astype(np.float32)
    kept = keep_bits(values, bits)
    np.testing.assert_array_equal(to_half(kept).astype(np.float32), kept)
    errors = np.abs(kept / values.astype(np.float64) - 1)
    bound = 2.0 ** -(bits + 1)
    assert 0.9 * bound < errors.max() * (1 + bound) <= bound


def test_all_bits_change_nothing_and_zero_keeps_its_sign():
    values = np.array([0.0, -0.0, 1.1, -3e38, 1e-45], np.float32)
    np.testing.assert_array_equal(keep_bits(values, 23).view(np.uint32), values.view(np.uint32))
    assert np.signbit(keep_bits(values[:2], 1)).tolist() == [False, True]


def test_the_shape_and_the_order_are_kept():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(keep_bits(values, 4), values, strict=True)  # integers up to 32 are exact
