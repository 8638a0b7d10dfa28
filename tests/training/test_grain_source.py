"""Crops of images and targets for JAX's data loader."""

import pickle

import numpy as np
import pytest

import segprep
from segprep.errors import OptionError
from segprep.training.geometry import flip
from segprep.training.grain import GrainSource

EPOCHS = 3


def place_of(sample):
    """y and x of a sample in its image, and the number of the image, as its pixels tell."""
    return tuple(np.rint(sample["image"][0, 0] * 255).astype(int).tolist())


def test_a_record_is_a_mask_in_an_epoch(imaged_store):
    masks = segprep.open(imaged_store)
    source = GrainSource(imaged_store, crop=32, epochs=EPOCHS)
    assert len(source) == EPOCHS * len(masks)
    places = [place_of(source[record]) for record in range(len(source))]
    assert [number for _, _, number in places] == [*range(len(masks))] * EPOCHS
    assert places[: len(masks)] != places[len(masks) : 2 * len(masks)]
    for record, (y, x, number) in enumerate(places):
        sample = source[record]
        assert sample["image"].shape == (32, 32, 3)
        whole = masks.read(number, (y, x, 32, 32))
        for name in ("labels", "weights", "distance", "border"):
            np.testing.assert_array_equal(sample[name], whole[name])


def test_a_transform_takes_channels_first(imaged_store):
    plain = GrainSource(imaged_store, crop=32)
    mirrored = GrainSource(imaged_store, crop=32, transform=lambda sample: flip(sample, "x"))
    for name in ("image", "labels"):
        np.testing.assert_array_equal(mirrored[2][name], plain[2][name][:, ::-1])


def test_it_is_small_when_pickled_and_has_no_record_beyond_its_epochs(imaged_store):
    source = GrainSource(imaged_store, crop=32, epochs=2)
    assert len(pickle.dumps(source)) < 6000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))[9]["image"], source[9]["image"])  # noqa: S301
    with pytest.raises(IndexError):
        source[len(source)]
    with pytest.raises(OptionError, match="epochs=0: must be at least 1"):
        GrainSource(imaged_store, epochs=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_grain_reads_it(imaged_store, workers):
    grain = pytest.importorskip("grain", reason="Grain is not installed; pip install grain")
    source = GrainSource(imaged_store, ["classes", "weights"], crop=64, epochs=EPOCHS)
    data = grain.MapDataset.source(source).shuffle(seed=1).to_iter_dataset().batch(4)
    if workers:
        pytest.importorskip(
            "absl.flags"
        ).FLAGS.mark_as_parsed()  # as absl.app.run does, by which Grain's programs start
        data = data.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    batches = list(data)
    assert {batch["image"].shape for batch in batches} == {(4, 64, 64, 3)}
    assert {batch["classes"].shape for batch in batches} == {(4, 64, 64)}
    sums = sorted(float(image.sum(dtype=float)) for batch in batches for image in batch["image"])
    assert sums == sorted(float(source[record]["image"].sum(dtype=float)) for record in range(len(source)))
