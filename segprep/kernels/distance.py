"""Signed distances to the boundaries of labels."""

import numpy as np

from segprep.arrays import FloatArray, LabelArray
from segprep.kernels.to_other import distance_to_other


def signed_distance(labels: LabelArray) -> FloatArray:
    """Signed distance to the boundary of each label's region, negative inside.

    Parameters
    ----------
    labels : (H, W) int32 array
        0 is outside; every other label has its own inside.

    Returns
    -------
    (H, W) float32 array
        In pixels: D outside, -(D - 1) inside, where D is the distance to the nearest pixel of the other side, between pixel
        centres. So inner boundary pixels are 0 and their outer neighbours 1; touching labels have a 0 on both sides. 0
        everywhere if one label fills the image. The image's edge is no boundary.

    References
    ----------
    H. Kervadec et al.: Boundary loss for highly unbalanced segmentation, MIDL 2019.

    Examples
    --------
    >>> signed_distance(np.array([[0, 0, 1, 1, 1, 0]], np.int32))
    array([[ 2.,  1.,  0., -1.,  0.,  1.]], dtype=float32)
    """
    distance = distance_to_other(labels)
    if not np.isfinite(distance[:1, :1]).all():
        return np.zeros(labels.shape, np.float32)
    return np.where(labels > 0, 1 - distance, distance)


def instance_distance(planes: LabelArray) -> FloatArray:
    """Smallest of the instances' own signed distances at each pixel.

    Parameters
    ----------
    planes : (K, H, W) int32 array
        0 is background, positive numbers are instances; they may overlap between planes.

    Returns
    -------
    (H, W) float32 array
        In pixels: on the background the distance to the nearest instance, on an instance its own field, and where some
        overlap that of the one whose boundary is farthest. An instance that fills the image counts as 0.

    Examples
    --------
    >>> instance_distance(np.array([[[1, 1, 1, 2, 2]]], np.int32))
    array([[-2., -1.,  0.,  0., -1.]], dtype=float32)
    """
    fields = [signed_distance(plane) for plane in planes if plane.any()]
    return np.min(fields, axis=0) if fields else np.zeros(planes.shape[1:], np.float32)
