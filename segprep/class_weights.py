"""Class weights from counts: how much a pixel of each class counts in the loss."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from segprep.stats import Counts

ClassVector: TypeAlias = NDArray[np.float64]
"""One number per class code."""


def inverse(counts: Counts) -> ClassVector:
    """N / (C n_c): every class has the same weight in all, and the mean over the pixels is 1.

    N valid pixels, n_c of them of class c, C classes that have any; scikit-learn calls it "balanced".

    Returns
    -------
    (C,) float64 array
        0 for a class without a pixel.

    Examples
    --------
    >>> inverse(Counts.of_pixels([60, 30, 10])).round(2)
    array([0.56, 1.11, 3.33])
    >>> inverse(Counts.of_pixels([75, 0, 25])).round(2)
    array([0.67, 0.  , 2.  ])
    """
    pixels = counts.pixels
    present = pixels > 0
    weights = np.zeros(len(pixels))
    weights[present] = pixels.sum() / (np.count_nonzero(present) * pixels[present].astype(np.float64))
    return weights


def none(counts: Counts) -> ClassVector:
    """1 for every class.

    Examples
    --------
    >>> none(Counts.of_pixels([60, 30, 10]))
    array([1., 1., 1.])
    """
    return np.ones(len(counts.pixels))


FORMULAS: dict[str, Callable[[Counts], ClassVector]] = {"inverse": inverse, "none": none}
"""By the name that options and attributes use."""
