"""Cross-entropy with a weight per pixel, of a foreground and of classes."""

from typing import Any

from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction


def binary_cross_entropy(
    logits: Array, target: Array, weights: Array | None = None, *, reduction: Reduction = "mean"
) -> Array:
    """Weighted binary cross-entropy of logits, -y log p - (1 - y) log(1 - p) with p = 1 / (1 + exp(-z)).

    Computed as y softplus(-z) + (1 - y) softplus(z), which neither overflows nor cancels.

    Parameters
    ----------
    logits : (..., H, W) floating-point array
        z, the output of the network before the sigmoid.
    target : (..., H, W) boolean, integer or floating-point array
        y: boolean; or integers, of which 0 is the background and the maximum of an unsigned type and negative values
        are ignored, such as the stored labels or classes; or floats in [0, 1].
    weights : (..., H, W) array, optional
        Weight of each pixel, such as the stored weights; pixels of weight 0 are ignored. Default: 1.
    reduction : {"mean", "sum", "none"}
        Sum of w l over the sum of w; sum of w l; or w l of each pixel.

    Returns
    -------
    array
        Scalar or (..., H, W), at least 0 for weights of at least 0; 0 where, or if, all pixels are ignored.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox: U-Net, MICCAI 2015, equation 1, with the two classes of a sigmoid.

    Examples
    --------
    >>> logits, target = np.array([[0.0, 2.0]]), np.array([[0, 1]], np.uint8)
    >>> binary_cross_entropy(logits, target, reduction="none").round(3)
    array([[0.693, 0.127]])
    >>> binary_cross_entropy(logits, target, np.array([[3.0, 1.0]])).round(3)
    np.float64(0.552)
    """
    xp = _arrays.namespace(logits=logits, target=target, weights=weights)
    logits = _arrays.floating(xp, "logits", logits)
    truth, weights = _arrays.foreground(xp, "logits", logits, target, weights)
    logits = xp.where(weights != 0, logits, 0)
    losses = truth * _arrays.softplus(xp, -logits) + (1 - truth) * _arrays.softplus(xp, logits)
    return _arrays.reduced(xp, losses, weights, reduction)


def cross_entropy(
    logits: Array, classes: Array, weights: Array | None = None, *, reduction: Reduction = "mean"
) -> Array:
    """Weighted softmax cross-entropy, -log p_k of the true class k of each pixel.

    Parameters
    ----------
    logits : (..., C, H, W) floating-point array
        Output of the network before the softmax.
    classes : (..., H, W) integer array
        Class codes below C, such as the stored classes or boundaries, of any integer type. The maximum of an unsigned
        type and negative codes are ignored.
    weights : (..., H, W) array, optional
        Weight of each pixel, such as the stored weights, which include class weights;
        pixels of weight 0 are ignored. Default: 1.
    reduction : {"mean", "sum", "none"}
        Sum of w l over the sum of w; sum of w l; or w l of each pixel.

    Returns
    -------
    array
        Scalar or (..., H, W), at least 0 for weights of at least 0; 0 where, or if, all pixels are ignored; NaN if a
        code is C or more.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox: U-Net, MICCAI 2015, equation 1 (there with the opposite sign and without
    division).

    Examples
    --------
    Three classes, one row of two pixels, the second of which is ignored:

    >>> logits = np.zeros((3, 1, 2))
    >>> cross_entropy(logits, np.array([[2, 255]], np.uint8), reduction="none").round(3)
    array([[1.099, 0.   ]])
    """
    xp = _arrays.namespace(logits=logits, classes=classes, weights=weights)
    logits = _arrays.floating(xp, "logits", logits)
    codes, weights = _arrays.class_codes(xp, "logits", logits, classes, weights)
    return _arrays.reduced(xp, -true_class(xp, log_probabilities(xp, logits, weights), codes), weights, reduction)


def log_probabilities(xp: Any, logits: Array, weights: Array) -> Array:
    """Logarithms of the probabilities of the classes, equal ones where ignored."""
    return _arrays.log_softmax(xp, xp.where(weights[..., None, :, :] != 0, logits, 0))


def true_class(xp: Any, values: Array, codes: Array) -> Array:
    """Value of the true class of each pixel, (..., H, W)."""
    return xp.take_along_axis(values, codes[..., None, :, :], axis=-3)[..., 0, :, :]
