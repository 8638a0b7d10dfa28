import numpy as np
import pytest
from faster_coco_eval.mask_api_new_cpp import encode, toUncompressedRLE
from hypothesis import given
from strategies import bitmaps

from segprep.readers._rle import BadRegionError, listed_runs, runs_piece, string_runs


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


def full(piece, shape):
    """Bitmap of the whole image."""
    image = np.zeros(shape, bool)
    image[piece.y : piece.y + piece.pixels.shape[0], piece.x : piece.x + piece.pixels.shape[1]] = piece.pixels
    return image


@given(bitmaps())
def test_what_is_encoded_pixel_by_pixel_is_decoded_again(bitmap):
    piece = runs_piece(np.array(runs_of(bitmap)), bitmap.shape)
    np.testing.assert_array_equal(full(piece, bitmap.shape), bitmap)
    assert piece.pixels.any(axis=0)[[0, -1]].all()
    assert piece.pixels.any(axis=1)[[0, -1]].all()


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
        runs_piece(np.array(runs, np.int64), (2, 3))


@pytest.mark.parametrize("counts", [[-1], [2**31], [10**30]])
def test_numbers_that_no_run_can_have_are_refused(counts):
    with pytest.raises(BadRegionError, match="do not fit"):
        listed_runs(counts)


@pytest.mark.parametrize("runs", [[6], [6, 0], [0, 0, 6], [2, 0, 4]])
def test_runs_without_a_pixel_are_refused(runs):
    with pytest.raises(BadRegionError, match="no pixel"):
        runs_piece(np.array(runs), (2, 3))


def test_runs_go_down_the_columns():
    piece = runs_piece(np.array([1, 2, 3]), (2, 3))
    assert (piece.y, piece.x) == (0, 0)
    np.testing.assert_array_equal(piece.pixels, [[False, True], [True, False]])
