"""Probabilities of logits, for the losses that take them."""

from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array


def sigmoid(logits: Array) -> Array:
    """Probability of the foreground.

    Parameters
    ----------
    logits : floating-point array of any shape

    Returns
    -------
    array of the same shape
        In [0, 1].

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    xp = _arrays.namespace(logits=logits)
    return xp.exp(-_arrays.softplus(xp, -_arrays.floating(xp, "logits", logits)))


def softmax(logits: Array) -> Array:
    """Probabilities of the classes.

    Parameters
    ----------
    logits : (..., C, H, W) floating-point array

    Returns
    -------
    (..., C, H, W) array
        In [0, 1]; the sum over the classes is 1.

    Examples
    --------
    >>> softmax(np.array([[[0.0]], [[0.0]]])).ravel()
    array([0.5, 0.5])
    """
    xp = _arrays.namespace(logits=logits)
    return xp.exp(_arrays.log_softmax(xp, _arrays.floating(xp, "logits", logits)))
