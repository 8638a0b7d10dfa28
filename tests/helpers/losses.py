"""Calls of all losses on random arrays."""

from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from oracles import losses as oracle

from segprep.training import losses

CLASSES = 3


@dataclass(frozen=True)
class Case:
    """A loss, the kind of its truth, and its options."""

    name: str
    truth: Literal["foreground", "classes", "distance", "distances", "boxes"]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self):
        return "-".join([self.name, self.truth, *(f"{name}={value}" for name, value in self.options.items())])

    @property
    def takes_logits(self):
        return self.name in {
            "binary_cross_entropy",
            "cross_entropy",
            "binary_focal_loss",
            "focal_loss",
            "lovasz_hinge",
            "dice_cross_entropy",
        }

    @property
    def loss_parameters(self):
        return signature(getattr(losses, self.name)).parameters

    def loss(self, *arrays, **options):
        return getattr(losses, self.name)(*arrays, **self.options | options)

    def expected(self, *arrays):
        return getattr(oracle, self.name)(*arrays, **self.options)

    def arrays(self, seed, shape=(2, 3, 4), *, ignored=0.2, dtype=np.float64):
        """Prediction, truth, and weights or None; `shape` is (..., H, W), of boxes all of it."""
        rng = np.random.default_rng(seed)
        weights = np.where(rng.random(shape) < ignored, 0, rng.uniform(0.1, 5, shape)).astype(np.float16)
        if ignored and rng.random() < 0.5:
            weights = None
        if self.truth == "boxes":
            boxes = rng.uniform(0, 9, (2, *shape, 4)).astype(dtype)
            return boxes[0], boxes[1].round(), weights
        per_class = (*shape[:-2], CLASSES, *shape[-2:])
        logits = rng.normal(0, 2, shape if self.truth in ("foreground", "distance") else per_class).astype(dtype)
        axis = -3 if self.truth in ("classes", "distances") else None
        prediction = logits if self.takes_logits else probabilities(logits, axis)
        return prediction, self._truth(rng, shape, logits.shape, ignored), weights

    def _truth(self, rng, shape, all_shape, ignored):
        if self.truth in ("distance", "distances"):
            return rng.normal(0, 9, all_shape).astype(np.float16)
        kinds = ["uint8", "uint16", "int64"]
        if self.truth == "foreground":
            kinds += ["bool"] + ["float32"] * (self.name != "lovasz_hinge")
        dtype = np.dtype(rng.choice(kinds))
        if dtype.kind == "f":
            return rng.random(shape).astype(dtype)
        codes = rng.integers(0, CLASSES, shape).astype(dtype)
        if ignored and dtype.kind != "b":
            codes[rng.random(shape) < ignored] = -1 if dtype.kind == "i" else np.iinfo(dtype).max
        return codes


def probabilities(logits, axis):
    """Softmax over an axis, or the sigmoid."""
    if axis is None:
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits)
    return powers / powers.sum(axis=axis, keepdims=True)


CASES = [
    Case("binary_cross_entropy", "foreground"),
    Case("cross_entropy", "classes"),
    Case("binary_focal_loss", "foreground"),
    Case("focal_loss", "classes", {"alpha": (0.2, 1.0, 3.0)}),
    Case("dice_loss", "foreground"),
    Case("dice_loss", "classes"),
    Case("generalised_dice_loss", "foreground"),
    Case("generalised_dice_loss", "classes"),
    Case("tversky_loss", "foreground"),
    Case("tversky_loss", "classes"),
    Case("boundary_loss", "distance"),
    Case("boundary_loss", "distances"),
    Case("lovasz_hinge", "foreground"),
    Case("lovasz_softmax", "classes"),
    Case("generalised_iou_loss", "boxes"),
    Case("dice_cross_entropy", "foreground"),
    Case("dice_cross_entropy", "classes"),
]
"""Each loss with its defaults, for each kind of truth."""
VARIANTS = [
    Case("binary_focal_loss", "foreground", {"gamma": 0.5, "alpha": None}),
    Case("binary_focal_loss", "foreground", {"gamma": 0, "alpha": 0.9}),
    Case("focal_loss", "classes", {"gamma": 0.5}),
    Case("focal_loss", "classes", {"gamma": 0}),
    Case("dice_loss", "foreground", {"smooth": 0, "per_image": True}),
    Case("dice_loss", "classes", {"smooth": 0, "per_image": True}),
    Case("generalised_dice_loss", "foreground", {"per_image": True}),
    Case("generalised_dice_loss", "classes", {"per_image": True}),
    Case("tversky_loss", "classes", {"alpha": 1.5, "beta": 0, "smooth": 0, "per_image": True}),
    Case("lovasz_hinge", "foreground", {"per_image": True}),
    Case("lovasz_softmax", "classes", {"per_image": True}),
    Case("lovasz_softmax", "classes", {"present_only": False}),
    Case("generalised_iou_loss", "boxes", {"corners": True}),
    Case("dice_cross_entropy", "classes", {"dice": 0.3, "smooth": 5, "per_image": True}),
]

REFERENCES = Path(__file__).parents[1] / "training" / "losses" / "references.json"
"""Values of other libraries, made by make_references.py beside it."""


def referenced(arrays):
    """Losses of segprep that other libraries have too: name of the loss, and its value, by the name of the reference."""
    data = {name: np.array(values) for name, values in arrays.items()}
    z, zc, w, y, classes = (data[name] for name in ("logits", "class_logits", "weights", "foreground", "classes"))
    ignoring, p, pc = data["ignoring"].astype(np.uint8), probabilities(z, None), probabilities(zc, -3)
    class_weights = np.array([0.5, 1, 3])[np.where(ignoring == 255, 0, ignoring)]
    return {
        "torch binary_cross_entropy_with_logits, sum": losses.binary_cross_entropy(z, y, w, reduction="sum"),
        "torch cross_entropy, mean": losses.cross_entropy(zc, ignoring),
        "torch cross_entropy, class weights": losses.cross_entropy(zc, ignoring, class_weights),
        "torchvision sigmoid_focal_loss": losses.binary_focal_loss(z, y),
        "torchvision generalized_box_iou_loss": losses.generalised_iou_loss(
            data["boxes"], data["true_boxes"], corners=True
        ),
        "monai FocalLoss, softmax": losses.focal_loss(zc, classes, gamma=1.5),
        "monai DiceLoss, sigmoid, batch": losses.dice_loss(p, y),
        "monai DiceLoss, softmax, per image": losses.dice_loss(pc, classes, smooth=0, per_image=True),
        "monai GeneralizedDiceLoss, both classes": losses.generalised_dice_loss(p, y),
        "monai GeneralizedDiceLoss, softmax, per image": losses.generalised_dice_loss(pc, classes, per_image=True),
        "monai TverskyLoss, softmax": losses.tversky_loss(pc, classes),
        "smp LovaszLoss, binary": losses.lovasz_hinge(z, y),
        "smp LovaszLoss, multiclass": losses.lovasz_softmax(pc, classes),
        "smp LovaszLoss, multiclass, ignore 255": losses.lovasz_softmax(pc, ignoring),
    }
