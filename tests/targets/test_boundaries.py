import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import targets as oracles

from segprep.errors import OptionError
from segprep.kernels.boundaries import boundaries, near_others
from segprep.masks.mask import InstanceMask
from segprep.targets.boundaries import Boundaries

WIDTHS = st.integers(1, 4) | st.just(50)


@unhurried
@given(masks(), WIDTHS)
def test_is_what_is_found_pixel_by_pixel_and_255_where_there_is_no_truth(mask, width):
    parts = Boundaries(boundary_width=width).compute(mask)
    expected = oracles.boundaries(mask.labels, min(width, 20))
    assert parts.dtype == np.uint8
    np.testing.assert_array_equal(parts, expected if mask.ignore is None else np.where(mask.ignore, 255, expected))


@pytest.mark.parametrize(
    ("labels", "width", "parts"),
    [
        ([[0, 1, 1, 1, 2, 2, 2]], 1, [[0, 2, 1, 3, 3, 1, 1]]),
        ([[0, 1, 1, 1, 2, 2, 2]], 2, [[0, 2, 3, 3, 3, 3, 1]]),
        ([[1, 1, 1, 0, 2, 2, 2]], 1, [[1, 1, 2, 0, 2, 1, 1]]),
        ([[1, 1, 1, 0, 2, 2, 2]], 2, [[1, 2, 3, 0, 3, 2, 1]]),
        ([[1, 1, 1]], 1, [[1, 1, 1]]),
        ([[0, 0, 0]], 1, [[0, 0, 0]]),
        ([[1, 0, 1]], 1, [[2, 0, 2]]),
        ([[1, 0], [0, 2]], 1, [[3, 0], [0, 3]]),
        (
            [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]],
            1,
            [[0, 0, 0, 0], [0, 2, 2, 2], [0, 2, 1, 1], [0, 2, 1, 1]],
        ),
    ],
)
def test_parts_of_a_few_pixels_are_as_found_by_hand(labels, width, parts):
    assert boundaries(np.array(labels, np.int32), width=width).tolist() == parts


@unhurried
@given(masks(), WIDTHS, st.data())
def test_does_not_depend_on_instance_numbers(mask, width, data):
    labels, count = mask.labels, len(mask.classes) - 1
    numbers = data.draw(st.lists(st.integers(1, 2**31 - 2), min_size=count, max_size=count, unique=True))
    renumbered = np.array([0, *numbers], np.int32)[labels]
    np.testing.assert_array_equal(boundaries(renumbered, width=width), boundaries(labels, width=width))


@unhurried
@given(masks(), WIDTHS)
def test_follows_flips_and_transposition(mask, width):
    parts = boundaries(mask.labels, width=width)
    np.testing.assert_array_equal(boundaries(mask.labels[::-1], width=width), parts[::-1])
    np.testing.assert_array_equal(boundaries(mask.labels.T, width=width), parts.T)


def test_only_instances_in_front_count():
    nested = InstanceMask(np.array([[[1, 1, 1, 1, 1]], [[0, 2, 0, 0, 0]]], np.int32), np.array([0, 1, 1], np.int32))
    assert Boundaries().compute(nested).tolist() == [[3, 3, 3, 1, 1]]


@pytest.mark.parametrize("width", [0, -1])
def test_refuses_a_border_without_width(width):
    with pytest.raises(OptionError, match=r"boundary_width=.*at least 1"):
        Boundaries(boundary_width=width)


def test_bands_of_a_large_mask_fit_together(monkeypatch):
    mask = np.random.default_rng(0).integers(0, 3, (1, 40, 7)).astype(np.int32)
    complete = [near_others(mask, distance) for distance in (1, 3)]
    monkeypatch.setattr("segprep.kernels.boundaries._BAND", 1)
    for distance, expected in zip((1, 3), complete, strict=True):
        np.testing.assert_array_equal(near_others(mask, distance), expected)
