import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from segprep.report.choice import chosen_masks
from segprep.report.gaps import by_gap, median_gap


@given(st.integers(0, 2**32 - 1))
def test_the_median_gap_is_that_of_all_pairs_of_pixels(seed):
    random = np.random.default_rng(seed)
    labels = np.where(random.random((9, 11)) < 0.2, random.integers(0, 5, (9, 11)), 0)
    pixels = [np.argwhere(labels == number) for number in np.unique(labels[labels > 0])]
    nearest = [
        min(cdist(own, other).min() for other in pixels if other is not own) for own in pixels if len(pixels) > 1
    ]
    assert median_gap(labels) == pytest.approx(np.median(nearest) if nearest else np.inf)


def squares(gap, count, side=60):
    """Mask of squares in a row."""
    labels = np.zeros((12, side), np.uint16)
    for number in range(count):
        start = number * (4 + gap)
        labels[4:8, start : start + 4] = number + 1
    return labels


def test_the_masks_with_the_smallest_gaps_come_first_and_those_without_gaps_never():
    masks = [squares(9, 3), squares(1, 3), squares(0, 1), squares(4, 3), squares(1, 5), squares(0, 0)]
    instances = np.array([int(mask.max()) for mask in masks])
    pixels = np.array([mask.size for mask in masks])
    assert by_gap(instances, pixels, masks.__getitem__) == [4, 1, 3, 0]


def test_few_masks_of_many_are_read_and_none_if_all_are_too_large():
    read = []

    def labels(index):
        read.append(index)
        return squares(2, 2)

    instances = np.full(10_000, 2)
    assert len(by_gap(instances, np.full(10_000, 720), labels)) == len(read) == 48
    assert by_gap(instances, np.full(10_000, 2**27), labels) == []
    assert len(read) == 48


def test_masks_with_small_gaps_are_chosen_besides_the_crowded_ones():
    chosen = chosen_masks(np.arange(100), set(), 8, close=[99, 5, 6])
    assert list(chosen.values())[:3] == ["most instances", "most instances", "smallest gaps"]
    assert [index for index, reason in chosen.items() if reason == "smallest gaps"] == [5]
