from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from helpers.strategies import HAND_MADE, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import TargetError
from segprep.masks.classes import class_table
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import mask_stats, total
from segprep.masks.tiles import TileRef, Tiling, tile_stats
from segprep.targets import Border, Boundaries, Classes, Distance, Labels, Weights
from segprep.targets.parts import Loader
from segprep.targets.target import fit, reach_of

TARGETS = [
    Labels(),
    Classes(),
    Boundaries(),
    Boundaries(3),
    Border(dtype="float32"),
    Border(sigma=1.5, border_on="all", dtype="float32"),
    Border(w0=2, sigma=1, border_between="same-class", dtype="float32"),
    Border(single_instance="d1", dtype="float32"),
    Weights(class_weights="inverse", sigma=2, dtype="float32"),
    Weights(class_weights="per-image", sigma=1, dtype="float32"),
    Weights(class_weights="deshpande2018", border_on="all", single_instance="d1", dtype="float32"),
    Weights(class_weights="falk2019", w0=50, sigma=6, border_between="same-class", dtype="float32"),
    *(
        Distance(per, clip, dtype="float32")
        for per in ("foreground", "class", "instance")
        for clip in (None, 0.5, 1, 2.5, 6)
    ),
]
CLASSES = class_table((None, name) for name in "abcde")


@dataclass(frozen=True)
class Ref:
    """A mask in memory."""

    mask: InstanceMask
    key: str = "a"
    split: str | None = None

    def load(self):
        return self.mask


def tiles_of(mask, tiling):
    return [TileRef(Ref(mask), window, mask.shape) for window in tiling.windows(mask.shape, "a")]


def fitted(target, mask):
    counts = total([mask_stats(mask, len(CLASSES))], CLASSES)
    return fit(target, counts, counts)


def assert_equal_to_crops(mask, tiling, rule, targets=TARGETS):
    """Every tile of every target is the part of the target of the complete mask, with other numbers of instances."""
    loader, whole = Loader(rule, len(CLASSES)), Loader(rule, len(CLASSES)).load(Ref(mask))
    own = mask_stats(whole.complete, len(CLASSES), whole.shown)
    stats = tile_stats(whole.complete, whole.shown, tiling, "a", own)
    bound = [fitted(target, whole.complete) for target in targets]
    for ref, of_tile in zip(tiles_of(mask, tiling), stats, strict=True):
        tile = loader.load(ref)
        assert tile.digest == of_tile.digest
        for target in bound:
            expected, found = whole.array(target)[..., *ref.window.part], tile.array(target)
            if isinstance(target, Labels):
                found = np.append(0, np.frombuffer(of_tile.source_numbers, np.int64))[found]
            np.testing.assert_array_equal(found, expected, err_msg=f"{target} {ref.window}")


SIDES = st.integers(1, 9)


@given(masks(), st.tuples(SIDES, SIDES), st.integers(0, 8), st.sampled_from([0, 1, "falk2019"]), st.data())
@unhurried
def test_every_target_of_a_tile_is_the_part_of_that_of_the_complete_mask(mask, tile, overlap, separate, data):
    tiling = Tiling(tile, min(overlap, min(tile) - 1))
    targets = data.draw(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3))
    assert_equal_to_crops(mask, tiling, InstanceRule(separate=separate), targets)


@pytest.mark.parametrize("overlap", ["smallest", "last", "first"])
@pytest.mark.parametrize("name", HAND_MADE)
def test_is_equal_for_masks_made_by_hand_by_every_rule_of_overlap(name, overlap):
    assert_equal_to_crops(HAND_MADE[name], Tiling((9, 10), 3), InstanceRule(overlap=overlap, separate=1))


@given(masks())
@unhurried
def test_statistics_of_tiles_without_overlap_sum_to_those_of_the_mask(mask):
    rule = InstanceRule(separate=1)
    whole = Loader(rule).load(Ref(mask))
    stats = mask_stats(whole.complete, len(CLASSES), whole.shown)
    tiles = tile_stats(whole.complete, whole.shown, Tiling((5, 4)), "a", stats)

    areas = np.zeros(len(mask.classes), np.int64)
    for tile in tiles:
        areas[np.frombuffer(tile.source_numbers, np.int64)] += tile.instances["area"]
    assert areas[1:].tolist() == stats.instances["area"].tolist()
    assert sum(tile.class_pixels for tile in tiles).tolist() == stats.class_pixels.tolist()
    assert sum(tile.ignored for tile in tiles) == stats.ignored
    assert sum(tile.hidden for tile in tiles) == stats.hidden


@dataclass(frozen=True)
class Sum:
    """Number of the instances' pixels within `radius` of each pixel, or in the complete mask."""

    reach: Any = None
    name: ClassVar[str] = "sum"
    dtype: ClassVar[str] = "int64"
    fill: ClassVar[float] = -1

    def compute(self, mask):
        is_inside = np.pad(mask.labels > 0, radius := 20 if self.reach is None else self.reach)
        windows = np.lib.stride_tricks.sliding_window_view(is_inside, (2 * radius + 1, 2 * radius + 1))
        return windows.sum(axis=(2, 3))


@given(masks(), st.sampled_from([None, 0, 2]))
@unhurried
def test_targets_of_users_are_exact_with_and_without_a_reach(mask, reach):
    assert_equal_to_crops(mask, Tiling((4, 4)), InstanceRule(), [Sum(reach)])


def test_refuses_a_reach_that_is_no_number_of_pixels():
    with pytest.raises(TargetError, match=r"target 'sum': reach=1.5: must be a number of pixels"):
        reach_of(Sum(1.5))
