"""Annotated regions of one mask, against sets of pixels."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import InputError, OptionError
from segprep.masks.mask import InstanceMask, mask_problem
from segprep.masks.regions import OUTSIDE, RegionRef, RegionRule, chosen, labelled, split_off, within

HEIGHT, WIDTH = 5, 6
PIXELS = [(y, x) for y in range(HEIGHT) for x in range(WIDTH)]
REGIONS = st.sets(st.sampled_from(PIXELS))


def image_of(pixels):
    """Image that is true at these pixels."""
    image = np.zeros((HEIGHT, WIDTH), bool)
    for place in pixels:
        image[place] = True
    return image


def pixels_of(image):
    """Pixels at which an image is true."""
    return {(y, x) for y, x in PIXELS if image[y, x]}


@st.composite
def masks(draw):
    """Mask of up to five overlapping instances of three classes, one plane each, and pixels and class of each."""
    instances = draw(st.lists(st.tuples(st.sets(st.sampled_from(PIXELS), min_size=1), st.integers(1, 3)), max_size=5))
    planes = [number * image_of(pixels) for number, (pixels, _) in enumerate(instances, 1)]
    ignore = draw(st.none() | REGIONS)
    stuff = draw(st.none() | st.dictionaries(st.sampled_from(PIXELS), st.integers(1, 3), min_size=1))
    of_stuff = None if stuff is None else np.zeros((HEIGHT, WIDTH), np.int32)
    for place, code in (stuff or {}).items():
        of_stuff[place] = code
    mask = InstanceMask(
        np.stack(planes or [np.zeros((HEIGHT, WIDTH))]).astype(np.int32),
        np.array([0, *(code for _, code in instances)], np.int32),
        None if ignore is None else image_of(ignore),
        stuff=of_stuff,
    )
    return mask, instances


def instances_of(mask):
    """Pixels and class of each instance, by its number."""
    assert mask_problem(mask) is None
    numbers = range(1, len(mask.classes))
    return [(pixels_of((mask.planes == number).any(axis=0)), mask.classes[number]) for number in numbers]


@given(masks(), REGIONS)
def test_instances_with_a_pixel_in_the_region_stay_complete(made, region):
    mask, instances = made
    part = within(mask, image_of(region))
    assert instances_of(part) == [item for item in instances if item[0] & region]
    outside = [pixels for pixels, _ in instances if not pixels & region]
    corners = [f"y={min(y for y, _ in pixels)}, x={min(x for _, x in pixels)}" for pixels in outside]
    assert [(item.kind, item.where, item.left_out) for item in part.problems] == [(OUTSIDE, at, True) for at in corners]
    ignored = {place for place in PIXELS if place not in region or (mask.ignore is not None and mask.ignore[place])}
    assert pixels_of(np.zeros((HEIGHT, WIDTH)) if part.ignore is None else part.ignore) == ignored


@given(masks(), st.integers(1, 3))
def test_the_class_of_the_regions_is_taken_out_of_the_mask(made, code):
    mask, instances = made
    rest, region = split_off(mask, code)
    fewer = [(pixels, other - (other > code)) for pixels, other in instances if other != code]
    assert instances_of(rest) == fewer
    of_stuff = set() if mask.stuff is None else pixels_of(mask.stuff == code)
    expected = set().union(of_stuff, *(pixels for pixels, other in instances if other == code))
    if of_stuff:  # instances lie on it, and hide it
        expected = pixels_of(labelled(InstanceMask(mask.planes, mask.classes, stuff=mask.stuff)))
    assert pixels_of(region) == expected
    if mask.stuff is not None:
        left = np.where(mask.stuff == code, 0, mask.stuff - (mask.stuff > code))
        np.testing.assert_array_equal(np.zeros((HEIGHT, WIDTH)) if rest.stuff is None else rest.stuff, left)
    assert (rest.ignore is None) == (mask.ignore is None)


@given(masks())
def test_all_labelled_pixels_of_a_flat_mask_are_annotated(made):
    mask, _ = made
    assert pixels_of(split_off(mask, 2, is_flat=True).region) == pixels_of(
        labelled(InstanceMask(mask.planes, mask.classes, stuff=mask.stuff))
    )


def test_all_instances_need_no_copy():
    mask = InstanceMask(np.array([[[1, 2]]], np.int32), np.array([0, 1, 1], np.int32))
    assert chosen(mask, np.array([False, True, True])) is mask


@dataclass(frozen=True)
class Ref:
    """Mask of two instances, which is small enough to be loaded."""

    key: str = "a"
    split: str | None = "val"
    image: str | None = "a.jpg"

    def load(self):
        return InstanceMask(np.array([[[1, 0, 2]]], np.int32), np.array([0, 1, 2], np.int32))

    def slide(self):
        return None


def test_a_ref_has_the_attributes_of_its_source_and_can_be_pickled():
    ref = pickle.loads(pickle.dumps(RegionRef(Ref(), RegionRule("roi", code=2), 3)))  # noqa: S301
    assert (ref.key, ref.split, ref.image) == ("a", "val", "a.jpg")
    assert ref.slide() is None
    assert not hasattr(ref, "file")
    mask = ref.load()
    assert (mask.planes.tolist(), mask.ignore.tolist()) == ([[[0, 0, 0]]], [[True, True, False]])


def test_a_mask_without_a_region_is_refused():
    ref = RegionRef(Ref(), RegionRule("regions", "error"), 3, region=None)
    with pytest.raises(InputError, match=r"a: has no annotated region \(no mask of this name in regions\); draw one"):
        ref.load()


def test_a_rule_is_checked():
    with pytest.raises(OptionError, match="must be the name of a class, or a path"):
        RegionRule(" ")
    with pytest.raises(OptionError, match="choose one of error, ignored, annotated"):
        RegionRule("roi", "none")
