"""Pairing of predictions and truth."""

import pytest

from segprep import InputError
from segprep.runs.pairing import paired


@pytest.mark.parametrize(
    ("predictions", "truth", "expected"),
    [
        (["b.png", "a.png"], ["a.png", "b.png"], [1, 0]),
        (["a.tif"], ["a.png", "b.png"], [0, None]),
        (["a"], ["a.png"], [0]),
        (["a.png"], ["a"], [0]),
        (["a.b.png"], ["a.b", "a.c"], [0, None]),
        (["a.png", "a.jpg"], ["a.jpg", "a.png"], [1, 0]),
        (["found/a.tif"], ["labels/a.png", "labels/b.png"], [0, None]),
        (["x/1.png", "y/1.png"], ["x/1.tif", "y/1.tif"], [0, 1]),
        ([], ["a"], [None]),
    ],
)
def test_keys_pair_exactly_then_without_suffix_then_without_folders(predictions, truth, expected):
    assert paired(predictions, truth, "found") == expected


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        (["c.png"], ["a.png"], r"found: no truth for the predictions 'c.png'; name each as its mask \('a.png'\)"),
        (["a.png"], ["a.b", "a.c"], "found: prediction 'a.png' may be that of several masks"),
        (["p/1.png"], ["x/1.png", "y/1.png"], r"'p/1.png' may be that of several masks \(x/1.png, y/1.png\)"),
        (["a.png", "a.tif"], ["a.jpg"], "predictions 'a.png' and 'a.tif' are both of 'a.jpg'; remove one"),
    ],
)
def test_what_does_not_pair_is_refused(predictions, truth, message):
    with pytest.raises(InputError, match=message):
        paired(predictions, truth, "found")
