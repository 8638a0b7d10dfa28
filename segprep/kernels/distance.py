"""Signed distances to the boundaries of labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import FloatArray, LabelArray
from segprep.kernels.planes import as_planes
from segprep.kernels.to_other import distance_to_other


def signed_distance(labels: NDArray[Any]) -> FloatArray:
    """Signed distance to the boundary of each label's region, negative inside (also known as SDF or level set).

    Parameters
    ----------
    labels : (H, W) or (K, H, W) integer array
        0 is outside; every other label has an inside. Instances may overlap between planes.

    Returns
    -------
    (H, W) float32 array
        In pixels: D outside, -(D - 1) inside, where D is the Euclidean distance between pixel centres to the nearest pixel
        of the other side. So inner boundary pixels are 0 and their outer neighbours 1; touching labels have a 0 on both
        sides. Of several planes, the smallest of their distances: where instances overlap, that of the one whose boundary is
        farthest. 0 everywhere if there is no label, and where one label fills its plane. The image's edge is no boundary.

    Raises
    ------
    OptionError
        If `labels` is not a label image.

    References
    ----------
    H. Kervadec et al.: Boundary loss for highly unbalanced segmentation, MIDL 2019.

    Examples
    --------
    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]]))
    array([[ 2.,  1.,  0., -1.,  0.,  1.]], dtype=float32)
    >>> signed_distance(np.array([[1, 1, 1, 2, 2]]))
    array([[-2., -1.,  0.,  0., -1.]], dtype=float32)
    """
    planes = as_planes(labels)
    smallest: FloatArray | None = None
    for plane in planes:
        if plane.any():
            distance = _plane_distance(plane)
            smallest = distance if smallest is None else np.minimum(smallest, distance, out=smallest)
    return np.zeros(planes.shape[1:], np.float32) if smallest is None else smallest


def _plane_distance(plane: LabelArray) -> FloatArray:
    """Signed distances of one plane, which has a label."""
    distance = distance_to_other(plane, signed=True)
    return distance if np.isfinite(distance[0, 0]) else np.zeros(plane.shape, np.float32)  # one label fills the plane
