"""Checks of arrays, ignored pixels and reductions, on the array API standard."""

import sys
from typing import Any, Literal, TypeAlias

from segprep.errors import OptionError, check_choice

Array: TypeAlias = Any
"""Array of NumPy, PyTorch or JAX. The standard has no type for it."""
Reduction: TypeAlias = Literal["mean", "sum", "none"]


def namespace(**arrays: Array | None) -> Any:
    """Functions of the library of the arrays, by the names of the array API standard."""
    given = {name: array for name, array in arrays.items() if array is not None}
    torch = sys.modules.get("torch")
    if torch is not None and all(isinstance(array, torch.Tensor) for array in given.values()):
        import array_api_compat.torch  # noqa: PLC0415 - imports PyTorch; `array_namespace` makes torch.compile warn

        return array_api_compat.torch
    import array_api_compat  # noqa: PLC0415 - `import segprep.training` does not need it

    try:
        return array_api_compat.array_namespace(*given.values())
    except TypeError:
        kinds = ", ".join(f"{name} {type(array).__module__}.{type(array).__name__}" for name, array in given.items())
        raise OptionError(
            f"{kinds}: must be arrays of one library; convert them, such as by torch.as_tensor(weights, device=logits.device)"
        ) from None


def floating(xp: Any, name: str, values: Array) -> Array:
    """Values in float32 or, if that is their type, float64."""
    if not xp.isdtype(values.dtype, "real floating"):
        raise OptionError(f"{name}: dtype {values.dtype}; must be floating-point, the output of the network")
    return xp.astype(values, xp.float32) if xp.finfo(values.dtype).bits < 32 else values  # noqa: PLR2004


def foreground(xp: Any, name: str, prediction: Array, target: Array, weights: Array | None) -> tuple[Array, Array]:
    """Truth in [0, 1] and weights of the pixels of a foreground, in the prediction's type; 0 and 0 where ignored."""
    shape = tuple(prediction.shape)
    if tuple(target.shape) != shape:
        hint = (
            f"use {name}[..., 0, :, :]; for classes, the losses of classes"
            if shape[:-3] + shape[-2:] == tuple(target.shape)
            else "both are (..., H, W)"
        )
        raise OptionError(f"target: shape {tuple(target.shape)}, {name} {shape}; must be equal: {hint}")
    known = _known(xp, "target", target, or_floats=True)
    truth = target if xp.isdtype(target.dtype, "real floating") else target != 0  # uint16 has no > in PyTorch
    weights = pixel_weights(xp, prediction, shape, weights, known)
    return xp.where(weights != 0, xp.astype(truth, prediction.dtype), 0), weights


def class_codes(xp: Any, name: str, prediction: Array, classes: Array, weights: Array | None) -> tuple[Array, Array]:
    """Codes below C and weights of pixels; both 0 where ignored, and a weight of NaN where the code is C or more."""
    shape = tuple(prediction.shape)
    pixels = shape[:-3] + shape[-2:]
    if len(shape) < 3 or tuple(classes.shape) != pixels:  # noqa: PLR2004
        expected = f"classes must be {pixels}" if len(shape) >= 3 else f"{name} must be (..., C, H, W)"  # noqa: PLR2004
        raise OptionError(
            f"classes: shape {tuple(classes.shape)}, {name} {shape}; {expected}, without the axis of the classes"
        )
    weights = pixel_weights(xp, prediction, pixels, weights, _known(xp, "classes", classes))
    codes = xp.astype(classes, class_numbers(xp, prediction).dtype)
    codes = xp.where(weights != 0, codes, 0)
    outside = codes >= shape[-3]
    return xp.where(outside, 0, codes), xp.where(outside, float("nan"), weights)


def class_numbers(xp: Any, prediction: Array) -> Array:
    """Codes 0 to C - 1, shape (C, 1, 1), in the library's default type, on the prediction's device."""
    return xp.arange(prediction.shape[-3], device=_device(prediction))[:, None, None]


def _device(array: Array) -> Any:
    """Device of an array; None within jax.jit."""
    return getattr(array, "device", None)


def _known(xp: Any, name: str, target: Array, *, or_floats: bool = False) -> Array | None:
    """Pixels that are not ignored; None if the type has no code for it."""
    if xp.isdtype(target.dtype, "bool") or (or_floats and xp.isdtype(target.dtype, "real floating")):
        return None
    if not xp.isdtype(target.dtype, "integral"):
        words = "boolean, integer or floating-point" if or_floats else "integers, such as the stored classes"
        raise OptionError(f"{name}: dtype {target.dtype}; must be {words}")
    if xp.isdtype(target.dtype, "signed integer"):
        return target >= 0
    most = xp.asarray(xp.iinfo(target.dtype).max, dtype=target.dtype, device=_device(target))
    return target != most


def pixel_weights(
    xp: Any, prediction: Array, shape: tuple[int, ...], weights: Array | None, known: Array | None
) -> Array:
    """Weights in the prediction's type, 0 where nothing is known."""
    if weights is None:
        ones = xp.ones(shape, dtype=prediction.dtype, device=_device(prediction))
        return ones if known is None else xp.where(known, ones, 0)
    if tuple(weights.shape) != shape:
        raise OptionError(f"weights: shape {tuple(weights.shape)}; must be {shape}, one weight per pixel")
    weights = xp.astype(weights, prediction.dtype)
    return weights if known is None else xp.where(known, weights, 0)


def checked(reduction: Reduction) -> None:
    """Raise OptionError for a reduction that does not exist."""
    check_choice("reduction", reduction, ("mean", "sum", "none"))


def reduced(xp: Any, losses: Array, weights: Array, reduction: Reduction) -> Array:
    """Weighted losses, their sum, or the sum of w l over the sum of w, which is 0 if that is 0."""
    checked(reduction)
    weighted = weights * losses
    if reduction == "none":
        return weighted
    total = xp.sum(weighted)
    return total if reduction == "sum" else ratio(xp, total, xp.sum(weights))


def ratio(xp: Any, numerator: Array, denominator: Array) -> Array:
    """Quotient, with 0 and finite gradients where the denominator is 0."""
    empty = denominator == 0
    return xp.where(empty, 0, numerator) / xp.where(empty, 1, denominator)


def softplus(xp: Any, values: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return xp.logaddexp(values, xp.zeros_like(values))


def log_softmax(xp: Any, logits: Array) -> Array:
    """Logarithms of the probabilities of the classes, axis -3."""
    shifted = logits - xp.max(logits, axis=-3, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-3, keepdims=True))
