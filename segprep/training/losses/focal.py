"""Focal loss, in which pixels that are predicted well count little."""

from collections.abc import Sequence
from typing import Any

from segprep.errors import OptionError
from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction
from segprep.training.losses.entropy import log_probabilities, true_class


def binary_focal_loss(
    logits: Array,
    target: Array,
    weights: Array | None = None,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    reduction: Reduction = "mean",
) -> Array:
    """Focal loss of a foreground, -a_t (1 - p_t)^gamma log p_t.

    p_t is the probability of what is true: p on the foreground, 1 - p on the background; a_t likewise is alpha and 1
    - alpha. Powers are computed by their logarithm, so gradients are finite for every gamma. A target y between 0 and
    1 has the loss y FL(1) + (1 - y) FL(0).

    Parameters
    ----------
    logits, target, weights, reduction
        As in `binary_cross_entropy`. The paper divides the sum by the number of foreground boxes, since it is about
        detection.
    gamma : float
        Focus on badly predicted pixels, at least 0; 0 is the cross-entropy.
    alpha : float or None
        Weight of the foreground in [0, 1], such as the class weights by the formula ``focal-alpha``; None: 1 for
        both.

    Returns
    -------
    array
        Scalar or (..., H, W), at least 0.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or a parameter is outside its range.

    References
    ----------
    T.-Y. Lin et al.: Focal Loss for Dense Object Detection, ICCV 2017, equation 5.

    Examples
    --------
    >>> logits, target = np.array([[0.0, 2.0]]), np.array([[False, True]])
    >>> binary_focal_loss(logits, target, alpha=None, reduction="none").round(4)
    array([[0.1733, 0.0018]])
    """
    _check_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise OptionError(f"alpha={alpha}: must be from 0 to 1, or None")
    xp = _arrays.namespace(logits=logits, target=target, weights=weights)
    logits = _arrays.floating(xp, "logits", logits)
    truth, weights = _arrays.foreground(xp, "logits", logits, target, weights)
    logits = xp.where(weights != 0, logits, 0)
    false, true = _arrays.softplus(xp, logits), _arrays.softplus(xp, -logits)  # -log(1 - p), -log p
    on_foreground, on_background = true * xp.exp(-gamma * false), false * xp.exp(-gamma * true)
    share = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    losses = share[0] * truth * on_foreground + share[1] * (1 - truth) * on_background
    return _arrays.reduced(xp, losses, weights, reduction)


def focal_loss(
    logits: Array,
    classes: Array,
    weights: Array | None = None,
    *,
    gamma: float = 2.0,
    alpha: Sequence[float] | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """Focal loss of classes, -a_k (1 - p_k)^gamma log p_k of the true class k of each pixel.

    Powers are computed by their logarithm, so gradients are finite for every gamma.

    Parameters
    ----------
    logits, classes, weights, reduction
        As in `cross_entropy`.
    gamma : float
        Focus on badly predicted pixels, at least 0; 0 is the cross-entropy.
    alpha : sequence of C floats, optional
        Factor of each class. Unlike `weights` it is not part of the divisor of the mean. Default: 1.

    Returns
    -------
    array
        Scalar or (..., H, W), at least 0.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or a parameter is outside its range.

    References
    ----------
    T.-Y. Lin et al.: Focal Loss for Dense Object Detection, ICCV 2017, equation 5, with the softmax.

    Examples
    --------
    >>> focal_loss(np.zeros((2, 1, 1)), np.array([[1]]), gamma=1).round(4)  # half of log 2
    np.float64(0.3466)
    """
    _check_gamma(gamma)
    xp = _arrays.namespace(logits=logits, classes=classes, weights=weights)
    logits = _arrays.floating(xp, "logits", logits)
    codes, weights = _arrays.class_codes(xp, "logits", logits, classes, weights)
    logarithms = log_probabilities(xp, logits, weights)
    log_true = true_class(xp, logarithms, codes)
    others = xp.where(codes[..., None, :, :] == _arrays.class_numbers(xp, logits), _LOWEST, logarithms)
    most = xp.max(others, axis=-3, keepdims=True)
    log_others = (most + xp.log(xp.sum(xp.exp(others - most), axis=-3, keepdims=True)))[..., 0, :, :]  # log(1 - p_k)
    losses = -xp.exp(gamma * log_others) * log_true
    if alpha is not None:
        losses = losses * _factors(xp, alpha, logits)[codes]
    return _arrays.reduced(xp, losses, weights, reduction)


_LOWEST = -1e30  # its exponential is 0, its multiples are finite in float32


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma < float("inf"):
        raise OptionError(f"gamma={gamma}: must be at least 0")


def _factors(xp: Any, alpha: Sequence[float], logits: Array) -> Array:
    """Factor of each class, in the type of the logits."""
    alpha = [float(factor) for factor in alpha]
    if len(alpha) != logits.shape[-3]:
        raise OptionError(f"alpha: {len(alpha)} numbers; must be {logits.shape[-3]}, one for each class of the logits")
    return xp.asarray(alpha, dtype=logits.dtype, device=getattr(logits, "device", None))
