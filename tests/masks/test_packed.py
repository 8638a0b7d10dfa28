"""Masks that are kept in memory come back as they were read."""

from dataclasses import dataclass, replace

import numpy as np
from helpers.strategies import masks
from hypothesis import given

from segprep.masks.mask import InstanceMask, Problem, SourceValues
from segprep.masks.packed import packed
from segprep.masks.stats import mask_digest


@dataclass(frozen=True)
class Ref:
    key: str = "a/b.png"
    split: str = "val"


@given(masks())
def test_a_packed_mask_is_the_same_mask(mask):
    stuff = np.where(mask.labels > 0, 0, 7).astype(np.int32)
    mask = replace(mask, stuff=stuff, overlap="last", problems=(Problem("empty", "a"),))
    ref = packed(Ref(), mask)
    again = ref.load()
    assert (ref.key, ref.split) == ("a/b.png", "val")
    assert (again.problems, again.overlap, mask_digest(again)) == (mask.problems, "last", mask_digest(mask))
    for name in ("planes", "classes", "stuff"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mask, name), strict=True)
    assert (again.ignore is None) == (mask.ignore is None)
    assert mask.ignore is None or (again.ignore == mask.ignore).all()


def test_the_values_of_a_label_image_are_kept():
    source = SourceValues(1, (255,), (255,), 0, True)
    mask = InstanceMask(np.array([[[0, 1]]], np.int32), np.array([0, 1], np.int32), source=source)
    assert packed(Ref(), mask).load().source == source


def test_a_mask_is_kept_in_a_few_kilobytes():
    planes = np.zeros((1, 500, 600), np.int32)
    planes[0, 100:200, 100:300] = 1
    assert packed(Ref(), InstanceMask(planes, np.array([0, 1], np.int32))).size < 1000
