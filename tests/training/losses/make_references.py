"""Values of other libraries for fixed arrays: ``python tests/training/losses/make_references.py > references.json`` beside it.

Needs torch, torchvision, monai and segmentation-models-pytorch, whose Lovasz losses are the code of the paper's authors.
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import torch
from monai.losses import DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
from segmentation_models_pytorch.losses import LovaszLoss
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

SHAPE = (2, 4, 5)
CLASSES = 3


def arrays():
    """Logits, truth, weights and boxes, rounded to be short."""
    rng = np.random.default_rng(2015)
    corners = [*np.sort(rng.integers(0, 20, (6, 2, 2)), axis=1).reshape(6, 4), 0, 0, 3, 3]
    return {
        "logits": rng.normal(0, 2, SHAPE).round(2),
        "class_logits": rng.normal(0, 2, (SHAPE[0], CLASSES, *SHAPE[1:])).round(2),
        "foreground": rng.integers(0, 2, SHAPE),
        "classes": rng.integers(0, CLASSES, SHAPE),
        "ignoring": np.where(rng.random(SHAPE) < 0.3, 255, rng.integers(0, CLASSES, SHAPE)),
        "weights": rng.uniform(0, 5, SHAPE).round(2),
        "boxes": (corners + rng.normal(0, 1, (6, 4))).round(2),
        "true_boxes": corners,
    }


def values(data):
    """Value of each reference."""
    tensor = {name: torch.tensor(values) for name, values in data.items()}
    z, zc, w = tensor["logits"], tensor["class_logits"], tensor["weights"]
    y, classes = tensor["foreground"].double(), tensor["classes"]
    channel, target = z[:, None], y[:, None]
    hot = functional.one_hot(classes, CLASSES).movedim(-1, 1).double()
    both = (
        torch.cat([torch.sigmoid(channel), 1 - torch.sigmoid(channel)], dim=1),
        torch.cat([target, 1 - target], dim=1),
    )
    exact = {"smooth_nr": 0, "smooth_dr": 0}
    lovasz = {"per_image": False, "from_logits": True}
    return {
        "torch binary_cross_entropy_with_logits, sum": functional.binary_cross_entropy_with_logits(
            z, y, w, reduction="sum"
        ),
        "torch cross_entropy, mean": functional.cross_entropy(zc, tensor["ignoring"], ignore_index=255),
        "torch cross_entropy, class weights": functional.cross_entropy(
            zc, tensor["ignoring"], torch.tensor([0.5, 1, 3]).double(), ignore_index=255
        ),
        "torchvision sigmoid_focal_loss": sigmoid_focal_loss(z, y, 0.25, 2, "mean"),
        "torchvision generalized_box_iou_loss": generalized_box_iou_loss(
            tensor["boxes"], tensor["true_boxes"].double(), "mean"
        ),
        "monai FocalLoss, softmax": FocalLoss(use_softmax=True, to_onehot_y=True, gamma=1.5, reduction="none")(
            zc, classes[:, None]
        )
        .sum(1)
        .mean(),
        "monai DiceLoss, sigmoid, batch": DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(channel, target),
        "monai DiceLoss, softmax, per image": DiceLoss(softmax=True, **exact)(zc, hot),
        "monai GeneralizedDiceLoss, both classes": GeneralizedDiceLoss(batch=True, **exact)(*both),
        "monai GeneralizedDiceLoss, softmax, per image": GeneralizedDiceLoss(softmax=True, **exact)(zc, hot),
        "monai TverskyLoss, softmax": TverskyLoss(
            softmax=True, alpha=0.3, beta=0.7, batch=True, smooth_nr=1, smooth_dr=1
        )(zc, hot),
        "smp LovaszLoss, binary": LovaszLoss("binary", **lovasz)(channel.float(), target),
        "smp LovaszLoss, multiclass": LovaszLoss("multiclass", **lovasz)(zc.float(), classes),
        "smp LovaszLoss, multiclass, ignore 255": LovaszLoss("multiclass", ignore_index=255, **lovasz)(
            zc.float(), tensor["ignoring"]
        ),
    }


if __name__ == "__main__":
    data = arrays()
    libraries = ("torch", "torchvision", "monai", "segmentation-models-pytorch")
    json.dump(
        {
            "versions": {name: version(name) for name in libraries},
            "values": {name: float(value) for name, value in values(data).items()},
            "arrays": {name: values.tolist() for name, values in data.items()},
        },
        sys.stdout,
    )
