"""Boundary loss, on the stored signed distances."""

from typing import Literal, TypeAlias

from segprep.errors import OptionError, check_choice
from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction

Schedule: TypeAlias = Literal["rebalance", "increase"]


def boundary_loss(
    probabilities: Array, distance: Array, weights: Array | None = None, *, reduction: Reduction = "mean"
) -> Array:
    """Boundary loss, the mean of p phi: probability times signed distance to the boundary of the truth.

    It does not train a network by itself: add it to a loss of regions, with the shares of `boundary_shares`.

    Parameters
    ----------
    probabilities : (..., H, W) or (..., C, H, W) floating-point array
        p in [0, 1] of the foreground or of each class, see `sigmoid` and `softmax`.
    distance : array of the same shape
        phi in pixels, negative inside: the stored `distance`, of the foreground or per class.
    weights : (..., H, W) array, optional
        Weight of each pixel, for all classes if there are any; pixels of weight 0 are ignored. Default: 1. The stored
        distance is 0 on ignored pixels, which then have no influence but count in the divisor of the mean.
    reduction : {"mean", "sum", "none"}
        Sum of w p phi over the sum of w, over pixels and classes; sum of w p phi; or w p phi of each pixel and class.

    Returns
    -------
    array
        Scalar or the shape of `probabilities`; negative where the prediction is good; 0 where, or if, all pixels are
        ignored.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit.

    References
    ----------
    H. Kervadec et al.: Boundary loss for highly unbalanced segmentation, MIDL 2019, equation 5.

    Examples
    --------
    >>> boundary_loss(np.array([[1.0, 0.5, 0.0]]), np.array([[0.0, 1.0, 2.0]], np.float16)).round(3)
    np.float64(0.167)
    """
    xp = _arrays.namespace(probabilities=probabilities, distance=distance, weights=weights)
    shares = _arrays.floating(xp, "probabilities", probabilities)
    if tuple(distance.shape) != tuple(shares.shape):
        raise OptionError(
            f"distance: shape {tuple(distance.shape)}, probabilities {tuple(shares.shape)}; must be equal: "
            "take the probabilities of the foreground, or store distances with distance_per='class'"
        )
    per_class = weights is not None and weights.ndim == shares.ndim - 1
    expected = tuple(shares.shape[:-3] + shares.shape[-2:]) if per_class else tuple(shares.shape)
    weights = _arrays.pixel_weights(xp, shares, expected, weights, None)
    if per_class:
        weights = xp.broadcast_to(weights[..., None, :, :], shares.shape)
    shares, distance = (xp.where(weights != 0, values, 0) for values in (shares, xp.astype(distance, shares.dtype)))
    return _arrays.reduced(xp, shares * distance, weights, reduction)


def boundary_shares(epoch: int, *, schedule: Schedule = "rebalance", step: float = 0.01) -> tuple[float, float]:
    """Factors of the loss of regions and of the boundary loss in an epoch, as in the code of the paper.

    Parameters
    ----------
    epoch : int
        Number of the epoch, from 0.
    schedule : {"rebalance", "increase"}
        Both increase the factor a of the boundary loss from `step` by `step` per epoch, without bound.
        ``"rebalance"`` decreases that of the regions from 1 by as much, to not less than 0.1; ``"increase"`` keeps it
        at 1.
    step : float
        Change per epoch, at least 0. The paper's 0.01 is meant for 100 epochs or more.

    Returns
    -------
    (float, float)
        Factor of the loss of regions, factor of the boundary loss.

    Raises
    ------
    OptionError
        If a parameter is outside its range.

    References
    ----------
    https://github.com/LIVIAETS/boundary-loss, ``StealWeight`` and ``AddWeightLoss`` in ``scheduler.py``, with the
    parameters of ``isles.make``.

    Examples
    --------
    >>> boundary_shares(0), boundary_shares(50), boundary_shares(50, schedule="increase")
    ((1.0, 0.01), (0.5, 0.51), (1.0, 0.51))
    """
    check_choice("schedule", schedule, ("rebalance", "increase"))
    if epoch < 0 or not step >= 0:
        raise OptionError(f"epoch={epoch}, step={step}: must be at least 0")
    return 1.0 if schedule == "increase" else max(0.1, 1 - epoch * step), (epoch + 1) * step
