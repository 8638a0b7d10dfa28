"""Lovasz hinge and Lovasz softmax: convex surrogates of 1 - IoU."""

from typing import Any

from segprep.errors import OptionError
from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction
from segprep.training.losses.overlap import over_regions, regions

_EXACT = 2**24
"""Largest number of pixels that float32 counts exactly."""


def lovasz_hinge(
    logits: Array,
    target: Array,
    weights: Array | None = None,
    *,
    per_image: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Lovasz hinge of a foreground: the Lovasz extension of 1 - IoU at the errors max(0, 1 - z (2 y - 1)).

    Parameters
    ----------
    logits : (..., H, W) floating-point array
        z, the output of the network before the sigmoid.
    target : (..., H, W) array
        y, a foreground as in `binary_cross_entropy`, without values between 0 and 1.
    weights : (..., H, W) array, optional
        Contribution of each pixel to the intersection and the union, at least 0; pixels of weight 0 are ignored.
        Default: 1.
    per_image : bool
        Compute one loss for each image (H, W), as the authors' code does by default, instead of one for the batch.
    reduction : {"mean", "sum", "none"}
        Mean or sum over images, or one value per image, if `per_image`.

    Returns
    -------
    array
        At least 0; 0 if all pixels are ignored. Without any foreground, the largest error.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or if a sum has more than 2^24 pixels.

    References
    ----------
    M. Berman, A. Rannen Triki, M. Blaschko: The Lovasz-Softmax loss, CVPR 2018, section 3.1 and algorithm 1.

    Examples
    --------
    >>> lovasz_hinge(np.array([[3.0, 0.5, -3.0]]), np.array([[1, 1, 0]], np.uint8))
    np.float64(0.25)
    """
    xp = _arrays.namespace(logits=logits, target=target, weights=weights)
    scores, truth, weights = regions(xp, "logits", logits, target, weights)
    if target.ndim != logits.ndim:
        raise OptionError(
            f"target: {target.ndim} axes, logits {logits.ndim}; must be equal: for classes, use lovasz_softmax"
        )
    margins = 1 - scores * (2 * truth - 1)
    losses = _extension(xp, xp.where(margins > 0, margins, 0), truth, weights, per_image=per_image)
    return over_regions(xp, losses, reduction, foreground=True)


def lovasz_softmax(
    probabilities: Array,
    classes: Array,
    weights: Array | None = None,
    *,
    present_only: bool = True,
    per_image: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Lovasz softmax of classes: the mean over classes of the Lovasz extension of 1 - IoU at the errors abs(y - p).

    Parameters
    ----------
    probabilities : (..., C, H, W) floating-point array
        p in [0, 1], see `softmax`.
    classes : (..., H, W) integer array
        As in `cross_entropy`.
    weights, per_image
        As in `lovasz_hinge`.
    present_only : bool
        Leave out the classes that do not occur among the pixels of a sum, whose loss would be the largest p. The
        authors' code offers both.
    reduction : {"mean", "sum", "none"}
        Mean over classes, then over images; sum; or (C,), or (..., C) per image, with 0 for what is left out.

    Returns
    -------
    array
        From 0 to 1, or the sum; 0 if all pixels are ignored; NaN if a code is C or more.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or if a sum has more than 2^24 pixels.

    References
    ----------
    M. Berman, A. Rannen Triki, M. Blaschko: The Lovasz-Softmax loss, CVPR 2018, equations 9 and 11.

    Examples
    --------
    >>> probabilities = np.array([[[0.75, 0.0]], [[0.25, 1.0]]])
    >>> lovasz_softmax(probabilities, np.array([[0, 1]], np.uint8))
    np.float64(0.1875)
    """
    xp = _arrays.namespace(probabilities=probabilities, classes=classes, weights=weights)
    shares, truth, weights = regions(xp, "probabilities", probabilities, classes, weights)
    if classes.ndim == probabilities.ndim:
        raise OptionError(
            f"classes: {classes.ndim} axes, probabilities {probabilities.ndim}; must have one axis more, for the classes"
        )
    losses = _extension(xp, xp.abs(truth - shares), truth, weights, per_image=per_image)
    if not present_only:
        return over_regions(xp, losses, reduction)
    axes = (-2, -1) if per_image else (*range(truth.ndim - 3), -2, -1)
    present = xp.astype(xp.any(truth * weights != 0, axis=axes), losses.dtype)
    if reduction != "mean":
        return over_regions(xp, losses * present, reduction)
    return xp.mean(_arrays.ratio(xp, xp.sum(losses * present, axis=-1), xp.sum(present, axis=-1)))


def _extension(xp: Any, errors: Array, truth: Array, weights: Array, *, per_image: bool) -> Array:
    """Lovasz extension of 1 - IoU for each class, (C,), or (..., C) per image.

    In the order of falling errors, it is the sum of each error times the increase of 1 - IoU by this pixel. The
    increases are computed without differences of nearly equal numbers: w / union on true pixels, I w / (union (union
    + w)) on others, I being the intersection that is left. Ignored pixels increase nothing, wherever they are.
    """
    errors, truth, weights = (_rows(xp, values, per_image) for values in (errors, truth, weights))
    if errors.shape[-1] > _EXACT:
        raise OptionError(
            f"{errors.shape[-1]:,} pixels in one sum: more than float32 counts exactly; use per_image=True"
        )
    order = xp.argsort(errors, axis=-1, descending=True)
    errors, truth, weights = (
        xp.take_along_axis(xp.broadcast_to(values, errors.shape), order, axis=-1) for values in (errors, truth, weights)
    )
    true, false = weights * truth, weights * (1 - truth)
    size = xp.sum(true, axis=-1, keepdims=True)
    # all libraries have it; the `cumulative_sum` of array_api_compat makes torch.compile warn
    left, union = size - xp.cumsum(true, axis=-1), size + xp.cumsum(false, axis=-1)
    before = union - false
    step = xp.where(before > 0, _arrays.ratio(xp, false * left, union * before), xp.astype(union > 0, union.dtype))
    return xp.sum(errors * (_arrays.ratio(xp, true, union) + xp.where(false > 0, step, 0)), axis=-1)


def _rows(xp: Any, values: Array, per_image: bool) -> Array:
    """One row of pixels for each class, (C, P), or (..., C, P) per image."""
    if per_image:
        return xp.reshape(values, (*values.shape[:-2], -1))
    values = xp.moveaxis(values, -3, 0)
    return xp.reshape(values, (values.shape[0], -1))
