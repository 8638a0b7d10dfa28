"""Dice loss and cross-entropy together."""

from segprep.training.losses import _arrays
from segprep.training.losses._arrays import Array
from segprep.training.losses.entropy import binary_cross_entropy, cross_entropy
from segprep.training.losses.overlap import dice_loss
from segprep.training.losses.probabilities import sigmoid, softmax


def dice_cross_entropy(
    logits: Array,
    target: Array,
    weights: Array | None = None,
    *,
    dice: float = 1.0,
    smooth: float = 1.0,
    per_image: bool = False,
) -> Array:
    """Weighted cross-entropy plus Dice loss, the mean of both over the batch.

    Border weights act in the cross-entropy alone; the Dice loss counts all pixels that are not ignored alike.

    Parameters
    ----------
    logits : (..., H, W) or (..., C, H, W) floating-point array
        Output of the network before the sigmoid or softmax.
    target : (..., H, W) array
        Foreground as in `binary_cross_entropy` if it has as many axes as `logits`, else class codes as in
        `cross_entropy`.
    weights : (..., H, W) array, optional
        Weight of each pixel, such as the stored weights; pixels of weight 0 are ignored. Default: 1.
    dice : float
        Factor of the Dice loss.
    smooth, per_image
        As in `dice_loss`.

    Returns
    -------
    scalar array
        At least 0; 0 if all pixels are ignored; NaN if a class code is C or more.

    Raises
    ------
    OptionError
        If shapes, types or libraries do not fit, or a parameter is outside its range.

    References
    ----------
    F. Isensee et al.: nnU-Net, Nature Methods 18, 2021 (sum of both); U-Net, equation 1, for the weights.

    Examples
    --------
    >>> logits, target = np.array([[9.0, -9.0]]), np.array([[1, 0]], np.uint8)
    >>> dice_cross_entropy(logits, target, np.array([[1.0, 5.0]])).round(3)
    np.float64(0.0)
    """
    xp = _arrays.namespace(logits=logits, target=target, weights=weights)
    logits = _arrays.floating(xp, "logits", logits)
    binary = target.ndim == logits.ndim
    _, known = (_arrays.foreground if binary else _arrays.class_codes)(xp, "logits", logits, target, weights)
    known = known != 0
    logits = xp.where(known if binary else known[..., None, :, :], logits, 0)
    entropy = (binary_cross_entropy if binary else cross_entropy)(logits, target, weights)
    probabilities = (sigmoid if binary else softmax)(logits)
    alike = xp.astype(known, logits.dtype)
    return entropy + dice * dice_loss(probabilities, target, alike, smooth=smooth, per_image=per_image)
