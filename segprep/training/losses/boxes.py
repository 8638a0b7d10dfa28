"""Generalised intersection over union of boxes."""

from typing import Any

from segprep.errors import OptionError
from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction


def generalised_iou_loss(
    boxes: Array, truth: Array, weights: Array | None = None, *, corners: bool = False, reduction: Reduction = "mean"
) -> Array:
    """Loss 1 - GIoU of pairs of boxes, with GIoU = I / U - (E - U) / E of intersection I, union U and enclosing box E.

    Parameters
    ----------
    boxes : (..., 4) floating-point array
        Predicted boxes in pixels: x, y, width, height as in COCO and in the instance table of a store. Of a negative
        width or height, the box between both corners counts.
    truth : (..., 4) array
        True boxes, in the same order.
    weights : (...) array, optional
        Weight of each pair; pairs of weight 0 are ignored, such as those that only fill up a batch. Default: 1.
    corners : bool
        Boxes are x, y of two opposite corners instead.
    reduction : {"mean", "sum", "none"}
        Sum of w l over the sum of w; sum of w l; or w l of each pair.

    Returns
    -------
    array
        Scalar or (...), from 0 to 2; 0 if there is no pair. An empty union or enclosing box, of points and lines,
        counts as IoU 0 or as filled.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit.

    References
    ----------
    H. Rezatofighi et al.: Generalized intersection over union, CVPR 2019, algorithm 2.

    Examples
    --------
    >>> boxes, truth = np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1, 0, 2, 2]])
    >>> generalised_iou_loss(boxes, truth).round(3)  # IoU 1 / 3, and the union fills the enclosing box
    np.float64(0.667)
    """
    xp = _arrays.namespace(boxes=boxes, truth=truth, weights=weights)
    boxes = _arrays.floating(xp, "boxes", boxes)
    if tuple(boxes.shape) != tuple(truth.shape) or not boxes.ndim or boxes.shape[-1] != 4:  # noqa: PLR2004
        raise OptionError(
            f"boxes: shape {tuple(boxes.shape)}, truth {tuple(truth.shape)}; both must be (..., 4), for pairs"
        )
    weights = _arrays.pixel_weights(xp, boxes, tuple(boxes.shape[:-1]), weights, None)
    known = weights[..., None] != 0
    boxes, truth = (xp.where(known, values, 0) for values in (boxes, xp.astype(truth, boxes.dtype)))
    low, high = _corners(xp, boxes, corners)
    true_low, true_high = _corners(xp, truth, corners)
    common = _area(xp, xp.minimum(high, true_high) - xp.maximum(low, true_low))
    union = _area(xp, high - low) + _area(xp, true_high - true_low) - common
    enclosing = _area(xp, xp.maximum(high, true_high) - xp.minimum(low, true_low))
    giou = _arrays.ratio(xp, common, union) - _arrays.ratio(xp, enclosing - union, enclosing)
    return _arrays.reduced(xp, 1 - giou, weights, reduction)


def _corners(xp: Any, boxes: Array, corners: bool) -> tuple[Array, Array]:
    """Upper left and lower right corners, each (..., 2)."""
    first = boxes[..., :2]
    second = boxes[..., 2:] if corners else first + boxes[..., 2:]
    return xp.minimum(first, second), xp.maximum(first, second)


def _area(xp: Any, sides: Array) -> Array:
    """Width times height, 0 if one is negative."""
    sides = xp.where(sides > 0, sides, 0)
    return sides[..., 0] * sides[..., 1]
