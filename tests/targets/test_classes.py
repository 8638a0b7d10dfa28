import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from oracles import unet as oracles

from segprep.errors import InputError
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts
from segprep.targets.classes import Classes
from segprep.targets.target import pad_of


def fitted(n_classes):
    """Target for a data set with this number of classes."""
    return Classes().fit(Counts.of_pixels([1]), Counts.of_pixels([1] * n_classes))


@unhurried
@given(masks())
def test_shows_the_class_in_front_and_255_where_there_is_no_truth(mask):
    codes = Classes().compute(mask)
    expected = mask.classes[oracles.front(mask.planes)]
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, expected if mask.ignore is None else np.where(mask.ignore, 255, expected))


@pytest.mark.parametrize(
    ("n_classes", "dtype", "ignore"),
    [(1, "uint8", 255), (255, "uint8", 255), (256, "uint16", 65_535), (300, "uint16", 65_535)],
)
def test_type_holds_every_code_below_its_maximum(n_classes, dtype, ignore):
    target = fitted(n_classes)
    assert (target.dtype, target.fill, pad_of(target)) == (dtype, ignore, ignore)
    planes = np.array([[[0, 1, 1]]], np.int32)
    unknown = np.array([[False, False, True]])
    codes = target.compute(InstanceMask(planes, np.array([0, n_classes - 1], np.int32), unknown))
    assert codes.dtype == dtype
    assert codes.tolist() == [[0, n_classes - 1, ignore]]
    assert n_classes - 1 < ignore


def test_more_classes_than_any_type_can_hold_are_refused():
    counts = Counts.of_pixels([1] * 65_535)
    assert Classes().fit(counts, counts).dtype == "uint16"
    counts = Counts.of_pixels([1] * 65_536)
    with pytest.raises(
        InputError, match="65,536 classes are more than 65,535; if the values are instances, use instances_from='as-is'"
    ):
        Classes().fit(counts, counts)
