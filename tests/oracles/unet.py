"""The papers' formulas, slow and literal, without segprep."""

import numpy as np
from scipy.ndimage import distance_transform_edt


def nearest_two(planes):
    """Distances to the nearest and the second nearest instance, (2, H, W); inf where there are fewer."""
    distances = [np.full(planes.shape[1:], np.inf)] * 2
    for number in np.unique(planes[planes > 0]):
        distances.append(distance_transform_edt(~(planes == number).any(axis=0)))
    return np.sort(distances, axis=0)[:2]


def nearest_two_within(planes, reach):
    """The same, but inf farther than `reach`: looks only at a window around each instance, so it can do real images."""
    nearest = np.full((2, *planes.shape[1:]), np.inf)
    for number in np.unique(planes[planes > 0]):
        _, y, x = np.nonzero(planes == number)
        top, left = max(0, y.min() - reach), max(0, x.min() - reach)
        window = np.s_[:, top : y.max() + reach + 1, left : x.max() + reach + 1]
        distance = distance_transform_edt(~(planes[window] == number).any(axis=0))
        distance[distance > reach] = np.inf
        nearest[window] = np.sort([*nearest[window], distance], axis=0)[:2]
    return nearest


def border_of(nearest, w0, sigma):
    """Second term of U-Net's eq. 2, of d1 and d2; 0 on instances."""
    d1, d2 = nearest
    return np.where(d1 > 0, w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)), 0)


def border(planes, w0, sigma):
    """Second term of U-Net's eq. 2, (H, W)."""
    return border_of(nearest_two(planes), w0, sigma)


def front(planes):
    """Instance in front at each pixel: the one with the fewest pixels in all, of equals the last."""
    areas = np.bincount(planes.ravel())
    labels = np.zeros(planes.shape[1:], np.int64)
    for y, x in np.ndindex(labels.shape):
        here = [number for number in planes[:, y, x].tolist() if number > 0]
        labels[y, x] = min(here, key=lambda number: (areas[number], -number), default=0)
    return labels


def visible_pixels(planes, classes, ignore, n_classes):
    """Visible pixels of each class where there is truth."""
    codes = classes[front(planes)]
    known = np.ones(codes.shape, bool) if ignore is None else ~ignore
    return [int(((codes == code) & known).sum()) for code in range(n_classes)]


def inverse_class_weights(pixels):
    """N / (C n_c) over the classes that occur, 0 for the others."""
    occurring = sum(count > 0 for count in pixels)
    return np.array([sum(pixels) / (occurring * count) if count else 0 for count in pixels], np.float64)


def unet_weights(planes, classes, ignore, class_vector, *, w0, sigma):
    """U-Net's eq. 2, (H, W); 0 where nothing is known."""
    weights = np.asarray(class_vector, np.float64)[classes[front(planes)]] + border(planes, w0, sigma)
    return weights if ignore is None else np.where(ignore, 0, weights)
