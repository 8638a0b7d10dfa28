"""Masks whose instances lie closest together, found among a part of the masks."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray
from segprep.kernels.nearest import BEYOND, nearest_two_squared
from segprep.kernels.planes import as_planes

REACH = 64
"""Pixels beyond which gaps do not differ."""
MOST, MOST_PIXELS = 48, 2**26
"""Masks that are read, and their pixels: less than five seconds."""


def median_gap(labels: NDArray[Any]) -> float:
    """Median over the instances of the distance to the nearest other instance, between pixel centres.

    Parameters
    ----------
    labels : (H, W) integer array
        0 is background.

    Returns
    -------
    float
        In pixels, 1 where instances touch; infinite for distances above `REACH`, and with fewer than two instances.

    Examples
    --------
    >>> median_gap(np.array([[1, 0, 0, 2, 3]]))
    1.0
    >>> median_gap(np.array([[1, 1, 0, 0, 0, 2]]))
    4.0
    """
    planes = as_planes(labels)
    squared = nearest_two_squared(planes, reach=REACH)[1].ravel()
    order = np.flatnonzero((squared != BEYOND) & (planes[0].ravel() > 0))
    numbers = planes[0].ravel()[order]
    least = np.full(int(planes.max()) + 1, np.inf)
    np.minimum.at(least, numbers, np.sqrt(squared[order], dtype=np.float64))
    present = np.unique(planes)
    present = present[present > 0]
    return float(np.median(least[present])) if len(present) > 1 else float("inf")


def by_gap(
    instances: NDArray[np.integer], pixels: CountArray, labels: Callable[[int], NDArray[Any]], seed: int = 0
) -> list[int]:
    """Indices of the masks of a part with the smallest `median_gap` first; none of masks without gaps within `REACH`.

    One half of the part has the most instances per pixel, the other is random, so that few large gaps between many small
    instances do not hide small gaps between a few.

    Parameters
    ----------
    instances, pixels : (n,) array
        Number of instances, and of pixels, of each mask.
    labels : callable
        Labels of the mask of an index.
    seed : int
        Random seed.
    """
    instances = instances.astype(np.int64)
    several = np.flatnonzero(instances > 1)
    dense = several[np.argsort(-instances[several] / pixels[several], kind="stable")]
    mixed = np.random.default_rng(seed).permutation(several)
    part = list(dict.fromkeys(np.stack([dense, mixed], axis=1).ravel().tolist()))[:MOST]
    part = [index for index, total in zip(part, np.cumsum(pixels[part]), strict=True) if total <= MOST_PIXELS]
    gaps = {index: median_gap(labels(index)) for index in sorted(part)}  # tiles of a mask together
    return sorted(
        (index for index in part if np.isfinite(gaps[index])), key=lambda index: (gaps[index], -instances[index])
    )
