import numpy as np
import pytest
from faster_coco_eval.mask_api_new_cpp import encode, toUncompressedRLE
from helpers.strategies import bitmaps, unhurried
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segprep.masks.rle import (
    NO_RUNS,
    BadRegionError,
    bitmap_runs,
    listed_runs,
    runs_bitmap,
    runs_crop,
    runs_string,
    string_runs,
    union,
)

ANY_BITMAPS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))
RUNS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30)


def runs_of(bitmap):
    """Runs of a bitmap, counted pixel by pixel."""
    runs, value = [0], False
    for pixel in bitmap.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def string_of(runs):
    """Compressed string, as in COCO's maskApi.c."""
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group = number & 0x1F
            number >>= 5
            more = number != (-1 if group & 0x10 else 0)
            text += chr(group + (0x20 if more else 0) + ord("0"))
    return text


def full(crop, shape):
    """Bitmap of the whole image."""
    image = np.zeros(shape, bool)
    image[crop.y : crop.y + crop.pixels.shape[0], crop.x : crop.x + crop.pixels.shape[1]] = crop.pixels
    return image


@given(bitmaps())
def test_what_is_encoded_pixel_by_pixel_is_decoded_again(bitmap):
    crop = runs_crop(np.array(runs_of(bitmap)), bitmap.shape)
    np.testing.assert_array_equal(full(crop, bitmap.shape), bitmap)
    assert crop.pixels.any(axis=0)[[0, -1]].all()
    assert crop.pixels.any(axis=1)[[0, -1]].all()


@given(bitmaps(), st.lists(st.randoms(use_true_random=False), min_size=1, max_size=4))
def test_the_union_of_runs_has_the_pixels_of_all(bitmap, randoms):
    parts = [
        bitmap & np.array([random.random() < 0.5 for _ in bitmap.flat], bool).reshape(bitmap.shape)
        for random in randoms
    ]
    runs = union([np.array(runs_of(part)) for part in parts])
    np.testing.assert_array_equal(runs_bitmap(runs, bitmap.shape), np.any(parts, axis=0))


@given(bitmaps())
def test_strings_of_the_native_encoder_are_decoded(bitmap):
    (native,) = encode(np.asfortranarray(bitmap[..., np.newaxis].astype(np.uint8)))
    runs = string_runs(native["counts"].decode())
    assert runs.tolist() == toUncompressedRLE([native])[0]["counts"] == runs_of(bitmap)


@pytest.mark.parametrize(
    "runs",
    [
        [0, 1],
        [5],
        [1, 2, 3, 4, 5],
        [2**28, 0, 2**28],
        [1000, 1, 1, 900, 70000, 2, 3],
        [0, 0, 0, 6],
        [31, 32, 15, 16, 17],
    ],
)
def test_strings_of_any_runs_are_decoded(runs):
    assert string_runs(string_of(runs)).tolist() == runs


@pytest.mark.parametrize("text", ["", "P", "5 3", "5\x00", "né", "\ud800", "P" * 9 + "0", "o" * 100_000])
def test_a_string_that_is_no_code_is_refused(text):
    with pytest.raises(BadRegionError, match="cannot be decoded"):
        string_runs(text)


@pytest.mark.parametrize(
    "runs",
    [[], [5], [7], [3, 4], [-1, 7], [7, -1], [2**31 - 1, 6], [3, 2**62, 2**62, 2**62, 2**62, 3]],
)
def test_runs_that_do_not_fill_the_image_are_refused(runs):
    with pytest.raises(BadRegionError, match="do not fit"):
        runs_crop(np.array(runs, np.int64), (2, 3))


@pytest.mark.parametrize("counts", [[-1], [2**31], [10**30]])
def test_numbers_that_no_run_can_have_are_refused(counts):
    with pytest.raises(BadRegionError, match="do not fit"):
        listed_runs(counts)


@pytest.mark.parametrize("runs", [[6], [6, 0], [0, 0, 6], [2, 0, 4]])
def test_runs_without_a_pixel_are_refused(runs):
    with pytest.raises(BadRegionError, match="no pixel"):
        runs_crop(np.array(runs), (2, 3))


def test_runs_go_down_the_columns():
    crop = runs_crop(np.array([1, 2, 3]), (2, 3))
    assert (crop.y, crop.x) == (0, 0)
    np.testing.assert_array_equal(crop.pixels, [[False, True], [True, False]])


@given(ANY_BITMAPS)
def test_runs_of_a_bitmap_are_those_counted_pixel_by_pixel(bitmap):
    runs = bitmap_runs(bitmap)
    assert runs.dtype == np.int64
    assert runs.tolist() == runs_of(bitmap)


@given(ANY_BITMAPS)
def test_a_bitmap_comes_back_from_its_runs(bitmap):
    restored = runs_bitmap(bitmap_runs(bitmap), bitmap.shape)
    assert restored.dtype == np.bool_
    np.testing.assert_array_equal(restored, bitmap)


@given(RUNS)
def test_runs_come_back_from_their_string(runs):
    text = runs_string(np.array(runs, np.int64))
    assert text == string_of(runs)
    assert string_runs(text).tolist() == runs


@given(bitmaps())
def test_a_bitmap_comes_back_from_its_string(bitmap):
    restored = runs_bitmap(string_runs(runs_string(bitmap_runs(bitmap))), bitmap.shape)
    np.testing.assert_array_equal(restored, bitmap)


@unhurried
@given(ANY_BITMAPS)
def test_strings_are_those_of_the_native_encoder(bitmap):
    (native,) = encode(np.asfortranarray(bitmap[..., np.newaxis].astype(np.uint8)))
    assert runs_string(bitmap_runs(bitmap)) == native["counts"].decode()


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (700, 900)])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 1])
def test_strings_of_large_bitmaps_are_those_of_the_native_encoder(shape, share):
    bitmap = np.random.default_rng(0).random(shape) < share
    (native,) = encode(np.asfortranarray(bitmap[..., np.newaxis].astype(np.uint8)))
    assert runs_string(bitmap_runs(bitmap)) == native["counts"].decode()


@pytest.mark.parametrize(
    ("rows", "runs"),
    [
        (["..", ".."], [4]),
        (["##", "##"], [0, 4]),
        ([".#", "#."], [1, 2, 1]),
        (["#.", ".."], [0, 1, 3]),
        ([".#."], [1, 1, 1]),
        (["."], [1]),
    ],
)
def test_runs_of_a_few_pixels_are_as_counted_by_hand(rows, runs):
    assert bitmap_runs(np.array([[pixel == "#" for pixel in row] for row in rows])).tolist() == runs


def test_encoding_changes_nothing_it_is_given():
    runs = np.array([5, 2, 3, 4, 9])
    runs_string(runs)
    assert runs.tolist() == [5, 2, 3, 4, 9]


def test_no_runs_are_no_string_and_no_pixels():
    assert runs_string(NO_RUNS) == ""
    assert runs_bitmap(NO_RUNS, (0, 0)).shape == (0, 0)
    assert bitmap_runs(np.zeros((0, 4), bool)).tolist() == [0]
