"""Label images."""

import numpy as np


def discs(shape, count, seed):
    """Label image of discs, some of which touch; those behind are cut."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for number in range(1, count + 1):
        cy, cx, radius = rng.integers(0, shape[0]), rng.integers(0, shape[1]), rng.integers(4, 12)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels
