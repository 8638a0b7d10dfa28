"""Metrics of predicted instances against dense masks, StarDist and panopticapi."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles.metrics import (
    as_mask,
    dense_iou,
    dense_score,
    digest,
    label_pair,
    literal_boundary_f,
    literal_separated,
    panoptic_pair,
)

from segprep import InstanceMask, OptionError
from segprep.training.metrics import (
    THRESHOLDS,
    Score,
    boundary_f,
    iou_matrix,
    mean_ap,
    overlaps,
    panoptic_quality,
    panoptic_scores,
    score,
    separated_pairs,
)

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
STARDIST, PANOPTICAPI = GOLDEN["stardist"], GOLDEN["panopticapi"]
EMPTY, ONE = np.zeros((4, 5), int), np.pad(np.ones((2, 3), int), 1)
TOUCHING = np.array([[1, 1, 1, 1, 2, 2, 2, 2]] * 3)


def assert_equal_to_dense_masks(truth, prediction, ignore=None):
    """The IoU matrix, and scores at thresholds above and below that of unique matches."""
    found = overlaps(truth, prediction, ignore)
    np.testing.assert_array_equal(found.matrix().toarray(), dense_iou(truth, prediction, ignore))
    for threshold in (0, 0.2, 0.5, 0.7):
        expected = dense_score(truth, prediction, threshold, ignore)
        assert found.score(threshold) == replace(expected, iou=pytest.approx(expected.iou)), threshold


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_pairs_score_as_dense_masks_do(start):
    for seed in range(start, start + 50):
        assert_equal_to_dense_masks(*label_pair(seed))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(200, 1000, 200))
def test_many_random_pairs_score_as_dense_masks_do(start):
    for seed in range(start, start + 200):
        assert_equal_to_dense_masks(*label_pair(seed))


@pytest.mark.parametrize("seed", range(20))
def test_ignored_pixels_count_as_in_dense_masks(seed):
    truth, prediction = label_pair(seed)
    ignore = np.random.default_rng(seed).random(truth.shape) < 0.1
    ignore[:, : truth.shape[1] // 3] = True
    assert_equal_to_dense_masks(truth, prediction, ignore)


@unhurried
@given(masks(), st.tuples(st.integers(-2, 2), st.integers(-2, 2)), st.booleans())
def test_overlapping_instances_score_as_dense_masks_do(truth, shift, is_kept):
    planes = np.roll(truth.planes * (is_kept | (truth.planes != 1)), shift, (1, 2))
    assert_equal_to_dense_masks(truth, planes, truth.ignore)


@pytest.mark.parametrize(
    ("golden", "seed"),
    [(golden, seed) for seed, golden in enumerate(STARDIST["pairs"])],
    ids=lambda each: str(each)[:2],
)
def test_scores_are_those_of_stardist(golden, seed):
    truth, prediction = label_pair(seed)
    assert digest(truth, prediction) == golden["digest"], "the example is another than the one that was scored"
    for threshold, expected in zip(STARDIST["thresholds"], golden["scores"], strict=True):
        ours = score(truth, prediction, np.nextafter(threshold, 0))  # StarDist also takes an IoU equal to the threshold
        assert [ours.tp, ours.fp, ours.fn] == [expected[name] for name in ("tp", "fp", "fn")]
        if not ours.is_empty:  # for which StarDist has 0
            theirs = [expected[name] for name in ("precision", "recall", "accuracy", "f1")]
            np.testing.assert_allclose([ours.precision, ours.recall, ours.ap, ours.f1], theirs)
            qualities = [expected["mean_matched_score"], expected["panoptic_quality"]]
            np.testing.assert_allclose([ours.sq, ours.pq], qualities, rtol=1e-6)  # its matching has float32


@pytest.mark.parametrize(
    ("golden", "seed"),
    [(golden, seed) for seed, golden in enumerate(PANOPTICAPI["pairs"])],
    ids=lambda each: str(each)[:2],
)
def test_panoptic_scores_are_those_of_panopticapi(golden, seed):
    truth, prediction = panoptic_pair(seed)
    assert digest(truth[0], prediction[0]) == golden["digest"], "the example is another than the one that was scored"
    ours = panoptic_scores(as_mask(*truth), as_mask(*prediction))
    for code, expected in golden["classes"].items():
        found = ours.get(int(code), Score())
        assert found == Score(**{**expected, "iou": pytest.approx(expected["iou"])}), code
    np.testing.assert_allclose(panoptic_quality(ours), [golden["average"][name] for name in ("pq", "sq", "rq")])


def test_examples_of_panopticapi_have_void_that_matters():
    pairs = [panoptic_pair(seed) for seed in range(len(PANOPTICAPI["pairs"]))]
    without = [
        panoptic_scores(replace(as_mask(*truth), ignore=None), as_mask(*prediction)) for truth, prediction in pairs
    ]
    counts = [
        {code: (each["tp"], each["fp"], each["fn"]) for code, each in golden["classes"].items()}
        for golden in PANOPTICAPI["pairs"]
    ]
    assert any(
        {str(code): (each.tp, each.fp, each.fn) for code, each in scores.items()} != expected
        for scores, expected in zip(without, counts, strict=True)
    )


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("tolerance", [0, 1.5, 3])
def test_boundary_f_is_that_of_all_distances(seed, tolerance):
    truth, prediction = label_pair(seed)
    ignore = None if seed % 2 else np.random.default_rng(seed).random(truth.shape) < 0.05
    expected = literal_boundary_f(truth, prediction, tolerance, ignore)
    assert boundary_f(truth, prediction, tolerance, ignore=ignore) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(60))
def test_separated_pairs_are_touching_pairs_that_are_both_matched(seed):
    truth, prediction = label_pair(seed)
    assert separated_pairs(truth, prediction) == literal_separated(truth, prediction)


def test_there_are_separated_and_other_pairs_among_the_examples():
    touching, separated = np.sum([separated_pairs(*label_pair(seed)) for seed in range(60)], axis=0)
    assert 0 < separated < touching


# --- conventions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (EMPTY, EMPTY, dict.fromkeys(("precision", "recall", "f1", "ap", "pq", "sq"), 1.0)),
        (EMPTY, ONE, dict.fromkeys(("precision", "recall", "f1", "ap", "pq", "sq"), 0.0)),
        (ONE, EMPTY, dict.fromkeys(("precision", "recall", "f1", "ap", "pq", "sq"), 0.0)),
        (ONE, ONE, dict.fromkeys(("precision", "recall", "f1", "ap", "pq", "sq"), 1.0)),
    ],
    ids=["nothing", "false alarm", "missed", "equal"],
)
def test_images_without_instances(truth, prediction, expected):
    found = score(truth, prediction)
    assert {name: getattr(found, name) for name in expected} == expected
    assert mean_ap(truth, prediction) == expected["ap"]
    assert boundary_f(truth, prediction) == expected["ap"]


def test_a_match_needs_more_than_the_threshold():
    truth, prediction = np.array([[1, 1, 1, 1, 0, 0]]), np.array([[1, 1, 1, 0, 0, 0]])
    assert [score(truth, prediction, threshold).tp for threshold in (0.7, 0.75, 0.8)] == [1, 0, 0]
    assert mean_ap(truth, prediction) == 0.5  # 0.50 to 0.70


def test_thresholds_are_the_nearest_numbers():
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@pytest.mark.parametrize("seed", range(5))
def test_scores_do_not_depend_on_the_numbers_of_the_labels(seed):
    truth, prediction = label_pair(seed)
    names = np.random.default_rng(seed).permutation(2**31 - 1 - np.arange(300))
    others = [np.where(labels > 0, names[labels], 0) for labels in (truth, prediction)]
    assert score(truth, prediction) == replace(score(*others), iou=pytest.approx(score(truth, prediction).iou))
    assert separated_pairs(truth, prediction) == separated_pairs(*others)


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
def test_scores_follow_flips_and_transposition(turn):
    truth, prediction = label_pair(3)
    assert mean_ap(turn(truth), turn(prediction)) == mean_ap(truth, prediction)
    assert boundary_f(turn(truth), turn(prediction)) == boundary_f(truth, prediction)


def test_a_prediction_that_is_mostly_ignored_is_not_false():
    truth, prediction = np.array([[0] * 6]), np.array([[1] * 5 + [2]])
    half, most = np.array([[True] * 2 + [False] * 4]), np.array([[True] * 3 + [False] * 3])
    assert score(truth, prediction, ignore=half) == Score(fp=2)
    assert score(truth, prediction, ignore=most) == Score(fp=1)


def test_a_true_instance_that_is_ignored_is_not_missed():
    assert score(ONE, EMPTY, ignore=ONE > 0) == Score()


def test_below_a_half_as_many_as_possible_match_and_then_the_best():
    truth = np.array([[1, 1, 1, 1, 2, 2]])
    prediction = np.array([[3, 3, 4, 4, 4, 4]])  # 4 has the IoU 1/3 with 1 and 1/2 with 2, and 3 has 1/2 with 1
    assert score(truth, prediction, 0.3) == Score(tp=2, iou=1.0)
    assert score(truth, np.array([[3, 3, 3, 0, 3, 3]]), 0.3).tp == 1


def test_of_repeated_predictions_one_matches():
    planes = np.stack([ONE, 2 * ONE, 3 * ONE])
    assert score(ONE, planes) == Score(tp=1, fp=2, iou=1.0)
    assert score(planes, ONE) == Score(tp=1, fn=2, iou=1.0)


def test_instances_of_other_classes_match_only_where_classes_do_not_count():
    truth, prediction = (
        InstanceMask(ONE[np.newaxis].astype(np.int32), np.array([0, code], np.int32)) for code in (1, 2)
    )
    assert overlaps(truth, prediction).score().tp == 1
    assert overlaps(truth, prediction).scores() == {1: Score(fn=1), 2: Score(fp=1)}


def test_a_merged_pair_is_not_separated_and_a_lost_one_neither():
    assert separated_pairs(TOUCHING, TOUCHING) == (1, 1)
    assert separated_pairs(TOUCHING, TOUCHING > 0) == (1, 0)
    assert separated_pairs(TOUCHING, TOUCHING == 1) == (1, 0)


def test_pairs_that_touch_on_ignored_pixels_alone_do_not_touch():
    ignore = np.zeros(TOUCHING.shape, bool)
    ignore[:, 3] = True
    assert separated_pairs(TOUCHING, TOUCHING, ignore=ignore) == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score(ONE, ONE[:, :-1]), r"prediction.shape=\(4, 4\): must be that of the truth, \(4, 5\)"),
        (lambda: boundary_f(ONE, ONE.T), r"prediction.shape=\(5, 4\): must be that of the truth"),
        (lambda: score(ONE, ONE, ignore=ONE), r"ignore is int64 of shape \(4, 5\): must be bool of shape \(4, 5\)"),
        (lambda: score(ONE, ONE, 1), "threshold=1: must be an IoU from 0 to below 1"),
        (lambda: score(ONE, ONE, float("nan")), "threshold=nan: must be an IoU"),
        (lambda: boundary_f(ONE, ONE, -1), "tolerance=-1: must be from 0 to 100 pixels"),
        (lambda: score(ONE, ONE / 2), "labels.dtype='float64': must be an integer type"),
        (lambda: score(ONE, -ONE), "labels: contain -1"),
        (lambda: score(ONE, ONE[0]), "labels.shape="),
        (lambda: score(ONE, np.stack([ONE, ONE])), "labels: 1 is in 2 planes; must be in one"),
    ],
)
def test_invalid_arguments_are_option_errors(call, message):
    with pytest.raises(OptionError, match=message):
        call()


def test_the_matrix_is_in_the_order_of_the_labels():
    truth, prediction = np.array([[9, 9, 0, 3]]), np.array([[8, 8, 8, 1]])
    np.testing.assert_allclose(iou_matrix(truth, prediction), [[1, 0], [0, 2 / 3]])
    assert overlaps(truth, prediction).true_labels.tolist() == [3, 9]
