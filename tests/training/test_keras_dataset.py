"""Batches of images, targets and weights for Keras."""

import os

import numpy as np
import pytest

import segprep

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip(
    "keras", reason="Keras or PyTorch, its backend here, is not installed", exc_type=ImportError
)

from segprep.training.keras import KerasDataset  # noqa: E402 - needs Keras

pytestmark = pytest.mark.filterwarnings("ignore")


def numbers_of(batches):
    """Numbers of the images, as their pixels tell."""
    return [round(float(image[0, 0, 2] * 255)) for images, *_ in batches for image in images]


def test_an_epoch_has_each_mask_once_and_the_next_one_other_crops(imaged_store):
    data = KerasDataset(imaged_store, batch_size=3, crop=32, seed=1)
    epochs = []
    for _ in range(2):
        epochs.append([data[batch] for batch in range(len(data))])
        data.on_epoch_end()
    for batches in epochs:
        assert sorted(len(images) for images, *_ in batches) == [2, 3, 3]
        assert sorted(numbers_of(batches)) == list(range(8))
    assert numbers_of(epochs[0]) != numbers_of(epochs[1])
    again = KerasDataset(imaged_store, batch_size=3, crop=32, seed=1)
    np.testing.assert_array_equal(again[1][0], epochs[0][1][0])


def test_images_targets_and_weights_are_the_same_part(imaged_store):
    masks = segprep.open(imaged_store)
    for images, classes, weights in [KerasDataset(imaged_store, crop=32)[0]]:
        for image, codes, each in zip(images, classes, weights, strict=True):
            y, x, number = np.rint(image[0, 0] * 255).astype(int).tolist()
            part = masks.read(number, (y, x, 32, 32))
            np.testing.assert_array_equal(each, part["weights"])
            np.testing.assert_array_equal(codes == -100, part["classes"] == 255)


def test_batches_of_complete_masks_are_of_one_bucket(imaged_store):
    data = KerasDataset(imaged_store, batch_size=2, crop="bucket")
    assert sorted(numbers_of(data[batch] for batch in range(len(data)))) == list(range(8))
    whole = KerasDataset(imaged_store, crop=None, shuffle=False)
    assert [whole[batch][0].shape[1:3] for batch in range(8)] == [
        tuple(size) for size in segprep.open(imaged_store).sizes
    ]


@pytest.mark.slow
def test_keras_fits_a_model_to_it(imaged_store):
    data = KerasDataset(imaged_store, crop=32, workers=2)
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 1)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100))
    losses = model.fit(data, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    images, classes, weights = data[0]
    logits = keras.ops.convert_to_numpy(model(images))
    codes = np.where(classes == -100, 0, classes)
    each = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, codes[..., np.newaxis], -1)[..., 0]
    expected = (each * weights)[classes != -100].sum()
    assert expected > 0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100, reduction="sum")
    assert float(loss(classes, keras.ops.convert_to_tensor(logits), weights)) == pytest.approx(expected, rel=1e-4)
