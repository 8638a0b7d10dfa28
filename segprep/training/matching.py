"""Pixels that true and predicted instances share, the pairs that match, and the scores that follow.

Conventions ----------- - A pair matches if its IoU is *above* the threshold, as in the Data Science Bowl and in
  panoptic segmentation (StarDist and COCO also take an IoU that is equal to it).
- Above an IoU of 0.5 a match is unique unless instances of one image overlap. Elsewhere the matches are an optimal
  assignment: as many as possible, and of these the largest sum of IoU, as in StarDist [3]; found by
  `scipy.optimize.linear_sum_assignment` for each connected component of the pairs above the threshold.
- Ignored pixels of the truth do not count, neither as intersection nor as union. A prediction without a match is a
  false positive unless more than half of its pixels are ignored (panopticapi, where they are void). A true instance on
  ignored pixels alone is not counted.
- Where there is nothing to find and nothing was found, every ratio is 1. Any other ratio without a denominator is 0.

References
----------
.. [1] Kaggle: 2018 Data Science Bowl, evaluation, https://www.kaggle.com/c/data-science-bowl-2018/overview/evaluation
.. [2] A. Kirillov et al.: Panoptic segmentation, CVPR 2019; https://github.com/cocodataset/panopticapi
.. [3] U. Schmidt et al.: Cell detection with star-convex polygons, MICCAI 2018; `stardist.matching`
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.errors import OptionError
from segprep.kernels.overlaps import label_overlaps
from segprep.kernels.planes import as_planes
from segprep.masks.mask import InstanceMask

Instances: TypeAlias = NDArray[Any] | InstanceMask
"""Label image (H, W), planes (K, H, W), or a mask."""

THRESHOLDS = tuple(number / 20 for number in range(10, 20))
"""0.50, 0.55, ..., 0.95: thresholds of the IoU of the Data Science Bowl; no sum, so that each is the nearest number."""
UNIQUE = 0.5
"""IoU above which an instance matches at most one of those that do not overlap."""


@dataclass(frozen=True)
class Score:
    """True positives, false positives, false negatives, and the sum of the IoU of the true positives.

    Scores of several images or classes are added.

    Examples
    --------
    >>> both = Score(3, 1, 0, 2.4) + Score(1, 0, 3, 0.8)
    >>> both.precision, both.recall, both.f1, both.ap
    (0.8, 0.5714285714285714, 0.6666666666666666, 0.5)
    >>> Score().ap, Score(fp=1).ap
    (1.0, 0.0)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou: float = 0.0

    def __add__(self, other: "Score") -> "Score":
        return Score(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou + other.iou)

    @property
    def is_empty(self) -> bool:
        """True if there was nothing to find, and nothing was found."""
        return self.tp + self.fp + self.fn == 0

    @property
    def precision(self) -> float:
        """TP / (TP + FP): share of the predictions that match."""
        return self._ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN): share of the true instances that are matched."""
        return self._ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """TP / (TP + FP / 2 + FN / 2): harmonic mean of precision and recall; the recognition quality RQ of [2]."""
        return self._ratio(self.tp, self.tp + (self.fp + self.fn) / 2)

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN): average precision of [1]; not COCO's, which ranks predictions by their scores."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sq(self) -> float:
        """Segmentation quality [2]: mean IoU of the matches."""
        return self._ratio(self.iou, self.tp)

    @property
    def pq(self) -> float:
        """Panoptic quality [2], eq. 1: SQ times F1."""
        return self._ratio(self.iou, self.tp + (self.fp + self.fn) / 2)

    def _ratio(self, part: float, of: float) -> float:
        return part / of if of else float(self.is_empty)


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pixels that the N instances of a truth and the M of a prediction have, and share.

    Attributes
    ----------
    true_labels, predicted_labels : (N,) and (M,) int64 array
        Their labels, in ascending order.
    true_classes, predicted_classes : (N,) and (M,) int64 array
        Class codes; 1 for all instances of label images and planes.
    true_areas, predicted_areas : (N,) and (M,) int64 array
        Pixels of each, without ignored ones; at least 1 for the truth.
    ignored_areas : (M,) int64 array
        Ignored pixels of each prediction.
    pairs : (P, 2) int64 array
        Indices, from 0, of a true and a predicted instance that share pixels; by the index of the true one within each
        plane.
    pixels : (P,) int64 array
        Pixels that each pair shares.
    """

    true_labels: CountArray
    predicted_labels: CountArray
    true_classes: CountArray
    predicted_classes: CountArray
    true_areas: CountArray
    predicted_areas: CountArray
    ignored_areas: CountArray
    pairs: CountArray
    pixels: CountArray

    @cached_property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, shape (P,), above 0 to 1; it is 0 for all others."""
        true, predicted = self.pairs.T
        iou: NDArray[np.float64] = self.pixels / (self.true_areas[true] + self.predicted_areas[predicted] - self.pixels)
        return iou

    def matrix(self) -> Any:
        """IoU of all pairs as a `scipy.sparse.csr_array` of shape (N, M)."""
        from scipy.sparse import coo_array  # noqa: PLC0415 - slow to import

        shape = len(self.true_labels), len(self.predicted_labels)
        return coo_array((self.iou, tuple(self.pairs.T)), shape).tocsr()

    def matches(self, threshold: float = UNIQUE, *, by_class: bool = False) -> CountArray:
        """Indices of the pairs that match: their IoU is above `threshold`, and if `by_class`, their classes are equal.

        No instance is in two of them; see the module for the choice.
        """
        if not 0 <= threshold < 1:
            raise OptionError(f"threshold={threshold}: must be an IoU from 0 to below 1")
        is_close = self.iou > threshold
        if by_class:
            is_close &= self.true_classes[self.pairs[:, 0]] == self.predicted_classes[self.pairs[:, 1]]
        close = np.flatnonzero(is_close)
        if all(_are_unique(indices) for indices in self.pairs[close].T):
            return close
        return close[_assignment(self.pairs[close], self.iou[close])]

    def score(self, threshold: float = UNIQUE, *, by_class: bool = False) -> Score:
        """Score of all instances together at a threshold of the IoU."""
        return sum(self.scores(threshold, by_class=by_class).values(), Score())

    def scores(self, threshold: float = UNIQUE, *, by_class: bool = True) -> dict[int, Score]:
        """Score of each class that occurs; of those of the truth for true instances, of the prediction for false positives."""
        matched = self.matches(threshold, by_class=by_class)
        true, predicted = self.pairs[matched].T
        is_false = self.ignored_areas <= self.predicted_areas  # else more than half of it is ignored
        is_false[predicted] = False
        codes = np.union1d(self.true_classes, self.predicted_classes).tolist()
        size = max(codes, default=0) + 1
        found = np.bincount(self.true_classes[true], minlength=size)
        missed = np.bincount(self.true_classes, minlength=size) - found
        false = np.bincount(self.predicted_classes[is_false], minlength=size)
        iou = np.bincount(self.true_classes[true], self.iou[matched], minlength=size)
        return {code: Score(int(found[code]), int(false[code]), int(missed[code]), float(iou[code])) for code in codes}

    def mean_ap(self, *, by_class: bool = False) -> float:
        """Mean of `Score.ap` over `THRESHOLDS`, the metric of the Data Science Bowl for one image [1]."""
        return float(np.mean([self.score(threshold, by_class=by_class).ap for threshold in THRESHOLDS]))


def overlaps(truth: Instances, prediction: Instances, ignore: BoolArray | None = None) -> Overlaps:
    """Pixels that true and predicted instances share.

    Parameters
    ----------
    truth, prediction : (H, W) or (K, H, W) integer array, or InstanceMask
        Instances of one image.
    ignore : (H, W) bool array or None
        Pixels without truth; by default those of a truth that is an `InstanceMask`, or none. What the prediction
        ignores has no meaning.

    Raises
    ------
    OptionError
        If the sizes differ, or an array has no labels.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 7, 7, 7]])
    >>> found = overlaps(truth, np.array([[5, 5, 5, 0, 3, 3]]))
    >>> found.true_labels[found.pairs[:, 0]], found.predicted_labels[found.pairs[:, 1]], found.iou.round(2)
    (array([1, 7]), array([5, 3]), array([0.67, 0.67]))
    >>> found.score(0.5).ap, found.score(0.7).ap, round(found.mean_ap(), 2)
    (1.0, 0.0, 0.4)
    """
    true, predicted = _numbered(truth), _numbered(prediction)
    ignore = ignored_pixels(truth, ignore)
    check_sizes(true.planes, predicted.planes, ignore)
    n, m = len(true.labels) - 1, len(predicted.labels) - 1
    void = n + 1
    planes = true.planes if ignore is None else np.where(ignore, np.int32(void), true.planes)
    tables = [[label_overlaps(ours, theirs, (void, m)) for theirs in predicted.planes] for ours in planes]
    first_prediction, first_truth = np.concatenate([row[0] for row in tables]), np.concatenate(tables[0])
    true_areas = _sums(first_prediction[:, 0], first_prediction[:, 2], n + 2)[1:void]
    areas = _sums(first_truth[:, 1], first_truth[:, 2], m + 1)[1:]
    hidden = first_truth[first_truth[:, 0] == void]
    ignored = _sums(hidden[:, 1], hidden[:, 2], m + 1)[1:]
    every = np.concatenate([table for row in tables for table in row])
    shared = every[(every[:, 0] > 0) & (every[:, 0] < void) & (every[:, 1] > 0)]
    has_true, has_predicted = true_areas > 0, areas > 0
    return Overlaps(
        true_labels=true.labels[1:][has_true],
        predicted_labels=predicted.labels[1:][has_predicted],
        true_classes=true.classes[1:][has_true],
        predicted_classes=predicted.classes[1:][has_predicted],
        true_areas=true_areas[has_true],
        predicted_areas=(areas - ignored)[has_predicted],
        ignored_areas=ignored[has_predicted],
        pairs=np.stack(
            [(np.cumsum(has) - 1)[shared[:, side] - 1] for side, has in enumerate((has_true, has_predicted))], axis=1
        ),
        pixels=shared[:, 2],
    )


class _Numbered(NamedTuple):
    """Planes of the numbers 0 to n, and the label and class of each number; (K, H, W) int32 and (n + 1,) int64."""

    planes: LabelArray
    labels: CountArray
    classes: CountArray


def _numbered(instances: Instances) -> _Numbered:
    """Instances with numbers that are not far beyond their count: those of an image of few instances may reach 2^31."""
    if isinstance(instances, InstanceMask):
        count = len(instances.classes)
        return _Numbered(instances.planes, np.arange(count), instances.classes.astype(np.int64))
    planes = as_planes(instances)
    if len(planes) > 1:
        present, planes_of = np.unique(np.concatenate([np.unique(plane) for plane in planes]), return_counts=True)
        if wrong := present[(planes_of > 1) & (present > 0)].tolist():
            raise OptionError(f"labels: {wrong[0]} is in {planes_of[present == wrong[0]][0]} planes; must be in one")
    labels = np.arange(int(planes.max()) + 1) if planes.max() <= planes.size else None
    if labels is None:
        labels, numbers = np.unique(np.append(planes.ravel(), 0), return_inverse=True)
        labels, planes = labels.astype(np.int64), numbers[:-1].reshape(planes.shape).astype(np.int32)
    return _Numbered(planes, labels, np.ones_like(labels))


def ignored_pixels(truth: Instances, ignore: BoolArray | None) -> BoolArray | None:
    """Ignored pixels: those that are given, or else those of the truth."""
    return truth.ignore if ignore is None and isinstance(truth, InstanceMask) else ignore


def check_sizes(true: LabelArray, predicted: LabelArray, ignore: BoolArray | None) -> None:
    """Raise OptionError if the planes or the ignored pixels have different sizes."""
    size = true.shape[1:]
    if predicted.shape[1:] != size:
        raise OptionError(f"prediction.shape={predicted.shape[1:]}: must be that of the truth, {size}")
    if ignore is not None and (ignore.shape != size or ignore.dtype != np.bool_):
        raise OptionError(f"ignore is {ignore.dtype} of shape {ignore.shape}: must be bool of shape {size}")


def _sums(keys: CountArray, pixels: CountArray, size: int) -> CountArray:
    """Sum of the pixels of each key."""
    return np.bincount(keys, pixels, minlength=size).astype(np.int64)  # exact up to 2^53 pixels


def _are_unique(indices: CountArray) -> bool:
    return len(indices) < 2 or bool(np.bincount(indices).max() < 2)  # noqa: PLR2004 - twice


def _assignment(pairs: CountArray, iou: NDArray[np.float64]) -> CountArray:
    """Indices of the most pairs of which none share an instance; of such choices, that with the largest sum of IoU."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    true, predicted = (np.unique(side, return_inverse=True)[1] for side in pairs.T)
    nodes, offset = int(true.max() + predicted.max()) + 2, int(true.max()) + 1
    graph = coo_array((np.ones(len(pairs)), (true, predicted + offset)), (nodes, nodes))
    component = connected_components(graph, directed=False)[1][true]
    order = np.argsort(component, kind="stable")
    chosen = []
    for members in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        (rows, n), (columns, m) = (_ranks(side[members]) for side in (true, predicted))
        place = np.full((n, m), -1)
        place[rows, columns] = members
        weight = np.zeros((n, m))
        weight[rows, columns] = 1 + iou[members] / (2 * min(n, m))  # another match outweighs any IoU
        picked = place[linear_sum_assignment(weight, maximize=True)]
        chosen.append(picked[picked >= 0])
    return np.sort(np.concatenate(chosen))


def _ranks(values: CountArray) -> tuple[CountArray, int]:
    """Rank of each value among the different ones, and their number."""
    different, ranks = np.unique(values, return_inverse=True)
    return ranks, len(different)
