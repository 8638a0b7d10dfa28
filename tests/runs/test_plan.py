from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from segprep.errors import OptionError
from segprep.masks.classes import class_table
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.masks.stats import INSTANCE_ROW, MaskStats, class_counts, mask_stats
from segprep.readers import MaskSet, find
from segprep.runs.plan import plan
from segprep.runs.scan import Scan
from segprep.store.tables import decode_keys
from segprep.targets import Classes, Labels, Weights

COINS = Path(__file__).parents[2] / "examples" / "coins"
TARGETS = (Labels(), Classes(), Weights(class_weights="inverse"))


@pytest.fixture(scope="module")
def masks(varied):
    return find(varied)


@pytest.fixture(scope="module")
def loaded(masks):
    return [ref.load() for ref in masks.refs]


@pytest.fixture(scope="module")
def stats(masks, loaded):
    return [mask_stats(mask, len(masks.classes)) for mask in loaded]


def planned(masks, stats, source="varied", targets=TARGETS, instances=InstanceRule(), canvas=None):  # noqa: B008
    found = Scan(masks, tuple(stats), {}, {})
    return plan(source, found, targets=targets, instances=instances, split=SplitRule(), canvas=canvas)


@pytest.fixture(scope="module")
def made(masks, stats):
    return planned(masks, stats)


def fingerprints(made):
    return {target.name: target.fingerprint for target in made.info.targets}


def test_every_mask_has_one_row_in_a_canvas_that_holds_it(made, loaded):
    bucket, row = made.tables["bucket"], made.tables["row"]
    places = list(zip(bucket.tolist(), row.tolist(), strict=True))
    assert len(set(places)) == len(loaded)
    for mask, (number, index) in enumerate(places):
        found = made.layout.buckets[number]
        assert found.masks[index] == mask
        assert all(side <= whole for side, whole in zip(loaded[mask].shape, found.canvas, strict=True))


def test_info_names_the_buckets_of_the_layout(made):
    expected = [(*each.canvas, len(each.masks), each.shard_shape[0]) for each in made.layout.buckets]
    assert [(each.height, each.width, each.rows, each.shard_rows) for each in made.info.buckets] == expected
    assert [each.name for each in made.info.buckets] == [f"{height}x{width}" for height, width, _, _ in expected]


def test_tables_hold_names_and_sizes_of_the_masks(made, masks, loaded):
    assert decode_keys(made.tables["key"]) == [ref.key for ref in masks.refs]
    sizes = zip(made.tables["height"].tolist(), made.tables["width"].tolist(), strict=True)
    assert list(sizes) == [mask.shape for mask in loaded]


def test_the_instance_table_counts_hidden_parts_too(made, loaded):
    columns = {name: made.tables[f"instances/{name}"] for name in ("mask", *INSTANCE_ROW.names)}
    expected = []
    for index, mask in enumerate(loaded):
        for number in range(1, len(mask.classes)):
            (plane,) = [k for k, pixels in enumerate(mask.planes) if (pixels == number).any()]
            ys, xs = np.nonzero(mask.planes[plane] == number)
            box = ys.min(), xs.min(), np.ptp(ys) + 1, np.ptp(xs) + 1
            expected.append((index, number, mask.classes[number], len(ys), *box, plane))
    np.testing.assert_array_equal(np.stack(list(columns.values()), axis=1), expected)
    assert made.tables["instance_count"].tolist() == np.bincount(columns["mask"], minlength=len(loaded)).tolist()


def test_info_counts_all_masks_instances_and_pixels(made, loaded):
    info = made.info
    valid = [mask.labels if mask.ignore is None else np.where(mask.ignore, -1, mask.labels) for mask in loaded]
    codes = np.concatenate([mask.classes[each[each >= 0]] for mask, each in zip(loaded, valid, strict=True)])
    assert (info.masks, info.instances) == (13, sum(len(mask.classes) - 1 for mask in loaded)) == (13, 36)
    assert [each.all.pixels for each in info.classes] == np.bincount(codes, minlength=3).tolist()
    assert [(each.id, each.name, each.all.instances) for each in info.classes] == [
        (None, "background", 0),
        (0, "cell", 12),
        (7, "debris", 24),
    ]
    assert info.ignored_pixels == sum(np.count_nonzero(each < 0) for each in valid) == 64
    assert info.hidden_pixels == made.tables["hidden"].sum() == 12 * 9


def test_a_fault_is_kept_with_the_name_of_its_mask(made, masks):
    (problem,) = made.info.problems
    assert problem.key == masks.refs[6].key
    assert "annotation" in problem.where


def test_the_mean_class_weight_over_the_pixels_is_1(made):
    (weights,) = [target for target in made.targets if target.name == "weights"]
    pixels = [each.train.pixels for each in made.info.classes]
    assert np.average(weights.vector, weights=pixels) == pytest.approx(1)
    assert np.ptp(np.multiply(weights.vector, pixels)) == pytest.approx(0, abs=1e-6)


def test_all_masks_share_a_canvas_that_is_asked_for(masks, stats):
    made = planned(masks, stats, canvas=(1200, 1400))
    assert [(each.name, each.rows) for each in made.info.buckets] == [("1200x1400", 13)]


def test_a_canvas_that_a_mask_does_not_fit_is_an_option_error(masks, stats):
    with pytest.raises(OptionError, match=r"too small for the masks; use at least canvas=\(1100, 1300\)"):
        planned(masks, stats, canvas=(1100, 1299))


def test_the_same_input_gives_the_same_fingerprints_whatever_it_is_called(made, masks, stats):
    assert fingerprints(planned(masks, stats, source="other")) == fingerprints(made)


def test_a_parameter_changes_the_fingerprint_of_its_target_alone(made, masks, stats):
    again = fingerprints(
        planned(masks, stats, targets=(Labels(), Classes(), Weights(sigma=4, class_weights="inverse")))
    )
    assert {name for name, value in fingerprints(made).items() if again[name] != value} == {"weights"}


def _moved(masks, loaded):
    planes = np.roll(loaded[0].planes, 1, axis=2)
    return masks, [replace(loaded[0], planes=planes), *loaded[1:]]


def _unknown(masks, loaded):
    return masks, [replace(loaded[0], ignore=loaded[0].labels == 1), *loaded[1:]]


def _of_another_class(masks, loaded):
    classes = loaded[0].classes[[0, 3, 2, 1]]
    return masks, [replace(loaded[0], classes=classes), *loaded[1:]]


def _renamed(masks, loaded):
    return replace(masks, refs=(msgspec.structs.replace(masks.refs[0], key="other"), *masks.refs[1:])), loaded


@pytest.mark.parametrize("change", [_moved, _unknown, _of_another_class, _renamed])
def test_another_input_changes_every_fingerprint(made, masks, loaded, change):
    masks, changed = change(masks, loaded)
    again = fingerprints(planned(masks, [mask_stats(mask, len(masks.classes)) for mask in changed]))
    assert all(again[name] != value for name, value in fingerprints(made).items())


def test_another_layout_changes_every_fingerprint(made, masks, stats):
    again = fingerprints(planned(masks, stats, canvas=(1280, 1536)))
    assert all(again[name] != value for name, value in fingerprints(made).items())


@pytest.mark.parametrize(("instances", "dtype"), [(65_534, "uint16"), (65_535, "uint32")])
def test_labels_are_as_wide_as_the_fullest_mask_needs(instances, dtype):
    stats = MaskStats(
        shape=(400, 400),
        n_classes=2,
        class_counts=class_counts(np.array([100, 159_900])),
        instance_rows=np.zeros(instances, INSTANCE_ROW).tobytes(),
        runs=(),
        ignored=0,
        hidden=0,
        filled=False,
        problems=(),
        digest=b"",
    )
    masks = MaskSet("label-image", class_table([(None, "i")]), find(COINS).refs)
    made = plan("full", Scan(masks, (stats,), {}, {}), targets=(Labels(),), instances=InstanceRule(), split=SplitRule())
    assert [target.dtype for target in made.targets] == [dtype]


def test_another_rule_of_instances_changes_every_fingerprint(made, masks, stats):
    again = fingerprints(planned(masks, stats, instances=InstanceRule(separate=1)))
    assert all(again[name] != value for name, value in fingerprints(made).items())
