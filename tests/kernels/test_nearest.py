import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import unet as oracles
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from segprep.kernels.boxes import _boxes
from segprep.kernels.nearest import BEYOND, nearest_two, nearest_two_squared

REACHES = st.integers(0, 31) | st.sampled_from([0, 1, 2, 100])
NUMBERS = st.integers(1, 2**31 - 1)


def squared_within(nearest, reach):
    """What the kernel should return; float64 decides d1 + d2 <= reach rightly, as only whole numbers can be equal."""
    return np.where(nearest.sum(axis=0) <= reach, np.rint(nearest**2), BEYOND)


def scattered(shape, count, seed=0):
    """Planes of `count` instances, each of one to three pixels anywhere."""
    rng = np.random.default_rng(seed)
    planes = np.zeros((1, *shape), np.int32)
    places = rng.choice(planes.size, 2 * count, replace=False)
    planes.flat[places] = np.append(rng.permutation(count), rng.integers(count, size=count)) + 1
    return planes


def one_pixel_instances(shape, count, first=1):
    """Planes of `count` instances of one pixel, and d1 and d2 of their pixels."""
    rng = np.random.default_rng(0)
    planes = np.zeros((1, *shape), np.int32)
    planes.flat[rng.choice(planes.size, count, replace=False)] = rng.permutation(count) + first
    grid = np.stack(np.indices(shape), axis=-1)
    distances, _ = KDTree(grid[planes[0] > 0]).query(grid, k=2, workers=2)
    return planes, np.moveaxis(distances, -1, 0)


@unhurried
@given(masks(), REACHES)
def test_is_exact_within_reach_and_beyond_elsewhere(mask, reach):
    expected = squared_within(oracles.nearest_two(mask.planes), reach)
    np.testing.assert_array_equal(nearest_two_squared(mask.planes, reach=reach), expected)


@pytest.mark.parametrize("count", [2, 12, 90])
@pytest.mark.parametrize("width", [255, 256, 257, 511, 513])
def test_is_exact_across_blocks_of_columns(width, count):
    planes = scattered((4, width), count)
    expected = squared_within(oracles.nearest_two(planes), 31)
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=31), expected)


@pytest.mark.parametrize("count", [2, 12, 90])
@pytest.mark.parametrize("height", [255, 256, 257, 600])
def test_is_exact_across_bands_of_rows(height, count):
    planes = scattered((height, 4), count)
    expected = squared_within(oracles.nearest_two(planes), 31)
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=31), expected)


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("reach", [5, 16, 31])
@pytest.mark.parametrize("seed", range(4))
def test_is_exact_around_groups_of_instances_with_much_background_between(seed, reach, overlapping):
    rng = np.random.default_rng(seed)
    planes = np.zeros((2, 300, 410), np.int32)
    number = 0
    for top, left in zip(rng.integers(0, 270, 4), rng.integers(0, 370, 4), strict=True):
        for _ in range(rng.integers(1, 4)):
            number += 1
            y, x = top + rng.integers(0, 25), left + rng.integers(0, 25)
            planes[number % 2 if overlapping else 0, y : y + 6, x : x + 9] = number
    expected = squared_within(oracles.nearest_two(planes), reach)
    assert (expected < BEYOND).any()
    assert (expected < BEYOND).mean() < 0.3
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=reach), expected)
    flipped = nearest_two_squared(planes[:, ::-1, ::-1], reach=reach)
    np.testing.assert_array_equal(flipped, expected[:, ::-1, ::-1])


def test_boxes_are_those_that_straight_cuts_leave():
    tiles = np.zeros((9, 12), bool)
    tiles[1, 1:3] = tiles[4:7, 8] = tiles[4, 9] = tiles[7, 2] = True
    covered = np.zeros_like(tiles)
    for top, left, below, right in _boxes(tiles):
        assert tiles[top:below, left:right].any(axis=1).all()
        assert not covered[top:below, left:right].any()
        covered[top:below, left:right] = True
    assert covered[tiles].all()


@pytest.mark.parametrize("reach", [1, 31, 64])
@pytest.mark.parametrize("first", [255, 256, 511, 512])
def test_sees_exactly_reach_far_into_the_next_band_or_block(first, reach):
    for place in (first - reach, first + reach):
        planes = np.zeros((1, 1, 600), np.int32)
        planes[0, 0, [first, place]] = 1, 2
        expected = squared_within(oracles.nearest_two(planes), reach)
        assert expected[1, 0, first] == reach**2
        np.testing.assert_array_equal(nearest_two_squared(planes, reach=reach), expected)
        np.testing.assert_array_equal(nearest_two_squared(planes.swapaxes(1, 2), reach=reach), expected.swapaxes(1, 2))


@pytest.mark.parametrize(
    ("shape", "reach", "count"),
    [((130, 300), 400, 2), ((130, 300), 400, 6), ((700, 40), 400, 5), ((900, 12), 100, 9), ((60, 60), 5000, 3)],
)
def test_is_exact_with_a_large_reach(shape, reach, count):
    planes = scattered(shape, count)
    expected = squared_within(oracles.nearest_two(planes), reach)
    assert (expected < BEYOND).any()
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=reach), expected)


@pytest.mark.parametrize("reach", [127, 128, 145, 170, 181])
@pytest.mark.parametrize("width", [1, 10, 64, 99])
def test_is_exact_in_an_image_narrower_than_its_reach(width, reach):
    planes = np.zeros((1, 400, width), np.int32)
    planes[0, [100, 230], [0, width - 1]] = 1, 2
    expected = squared_within(oracles.nearest_two(planes), reach)
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=reach), expected)
    np.testing.assert_array_equal(nearest_two_squared(planes.swapaxes(1, 2), reach=reach), expected.swapaxes(1, 2))


def test_is_exact_in_a_long_column_of_a_pixel():
    planes = np.zeros((1, 23_000, 1), np.int32)
    planes[0, [0, 22_999], 0] = 1, 2
    rows = np.arange(23_000, dtype=np.float32)
    expected = np.sort([rows, rows[::-1]], axis=0)
    np.testing.assert_array_equal(nearest_two(planes)[:, :, 0], expected)


def test_is_exact_at_the_limit_of_a_reach_of_thousands():
    planes = np.zeros((1, 3_003, 4), np.int32)
    planes[0, [0, 1], 2] = 1, 2
    expected = squared_within(oracles.nearest_two(planes), 6_001)
    assert (expected.max(axis=0) == BEYOND).any()
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=6_001), expected)


@pytest.mark.parametrize("gap", range(9))
@pytest.mark.parametrize("reach", range(10))
def test_reach_bounds_the_sum_of_both_distances(gap, reach):
    planes = np.array([[[1, *[0] * gap, 2]]], np.int32)
    within = (nearest_two_squared(planes, reach=reach) < BEYOND).all()
    assert within == (gap + 1 <= reach)


def test_fewer_than_two_instances_leave_everything_beyond():
    one = np.zeros((1, 5, 6), np.int32)
    assert (nearest_two_squared(one, reach=31) == BEYOND).all()
    one[0, 2:4, 1:3] = 1
    assert (nearest_two_squared(one, reach=31) == BEYOND).all()
    assert (nearest_two_squared(np.ones_like(one), reach=31) == BEYOND).all()


def test_parts_of_one_instance_do_not_compete():
    planes = np.array([[[1, 0, 1, 0, 0, 2]]], np.int32)
    assert nearest_two_squared(planes, reach=9)[:, 0].tolist() == [[0, 1, 0, 1, 1, 0], [25, 16, 9, 4, 4, 9]]


def test_both_distances_are_0_where_instances_overlap():
    planes = np.array([[[1, 1, 0]], [[0, 2, 2]]], np.int32)
    assert nearest_two_squared(planes, reach=9)[:, 0].tolist() == [[0, 0, 0], [1, 0, 1]]


@unhurried
@given(masks(), REACHES, st.data())
def test_does_not_depend_on_instance_numbers(mask, reach, data):
    count = len(mask.classes) - 1
    numbers = data.draw(st.permutations(range(1, count + 1)) | st.lists(NUMBERS, min_size=count, unique=True))
    renumbered = np.array([0, *numbers], np.int32)[mask.planes]
    np.testing.assert_array_equal(
        nearest_two_squared(renumbered, reach=reach), nearest_two_squared(mask.planes, reach=reach)
    )


@pytest.mark.parametrize(
    "numbers",
    [
        [2**20 - 3, 2**20 - 2, 2**20 - 1],
        [2**20 - 1, 2**20, 2**20 + 1],
        [1, 2**20 + 1, 2**21 + 1],
        [2**20, 2**21, 2**22],
        [1, 2**16 + 1, 2**31 - 1],
        *([1, 2, 2**bits] for bits in range(8, 31)),
    ],
)
@pytest.mark.parametrize("reach", [2, 31, 400])
def test_distinguishes_large_instance_numbers(numbers, reach):
    planes = scattered((20, 30), 3)
    renumbered = np.array([0, *numbers], np.int32)[planes]
    expected = squared_within(oracles.nearest_two(planes), reach)
    np.testing.assert_array_equal(nearest_two_squared(renumbered, reach=reach), expected)


@pytest.mark.parametrize(
    ("shape", "count", "first"),
    [((300, 400), 70_000, 1), ((300, 400), 70_000, 2**20 - 35_000), ((1100, 1100), 1_100_000, 1)],
)
def test_is_exact_with_very_many_instances(shape, count, first):
    planes, nearest = one_pixel_instances(shape, count, first)
    np.testing.assert_array_equal(nearest_two_squared(planes, reach=31), squared_within(nearest, 31))


@unhurried
@given(masks(), REACHES, st.sampled_from([np.s_[:, ::-1], np.s_[:, :, ::-1], np.s_[:, ::-1, ::-1]]))
def test_follows_flips(mask, reach, flip):
    flipped = nearest_two_squared(mask.planes[flip], reach=reach)
    np.testing.assert_array_equal(flipped, nearest_two_squared(mask.planes, reach=reach)[flip])


@unhurried
@given(masks(), REACHES)
def test_follows_transposition(mask, reach):
    turned = nearest_two_squared(mask.planes.swapaxes(1, 2), reach=reach)
    np.testing.assert_array_equal(turned, nearest_two_squared(mask.planes, reach=reach).swapaxes(1, 2))


@unhurried
@given(masks(), REACHES, st.tuples(*[st.integers(0, 40)] * 4))
def test_does_not_depend_on_background_around_the_image(mask, reach, margins):
    top, bottom, left, right = margins
    padded = np.pad(mask.planes, ((0, 0), (top, bottom), (left, right)))
    height, width = mask.shape
    inner = nearest_two_squared(padded, reach=reach)[:, top : top + height, left : left + width]
    np.testing.assert_array_equal(inner, nearest_two_squared(mask.planes, reach=reach))


@unhurried
@given(masks(), REACHES)
def test_does_not_depend_on_an_empty_plane(mask, reach):
    more = np.insert(mask.planes, 0, 0, axis=0)
    np.testing.assert_array_equal(nearest_two_squared(more, reach=reach), nearest_two_squared(mask.planes, reach=reach))


@unhurried
@given(masks(), st.integers(0, 8), st.data())
def test_tiles_with_a_halo_of_reach_agree_with_the_full_image(mask, reach, data):
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True))) for side in mask.shape
    )
    y, x = max(0, top - reach), max(0, left - reach)
    tile = mask.planes[:, y : bottom + reach, x : right + reach]
    inner = nearest_two_squared(tile, reach=reach)[:, top - y : bottom - y, left - x : right - x]
    np.testing.assert_array_equal(inner, nearest_two_squared(mask.planes, reach=reach)[:, top:bottom, left:right])


def test_tiles_of_a_large_image_agree_with_the_full_image():
    planes = scattered((600, 600), 900)
    whole = nearest_two_squared(planes, reach=31)
    for top, left in np.ndindex(3, 3):
        y, x = max(0, 200 * top - 31), max(0, 200 * left - 31)
        tile = nearest_two_squared(planes[:, y : 200 * top + 231, x : 200 * left + 231], reach=31)
        inner = tile[:, 200 * top - y :, 200 * left - x :][:, :200, :200]
        np.testing.assert_array_equal(inner, whole[:, 200 * top : 200 * top + 200, 200 * left : 200 * left + 200])


@unhurried
@given(masks(), st.integers(1, 12))
def test_windowed_oracle_equals_the_literal_one_within_reach(mask, reach):
    literal = oracles.nearest_two(mask.planes)
    expected = np.where(literal <= reach, literal, np.inf)
    np.testing.assert_array_equal(oracles.nearest_two_within(mask.planes, reach), expected)


@unhurried
@given(masks())
def test_distances_are_those_of_one_transform_for_each_instance_at_any_range(mask):
    numbers = np.unique(mask.planes[mask.planes > 0])
    distances = [distance_transform_edt(~(mask.planes == number).any(axis=0)) for number in numbers]
    nothing = np.full(mask.shape, np.inf)
    expected = np.sort([*distances, nothing, nothing], axis=0)[:2]
    found = nearest_two(mask.planes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_distances_have_no_limit():
    labels = np.zeros((600, 700), np.int32)
    labels[0, 0], labels[-1, -1] = 1, 2
    np.testing.assert_allclose(nearest_two(labels)[:, 0, 0], [0, np.hypot(599, 699)], rtol=1e-6)
