from typing import NamedTuple

import numpy as np
import pytest
from helpers.strategies import HAND_MADE, SEEDS, SHAPES, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import targets as oracles
from scipy.ndimage import generate_binary_structure, label

from segprep.errors import InputError, OptionError
from segprep.kernels.boundaries import near_others
from segprep.masks.instances import InstanceRule, components, load_mask, separated, split_instances
from segprep.masks.mask import InstanceMask

DISTANCES = st.integers(1, 4) | st.just(50)
EIGHT = np.ones((3, 3))
FOUR = generate_binary_structure(2, 1)


def mask_of(planes, classes=None, **known):
    """Mask whose instances all have class 1, if not told."""
    planes = np.array(planes, np.int32)
    classes = np.arange(planes.max() + 1) > 0 if classes is None else classes
    return InstanceMask(planes, np.array(classes, np.int32), **known)


class Ref(NamedTuple):
    """Reference to a mask that is here already."""

    mask: InstanceMask
    key: str = "a"

    def load(self):
        return self.mask


def numbers_of(planes):
    return set(np.unique(planes[planes > 0]).tolist())


def discs(*centres, shape=(24, 40), radius=8):
    """Bitmap of discs."""
    y, x = np.indices(shape)
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in centres], axis=0)


@unhurried
@given(masks(), DISTANCES)
def test_near_others_is_what_is_found_pixel_by_pixel(mask, distance):
    near = near_others(mask.planes, distance)
    np.testing.assert_array_equal(near, oracles.near_others(mask.planes, min(distance, 20)))


@unhurried
@given(masks(), DISTANCES)
def test_separated_is_what_is_found_pixel_by_pixel(mask, distance):
    expected = oracles.separated(mask.planes, min(distance, 20))
    np.testing.assert_array_equal(separated(mask, distance).planes, expected)


@unhurried
@given(masks(), DISTANCES)
def test_no_instance_vanishes_or_gains_a_pixel(mask, distance):
    planes = separated(mask, distance).planes
    assert numbers_of(planes) == numbers_of(mask.planes)
    assert ((planes == mask.planes) | (planes == 0)).all()


def test_a_quarter_of_a_million_instances_that_would_vanish_are_kept_in_one_pass():
    squares = np.arange(1, 512**2 + 1).reshape(512, 512).repeat(2, axis=0).repeat(2, axis=1)  # one by one: minutes
    planes = separated(mask_of(squares[np.newaxis]), 1).planes
    assert len(np.unique(planes)) == 1 + 512**2  # the background is beside the squares at the image's edge
    np.testing.assert_array_equal(planes[0, 2:-2, 2:-2], squares[2:-2, 2:-2])


@unhurried
@given(masks(), st.integers(1, 4))
def test_separated_instances_are_apart_unless_they_would_have_vanished(mask, distance):
    near = oracles.near_others(mask.planes, distance)
    surviving = numbers_of(np.where(near, 0, mask.planes))
    planes = separated(mask, distance).planes
    for number in surviving:
        own = np.argwhere((planes == number).any(axis=0))
        other = np.argwhere(((planes > 0) & (planes != number)).any(axis=0))
        assert np.abs(own[:, None] - other[None]).max(axis=2).min(initial=99) > distance


@pytest.mark.parametrize(
    ("labels", "how", "expected"),
    [
        ([1, 1, 1, 2, 2, 2], 0, [1, 1, 1, 2, 2, 2]),
        ([1, 1, 1, 2, 2, 2], 1, [1, 1, 0, 0, 2, 2]),
        ([1, 1, 1, 2, 2, 2], 2, [1, 0, 0, 0, 0, 2]),
        ([1, 1, 1, 2, 2, 2], 3, [1, 0, 0, 0, 0, 2]),
        ([1, 1, 1, 0, 2, 2], 1, [1, 1, 1, 0, 2, 2]),
        ([1, 1, 1, 0, 2, 2], 2, [1, 1, 0, 0, 0, 2]),
        ([1, 1, 2, 3, 3, 3], 1, [1, 0, 2, 0, 3, 3]),
        ([1, 2, 3, 0, 0, 0], 1, [1, 2, 3, 0, 0, 0]),
        ([0, 1, 1, 1, 1, 2], 4, [0, 0, 1, 1, 0, 2]),
        ([1, 1, 1, 1, 0, 0], 3, [1, 1, 1, 1, 0, 0]),
        ([1, 1, 1, 2, 2, 2], "falk2019", [1, 1, 1, 0, 2, 2]),
        ([1, 2, 3, 3, 0, 1], "falk2019", [1, 0, 0, 3, 0, 1]),
        ([1, 1, 0, 2, 2, 2], "falk2019", [1, 1, 0, 2, 2, 2]),
    ],
)
def test_instances_of_six_pixels_are_separated_as_by_hand(labels, how, expected):
    for turned in (np.array([[labels]]), np.array([[labels]]).swapaxes(1, 2)):
        assert separated(mask_of(turned), how).planes.ravel().tolist() == expected


def test_instances_of_different_classes_are_separated_except_by_falk2019():
    mask = mask_of([[[1, 1, 2, 2]]], [0, 1, 2])
    assert separated(mask, 1).labels.tolist() == [[1, 0, 0, 2]]
    assert separated(mask, "falk2019").labels.tolist() == [[1, 1, 2, 2]]


@unhurried
@given(masks())
def test_falks_rule_is_what_is_found_pixel_by_pixel(mask):
    expected = oracles.falk_planes(mask.planes, mask.classes)
    np.testing.assert_array_equal(separated(mask, "falk2019").planes, expected)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[1, 0, 0], [0, 2, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([[0, 1, 0], [0, 2, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ([[0, 0, 1], [0, 2, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        ([[0, 0, 0], [1, 2, 0], [0, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
        ([[0, 0, 0], [0, 2, 1], [0, 0, 0]], [[0, 0, 0], [0, 2, 0], [0, 0, 0]]),
        ([[1, 0, 2], [0, 0, 0], [1, 0, 2]], [[1, 0, 2], [0, 0, 0], [1, 0, 2]]),
    ],
)
def test_falks_rule_looks_at_the_four_pixels_before(labels, expected):
    assert separated(mask_of([labels]), "falk2019").labels.tolist() == expected


@unhurried
@given(masks(), DISTANCES | st.sampled_from([0, "falk2019"]))
def test_separation_leaves_everything_else_as_it_is(mask, how):
    before = mask.planes.copy()
    after = separated(mask, how)
    assert after.ignore is mask.ignore
    assert after.problems is mask.problems
    assert after.overlap == mask.overlap
    np.testing.assert_array_equal(after.classes, mask.classes)
    np.testing.assert_array_equal(mask.planes, before)


@unhurried
@given(masks(), st.integers(1, 4), st.sampled_from([np.s_[..., ::-1], np.s_[..., ::-1, :]]))
def test_separation_follows_flips_and_transposition(mask, distance, flip):
    def apart(planes):
        return separated(InstanceMask(planes, mask.classes), distance).planes

    np.testing.assert_array_equal(apart(mask.planes[flip]), apart(mask.planes)[flip])
    np.testing.assert_array_equal(apart(mask.planes.swapaxes(1, 2)), apart(mask.planes).swapaxes(1, 2))


def test_a_tiny_instance_within_a_large_one_keeps_its_innermost_pixels():
    nested = HAND_MADE["nested"]
    shown = separated(nested, 1)
    assert np.argwhere(shown.planes == 2).tolist() == [[1, 6, 6]]
    np.testing.assert_array_equal(shown.planes[0], np.where(np.pad(np.ones((5, 5), bool), 4), 0, nested.planes[0]))


def by_class(mask, structure):
    """Connected parts of each class within each plane, as sets of pixels with their classes."""
    parts = set()
    for k, plane in enumerate(mask.planes):
        for code in set(mask.classes[1:].tolist()):
            labels, count = label((mask.classes[plane] == code) & (plane > 0), structure)
            parts |= {(k, code, frozenset(map(tuple, np.argwhere(labels == n).tolist()))) for n in range(1, count + 1)}
    return parts


def instances_of(mask):
    """Instances as sets of pixels with their classes."""
    return {
        (k, int(mask.classes[n]), frozenset(map(tuple, np.argwhere(plane == n).tolist())))
        for k, plane in enumerate(mask.planes)
        for n in numbers_of(plane)
    }


@unhurried
@given(st.tuples(SHAPES, SEEDS, st.floats(0, 1)), st.sampled_from([4, 8]))
def test_components_are_numbered_as_scipy_does(noise, connectivity):
    shape, seed, density = noise
    region = np.random.default_rng(seed).random(shape) < density
    expected, number = label(region, EIGHT if connectivity == 8 else FOUR)
    labels, found = components(region, connectivity)
    assert (found, labels.dtype) == (number, np.int32)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("density", [0.05, 0.4, 0.6, 0.95])
def test_components_of_a_large_image_are_numbered_as_scipy_does(density, connectivity):
    region = np.random.default_rng(0).random((1500, 1100)) < density
    expected, number = label(region, EIGHT if connectivity == 8 else FOUR)
    labels, found = components(region, connectivity)
    assert found == number
    np.testing.assert_array_equal(labels, expected)


@unhurried
@given(masks(), st.sampled_from([4, 8]))
def test_components_are_the_connected_parts_of_each_class(mask, connectivity):
    found = split_instances(mask, "components", connectivity=connectivity)
    assert instances_of(found) == by_class(mask, EIGHT if connectivity == 8 else FOUR)
    assert numbers_of(found.planes) == set(range(1, len(found.classes)))


@unhurried
@given(masks(), st.sampled_from([4, 8]), st.integers(1, 6))
def test_watershed_covers_every_pixel_once_and_cuts_no_instance_into_parts(mask, connectivity, min_distance):
    structure = EIGHT if connectivity == 8 else FOUR
    found = split_instances(mask, "watershed", connectivity=connectivity, min_distance=min_distance)
    np.testing.assert_array_equal(mask.classes[mask.planes], found.classes[found.planes])
    np.testing.assert_array_equal(mask.planes > 0, found.planes > 0)
    assert numbers_of(found.planes) == set(range(1, len(found.classes)))
    for plane in found.planes:
        assert all(label(plane == number, structure)[1] == 1 for number in numbers_of(plane))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2), (2, 7), (3, 7), (9, 9)])
def test_watershed_keeps_a_region_that_fills_the_image(shape):
    found = split_instances(mask_of([np.ones(shape, int)]), "watershed", min_distance=9)
    assert numbers_of(found.planes) == {1}
    assert (found.planes > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (2, 7)])
def test_watershed_keeps_a_thin_region(shape):
    found = split_instances(mask_of([np.pad(np.ones(shape, int), 2)]), "watershed", min_distance=9)
    np.testing.assert_array_equal(found.labels, np.pad(np.ones(shape, int), 2))


def test_watershed_parts_two_discs_that_overlap_and_components_do_not():
    both = mask_of([discs((12, 12), (12, 25))], [0, 4])
    assert instances_of(split_instances(both, "components")) == instances_of(both)
    found = split_instances(both, "watershed", min_distance=4)
    assert found.classes.tolist() == [0, 4, 4]
    assert len({found.labels[12, 12], found.labels[12, 25]}) == 2
    areas = np.bincount(found.labels.ravel())[1:]
    assert abs(int(areas[0]) - int(areas[1])) <= 0.05 * areas.sum()


def test_watershed_does_not_cut_a_disc_at_the_edge_of_the_image():
    for centre in [(12, 12), (0, 20), (0, 0), (23, 39)]:
        found = split_instances(mask_of([discs(centre)]), "watershed")
        assert found.classes.tolist() == [0, 1], centre


def test_min_distance_bounds_how_close_centres_may_be():
    both = mask_of([discs((12, 12), (12, 25))])
    counts = [len(split_instances(both, "watershed", min_distance=d).classes) - 1 for d in (4, 30)]
    assert counts == [2, 1]


def test_classes_that_touch_are_never_joined():
    mask = mask_of([[[1, 1, 2, 2, 0, 1]]], [0, 5, 3])
    found = split_instances(mask, "components")
    assert instances_of(found) == by_class(mask, EIGHT)
    assert sorted(found.classes[1:].tolist()) == [3, 5, 5]


def test_connectivity_decides_if_corners_connect():
    diagonal = mask_of([[[1, 0], [0, 1]]])
    counts = {c: len(split_instances(diagonal, "components", connectivity=c).classes) - 1 for c in (4, 8)}
    assert counts == {4: 2, 8: 1}


@unhurried
@given(masks())
def test_as_is_changes_nothing(mask):
    assert split_instances(mask, "as-is") is mask


@unhurried
@given(SHAPES, st.sampled_from(["components", "watershed"]))
def test_a_mask_without_instances_stays_without(shape, how):
    found = split_instances(mask_of([np.zeros(shape, int)]), how)
    assert (found.classes.tolist(), found.planes.any()) == ([0], False)


@pytest.mark.parametrize(
    ("overlap", "labels"),
    [("smallest", [3, 3, 1, 2]), ("last", [3, 3, 2, 2]), ("first", [1, 1, 1, 2])],
)
def test_overlap_decides_which_instance_is_in_front(overlap, labels):
    mask = mask_of([[[1, 1, 1, 0]], [[2, 2, 2, 2]], [[3, 3, 0, 0]]])
    assert InstanceRule(overlap=overlap).find_instances(mask, "a").labels.tolist() == [labels]


def test_of_equal_instances_the_last_is_in_front_if_the_smallest_shall_be():
    mask = mask_of([[[1, 1]], [[2, 2]]])
    assert InstanceRule().find_instances(mask, "a").labels.tolist() == [[2, 2]]


@unhurried
@given(masks(), st.sampled_from(["first", "last"]))
def test_the_first_or_last_instance_of_each_pixel_is_in_front(mask, overlap):
    pick = np.max if overlap == "last" else np.min
    some = np.where(mask.planes > 0, mask.planes, 0 if overlap == "last" else 2**31 - 1)
    expected = np.where((mask.planes > 0).any(axis=0), pick(some, axis=0), 0)
    np.testing.assert_array_equal(InstanceRule(overlap=overlap).find_instances(mask, "a").labels, expected)


@unhurried
@given(masks())
def test_overlap_error_refuses_masks_whose_instances_overlap_and_no_others(mask):
    count = int(np.count_nonzero(np.count_nonzero(mask.planes, axis=0) > 1))
    rule = InstanceRule(overlap="error")
    if count:
        with pytest.raises(InputError, match=rf"^a/b: instances overlap in {count} pixels; use overlap='smallest'"):
            rule.find_instances(mask, "a/b")
    else:
        np.testing.assert_array_equal(rule.find_instances(mask, "a/b").labels, mask.labels)


@unhurried
@given(masks(), st.sampled_from([0, 1, 3, "falk2019"]))
def test_rule_finds_instances_first_and_then_separates_what_is_shown(mask, separate):
    rule = InstanceRule(instances_from="components", separate=separate)
    complete, shown = load_mask(Ref(mask), rule)
    assert instances_of(complete) == by_class(mask, EIGHT)
    np.testing.assert_array_equal(shown.planes, separated(complete, separate).planes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instances_from": "guess"}, "instances_from='guess': choose one of auto, as-is, components, watershed"),
        ({"connectivity": 6}, "connectivity=6: choose one of 4, 8"),
        ({"overlap": "largest"}, "overlap='largest': choose one of smallest, last, first, error"),
        ({"min_distance": 0}, "min_distance=0: must be from 1 to 10000"),
        ({"separate": -1}, "separate=-1: must be"),
        ({"separate": "falk"}, "separate='falk': must be"),
        ({"separate": 1.5}, "separate=1.5: must be"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        InstanceRule(**options)


@pytest.mark.parametrize(("half_height", "half_width"), [(10, 30), (10, 40), (8, 50), (15, 20)])
@pytest.mark.parametrize("turn", [0, 0.3, 0.7])
def test_watershed_does_not_cut_a_shape_without_a_neck(half_height, half_width, turn):
    y, x = np.indices((120, 120)) - 60
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    ellipse = (along / half_width) ** 2 + (across / half_height) ** 2 <= 1
    assert numbers_of(split_instances(mask_of([ellipse.astype(int)]), "watershed").planes) == {1}


@pytest.mark.parametrize("shape", [(10, 30), (5, 60), (1, 20), (30, 10)])
def test_watershed_does_not_cut_a_bar(shape):
    bar = np.pad(np.ones(shape, int), 3)
    assert numbers_of(split_instances(mask_of([bar]), "watershed").planes) == {1}


def test_components_of_stuff_are_instances_of_its_class():
    stuff = np.array([[3, 3, 0, 3, 4]], np.int32)
    found = split_instances(
        InstanceMask(np.zeros((1, 1, 5), np.int32), np.zeros(1, np.int32), stuff=stuff), "components"
    )
    assert found.planes.tolist() == [[[1, 1, 0, 2, 3]]]
    assert found.classes.tolist() == [0, 3, 3, 4]
    assert found.stuff is None
    assert found.class_map.tolist() == stuff.tolist()
