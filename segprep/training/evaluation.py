"""Scores of one image, and their sum over a data set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from segprep.masks.classes import ClassTable
from segprep.masks.mask import InstanceMask
from segprep.training.matching import THRESHOLDS, UNIQUE, Overlaps, Score, overlaps
from segprep.training.metrics import boundary_f, panoptic_quality, separated_of, with_stuff


class Measures(NamedTuple):
    """Parameters of an evaluation.

    `class_of` has the code of the truth for each class code of the predictions, and `things` the codes of classes with
    instances; both are None if classes do not count.
    """

    threshold: float
    tolerance: float
    class_of: NDArray[np.int32] | None = None
    things: frozenset[int] | None = None


class ImageScore(msgspec.Struct, frozen=True):
    """Scores of one image: a row of the file of `segprep evaluate --per-image`.

    `tp` to `ap` are at the threshold of the evaluation, `pq` to `rq` at an IoU of 0.5; `predicted` is False if the
    image has no prediction.
    """

    key: str
    predicted: bool
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float
    ap: float
    mean_ap: float
    pq: float
    sq: float
    rq: float
    boundary_f: float
    touching_pairs: int
    separated_pairs: int


class ImageResult(NamedTuple):
    """Row of an image, and the scores that are added over images.

    `scores` are those of `THRESHOLDS`, of classes with instances together; `classes` those of each class at the
    threshold of the evaluation and at 0.5.
    """

    row: ImageScore
    scores: tuple[Score, ...]
    classes: dict[int, tuple[Score, Score]]


class ThresholdScore(msgspec.Struct, frozen=True):
    """Scores at one threshold of the IoU; `ap` is the mean over images, `pooled_ap` that of all instances together."""

    threshold: float
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float
    ap: float
    pooled_ap: float


class PanopticScore(msgspec.Struct, frozen=True):
    """Panoptic, segmentation and recognition quality: means over `classes` classes, those that occur."""

    pq: float
    sq: float
    rq: float
    classes: int


class ClassScore(msgspec.Struct, frozen=True):
    """Scores of one class: `tp` to `f1` at the threshold of the evaluation, `pq` to `rq` at an IoU of 0.5."""

    code: int
    id: int | None
    name: str
    is_thing: bool
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float
    pq: float
    sq: float
    rq: float


class Totals(msgspec.Struct, frozen=True):
    """Scores of a data set.

    Attributes
    ----------
    images : int
        Images of the truth that were compared.
    true_instances, predicted_instances : int
        Instances that count: not those on ignored pixels, nor stuff.
    mean_ap : float
        Mean over images of the mean over the thresholds 0.50, 0.55, ..., 0.95 of TP / (TP + FP + FN).
    at_threshold : ThresholdScore
        Scores at the threshold of the evaluation.
    thresholds : tuple of ThresholdScore
        Scores at 0.50, 0.55, ..., 0.95.
    panoptic : dict of PanopticScore
        Panoptic quality of ``all`` classes, and if classes count, of ``things`` and ``stuff``.
    boundary_f : float
        Mean over images.
    touching_pairs, separated_pairs : int
        Pairs of true instances that touch, and those that are matched by different predictions.
    classes : tuple of ClassScore
        Classes that occur, if classes count.
    rows : tuple of ImageScore
        Scores of each image.
    """

    images: int
    true_instances: int
    predicted_instances: int
    mean_ap: float
    at_threshold: ThresholdScore
    thresholds: tuple[ThresholdScore, ...]
    panoptic: dict[str, PanopticScore]
    boundary_f: float
    touching_pairs: int
    separated_pairs: int
    classes: tuple[ClassScore, ...]
    rows: tuple[ImageScore, ...]


def image_result(key: str, truth: InstanceMask, prediction: InstanceMask | None, measures: Measures) -> ImageResult:
    """Scores of one image; without a prediction nothing was found."""
    is_predicted = prediction is not None
    found = prediction or InstanceMask(np.zeros((1, *truth.shape), np.int32), np.zeros(1, np.int32))
    by_class = measures.things is not None
    both = _by_class(truth, found, measures) if by_class else overlaps(truth, found)
    at = both.scores(measures.threshold, by_class=by_class)
    half = at if measures.threshold == UNIQUE else both.scores(by_class=by_class)
    scores = tuple(_of_things(both.scores(each, by_class=by_class), measures) for each in THRESHOLDS)
    own = _of_things(at, measures)
    matched = both.true_labels[both.pairs[both.matches(by_class=by_class), 0]]
    row = ImageScore(
        key,
        is_predicted,
        *(own.tp, own.fp, own.fn, own.precision, own.recall, own.f1, own.ap),
        float(np.mean([each.ap for each in scores])),
        *panoptic_quality(half if by_class else [_sum(half.values())]),
        boundary_f(truth, found, measures.tolerance),
        *separated_of(truth.planes, matched, truth.ignore),
    )
    return ImageResult(row, scores, {code: (at[code], half[code]) for code in at})


def totals(results: Sequence[ImageResult], measures: Measures, classes: ClassTable) -> Totals:
    """Scores of a data set from those of its images; `classes` are those of the truth."""
    rows = tuple(result.row for result in results)
    at, half = ({code: Score() for code in range(len(classes))} for _ in range(2))
    for result in results:
        for code, (own, quality) in result.classes.items():
            at[code] += own
            half[code] += quality
    aps = np.array([[score.ap for score in result.scores] for result in results])
    pooled = [_sum(scores) for scores in zip(*(result.scores for result in results), strict=True)]
    own = _of_things(at, measures)
    return Totals(
        images=len(rows),
        true_instances=own.tp + own.fn,
        predicted_instances=own.tp + own.fp,
        mean_ap=float(aps.mean()),
        at_threshold=_at(measures.threshold, own, float(np.mean([row.ap for row in rows]))),
        thresholds=tuple(map(_at, THRESHOLDS, pooled, aps.mean(axis=0).tolist())),
        panoptic=_panoptic(half, measures),
        boundary_f=float(np.mean([row.boundary_f for row in rows])),
        touching_pairs=sum(row.touching_pairs for row in rows),
        separated_pairs=sum(row.separated_pairs for row in rows),
        classes=() if measures.things is None else tuple(_classes(at, half, classes)),
        rows=rows,
    )


def _by_class(truth: InstanceMask, found: InstanceMask, measures: Measures) -> Overlaps:
    """Overlaps of instances and of the stuff of each class, with the class codes of the truth."""
    true, predicted = with_stuff(truth), with_stuff(found)
    assert isinstance(predicted, InstanceMask)  # noqa: S101 - for the type checker, as a mask stays one
    return overlaps(true, replace(predicted, classes=np.asarray(measures.class_of, np.int32)[predicted.classes]))


def _of_things(scores: Mapping[int, Score], measures: Measures) -> Score:
    """Sum over the classes with instances, or over all if classes do not count."""
    return _sum(score for code, score in scores.items() if measures.things is None or code in measures.things)


def _sum(scores: Iterable[Score]) -> Score:
    return sum(scores, Score())


def _at(threshold: float, pooled: Score, ap: float) -> ThresholdScore:
    return ThresholdScore(
        threshold, pooled.tp, pooled.fp, pooled.fn, pooled.precision, pooled.recall, pooled.f1, ap, pooled.ap
    )


def _panoptic(half: Mapping[int, Score], measures: Measures) -> dict[str, PanopticScore]:
    """Panoptic quality of all classes, and of things and stuff; of all instances as one class if classes do not count."""
    if measures.things is None:
        groups = {"all": [_sum(half.values())]}
    else:
        things = [score for code, score in half.items() if code in measures.things]
        stuff = [score for code, score in half.items() if code not in measures.things]
        groups = {"all": [*half.values()], "things": things, "stuff": stuff}
    return {
        name: PanopticScore(*panoptic_quality(scores), sum(not score.is_empty for score in scores))
        for name, scores in groups.items()
    }


def _classes(at: Mapping[int, Score], half: Mapping[int, Score], classes: ClassTable) -> Iterator[ClassScore]:
    """Scores of the classes that occur in truth or predictions."""
    for entry in classes.entries:
        own, quality = at[entry.code], half[entry.code]
        if not own.is_empty:
            yield ClassScore(
                code=entry.code,
                id=entry.id,
                name=entry.name,
                is_thing=entry.is_thing,
                tp=own.tp,
                fp=own.fp,
                fn=own.fn,
                precision=own.precision,
                recall=own.recall,
                f1=own.f1,
                pq=quality.pq,
                sq=quality.sq,
                rq=quality.f1,
            )
