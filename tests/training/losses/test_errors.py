"""What does not fit is refused with the remedy."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.losses import CASES, Case

from segprep import OptionError
from segprep.training import losses

LOGITS, FOREGROUND = np.zeros((2, 3, 4)), np.zeros((2, 3, 4), np.uint8)
CLASS_LOGITS = np.zeros((2, 5, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.binary_cross_entropy(LOGITS[:, None], FOREGROUND),
            r"target: shape \(2, 3, 4\), logits \(2, 1, 3, 4\); must be equal: use logits\[\.\.\., 0, :, :\]",
        ),
        (lambda: losses.binary_cross_entropy(LOGITS, FOREGROUND[:1]), r"target: shape \(1, 3, 4\).*must be equal"),
        (
            lambda: losses.binary_cross_entropy(LOGITS, FOREGROUND, LOGITS[0]),
            r"weights: shape \(3, 4\); must be \(2, 3, 4\)",
        ),
        (lambda: losses.binary_cross_entropy(FOREGROUND, FOREGROUND), "logits: dtype uint8; must be floating-point"),
        (
            lambda: losses.binary_cross_entropy(LOGITS, LOGITS + 0j),
            "target: dtype complex128; must be boolean, integer or",
        ),
        (
            lambda: losses.cross_entropy(CLASS_LOGITS, LOGITS),
            "classes: dtype float64; must be integers, such as the stored",
        ),
        (
            lambda: losses.cross_entropy(np.zeros((2, 3, 4, 5)), FOREGROUND),
            r"classes: shape \(2, 3, 4\), logits \(2, 3, 4, 5\); classes must be \(2, 4, 5\)",
        ),
        (lambda: losses.cross_entropy(LOGITS[0], FOREGROUND[0, 0]), r"logits must be \(\.\.\., C, H, W\)"),
        (
            lambda: losses.binary_cross_entropy(LOGITS, FOREGROUND, reduction="avg"),
            "reduction='avg': choose one of mean",
        ),
        (lambda: losses.dice_loss(LOGITS, FOREGROUND, reduction=None), "reduction=None: choose one of mean"),
        (lambda: losses.dice_loss(LOGITS, FOREGROUND, smooth=-1), "smooth=-1: must be at least 0"),
        (
            lambda: losses.dice_loss(LOGITS[0, 0], FOREGROUND[0, 0]),
            r"probabilities: shape \(4,\); must be \(\.\.\., H, W\)",
        ),
        (lambda: losses.tversky_loss(LOGITS, FOREGROUND, beta=-1), "beta=-1: must be at least 0"),
        (lambda: losses.binary_focal_loss(LOGITS, FOREGROUND, gamma=-1), "gamma=-1: must be at least 0"),
        (lambda: losses.binary_focal_loss(LOGITS, FOREGROUND, alpha=2), "alpha=2: must be from 0 to 1, or None"),
        (lambda: losses.focal_loss(CLASS_LOGITS, FOREGROUND, alpha=[1, 2]), "alpha: 2 numbers; must be 5"),
        (
            lambda: losses.boundary_loss(CLASS_LOGITS, LOGITS),
            r"distance: shape \(2, 3, 4\), prob.*distance_per='class'",
        ),
        (lambda: losses.boundary_loss(LOGITS, LOGITS, LOGITS[:, 0]), r"weights: shape \(2, 4\); must be \(3, 4\)"),
        (lambda: losses.boundary_shares(-1), "epoch=-1, step=0.01: must be at least 0"),
        (lambda: losses.boundary_shares(0, schedule="steal"), "schedule='steal': choose one of rebalance, increase"),
        (lambda: losses.lovasz_hinge(CLASS_LOGITS, FOREGROUND), "target: 3 axes, logits 4; .* use lovasz_softmax"),
        (
            lambda: losses.lovasz_softmax(LOGITS, FOREGROUND),
            "classes: 3 axes, probabilities 3; must have one axis more",
        ),
        (
            lambda: losses.lovasz_hinge(np.zeros((4097, 4096), np.float16), np.zeros((4097, 4096), bool)),
            "use per_image=True",
        ),
        (
            lambda: losses.generalised_iou_loss(np.zeros((3, 4)), np.zeros((2, 4))),
            r"boxes: shape \(3, 4\), truth \(2, 4\)",
        ),
        (lambda: losses.generalised_iou_loss(np.zeros((3, 5)), np.zeros((3, 5))), r"both must be \(\.\.\., 4\)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(OptionError, match=message):
        call()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_arrays_of_two_libraries_are_refused(case):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    prediction, truth, _ = case.arrays(0)
    with pytest.raises(OptionError, match=r"torch\.Tensor.* numpy\.ndarray.*must be arrays of one library"):
        case.loss(torch.as_tensor(prediction), truth)


def test_lists_are_refused():
    with pytest.raises(OptionError, match=r"target builtins\.list: must be arrays"):
        Case("binary_cross_entropy", "foreground").loss(LOGITS, FOREGROUND.tolist())


def test_importing_segprep_and_its_training_loads_neither_array_api_compat_nor_pytorch():
    code = "import sys, segprep.training.losses; print({'array_api_compat', 'torch', 'jax'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
