"""Distances, borders, presets, parts and separations, slow and literal, without segprep."""

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

CROSS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
BEFORE = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
"""The neighbours of a pixel that come before it in reading order."""


def numbers_of(planes):
    """Instance numbers that occur."""
    return np.unique(planes[planes > 0]).tolist()


def around(shape, y, x, offsets):
    """Pixels of the image at these offsets from one of them."""
    for dy, dx in offsets:
        if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
            yield y + dy, x + dx


def chessboard(distance):
    """Offsets of all pixels within this chessboard distance."""
    return [(dy, dx) for dy in range(-distance, distance + 1) for dx in range(-distance, distance + 1)]


def touches(inside, other):
    """Pixels of `inside` that have a 4-neighbour in the image that is of `other`."""
    touching = np.zeros(inside.shape, bool)
    for y, x in np.argwhere(inside):
        touching[y, x] = any(other[place] for place in around(inside.shape, y, x, CROSS))
    return touching


def distance_to_other(labels):
    """Distance to the nearest pixel of another label, one transform per label; inf where there is only one."""
    distance = np.full(labels.shape, np.inf)
    for value in np.unique(labels):
        own = labels == value
        if not own.all():
            distance[own] = distance_transform_edt(own)[own]
    return distance


def signed_distance(inside):
    """Kervadec's field: D outside and -(D - 1) inside; zeros for a region that is empty or fills the image."""
    if inside.all() or not inside.any():
        return np.zeros(inside.shape)
    return np.where(inside, -(distance_transform_edt(inside) - 1), distance_transform_edt(~inside))


def one_hot2dist(one_hot):
    """Kervadec's published function, in float: per channel ``D(~pos) ~pos - (D(pos) - 1) pos``."""
    field = np.zeros(one_hot.shape, np.float64)
    for channel, posmask in enumerate(one_hot):
        if posmask.any():
            negmask = ~posmask
            outside, inside = distance_transform_edt(negmask), distance_transform_edt(posmask)
            field[channel] = outside * negmask - (inside - 1) * posmask
    return field


def distance(planes, classes, per, n_classes):
    """Signed distances of all three kinds, with the hidden parts of instances; (H, W), or (C, H, W) per class."""
    instances = {number: (planes == number).any(axis=0) for number in numbers_of(planes)}
    foreground = (planes > 0).any(axis=0)
    if per == "foreground":
        return signed_distance(foreground)
    if per == "instance":
        return np.min(
            [signed_distance(inside) for inside in instances.values()] or [np.zeros(foreground.shape)], axis=0
        )
    regions = np.zeros((n_classes, *foreground.shape), bool)
    regions[0] = ~foreground
    for number, inside in instances.items():
        regions[classes[number]] |= inside
    return np.array([signed_distance(region) for region in regions])


def border(planes, classes, *, w0, sigma, border_on, single_instance, border_between):
    """Second term of U-Net's eq. 2 in all its readings, one transform per instance, (H, W)."""
    numbers = numbers_of(planes)
    groups = [numbers]
    if border_between == "same-class":
        groups = [[number for number in numbers if classes[number] == code] for code in set(classes[numbers].tolist())]
    term = np.zeros(planes.shape[1:])
    for group in groups:
        term += border_term(
            [instance_distance(planes, number, border_on) for number in group], w0, sigma, single_instance
        )
    return np.where((planes > 0).any(axis=0), 0, term) if border_on == "background" else term


def instance_distance(planes, number, border_on):
    """Distance to an instance's pixels or to its inner boundary; None if it has no boundary."""
    sites = (planes == number).any(axis=0)
    if border_on == "all":
        sites = find_boundaries(sites, mode="inner", connectivity=1)
    return distance_transform_edt(~sites) if sites.any() else None


def border_term(distances, w0, sigma, single_instance):
    """``w0 exp(-(d1 + d2)^2 / (2 sigma^2))`` of the distances to all instances."""
    is_single = len(distances) == 1
    distances = [each for each in distances if each is not None]
    if is_single and distances and single_instance == "d1":
        return w0 * np.exp(-(distances[0] ** 2) / (2 * sigma**2))
    if len(distances) < 2:
        return 0
    d1, d2 = np.sort(distances, axis=0)[:2]
    return w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def make_weight_map(masks, w0=10, sigma=5):
    """Deshpande's article step by step: distances of every pixel to every boundary pixel of each mask, (H, W).

    Defined for one mask or more, none of them empty or filling the image, no two of them overlapping.
    """
    rows, columns = masks.shape[1:]
    pixels = np.stack(np.indices((rows, columns)), axis=-1).reshape(-1, 2)
    distances = np.zeros((rows * columns, len(masks)))
    for index, mask in enumerate(masks):
        bounds = np.argwhere(find_boundaries(mask, mode="inner"))
        squared = (pixels[:, :1] - bounds[:, 0]) ** 2 + (pixels[:, 1:] - bounds[:, 1]) ** 2
        distances[:, index] = np.sqrt(squared.min(axis=1))
    if len(masks) == 1:
        border_loss = w0 * np.exp(-(distances[:, 0] ** 2) / (2 * sigma**2))
    else:
        d1, d2 = np.sort(distances, axis=1)[:, :2].T
        border_loss = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    loss = np.zeros((rows, columns))
    w_1 = 1 - masks.sum() / loss.size
    w_0 = 1 - w_1
    loss[masks.sum(axis=0) == 1] = w_1
    loss[masks.sum(axis=0) == 0] = w_0
    return loss + border_loss.reshape(rows, columns)


def make_weight_map_within(planes, reach, w0=10, sigma=5):
    """The same of two instances or more, looking no farther than `reach`, so that it can do real images.

    Where two overlap it has the border loss alone, as in the article.
    """
    nearest = np.full((2, *planes.shape[1:]), np.inf)
    for number in numbers_of(planes):
        _, y, x = np.nonzero(planes == number)
        top, left = max(0, y.min() - reach), max(0, x.min() - reach)
        window = np.s_[:, top : y.max() + reach + 1, left : x.max() + reach + 1]
        bounds = find_boundaries((planes[window] == number).any(axis=0), mode="inner")
        nearest[window] = np.sort([*nearest[window], distance_transform_edt(~bounds)], axis=0)[:2]
    count = np.count_nonzero(planes, axis=0)
    w_0 = count.sum() / count.size
    return np.choose(np.minimum(count, 2), [w_0, 1 - w_0, 0]) + border_term(list(nearest), w0, sigma, "zero")


def falk_planes(planes, classes):
    """Planes after Falk's rule: a pixel goes that has another instance of its class among the four before it."""
    edited = planes.copy()
    for k, y, x in np.argwhere(planes):
        own = planes[k, y, x]
        before = [planes[:, *place] for place in around(planes.shape[1:], y, x, BEFORE)]
        if any(other not in {0, own} and classes[other] == classes[own] for other in np.ravel(before)):
            edited[k, y, x] = 0
    return edited


def falk_weights(planes, classes, nearest_two, *, lambda_=50, s_sep=6, v=0.1, s_bal=10):
    """Falk's weights of planes whose instances are apart; `nearest_two` gives d1 and d2 of the planes of one class."""
    background = np.full(planes.shape[1:], v)
    for code in set(classes[numbers_of(planes)].tolist()):
        own = np.where(classes[planes] == code, planes, 0)
        d1 = distance_transform_edt((own == 0).all(axis=0))
        background += lambda_ * np.exp(-(nearest_two(own).sum(axis=0) ** 2) / (2 * s_sep**2))
        background += (1 - v) * np.exp(-(d1**2) / (2 * s_bal**2))
    return np.where((planes > 0).any(axis=0), 1, background)


def boundaries(labels, width):
    """0 background, 1 interior, 2 border, 3 border shared by two instances, pixel by pixel."""
    parts = np.zeros(labels.shape, int)
    for y, x in np.argwhere(labels):
        near = {int(labels[place]) for place in around(labels.shape, y, x, chessboard(width))} - {labels[y, x]}
        parts[y, x] = 1 if not near else 3 if near != {0} else 2
    return parts


def near_others(planes, distance):
    """True where another instance lies within this chessboard distance of a pixel of an instance, pixel by pixel."""
    near = np.zeros(planes.shape, bool)
    for k, y, x in np.argwhere(planes):
        window = [planes[:, *place] for place in around(planes.shape[1:], y, x, chessboard(distance))]
        near[k, y, x] = bool(set(np.ravel(window).tolist()) - {0, int(planes[k, y, x])})
    return near


def separated(planes, distance):
    """Planes without the pixels near others; who would vanish keeps the pixels that are deepest in it, if any are deep."""
    edited = np.where(near_others(planes, distance), 0, planes)
    for number in set(numbers_of(planes)) - set(numbers_of(edited)):
        for plane, before in zip(edited, planes, strict=True):
            own = before == number
            depth = np.zeros(own.shape) if own.all() or not own.any() else distance_transform_edt(own)
            plane[own & (depth == depth.max())] = number
    return edited
