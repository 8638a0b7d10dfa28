"""Train a small network on the coins with Keras, and print the loss; needs ``pip install keras`` and one of its backends."""

import tempfile
from pathlib import Path

import keras
from keras import layers

import segprep
from segprep.training.keras import KerasDataset

COINS = Path(__file__).parent / "coins"


def main():
    """Train for some epochs of one batch each."""
    network = keras.Sequential(
        [
            layers.Input((128, 128, 1)),
            *(layers.Conv2D(16, 3, padding="same", dilation_rate=2**level, activation="relu") for level in range(4)),
            layers.Conv2D(2, 1),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    network.compile(keras.optimizers.Adam(1e-2), loss)
    with tempfile.TemporaryDirectory() as folder:
        segprep.preprocess(COINS, Path(folder) / "coins.zarr", preset="crowded", workers=1)
        masks = segprep.open(Path(folder) / "coins.zarr", images=COINS)
        history = network.fit(KerasDataset(masks, crop=128, image="grey"), epochs=20, verbose=0)
    for epoch, value in enumerate(history.history["loss"]):
        if epoch % 5 == 0:
            print(f"epoch {epoch}: loss {value:.3f}")


if __name__ == "__main__":
    main()
