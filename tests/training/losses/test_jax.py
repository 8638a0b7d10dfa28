"""The losses on arrays of JAX: values, compiled by jit, and gradients."""

import numpy as np
import pytest
from helpers.losses import CASES
from numpy.testing import assert_allclose

jax = pytest.importorskip("jax", reason="JAX is not installed")
QUICK = {"cross_entropy", "lovasz_softmax", "generalised_iou_loss", "dice_cross_entropy"}
"""Losses that together use most functions of the library; JAX compiles each for half a second."""
OF_PIXELS = [case for case in CASES if case.truth != "boxes"]


def some_slow(slow, cases=CASES):
    """Parametrize over cases, of which some are slow."""
    cases = [pytest.param(case, marks=[pytest.mark.slow] * (case in slow), id=str(case)) for case in cases]
    return pytest.mark.parametrize("case", cases)


def arrays_of(case, seed, **options):
    """Arrays of JAX, which has no 64 bits by default."""
    prediction, truth, weights = case.arrays(seed, dtype=np.float32, **options)
    truth = truth.astype(np.int32) if truth.dtype == np.int64 else truth
    return tuple(None if array is None else jax.numpy.asarray(array) for array in (prediction, truth, weights))


@some_slow([case for case in CASES if case.name not in QUICK])
def test_value_and_gradient_compiled_together_equal_those_of_numpy_and_pytorch(case):
    arrays = arrays_of(case, 1)
    loss, gradient = jax.jit(jax.value_and_grad(case.loss))(*arrays)
    assert_allclose(loss, case.loss(*(None if array is None else np.asarray(array) for array in arrays)), rtol=1e-5)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    prediction, *others = (None if array is None else torch.tensor(np.asarray(array)) for array in arrays)
    prediction.requires_grad_()
    (expected,) = torch.autograd.grad(case.loss(prediction, *others), prediction)
    assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@some_slow([case for case in OF_PIXELS if case.name not in ("cross_entropy", "lovasz_softmax")], OF_PIXELS)
def test_ignored_pixels_have_gradient_0_and_without_others_the_loss_is_0(case):
    prediction, truth, _ = arrays_of(case, 2, ignored=0)
    compiled = jax.jit(jax.value_and_grad(case.loss))
    weights = np.ones((2, 3, 4), np.float32)
    weights[:, 1] = 0
    _, gradient = compiled(prediction.at[..., 1, :].set(np.nan), truth, jax.numpy.asarray(weights))
    assert np.isfinite(gradient).all()
    assert (gradient[..., 1, :] == 0).all()
    loss, gradient = compiled(prediction * np.nan, truth, jax.numpy.asarray(weights * 0))
    assert loss == 0
    assert (gradient == 0).all()


def test_bfloat16_is_computed_in_float32():
    case = CASES[0]
    prediction, *others = arrays_of(case, 3)
    loss = case.loss(prediction.astype(jax.numpy.bfloat16), *others)
    assert loss.dtype == np.float32
    assert np.isfinite(loss)
