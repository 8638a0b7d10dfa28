"""Losses by the papers' formulas, pixel by pixel in Python's floats, without segprep."""

import math
from itertools import product


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else 1 - 1 / (1 + math.exp(z))


def softmax(scores):
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def is_ignored(code, dtype):
    """The maximum of unsigned types, and negative codes."""
    return (dtype.kind == "u" and code == 256**dtype.itemsize - 1) or code < 0


def images(target):
    """Indices of the images of a batch (..., H, W)."""
    return list(product(*map(range, target.shape[:-2])))


def groups(target, per_image):
    """Images whose sums are computed together."""
    return [[image] for image in images(target)] if per_image else [images(target)]


def foreground_pixels(prediction, target, weights, batch):
    """(z or p, y, w, place) of the pixels that are not ignored."""
    for image, y, x in product(batch, range(target.shape[-2]), range(target.shape[-1])):
        place = (*image, y, x)
        weight = 1.0 if weights is None else float(weights[place])
        truth = float(target[place])
        if weight and not is_ignored(truth, target.dtype):
            yield float(prediction[place]), truth if target.dtype.kind == "f" else float(truth > 0), weight, place


def class_pixels(prediction, classes, weights, batch):
    """(scores or probabilities of all classes, true class, w, place) of the pixels that are not ignored."""
    for image, y, x in product(batch, range(classes.shape[-2]), range(classes.shape[-1])):
        place = (*image, y, x)
        weight = 1.0 if weights is None else float(weights[place])
        if weight and not is_ignored(int(classes[place]), classes.dtype):
            scores = [float(prediction[(*image, c, y, x)]) for c in range(prediction.shape[-3])]
            yield scores, int(classes[place]), weight, place


def weighted_mean(losses):
    """Sum of w l over the sum of w, of pairs (l, w)."""
    losses = list(losses)
    total = math.fsum(weight for _, weight in losses)
    return math.fsum(loss * weight for loss, weight in losses) / total if total else 0.0


def binary_cross_entropy(logits, target, weights=None):
    return weighted_mean(
        (-truth * math.log(sigmoid(z)) - (1 - truth) * math.log(sigmoid(-z)), weight)
        for z, truth, weight, _ in foreground_pixels(logits, target, weights, images(target))
    )


def cross_entropy(logits, classes, weights=None):
    pixels = class_pixels(logits, classes, weights, images(classes))
    return weighted_mean((-math.log(softmax(scores)[true]), weight) for scores, true, weight, _ in pixels)


def binary_focal_loss(logits, target, weights=None, *, gamma=2, alpha=0.25):
    def of(p_t, a_t):
        return -a_t * (1 - p_t) ** gamma * math.log(p_t)

    on, off = (1, 1) if alpha is None else (alpha, 1 - alpha)
    return weighted_mean(
        (truth * of(sigmoid(z), on) + (1 - truth) * of(sigmoid(-z), off), weight)
        for z, truth, weight, _ in foreground_pixels(logits, target, weights, images(target))
    )


def focal_loss(logits, classes, weights=None, *, gamma=2, alpha=None):
    def of(p_t, a_t):
        return -a_t * (1 - p_t) ** gamma * math.log(p_t)

    return weighted_mean(
        (of(softmax(scores)[true], 1 if alpha is None else alpha[true]), weight)
        for scores, true, weight, _ in class_pixels(logits, classes, weights, images(classes))
    )


def regions(probabilities, target, weights, per_image):
    """For each group of images and each class: its (p, y, w), without ignored pixels."""
    for batch in groups(target, per_image):
        if target.ndim == probabilities.ndim:
            yield [[(p, y, w) for p, y, w, _ in foreground_pixels(probabilities, target, weights, batch)]]
        else:
            pixels = list(class_pixels(probabilities, target, weights, batch))
            count = probabilities.shape[-3]
            yield [[(scores[c], float(c == true), w) for scores, true, w, _ in pixels] for c in range(count)]


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def dice_loss(probabilities, target, weights=None, *, smooth=1, per_image=False):
    def of(pixels):
        both = 2 * math.fsum(w * p * y for p, y, w in pixels) + smooth
        all_of_it = math.fsum(w * (p + y) for p, y, w in pixels) + smooth
        return 1 - both / all_of_it if all_of_it else 0.0

    return mean(of(pixels) for classes in regions(probabilities, target, weights, per_image) for pixels in classes)


def tversky_loss(probabilities, target, weights=None, *, alpha=0.3, beta=0.7, smooth=1, per_image=False):
    def of(pixels):
        true_positive = math.fsum(w * p * y for p, y, w in pixels) + smooth
        false_positive = math.fsum(w * p * (1 - y) for p, y, w in pixels)
        false_negative = math.fsum(w * (1 - p) * y for p, y, w in pixels)
        all_of_it = true_positive + alpha * false_positive + beta * false_negative
        return 1 - true_positive / all_of_it if all_of_it else 0.0

    return mean(of(pixels) for classes in regions(probabilities, target, weights, per_image) for pixels in classes)


def generalised_dice_loss(probabilities, target, weights=None, *, per_image=False):
    def of(classes):
        if len(classes) == 1:
            classes = [*classes, [(1 - p, 1 - y, w) for p, y, w in classes[0]]]
        true = [math.fsum(w * y for _, y, w in pixels) for pixels in classes]
        inverse = [1 / count**2 for count in true if count]
        factors = [1 / count**2 if count else max(inverse, default=0) for count in true]
        both = math.fsum(f * w * p * y for f, pixels in zip(factors, classes, strict=True) for p, y, w in pixels)
        total = math.fsum(f * w * (p + y) for f, pixels in zip(factors, classes, strict=True) for p, y, w in pixels)
        return 1 - 2 * both / total if total else 0.0

    return mean(of(classes) for classes in regions(probabilities, target, weights, per_image))


def boundary_loss(probabilities, distance, weights=None):
    def weight(place):
        if weights is None:
            return 1.0
        return float(weights[place if weights.ndim == distance.ndim else (*place[:-3], *place[-2:])])

    places = product(*map(range, distance.shape))
    return weighted_mean((float(probabilities[at]) * float(distance[at]), weight(at)) for at in places)


def lovasz_extension(pixels):
    """Lovasz extension of the Jaccard loss at the errors of (error, y, w): equations 8 and 9, with sets of pixels."""

    def loss(wrong):
        union = math.fsum(w for i, (_, y, w) in enumerate(pixels) if y or i in wrong)
        return math.fsum(pixels[i][2] for i in wrong) / union if wrong else 0.0

    order = sorted(range(len(pixels)), key=lambda i: -pixels[i][0])
    steps = [loss(set(order[: i + 1])) - loss(set(order[:i])) for i in range(len(order))]
    return math.fsum(pixels[i][0] * step for i, step in zip(order, steps, strict=True))


def lovasz_hinge(logits, target, weights=None, *, per_image=False):
    return mean(
        lovasz_extension([(max(0.0, 1 - z * (2 * y - 1)), y, w) for z, y, w in classes[0]])
        for classes in regions(logits, target, weights, per_image)
    )


def lovasz_softmax(probabilities, classes, weights=None, *, present_only=True, per_image=False):
    def of(group):
        counted = [pixels for pixels in group if any(y for _, y, _ in pixels) or not present_only]
        losses = [lovasz_extension([(abs(y - p), y, w) for p, y, w in pixels]) for pixels in counted]
        return mean(losses) if losses else 0.0

    return mean(of(group) for group in regions(probabilities, classes, weights, per_image))


def generalised_iou_loss(boxes, truth, weights=None, *, corners=False):
    def sides(box):
        x, y, v, w = map(float, box)
        u, z = (v, w) if corners else (x + v, y + w)
        return min(x, u), min(y, z), max(x, u), max(y, z)

    def of(box, other):
        (x1, y1, x2, y2), (u1, v1, u2, v2) = sides(box), sides(other)
        common = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
        union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
        enclosing = (max(x2, u2) - min(x1, u1)) * (max(y2, v2) - min(y1, v1))
        iou = common / union if union else 0.0
        return 1 - iou + ((enclosing - union) / enclosing if enclosing else 0.0)

    pairs = product(*map(range, boxes.shape[:-1]))
    return weighted_mean((of(boxes[at], truth[at]), 1.0 if weights is None else float(weights[at])) for at in pairs)


def dice_cross_entropy(logits, target, weights=None, *, dice=1, smooth=1, per_image=False):
    binary = target.ndim == logits.ndim
    entropy = (binary_cross_entropy if binary else cross_entropy)(logits, target, weights)
    known = None if weights is None else (weights != 0).astype(float)
    shares = logits.astype(float)
    for image, y, x in product(images(target), range(target.shape[-2]), range(target.shape[-1])):
        if binary:
            shares[(*image, y, x)] = sigmoid(float(logits[(*image, y, x)]))
        else:
            shares[(*image, slice(None), y, x)] = softmax([float(z) for z in logits[(*image, slice(None), y, x)]])
    return entropy + dice * dice_loss(shares, target, known, smooth=smooth, per_image=per_image)
