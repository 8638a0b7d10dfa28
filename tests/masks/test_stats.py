import numpy as np
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import unet as oracles

from segprep.masks.classes import class_table
from segprep.masks.instances import separated
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.rle import NO_RUNS, runs_bitmap
from segprep.masks.stats import Counts, class_pixels, mask_stats, total

PLANES = np.array(
    [
        [[1, 1, 1, 0, 4], [1, 1, 1, 0, 4], [0, 0, 0, 0, 0], [2, 0, 0, 2, 0]],
        [[0, 0, 3, 3, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    ],
    np.int32,
)
IGNORE = np.array([[0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
MASK = InstanceMask(PLANES, np.array([0, 1, 1, 3, 3], np.int32), IGNORE, (Problem("empty polygon", "a.json: 7"),))

FIVE = class_table([(None, name) for name in "abcd"])


def test_counts_of_a_small_mask_are_as_counted_by_hand():
    stats = mask_stats(MASK, 5)
    assert stats.shape == (4, 5)
    assert stats.class_pixels.tolist() == [8, 7, 0, 2, 0]  # 3 of the 20 are ignored
    assert stats.class_instances.tolist() == [0, 2, 0, 2, 0]
    assert (stats.ignored, stats.hidden) == (3, 1)
    assert stats.problems == MASK.problems


def test_instances_of_a_small_mask_are_as_found_by_hand():
    rows = mask_stats(MASK, 5).instances
    assert rows.dtype.names == ("number", "class", "area", "y", "x", "height", "width", "plane")
    assert rows.tolist() == [
        (1, 1, 6, 0, 0, 2, 3, 0),
        (2, 1, 2, 3, 0, 1, 4, 0),
        (3, 3, 2, 0, 2, 1, 2, 1),
        (4, 3, 2, 0, 4, 2, 1, 0),
    ]


@unhurried
@given(masks())
def test_pixels_of_the_classes_are_those_seen_where_there_is_truth(mask):
    pixels = class_pixels(mask, 7)
    assert pixels.dtype == np.int64
    assert pixels.tolist() == oracles.visible_pixels(mask.planes, mask.classes, mask.ignore, 7)


@unhurried
@given(masks())
def test_every_pixel_is_of_a_class_or_ignored(mask):
    stats = mask_stats(mask, 6)
    assert stats.class_pixels.sum() + stats.ignored == mask.labels.size


@unhurried
@given(masks())
def test_hidden_pixels_are_those_of_instances_that_do_not_show(mask):
    front = oracles.front(mask.planes)
    hidden = sum(np.count_nonzero((plane > 0) & (plane != front)) for plane in mask.planes)
    assert mask_stats(mask, 6).hidden == hidden


@unhurried
@given(masks())
def test_every_instance_has_its_row(mask):
    rows = mask_stats(mask, 6).instances
    assert len(rows) == len(mask.classes) - 1
    for row in rows:
        plane, y, x = np.nonzero(mask.planes == row["number"])
        box = (y.min(), x.min(), np.ptp(y) + 1, np.ptp(x) + 1)
        assert (row["y"], row["x"], row["height"], row["width"]) == box
        assert set(plane) == {row["plane"]}
        assert (row["area"], row["class"]) == (len(y), mask.classes[row["number"]])


def test_mask_without_instances_is_all_background():
    stats = mask_stats(InstanceMask(np.zeros((1, 2, 3), np.int32), np.zeros(1, np.int32)), 2)
    assert stats.class_pixels.tolist() == [6, 0]
    assert stats.class_instances.tolist() == [0, 0]
    assert (len(stats.instances), stats.ignored, stats.hidden) == (0, 0, 0)


def test_total_adds_up_classes_and_the_images_in_which_they_occur():
    empty = InstanceMask(np.zeros((1, 2, 3), np.int32), np.zeros(1, np.int32))
    full = InstanceMask(np.array([[[1, 1], [2, 3]]], np.int32), np.array([0, 3, 3, 3], np.int32))
    counts = total([mask_stats(mask, 5) for mask in (MASK, empty, full)], FIVE)
    assert counts.pixels.tolist() == [14, 7, 0, 6, 0]
    assert counts.instances.tolist() == [0, 2, 0, 5, 0]
    assert counts.images.tolist() == [2, 1, 0, 2, 0]
    assert counts.image_pixels.tolist() == [17 + 6, 17, 0, 17 + 4, 0]
    assert counts.most_instances == 4


def test_counts_do_not_overflow():
    counts = Counts.of_images(np.full((1000, 2), 10**10), np.full((1000, 2), 10**6))
    assert counts.pixels.tolist() == [10**13] * 2
    assert counts.images.tolist() == [1000] * 2
    assert counts.image_pixels.tolist() == [2 * 10**13] * 2
    assert counts.instances.tolist() == [10**9] * 2
    assert counts.most_instances == 2 * 10**6


def runs_of(stats):
    """Runs of each instance."""
    return stats.runs or (NO_RUNS,) * len(stats.instances)


def rebuilt(stats, labels, number):
    """Bitmap of an instance, as a reader of the store has it: from its row, its runs, and the labels where it has none."""
    row, runs = stats.instances[number - 1], runs_of(stats)[number - 1]
    window = np.s_[row["y"] : row["y"] + row["height"], row["x"] : row["x"] + row["width"]]
    whole = np.zeros(stats.shape, bool)
    whole[window] = runs_bitmap(runs, (row["height"], row["width"])) if runs.size else labels[window] == number
    return whole


@unhurried
@given(masks(), st.sampled_from([0, 1, 2, "falk2019"]))
def test_every_instance_is_rebuilt_from_its_runs_or_its_labels(mask, separate):
    shown = separated(mask, separate)
    stats = mask_stats(mask, 6, shown)
    assert len(runs_of(stats)) == len(stats.instances)
    for number in range(1, len(mask.classes)):
        whole = (mask.planes == number).any(axis=0)
        np.testing.assert_array_equal(rebuilt(stats, shown.labels, number), whole)


@unhurried
@given(masks(), st.sampled_from([0, 1, "falk2019"]))
def test_only_partly_hidden_instances_have_runs(mask, separate):
    shown = separated(mask, separate)
    stats = mask_stats(mask, 6, shown)
    for number, runs in enumerate(runs_of(stats), start=1):
        visible = np.count_nonzero(shown.labels == number)
        assert (runs.size > 0) == (visible < mask.areas[number])


def test_runs_of_a_hidden_instance_are_as_counted_by_hand():
    stats = mask_stats(MASK, 5)
    assert [runs.tolist() for runs in stats.runs] == [[0, 6], [], [], []]  # 3 hides a pixel of 1


@unhurried
@given(masks(), st.sampled_from([1, "falk2019"]))
def test_pixels_count_what_is_visible_and_instances_the_full_mask(mask, separate):
    shown = separated(mask, separate)
    whole, stats = mask_stats(mask, 6), mask_stats(mask, 6, shown)
    np.testing.assert_array_equal(stats.instances, whole.instances)
    np.testing.assert_array_equal(stats.class_instances, whole.class_instances)
    assert (stats.hidden, stats.ignored) == (whole.hidden, whole.ignored)
    assert stats.class_pixels.tolist() == oracles.visible_pixels(shown.planes, mask.classes, mask.ignore, 6)
    assert stats.filled == (shown.labels > 0).all()


@unhurried
@given(masks(), st.sampled_from(["smallest", "last", "first"]))
def test_every_instance_is_rebuilt_whichever_is_in_front(mask, overlap):
    ordered = InstanceMask(mask.planes, mask.classes, overlap=overlap)
    stats = mask_stats(ordered, 6)
    for number in range(1, len(mask.classes)):
        whole = (mask.planes == number).any(axis=0)
        np.testing.assert_array_equal(rebuilt(stats, ordered.labels, number), whole)


def test_total_of_no_masks_is_nothing_for_every_class():
    counts = total([], FIVE)
    assert counts.names == ("background", "a", "b", "c", "d")
    for column in (counts.pixels, counts.instances, counts.images, counts.image_pixels):
        assert column.tolist() == [0] * 5
    assert counts.most_instances == 0
