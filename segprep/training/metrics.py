"""Metrics of predicted instances, from the pixels that they share with the true ones.

Every function takes two label images, (H, W) of any integer type, 0 is background; two stacks of planes (K, H, W), in
which instances may overlap; or two `InstanceMask`. Labels need not be consecutive. `overlaps` counts the pixels of all
pairs in one pass; its result gives every metric but `boundary_f`, without another look at the pixels.
`segprep.training.matching` has the conventions: which pairs match, ignored pixels, images without instances.

References
----------
.. [1] Kaggle: 2018 Data Science Bowl, evaluation, https://www.kaggle.com/c/data-science-bowl-2018/overview/evaluation
.. [2] A. Kirillov et al.: Panoptic segmentation, CVPR 2019; https://github.com/cocodataset/panopticapi
.. [3] G. Csurka, D. Larlus, F. Perronnin: What is a good evaluation measure for semantic segmentation?, BMVC 2013
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray, LabelArray
from segprep.errors import OptionError
from segprep.kernels.planes import as_planes
from segprep.masks.mask import InstanceMask
from segprep.masks.touching import list_touching
from segprep.training.matching import (
    THRESHOLDS,
    UNIQUE,
    Instances,
    Overlaps,
    Score,
    check_sizes,
    ignored_pixels,
    overlaps,
)

__all__ = [
    "THRESHOLDS",
    "Instances",
    "Overlaps",
    "Score",
    "SeparatedPairs",
    "boundary_f",
    "iou_matrix",
    "mean_ap",
    "overlaps",
    "panoptic_quality",
    "panoptic_scores",
    "score",
    "separated_pairs",
    "with_stuff",
]

TOLERANCE = 2.0
"""Default tolerance of `boundary_f`, in pixels."""
MAX_TOLERANCE = 100
"""Largest tolerance: the time grows with its square."""


def iou_matrix(truth: Instances, prediction: Instances, ignore: BoolArray | None = None) -> NDArray[np.float64]:
    """IoU of every true with every predicted instance, shape (N, M), in ascending order of their labels; else as `overlaps`.

    Examples
    --------
    >>> iou_matrix(np.array([[1, 1, 0, 7]]), np.array([[5, 5, 5, 0]])).round(2)
    array([[0.67],
           [0.  ]])
    """
    dense: NDArray[np.float64] = overlaps(truth, prediction, ignore).matrix().toarray()
    return dense


def score(
    truth: Instances, prediction: Instances, threshold: float = UNIQUE, *, ignore: BoolArray | None = None
) -> Score:
    """Score of a prediction at a threshold of the IoU, from 0 to below 1: precision, recall, F1, AP, PQ; else as `overlaps`.

    Examples
    --------
    >>> score(np.array([[1, 1, 0, 7]]), np.array([[5, 5, 5, 0]]))
    Score(tp=1, fp=0, fn=1, iou=0.6666666666666666)
    """
    return overlaps(truth, prediction, ignore).score(threshold)


def mean_ap(truth: Instances, prediction: Instances, *, ignore: BoolArray | None = None) -> float:
    """Mean over `THRESHOLDS` of TP / (TP + FP + FN), from 0 to 1; of a data set, take the mean over its images [1].

    Without instances in truth and prediction it is 1, with instances in one of them 0. Parameters as in `overlaps`.

    Examples
    --------
    >>> mean_ap(np.array([[1, 1, 0, 7]]), np.array([[1, 1, 0, 0]]))
    0.5
    """
    return overlaps(truth, prediction, ignore).mean_ap()


def panoptic_scores(truth: Instances, prediction: Instances, *, ignore: BoolArray | None = None) -> dict[int, Score]:
    """Score of each class code at an IoU of 0.5, from which `panoptic_quality` follows; else as `overlaps`.

    Only instances of one class match. The stuff of an `InstanceMask` is one segment per class. This equals panopticapi
    [2], where ignored pixels are its void; the crowds of one class, which `InstanceMask` does not keep apart, are void
    for all classes.

    Examples
    --------
    >>> cells = InstanceMask(np.array([[[1, 1, 0, 2]]], np.int32), np.array([0, 1, 3], np.int32))
    >>> panoptic_scores(cells, cells)[3]
    Score(tp=1, fp=0, fn=0, iou=1.0)
    """
    return overlaps(with_stuff(truth), with_stuff(prediction), ignored_pixels(truth, ignore)).scores()


def panoptic_quality(scores: Mapping[int, Score] | Iterable[Score]) -> tuple[float, float, float]:
    """PQ, SQ and RQ as means over the classes that occur in truth or prediction; of several images, first add their scores.

    Examples
    --------
    >>> panoptic_quality({1: Score(tp=2, fp=1, iou=1.6), 2: Score(fn=1), 3: Score()})
    (0.32, 0.4, 0.4)
    """
    found = [each for each in (scores.values() if isinstance(scores, Mapping) else scores) if not each.is_empty]
    if not found:
        return 1.0, 1.0, 1.0
    pq, sq, rq = (float(np.mean([getattr(each, name) for each in found])) for name in ("pq", "sq", "f1"))
    return pq, sq, rq


class SeparatedPairs(NamedTuple):
    """Pairs of true instances that touch, and those of them that are matched by different predictions."""

    touching: int
    separated: int


def separated_pairs(truth: Instances, prediction: Instances, *, ignore: BoolArray | None = None) -> SeparatedPairs:
    """Pairs of touching true instances, and how many of them are both matched with an IoU above 0.5; else as `overlaps`.

    Instances touch if they have neighbouring pixels in one plane, also diagonally (`segprep.masks.touching`).

    Examples
    --------
    >>> separated_pairs(np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 0, 2, 2]]))
    SeparatedPairs(touching=1, separated=1)
    >>> separated_pairs(np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 1, 1]]))
    SeparatedPairs(touching=1, separated=0)
    """
    ignore = ignored_pixels(truth, ignore)
    found = overlaps(truth, prediction, ignore)
    planes = truth.planes if isinstance(truth, InstanceMask) else as_planes(truth)
    return separated_of(planes, found.true_labels[found.pairs[found.matches(), 0]], ignore)


def separated_of(planes: LabelArray, matched: CountArray, ignore: BoolArray | None) -> SeparatedPairs:
    """Pairs of touching instances of a truth, and of those whose labels are both among `matched`."""
    touching = list_touching(planes if ignore is None else np.where(ignore, 0, planes))
    return SeparatedPairs(len(touching), int(np.isin(touching, matched).all(axis=1).sum()))


def boundary_f(
    truth: Instances, prediction: Instances, tolerance: float = TOLERANCE, *, ignore: BoolArray | None = None
) -> float:
    """F measure of the boundaries of all instances, from 0 to 1: BF of Csurka et al. [3], with a tolerance in pixels.

    A boundary pixel belongs to an instance and has one of another, or of the background, among its 4 neighbours in its
    plane. The precision is the share of the predicted boundary pixels that lie within `tolerance` (Euclidean distance,
    0 to 100 pixels) of a true one, the recall the share of the true ones within it of a predicted one; F = 2 P R / (P +
    R). Edges of the image and of ignored regions are no boundaries. Csurka et al. take 0.75 % of the image's diagonal,
    and a boundary per class. Without any boundary F is 1, with one in truth or prediction alone 0. The other parameters
    are as in `overlaps`.

    Examples
    --------
    >>> boundary_f(np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 2, 2]]), tolerance=1)
    1.0
    >>> boundary_f(np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 2, 2]]), tolerance=0)
    0.5
    """
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise OptionError(f"tolerance={tolerance}: must be from 0 to {MAX_TOLERANCE} pixels")
    ignore = ignored_pixels(truth, ignore)
    ours, theirs = (each.planes if isinstance(each, InstanceMask) else as_planes(each) for each in (truth, prediction))
    check_sizes(ours, theirs, ignore)
    true, predicted = _boundary(ours, ignore), _boundary(theirs, ignore)
    if not (true.any() and predicted.any()):
        return float(true.any() == predicted.any())
    precision = _near(true, tolerance)[predicted].mean()
    recall = _near(predicted, tolerance)[true].mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def with_stuff(mask: Instances) -> Instances:
    """Mask in which the stuff of each class is one more instance; label images and masks without stuff as they are."""
    if not isinstance(mask, InstanceMask) or mask.stuff is None:
        return mask
    codes = np.unique(mask.stuff[mask.stuff > 0])
    planes = mask.planes.copy()  # stuff lies only where no plane has an instance
    is_stuff = (mask.stuff > 0) & ~(mask.planes > 0).any(axis=0)
    planes[0][is_stuff] = len(mask.classes) + np.searchsorted(codes, mask.stuff[is_stuff])
    return InstanceMask(planes, np.concatenate([mask.classes, codes]).astype(np.int32), mask.ignore)


def _boundary(planes: LabelArray, ignore: BoolArray | None) -> BoolArray:
    """True on the boundary pixels of the instances; see `boundary_f`."""
    boundary = np.zeros(planes.shape[1:], np.bool_)
    for plane in planes:
        for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
            differs = plane[here] != plane[there]
            if ignore is not None:
                differs &= ~(ignore[here] | ignore[there])
            boundary[here] |= differs & (plane[here] > 0)
            boundary[there] |= differs & (plane[there] > 0)
    return boundary


def _near(pixels: BoolArray, tolerance: float) -> BoolArray:
    """True within a distance of the pixels, by dilation: for 2 pixels a tenth of the time of a distance transform."""
    import cv2  # noqa: PLC0415 - slow to import

    reach = int(tolerance)
    offsets = np.arange(-reach, reach + 1)
    disc = offsets[:, np.newaxis] ** 2 + offsets**2 <= tolerance**2
    near: BoolArray = cv2.dilate(pixels.view(np.uint8), disc.astype(np.uint8)).view(np.bool_)
    return near
