"""Losses for the targets of a store, on arrays of NumPy, PyTorch or JAX.

All arguments of a call are arrays of one library, on one device; the result is an array of that library. Gradients,
``torch.compile``, ``jax.jit`` and ``jax.grad`` work, because the values of an array never decide what is computed.
Shapes and types are checked; an `OptionError` names the argument and the remedy.

Shapes
    ``(..., H, W)`` for a foreground and ``(..., C, H, W)`` for C classes, where ``...`` are any batch axes, also
    none. For layouts with the classes last, ``xp.moveaxis(logits, -1, -3)``.
Foreground
    Boolean; or integers, of which 0 is the background; or floats in [0, 1].
Ignored pixels
    Those of weight 0, those of the maximum of an unsigned integer type (255 in stored classes of type uint8), and
    those of a negative code. They have no influence on a loss, whatever the prediction is there, also NaN, and their
    gradient is 0. A loss without any other pixel is 0. A class code of C or more is NaN, and so is the loss.
Weights
    One per pixel; any number, such as the stored `weights`.
Reduction
    ``"none"``: w l for each pixel. ``"sum"``: the sum of w l. ``"mean"``: the sum of w l over the sum of w, which for
    weights of 1 is the mean over the pixels that are not ignored. (PyTorch's ``binary_cross_entropy_with_logits``
    divides by the number of pixels instead.) The losses of regions (Dice, Tversky, Lovasz) have one value per class,
    not per pixel; their mean is over these.
Precision
    float16 and bfloat16 are converted to float32, in which the loss is computed and returned; float64 remains
    float64.
"""

from segprep.training.losses.boundary import boundary_loss as boundary_loss
from segprep.training.losses.boundary import boundary_shares as boundary_shares
from segprep.training.losses.boxes import generalised_iou_loss as generalised_iou_loss
from segprep.training.losses.combined import dice_cross_entropy as dice_cross_entropy
from segprep.training.losses.entropy import binary_cross_entropy as binary_cross_entropy
from segprep.training.losses.entropy import cross_entropy as cross_entropy
from segprep.training.losses.focal import binary_focal_loss as binary_focal_loss
from segprep.training.losses.focal import focal_loss as focal_loss
from segprep.training.losses.lovasz import lovasz_hinge as lovasz_hinge
from segprep.training.losses.lovasz import lovasz_softmax as lovasz_softmax
from segprep.training.losses.overlap import dice_loss as dice_loss
from segprep.training.losses.overlap import generalised_dice_loss as generalised_dice_loss
from segprep.training.losses.overlap import tversky_loss as tversky_loss
from segprep.training.losses.probabilities import sigmoid as sigmoid
from segprep.training.losses.probabilities import softmax as softmax
