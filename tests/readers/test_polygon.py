import numpy as np
import pytest
from faster_coco_eval.mask_api_new_cpp import decode, frPoly, merge
from helpers.strategies import polygons
from hypothesis import example, given
from hypothesis import strategies as st

from segprep.masks.rle import BadRegionError, runs_crop
from segprep.readers._polygon import polygon_runs

SQUARE = [1.0, 1, 3, 1, 3, 3, 1, 3]


def native_bitmap(parts, shape):
    """Bitmap of the whole image by the native code alone."""
    return decode([merge(frPoly(parts, *shape))]).reshape(shape).astype(bool)


def our_bitmap(parts, shape):
    """Bitmap of the whole image by way of the bounding box."""
    y, x, pixels = runs_crop(polygon_runs(parts, shape), shape)
    image = np.zeros(shape, bool)
    image[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return image


@given(st.lists(polygons(), min_size=1, max_size=3), st.tuples(st.integers(1, 40), st.integers(1, 40)))
@example([[10.7, 10.7, 14.1, 10.7, 14.1, 14.3]], (20, 20))
def test_the_bounding_box_holds_what_the_full_image_would(parts, shape):
    expected = native_bitmap(parts, shape)
    if expected.any():
        np.testing.assert_array_equal(our_bitmap(parts, shape), expected)
    else:
        with pytest.raises(BadRegionError, match="no pixel"):
            our_bitmap(parts, shape)


def test_a_square_covers_its_pixels():
    expected = np.zeros((4, 5), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(our_bitmap([SQUARE], (4, 5)), expected)


@pytest.mark.parametrize(
    ("polygon", "covered"),
    [
        ([-5, 1, 3, 1, 3, 3, -5, 3], np.s_[1:3, :3]),
        ([1, -5, 3, -5, 3, 3, 1, 3], np.s_[:3, 1:3]),
        ([1, 1, 30, 1, 30, 3, 1, 3], np.s_[1:3, 1:]),
        ([1, 1, 3, 1, 3, 30, 1, 30], np.s_[1:, 1:3]),
        ([-9, -9, 99, -9, 99, 99, -9, 99], np.s_[:, :]),
    ],
)
def test_what_lies_outside_the_image_is_cut_off(polygon, covered):
    expected = np.zeros((4, 5), bool)
    expected[covered] = True
    np.testing.assert_array_equal(our_bitmap([polygon], (4, 5)), expected)


def test_parts_that_overlap_are_united():
    shifted = [number + 1 for number in SQUARE]
    union = our_bitmap([SQUARE], (6, 6)) | our_bitmap([shifted], (6, 6))
    np.testing.assert_array_equal(our_bitmap([SQUARE, shifted], (6, 6)), union)


@pytest.mark.parametrize(
    ("polygon", "kind"),
    [
        ([], "fewer than 6"),
        ([1, 1, 3, 1, 3], "fewer than 6"),
        ([*SQUARE, 1], "odd number"),
        ([float("nan"), *SQUARE[1:]], "not finite or far off"),
        ([float("-inf"), *SQUARE[1:]], "not finite or far off"),
        ([1e9, *SQUARE[1:]], "not finite or far off"),
        ([0, 0, 1e6, 1e6] * 100, "too long"),
    ],
)
def test_a_polygon_that_native_code_should_not_see_is_refused(polygon, kind):
    with pytest.raises(BadRegionError, match=kind):
        polygon_runs([SQUARE, polygon], (4, 5))
