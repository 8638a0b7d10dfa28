from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import OptionError
from segprep.store.layout import CHUNK_PIXELS, SHARD_PIXELS, Bucket, Layout, round_up

SIDES = st.integers(1, 40) | st.integers(1, 20_000)
SIZES = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=60)
CANVASES = st.tuples(SIDES, SIDES)


@pytest.mark.parametrize(
    ("side", "rounded"),
    [
        *((side, side) for side in range(1, 9)),
        (9, 10),
        (11, 12),
        (13, 14),
        (15, 16),
        (17, 20),
        (21, 24),
        (255, 256),
        (256, 256),
        (257, 320),
        (360, 384),
        (520, 640),
        (603, 640),
        (696, 768),
        (1024, 1024),
        (1025, 1280),
        (1272, 1280),
        (20_000, 20_480),
    ],
)
def test_side_rounds_up_to_four_steps_an_octave(side, rounded):
    assert round_up(side) == rounded


@given(st.integers(9, 2**20))
def test_rounded_side_is_the_next_step(side):
    steps = [k << e for e in range(20) for k in (4, 5, 6, 7)]
    assert round_up(side) == min(step for step in steps if step >= side)


@given(st.integers(8, 2**40))
def test_rounding_adds_less_than_a_quarter(side):
    assert side <= round_up(side) < 1.25 * side


@given(SIZES)
def test_every_mask_has_one_row_of_a_canvas_that_holds_it(sizes):
    buckets = Layout.fit(sizes).buckets
    assert sorted(mask for bucket in buckets for mask in bucket.masks) == list(range(len(sizes)))
    for bucket in buckets:
        for mask in bucket.masks:
            height, width = sizes[mask]
            assert bucket.canvas == (round_up(height), round_up(width))
            assert bucket.canvas[0] >= height
            assert bucket.canvas[1] >= width


@given(SIZES)
def test_buckets_differ_and_keep_the_order_of_the_masks(sizes):
    buckets = Layout.fit(sizes).buckets
    canvases = [bucket.canvas for bucket in buckets]
    assert canvases == sorted(set(canvases))
    assert all(list(bucket.masks) == sorted(bucket.masks) for bucket in buckets)
    assert len({bucket.name for bucket in buckets}) == len(buckets)


@given(SIZES, st.integers(0, 500), st.integers(0, 500))
def test_one_canvas_for_all_takes_every_mask_in_order(sizes, more_height, more_width):
    canvas = (max(height for height, _ in sizes) + more_height, max(width for _, width in sizes) + more_width)
    assert Layout.fit(sizes, canvas=canvas).buckets == (Bucket(canvas, tuple(range(len(sizes)))),)


@pytest.mark.parametrize("canvas", [(9, 20), (10, 19), (5, 500)])
def test_canvas_that_a_mask_does_not_fit_is_refused(canvas):
    with pytest.raises(OptionError, match=r"too small for the masks; use at least canvas=\(10, 20\)"):
        Layout.fit([(10, 3), (4, 20)], canvas=canvas)


@pytest.mark.parametrize(
    ("canvas", "rows", "chunk", "shard_shape"),
    [
        ((256, 256), 18, (256, 256), (18, 256, 256)),
        ((256, 256), 128, (256, 256), (128, 256, 256)),
        ((256, 256), 1000, (256, 256), (128, 256, 256)),
        ((640, 768), 8, (640, 768), (8, 640, 768)),
        ((640, 768), 100, (640, 768), (17, 640, 768)),
        ((1024, 1024), 9, (1024, 1024), (8, 1024, 1024)),
        ((1024, 1025), 9, (512, 512), (5, 1024, 1536)),
        ((1280, 2560), 3, (512, 512), (2, 1536, 2560)),
        ((4096, 4096), 2, (512, 512), (1, 4096, 4096)),
        ((1, 2_000_000), 1, (1, 512), (1, 1, 2_000_384)),
        ((1, 1), 3, (1, 1), (3, 1, 1)),
    ],
)
def test_chunks_and_shards_have_the_sizes_calculated_by_hand(canvas, rows, chunk, shard_shape):
    bucket = Bucket(canvas, tuple(range(rows)))
    assert (bucket.chunk, bucket.shard_shape) == (chunk, shard_shape)


@given(CANVASES, st.integers(1, 5000))
def test_shards_are_complete_chunks_that_cover_the_canvas(canvas, rows):
    bucket = Bucket(canvas, tuple(range(rows)))
    depth, *sides = bucket.shard_shape
    assert 1 <= depth <= rows
    assert prod(bucket.chunk) <= CHUNK_PIXELS
    for side, part, whole in zip(sides, bucket.chunk, canvas, strict=True):
        assert side % part == 0
        assert whole <= side < whole + part


@given(CANVASES, st.integers(1, 5000))
def test_shard_holds_about_as_many_pixels_as_it_may_or_one_row(canvas, rows):
    shape = Bucket(canvas, tuple(range(rows))).shard_shape
    assert prod(shape) <= SHARD_PIXELS or shape[0] == 1
    assert shape[0] == rows or prod(shape) + shape[1] * shape[2] > SHARD_PIXELS


@given(SIZES, st.integers(1, 40))
def test_shards_hold_every_row_once_and_all_but_the_last_are_full(sizes, copies):
    layout = Layout.fit(sizes * copies)
    shards = list(layout.shards())
    for index, bucket in enumerate(layout.buckets):
        own = [shard for shard in shards if shard.bucket == index]
        assert [shard.number for shard in own] == list(range(len(own)))
        assert tuple(mask for shard in own for mask in shard.masks) == bucket.masks
        assert {len(shard.masks) for shard in own[:-1]} <= {bucket.shard_shape[0]}
        assert 1 <= len(own[-1].masks) <= bucket.shard_shape[0]
    assert [shard.bucket for shard in shards] == sorted(shard.bucket for shard in shards)
