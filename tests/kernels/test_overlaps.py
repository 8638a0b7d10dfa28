"""Pixels that labels share, against a count of every pair."""

from collections import Counter

import numpy as np
import pytest
from helpers.strategies import label_images, unhurried
from hypothesis import given
from hypothesis import strategies as st

from segprep.kernels.overlaps import label_overlaps


@unhurried
@given(label_images(), st.integers(0, 2**32 - 1))
def test_pairs_are_those_of_a_count_of_all_pixels(labels, seed):
    first = np.maximum(labels, 0)
    second = np.random.default_rng(seed).permutation(first.ravel()).reshape(first.shape)
    pairs = label_overlaps(first, second, (int(first.max()), int(second.max())))
    counted = Counter(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    counted.pop((0, 0), None)
    assert {(one, other): pixels for one, other, pixels in pairs.tolist()} == counted
    assert len(pairs) == len(counted)
    assert (np.diff(pairs[:, 0]) >= 0).all()


@pytest.mark.parametrize(
    ("first", "second"), [([[1, 3]], [[1, 1]]), ([[1, -1]], [[1, 1]]), ([[1, 1]], [[1, 1], [1, 1]])]
)
def test_labels_beyond_the_counts_and_other_sizes_are_refused(first, second):
    with pytest.raises(ValueError, match="labels"):
        label_overlaps(np.array(first, np.int32), np.array(second, np.int32), (2, 2))
