"""Losses of the overlap of prediction and truth: Dice, generalised Dice, Tversky."""

from typing import Any

from segprep.errors import OptionError
from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array, Reduction


def dice_loss(
    probabilities: Array,
    target: Array,
    weights: Array | None = None,
    *,
    smooth: float = 1.0,
    per_image: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Soft Dice loss of each class, 1 - (2 I + s) / (P + Y + s) with I, P, Y the sums of w p y, w p and w y.

    Parameters
    ----------
    probabilities : (..., H, W) or (..., C, H, W) floating-point array
        p in [0, 1], see `sigmoid` and `softmax`.
    target : (..., H, W) array
        Foreground as in `binary_cross_entropy` if it has as many axes as `probabilities`, else class codes as in
        `cross_entropy`.
    weights : (..., H, W) array, optional
        Weight of each pixel; pixels of weight 0 are ignored. Default: 1. `dice_cross_entropy` uses 0 and 1 alone
        here.
    smooth : float
        s, in pixels, at least 0. Larger values let small and absent regions count less. For 0, the loss of a
        class that is neither true nor predicted is 0.
    per_image : bool
        Compute the sums for each image (H, W), instead of over the batch.
    reduction : {"mean", "sum", "none"}
        Mean or sum over classes (and images), or no reduction: shape (C,), or (..., C) per image, without C for a
        foreground.

    Returns
    -------
    array
        From 0 to 1, or the sum; 0 if all pixels are ignored; NaN if a code is C or more.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or a parameter is outside its range.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi: V-Net, 3DV 2016; without the squares of its denominator, as in C. Sudre et
    al., DLMIA 2017, equation 2.

    Examples
    --------
    >>> probabilities, target = np.array([[0.5, 0.5, 0.0]]), np.array([[1, 0, 0]], np.uint8)
    >>> dice_loss(probabilities, target, smooth=0)
    np.float64(0.5)
    """
    _check_costs(smooth=smooth)
    xp, sums = _sums(probabilities, target, weights, per_image=per_image)
    losses = _tversky(xp, sums, (0.5, 0.5), smooth / 2)
    return over_regions(xp, losses, reduction, foreground=target.ndim == probabilities.ndim)


def tversky_loss(
    probabilities: Array,
    target: Array,
    weights: Array | None = None,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    per_image: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Tversky loss of each class, 1 - (TP + s) / (TP + alpha FP + beta FN + s).

    TP, FP and FN are the sums of w p y, w p (1 - y) and w (1 - p) y. It is the Dice loss for alpha = beta = 0.5.

    Parameters
    ----------
    probabilities, target, weights, per_image, reduction
        As in `dice_loss`.
    alpha, beta : float
        Costs of false positives and false negatives, at least 0. The defaults were the best of the paper, for small
        lesions.
    smooth : float
        s, at least 0; half the `smooth` of `dice_loss`.

    Returns
    -------
    array
        As `dice_loss`.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or a parameter is outside its range.

    References
    ----------
    S. Salehi, D. Erdogmus, A. Gholipour: Tversky loss function for image segmentation, MLMI 2017, equation 4.

    Examples
    --------
    >>> probabilities, target = np.array([[0.5, 0.5, 0.0]]), np.array([[1, 0, 0]], np.uint8)
    >>> tversky_loss(probabilities, target, alpha=0, beta=1, smooth=0)  # false positives are free
    np.float64(0.5)
    """
    _check_costs(alpha=alpha, beta=beta, smooth=smooth)
    xp, sums = _sums(probabilities, target, weights, per_image=per_image)
    losses = _tversky(xp, sums, (alpha, beta), smooth)
    return over_regions(xp, losses, reduction, foreground=target.ndim == probabilities.ndim)


def generalised_dice_loss(
    probabilities: Array,
    target: Array,
    weights: Array | None = None,
    *,
    per_image: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Generalised Dice loss, 1 - 2 sum_c v_c I_c / sum_c v_c (P_c + Y_c), with v_c = 1 / Y_c^2.

    I, P, Y are the sums of w p y, w p and w y of each class. A class that is absent has the weight of the rarest
    class that occurs, so that predictions of it cost something (MONAI and NiftyNet do the same). A foreground is two
    classes, as in the paper: itself and the background.

    Parameters
    ----------
    probabilities, target, weights, per_image
        As in `dice_loss`.
    reduction : {"mean", "sum", "none"}
        Mean or sum over images, or one value per image, if `per_image`.

    Returns
    -------
    array
        From 0 to 1; 0 if all pixels are ignored; NaN if a code is C or more.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit.

    References
    ----------
    C. Sudre et al.: Generalised Dice overlap as a deep learning loss function, DLMIA 2017, equation 3.

    Examples
    --------
    >>> probabilities, target = np.array([[0.5, 0.5, 0.0]]), np.array([[1, 0, 0]], np.uint8)
    >>> generalised_dice_loss(probabilities, target).round(3)
    np.float64(0.417)
    """
    xp, (both, false, missed) = _sums(probabilities, target, weights, per_image=per_image, background=True)
    true = both + missed
    absent = true == 0
    inverse = xp.where(absent, 0, 1 / xp.where(absent, 1, true) ** 2)
    inverse = xp.where(absent, xp.max(inverse, axis=-1, keepdims=True), inverse)
    wrong = xp.sum(inverse * (false + missed), axis=-1)
    losses = _arrays.ratio(xp, wrong, 2 * xp.sum(inverse * both, axis=-1) + wrong)
    return over_regions(xp, losses, reduction)


def _sums(
    probabilities: Array, target: Array, weights: Array | None, *, per_image: bool, background: bool = False
) -> tuple[Any, tuple[Array, Array, Array]]:
    """Sums of w p y, w p (1 - y) and w (1 - p) y, each (C,), or (..., C) per image.

    A foreground is one class, or two with its `background`.
    """
    xp = _arrays.namespace(probabilities=probabilities, target=target, weights=weights)
    shares, truth, weights = regions(xp, "probabilities", probabilities, target, weights)
    if background and target.ndim == probabilities.ndim:
        shares, truth = (xp.concat([1 - values, values], axis=-3) for values in (shares, truth))
    axes = (-2, -1) if per_image else (*range(shares.ndim - 3), -2, -1)
    products = shares * truth, shares * (1 - truth), (1 - shares) * truth
    both, false, missed = (xp.sum(weights * values, axis=axes) for values in products)
    return xp, (both, false, missed)


def regions(xp: Any, name: str, prediction: Array, target: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    """Prediction and truth, (..., C, H, W), and weights, (..., 1, H, W); a foreground is one class."""
    prediction = _arrays.floating(xp, name, prediction)
    if prediction.ndim < 2:  # noqa: PLR2004
        raise OptionError(f"{name}: shape {tuple(prediction.shape)}; must be (..., H, W) or (..., C, H, W)")
    if target.ndim == prediction.ndim:
        truth, weights = _arrays.foreground(xp, name, prediction, target, weights)
        prediction, truth, weights = (values[..., None, :, :] for values in (prediction, truth, weights))
    else:
        codes, weights = _arrays.class_codes(xp, name, prediction, target, weights)
        codes, weights = codes[..., None, :, :], weights[..., None, :, :]
        truth = xp.astype(codes == _arrays.class_numbers(xp, prediction), prediction.dtype)
    return xp.where(weights != 0, prediction, 0), truth, weights


def _check_costs(**costs: float) -> None:
    for name, value in costs.items():
        if not value >= 0:
            raise OptionError(f"{name}={value}: must be at least 0")


def _tversky(xp: Any, sums: tuple[Array, Array, Array], costs: tuple[float, float], smooth: float) -> Array:
    """Tversky loss of each class."""
    both, false, missed = sums
    wrong = costs[0] * false + costs[1] * missed
    return _arrays.ratio(xp, wrong, both + wrong + smooth)


def over_regions(xp: Any, losses: Array, reduction: Reduction, *, foreground: bool = False) -> Array:
    """Mean or sum over classes and images, or each loss; that of a foreground without the axis of the classes."""
    _arrays.checked(reduction)
    if reduction == "none":
        return losses[..., 0] if foreground else losses
    return xp.mean(losses) if reduction == "mean" else xp.sum(losses)
