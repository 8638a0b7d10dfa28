"""Metrics of instances from dense masks, literally by their definitions; and the pairs that published programs have scored."""

import hashlib
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from segprep.masks.mask import InstanceMask
from segprep.training.metrics import Score


def dense_masks(instances):
    """One mask of each instance, (N, H, W) bool, in ascending order of the labels."""
    planes = instances.planes if isinstance(instances, InstanceMask) else np.asarray(instances)
    planes = planes if planes.ndim == 3 else planes[np.newaxis]
    labels = np.unique(planes[planes > 0])
    return np.array([(planes == label).any(axis=0) for label in labels], bool).reshape(-1, *planes.shape[1:])


def dense_iou(truth, prediction, ignore=None):
    """IoU of every pair of masks, (N, M); true instances without a pixel that counts are left out."""
    true, predicted = dense_masks(truth), dense_masks(prediction)
    valid = np.ones(true.shape[1:], bool) if ignore is None else ~ignore
    true = (true & valid)[(true & valid).any(axis=(1, 2))]
    iou = np.zeros((len(true), len(predicted)))
    for row, here in enumerate(true):
        for column, there in enumerate(predicted & valid):
            iou[row, column] = (here & there).sum() / (here | there).sum()
    return iou


def dense_score(truth, prediction, threshold, ignore=None):
    """Score at a threshold, by one optimal assignment of all instances."""
    iou = dense_iou(truth, prediction, ignore)
    close = iou > threshold
    rows, columns = linear_sum_assignment(close + np.where(close, iou, 0) / (2 * max(1, *iou.shape)), maximize=True)
    is_match = close[rows, columns]
    rows, columns = rows[is_match], columns[is_match]
    ignored = np.zeros(iou.shape[1], bool)
    if ignore is not None:
        ignored = np.array([(mask & ignore).sum() > mask.sum() / 2 for mask in dense_masks(prediction)], bool)
    false = np.setdiff1d(np.flatnonzero(~ignored), columns)
    return Score(len(rows), len(false), len(iou) - len(rows), float(iou[rows, columns].sum()))


def boundary_pixels(instances, ignore=None):
    """Coordinates of the boundary pixels of label images, by a look at the four neighbours of each pixel."""
    found = set()
    for mask in dense_masks(instances):
        height, width = mask.shape
        for y, x in zip(*np.nonzero(mask), strict=True):
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                is_inside = 0 <= ny < height and 0 <= nx < width
                if is_inside and not mask[ny, nx] and not (ignore is not None and (ignore[y, x] or ignore[ny, nx])):
                    found.add((int(y), int(x)))
    return np.array(sorted(found)).reshape(-1, 2)


def literal_boundary_f(truth, prediction, tolerance, ignore=None):
    """F of the boundaries, by the distance of every pixel to every other."""
    true, predicted = boundary_pixels(truth, ignore), boundary_pixels(prediction, ignore)
    if not (len(true) and len(predicted)):
        return float(len(true) == len(predicted))
    near = ((true[:, np.newaxis] - predicted) ** 2).sum(axis=2) <= tolerance**2
    recall, precision = near.any(axis=1).mean(), near.any(axis=0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def literal_separated(truth, prediction):
    """Touching pairs of a label image, and how many of them are both matched with an IoU above 0.5."""
    masks, iou = dense_masks(truth), dense_iou(truth, prediction)
    padded = [np.pad(mask, 1) for mask in masks]
    grown = [
        np.any([np.roll(mask, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0) for mask in padded
    ]
    touching = [(a, b) for a, b in combinations(range(len(masks)), 2) if (grown[a] & padded[b]).any()]
    matched = (iou > 0.5).any(axis=1) if iou.size else np.zeros(len(masks), bool)
    return len(touching), sum(bool(matched[a] and matched[b]) for a, b in touching)


def blobs(rng, shape, count):
    """Label image of ellipses that cover each other, with gaps in the labels."""
    grid = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number in rng.permutation(2 * count)[:count] + 1:
        y, x = rng.random(2) * shape
        ry, rx = rng.uniform(0.05, 0.25, 2) * shape + 1
        labels[((grid[0] - y) / ry) ** 2 + ((grid[1] - x) / rx) ** 2 <= 1] = number
    return labels


def label_pair(seed):
    """Truth and a prediction that moves, merges, drops and adds instances; sometimes one of them is empty."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(8, 40, 2).tolist())
    truth = blobs(rng, shape, int(rng.integers(0, 12)))
    shift = rng.integers(-2, 3, 2)
    prediction = np.roll(truth, shift, (0, 1))
    names = np.arange(int(truth.max(initial=0)) + 1)
    names[1:][rng.random(len(names) - 1) < 0.15] = 0
    merged = rng.random(len(names) - 1) < 0.2
    names[1:][merged] = names[1:][merged] // 2
    prediction = names[prediction].astype(np.int32)
    extra = blobs(rng, shape, int(rng.integers(0, 4)))
    prediction = np.where(extra > 0, extra + 100, prediction).astype(np.int32)
    return truth, prediction


THINGS, STUFF = (1, 2), (3, 4)
"""Class codes of the panoptic pairs."""


def panoptic_pair(seed):
    """Truth and prediction as segment images and the class of each segment; 0 is void."""
    rng = np.random.default_rng(seed)
    shape = (60, 80)
    labels = blobs(rng, shape, 12)
    kinds = {int(label): int(rng.choice(THINGS)) for label in np.unique(labels[labels > 0])}
    truth = _with_stuff(labels, kinds, np.arange(shape[1]) < rng.integers(20, 60))
    truth[0][rng.integers(0, 40) :][:8] = 0
    moved = np.roll(labels, rng.integers(-3, 4, 2), (0, 1))
    own = {label: kind if rng.random() < 0.8 else 3 - kind for label, kind in kinds.items()}
    extra = blobs(rng, shape, 3)
    moved = np.where(extra > 0, extra + 50, moved).astype(np.int32)
    own |= {int(label): int(rng.choice(THINGS)) for label in np.unique(moved[moved > 50])}
    found = _with_stuff(moved, own, np.arange(shape[1]) < rng.integers(20, 60))
    found[0][:, rng.integers(0, 70) :][:, :3] = 0
    return _present(*truth), _present(*found)


def _with_stuff(labels, kinds, is_left):
    """Segments in which two classes of stuff lie beside each other behind the things."""
    segments = np.where(labels > 0, labels, np.where(is_left, 200, 201)).astype(np.int32)
    return segments, kinds | {200: STUFF[0], 201: STUFF[1]}


def _present(segments, kinds):
    return segments, {label: kind for label, kind in kinds.items() if (segments == label).any()}


def as_mask(segments, kinds):
    """Segments as a mask: void is ignored, stuff has no instances."""
    things = [label for label, kind in kinds.items() if kind in THINGS]
    planes, stuff = np.zeros((1, *segments.shape), np.int32), np.zeros(segments.shape, np.int32)
    for number, label in enumerate(things, start=1):
        planes[0][segments == label] = number
    for label, kind in kinds.items():
        if kind in STUFF:
            stuff[segments == label] = kind
    classes = np.array([0, *(kinds[label] for label in things)], np.int32)
    return InstanceMask(planes, classes, segments == 0, stuff=stuff)


def digest(*arrays):
    """Fingerprint of the pixels of an example."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array, np.int32).tobytes() for array in arrays)).hexdigest()[
        :16
    ]
