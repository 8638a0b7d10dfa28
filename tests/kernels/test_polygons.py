import numpy as np
import pytest
from faster_coco_eval.mask_api_new_cpp import decode, frPoly
from helpers.strategies import polygons
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segprep.kernels.polygons import boxes_of, by_block, pixels_of
from segprep.masks.shapes import shapes_of

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def shape_of(*parts):
    """One shape of polygons, each a flat list of x and y."""
    return shapes_of([[(np.array(part, float), False) for part in parts]])


def native_bitmap(part, shape):
    """Bitmap of the complete image by COCO's own code."""
    return decode(frPoly([part], *shape)).reshape(shape).astype(bool)


@given(polygons(), SIDES, st.data())
@example([10.7, 10.7, 14.1, 10.7, 14.1, 14.3], (20, 20), None)
@example([0.3, 0.1, 0.7, 39.9, 0.4, 20.0], (40, 2), None)
def test_a_window_has_the_pixels_that_cocos_code_draws_there(polygon, shape, data):
    expected, drawn = native_bitmap(polygon, shape), shape_of(polygon)
    np.testing.assert_array_equal(pixels_of(drawn, 0, 0, 0, *shape), expected)
    top, left = (data.draw(st.integers(0, side - 1)) if data else side // 3 for side in shape)
    below, right = (
        data.draw(st.integers(at + 1, side)) if data else side for at, side in zip((top, left), shape, strict=True)
    )
    np.testing.assert_array_equal(pixels_of(drawn, 0, top, left, below, right), expected[top:below, left:right])


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_far_corners_and_long_lines_are_as_in_cocos_code(seed):
    rng = np.random.default_rng(seed)
    shape = (200, 3000)
    polygon = rng.uniform(-500, 3500, 2 * rng.integers(3, 9)).round(rng.integers(0, 4)).tolist()
    np.testing.assert_array_equal(pixels_of(shape_of(polygon), 0, 0, 0, *shape), native_bitmap(polygon, shape))


@given(st.lists(polygons(), min_size=1, max_size=3), SIDES)
def test_boxes_hold_all_pixels(parts, shape):
    drawn = shape_of(*parts)
    complete = pixels_of(drawn, 0, 0, 0, *shape)
    top, left, below, right = boxes_of(drawn, *shape)[0]
    assert complete[top:below, left:right].sum() == complete.sum()


def test_pixels_beyond_2_to_the_31_are_drawn():
    polygon = [99_990.2, 99_980.4, 99_999, 99_980.4, 99_995, 99_999]
    near = [number - 99_970 for number in (99_990.2, 99_980.4, 99_999, 99_980.4, 99_995, 99_999)]
    found = pixels_of(shape_of(polygon), 0, 99_970, 99_970, 100_000, 100_000)
    np.testing.assert_array_equal(found, native_bitmap([round(5 * number) / 5 for number in near], (30, 30)))


@pytest.mark.parametrize("boxes", [[[0, 0, 0, 0]], [[0, 0, 7, 7], [6, 6, 7, 7]]])
def test_every_shape_is_in_the_blocks_that_it_meets(boxes):
    starts, items = by_block(np.array(boxes, np.int32), 3, 3, 3)
    for block in range(9):
        y, x = 3 * (block // 3), 3 * (block % 3)
        meets = [
            number
            for number, (top, left, below, right) in enumerate(boxes)
            if max(top, y) < min(below, y + 3) and max(left, x) < min(right, x + 3)
        ]
        assert items[starts[block] : starts[block + 1]].tolist() == meets
