"""The losses on tensors of PyTorch: values, gradients, devices, compilation."""

import warnings

import numpy as np
import pytest
from helpers.losses import CASES, VARIANTS
from numpy.testing import assert_allclose

from segprep.training import losses

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
every = pytest.mark.parametrize("case", CASES, ids=str)
of_pixels = pytest.mark.parametrize("case", [case for case in CASES if case.truth != "boxes"], ids=str)


def tensors(arrays, device=None):
    """Tensors of a case; the prediction requires its gradient."""
    prediction, *others = (None if array is None else torch.tensor(array, device=device) for array in arrays)
    return prediction.requires_grad_(), *others


def with_gradient(case, *arrays):
    """Loss of a case and its gradient."""
    prediction, *others = tensors(arrays)
    loss = case.loss(prediction, *others)
    (gradient,) = torch.autograd.grad(loss, prediction)
    return loss.detach(), gradient


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_numpy(case, dtype):
    arrays = case.arrays(1, dtype=dtype)
    loss = case.loss(*tensors(arrays)).detach()
    assert loss.dtype == (torch.float64 if dtype == np.float64 else torch.float32)
    assert_allclose(loss, case.loss(*arrays), rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=str)
def test_gradient_is_that_of_differences(case):
    prediction, *others = tensors(case.arrays(2, (2, 2, 3)))
    assert torch.autograd.gradcheck(lambda values: case.loss(values, *others), prediction)


@every
def test_bfloat16_is_computed_in_float32_and_has_a_gradient(case):
    prediction, *others = tensors(case.arrays(3, dtype=np.float32))
    half = prediction.detach().to(torch.bfloat16).requires_grad_()
    loss = case.loss(half, *others)
    assert loss == case.loss(half.detach().float(), *others)
    (gradient,) = torch.autograd.grad(loss, half)
    assert gradient.dtype == torch.bfloat16
    assert gradient.isfinite().all()


@of_pixels
def test_without_known_pixels_loss_and_gradient_are_0(case):
    prediction, truth, _ = case.arrays(4, ignored=0)
    loss, gradient = with_gradient(case, prediction * np.nan, truth, np.zeros((2, 3, 4)))
    assert loss == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("case", [case for case in CASES if case.truth in ("foreground", "classes")], ids=str)
def test_where_all_codes_are_ignored_loss_and_gradient_are_0(case):
    prediction, _, _ = case.arrays(4)
    loss, gradient = with_gradient(case, prediction, np.full((2, 3, 4), 255, np.uint8), None)
    assert loss == 0
    assert (gradient == 0).all()


@of_pixels
@pytest.mark.parametrize("per_image", [False, True])
def test_gradients_of_ignored_pixels_are_0_and_others_finite(case, per_image):
    options = {"per_image": per_image} if "per_image" in case.loss_parameters else {}
    prediction, truth, _ = case.arrays(5, ignored=0)
    weights = np.random.default_rng(5).uniform(0, 2, (2, 3, 4))
    weights[0], weights[1, 1] = 0, 0
    prediction[..., 1, :] = np.nan
    prediction, *others = tensors([prediction, truth, weights])
    (gradient,) = torch.autograd.grad(case.loss(prediction, *others, **options), prediction)
    assert gradient.isfinite().all()
    assert (gradient[0] == 0).all()
    assert (gradient[..., 1, :] == 0).all()
    assert (gradient[1] != 0).any()


@pytest.mark.parametrize(
    "case", [case for case in CASES + VARIANTS if case.truth in ("foreground", "classes")], ids=str
)
@pytest.mark.parametrize("code", [0, 1])
def test_crop_with_one_class_has_finite_gradients_also_for_certain_predictions(case, code):
    truth = np.full((2, 3, 4), code, np.uint8)
    for seed in range(3):
        prediction, _, _ = case.arrays(seed)
        certain = np.sign(prediction) * 6e4 if case.takes_logits else prediction.round()
        loss, gradient = with_gradient(case, certain.astype(np.float16), truth, None)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_zero_logits_have_the_gradient_of_the_formula():
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = losses.binary_cross_entropy(logits, torch.tensor([[0, 1]]), reduction="sum")
    assert torch.autograd.grad(loss, logits)[0].tolist() == [[0.5, -0.5]]


@pytest.mark.parametrize("corners", [False, True])
def test_boxes_without_area_and_equal_boxes_have_finite_gradients(corners):
    boxes = torch.tensor([[1.0, 1, 0, 0], [1, 1, 2, 2], [3, 3, -1, -1]], requires_grad=True)
    for truth in (torch.zeros(3, 4), boxes.detach(), torch.tensor([[1, 1, 2, 2]] * 3)):
        loss = losses.generalised_iou_loss(boxes, truth, corners=corners)
        assert 0 <= loss.item() <= 2
        assert torch.autograd.grad(loss, boxes)[0].isfinite().all()


@every
def test_makes_no_array_on_another_device(case):
    prediction, truth, _ = case.arrays(6, ignored=0)
    arrays = tensors([prediction, truth, np.ones((2, 3, 4), np.float16)], device="meta")
    assert case.loss(*arrays).device.type == "meta"
    assert case.loss(*arrays[:2]).device.type == "meta"


def test_cross_entropies_equal_the_functions_of_pytorch():
    functional = torch.nn.functional
    rng = np.random.default_rng(7)
    logits, classes = torch.tensor(rng.normal(0, 2, (2, 3, 4, 5))), torch.tensor(rng.integers(0, 3, (2, 4, 5)))
    weights = torch.tensor(rng.random((2, 4, 5)))
    expected = (weights * functional.cross_entropy(logits, classes, reduction="none")).sum()
    assert_allclose(losses.cross_entropy(logits, classes, weights, reduction="sum"), expected)
    expected = functional.binary_cross_entropy_with_logits(
        logits[:, 0], (classes > 0).double(), weights, reduction="sum"
    )
    assert_allclose(losses.binary_cross_entropy(logits[:, 0], classes, weights, reduction="sum"), expected)


@pytest.mark.slow
@every
def test_compiles_into_one_graph_without_warnings(case):
    arrays = tensors(case.arrays(8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(getattr(losses, case.name), backend="aot_eager", fullgraph=True)
        loss = compiled(*arrays, **case.options)
    assert_allclose(loss.detach(), case.loss(*arrays).detach())
    gradients = [torch.autograd.grad(value, arrays[0])[0] for value in (loss, case.loss(*arrays))]
    assert_allclose(*gradients, atol=1e-12)
