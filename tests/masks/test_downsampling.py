"""Masks at a lower resolution."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles.downsampling import downsampled_slowly

from segprep.errors import OptionError
from segprep.masks.downsampling import VANISHED, Downsampling, downsampled
from segprep.masks.instances import InstanceRule, load_mask, with_instances
from segprep.masks.mask import InstanceMask, mask_problem
from segprep.targets import Border, Boundaries, Distance, Weights
from segprep.targets.target import computed

FACTORS = st.integers(2, 7) | st.just(100)
BY = st.sampled_from(["majority", "nearest"])


@st.composite
def masks_with_stuff(draw):
    """Masks of which some have stuff."""
    mask = draw(masks())
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    if draw(st.booleans()):
        stuff = np.where(mask.labels > 0, 0, rng.integers(0, 3, mask.shape)).astype(np.int32)
        mask = replace(mask, stuff=stuff)
    return mask


def assert_equal(found, expected):
    for name in ("planes", "classes", "ignore", "stuff"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.dtype == other.dtype, name
            np.testing.assert_array_equal(one, other, err_msg=name)
    assert (found.overlap, found.source) == (expected.overlap, expected.source)


@unhurried
@given(masks_with_stuff(), FACTORS, BY)
def test_equals_the_definition_block_by_block(mask, factor, by):
    found = downsampled(mask, Downsampling(factor, by))
    expected, left = downsampled_slowly(mask, factor, by)
    assert_equal(found, expected)
    assert mask_problem(found) is None
    problems = [problem for problem in found.problems if problem.kind == VANISHED]
    lost = len(mask.classes) - len(left)
    assert [problem.where.partition(" of ")[0] for problem in problems] == [str(lost)] * (lost > 0)


@unhurried
@given(masks_with_stuff(), st.integers(2, 4), BY, st.sampled_from(["as-is", "components"]), st.sampled_from([0, 1]))
def test_targets_are_those_of_a_mask_that_was_downsampled_before(mask, factor, by, origin, separate):
    expected, _ = downsampled_slowly(mask, factor, by)
    rule = InstanceRule(instances_from=origin, separate=separate)
    _, shown = with_instances(mask, replace(rule, downsampling=Downsampling(factor, by)), "a")
    _, of_small = with_instances(expected, rule, "a")
    for target in (Weights(class_weights="per-image"), Border(), Boundaries(), Distance()):
        np.testing.assert_array_equal(computed(target, shown, "a"), computed(target, of_small, "a"))


def mask_of(*rows, classes=None):
    labels = np.array([rows], np.int32)
    return InstanceMask(
        labels, np.minimum(np.arange(labels.max() + 1), 1).astype(np.int32) if classes is None else classes
    )


def test_an_instance_that_vanishes_is_named_with_its_area_and_place():
    mask = mask_of([0, 0, 0, 2, 2, 2], [0, 1, 0, 2, 2, 2], [1, 0, 0, 2, 2, 3])
    found = downsampled(mask, Downsampling(3))
    assert found.planes.tolist() == [[[0, 1]]]
    (problem,) = found.problems
    assert problem == (VANISHED, "2 of 3: 1 (2 pixels at y=1, x=0), 3 (1 pixel at y=2, x=5)", True)


def test_only_the_first_of_many_instances_that_vanish_are_named():
    labels = np.zeros((1, 4, 400), np.int32)
    labels[0, 0, ::4] = np.arange(1, 101)
    mask = InstanceMask(labels, np.ones(101, np.int32) * (np.arange(101) > 0).astype(np.int32))
    found = downsampled(mask, Downsampling(4))
    assert len(found.classes) == 1
    (problem,) = found.problems
    assert problem.where.startswith("100 of 100: 1 (1 pixel at y=0, x=0), 2 (1 pixel at y=0, x=4)")
    assert problem.where.endswith("20 (1 pixel at y=0, x=76), and 80 more")


def test_components_that_vanish_are_named_though_their_class_remains():
    mask = mask_of([1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1])
    rule = InstanceRule(instances_from="components", downsampling=Downsampling(2))
    complete = rule.find_instances(mask, "a")
    assert complete.planes.tolist() == [[[1, 0, 0]]]
    assert [problem.where for problem in complete.problems] == ["1 of 2: 2 (1 pixel at y=1, x=5)"]
    assert downsampled(mask, Downsampling(2)).problems == ()


def test_ignored_pixels_do_not_count_beside_ground_truth():
    ignore = np.zeros((3, 3), bool)
    ignore[:, 0] = ignore[0, 1] = True
    mask = replace(mask_of([0, 0, 1], [0, 1, 0], [0, 1, 0]), ignore=ignore)
    found = downsampled(mask, Downsampling(3))
    assert (found.planes.tolist(), found.ignore) == ([[[1]]], None)
    ignore = ignore.copy()
    ignore[0, 2] = True
    assert downsampled(replace(mask, ignore=ignore), Downsampling(3)).ignore.tolist() == [[True]]


def test_a_mask_is_downsampled_when_it_is_loaded():
    class Ref:
        key, split = "a", None

        def load(self):
            return mask_of([1, 1, 2, 2], [1, 1, 2, 2])

    rule = InstanceRule(separate=0, downsampling=Downsampling(2))
    assert load_mask(Ref(), rule)[0].planes.tolist() == [[[1, 2]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((1,), "downsample=1: must be from 2 to 32767, or left out"),
        ((0,), "downsample=0: must be"),
        ((2.5,), "downsample=2.5: must be an integer or None"),
        ((2, "mean"), "downsample_by='mean'"),
        ((None, "nearest"), "downsample_by='nearest': has no effect without downsample"),
    ],
)
def test_refuses_other_settings(settings, message):
    with pytest.raises(OptionError, match=message):
        Downsampling(*settings)
