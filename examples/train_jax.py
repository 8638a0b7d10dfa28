"""Train a small network on the coins with JAX and Grain, and print the loss; needs ``pip install jax grain``."""

import tempfile
from itertools import pairwise
from pathlib import Path

import grain.python as grain
import jax
import jax.numpy as jnp

import segprep
from segprep.training import losses
from segprep.training.grain import GrainSource

COINS = Path(__file__).parent / "coins"
STEPS, BATCH = 40, 4
WIDTHS = [1, 8, 16, 16, 1]
"""Channels before, between and after the convolutions of 3 x 3, whose dilations are 1, 2, 4 and 8."""


def logits(kernels, images):
    """Output of the network, (B, H, W), for images, (B, H, W, 1)."""
    maps = images
    for level, kernel in enumerate(kernels):
        maps = jax.lax.conv_general_dilated(
            jax.nn.relu(maps) if level else maps,
            kernel,
            (1, 1),
            "SAME",
            rhs_dilation=(2**level, 2**level),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    return maps[..., 0]


def loss(kernels, batch):
    """Dice loss plus cross-entropy with border weights."""
    return losses.dice_cross_entropy(logits(kernels, batch["image"] - 0.5), batch["classes"], batch["weights"])


@jax.jit
def step(kernels, momenta, batch):
    """Loss, and kernels and momenta after one step of gradient descent with momentum."""
    value, gradients = jax.value_and_grad(loss)(kernels, batch)
    momenta = [0.9 * momentum + gradient for momentum, gradient in zip(momenta, gradients, strict=True)]
    return value, [kernel - 0.05 * momentum for kernel, momentum in zip(kernels, momenta, strict=True)], momenta


def main():
    """Train, and print the loss of every tenth step."""
    with tempfile.TemporaryDirectory() as folder:
        segprep.preprocess(COINS, Path(folder) / "coins.zarr", preset="crowded", workers=1)
        masks = segprep.open(Path(folder) / "coins.zarr", images=COINS)
        source = GrainSource(masks, ["classes", "weights"], crop=128, image="grey", epochs=STEPS * BATCH)
        kernels = [
            jax.random.normal(jax.random.key(level), (3, 3, *pair)) / (9 * pair[0]) ** 0.5
            for level, pair in enumerate(pairwise(WIDTHS))
        ]
        momenta = [jnp.zeros_like(kernel) for kernel in kernels]
        for number, batch in enumerate(grain.MapDataset.source(source).batch(BATCH)):
            arrays = {name: jnp.asarray(batch[name]) for name in ("image", "classes", "weights")}
            value, kernels, momenta = step(kernels, momenta, arrays)
            if number % 10 == 0:
                print(f"step {number}: loss {value:.3f}")


if __name__ == "__main__":
    main()
