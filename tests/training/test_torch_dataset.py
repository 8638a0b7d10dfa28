"""Crops of images and targets for PyTorch, in this process and in its workers, however they are started."""

import copy
import pickle
from collections import Counter

import numpy as np
import pytest
import tifffile
from PIL import Image

import segprep
from segprep.errors import OptionError
from segprep.training.samplers import BucketBatchSampler, ShardSampler

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")

from helpers.training import flipped, rank_batches  # noqa: E402 - these need PyTorch
from torch.utils.data import DataLoader  # noqa: E402

from segprep.training.torch import TorchDataset  # noqa: E402

CROP = 64
WORKERS = 2
INTEGERS = {"labels", "classes", "boundaries"}
IGNORED = {"classes": 255, "boundaries": 255}

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"  # of fork, in Python 3.12
)


def place_of(sample):
    """y and x of a sample in its image, and the number of the image, as its pixels tell."""
    return tuple((sample["image"][:, 0, 0] * 255).round().int().tolist())


def expected(full, y, x, name, size):
    """Part of a complete stored array from (y, x) on, padded to a size, pixel by pixel."""
    pad = -100 if name in IGNORED else 0
    result = np.full(size, pad, np.int64 if name in INTEGERS else np.float32)
    for row in range(min(size[0], full.shape[0] - y)):
        for column in range(min(size[1], full.shape[1] - x)):
            value = full[y + row, x + column]
            result[row, column] = -100 if value == IGNORED.get(name) else value
    return result


def test_a_sample_is_the_same_part_of_the_image_and_of_each_target(imaged_store):
    masks = segprep.open(imaged_store, dtype="stored")
    data = TorchDataset(imaged_store, crop=(CROP, 50))
    data.set_epoch(4)
    for index in range(len(data)):
        sample, mask = data[index], masks[index]
        height, width = np.minimum(masks.sizes[index], (CROP, 50)).tolist()
        y, x, number = place_of(sample)
        assert (sample["key"], number) == (mask["key"], index)
        assert sample.keys() == {*mask, "image"}
        image = np.zeros((3, CROP, 50))
        image[:2, :height, :width] = np.indices((height, width)) + np.array([y, x])[:, np.newaxis, np.newaxis]
        image[2, :height, :width] = index
        np.testing.assert_allclose(sample["image"].numpy() * 255, image, atol=1e-4)
        for name in mask.keys() - {"key"}:
            values = expected(mask[name], y, x, name, (CROP, 50))
            np.testing.assert_array_equal(sample[name].numpy(), values, strict=True)


def test_the_images_of_downsampled_masks_are_means_of_blocks(tmp_path):
    labels = np.kron(np.eye(4, dtype=np.uint8), np.ones((9, 12), np.uint8))
    for name, pixels in (("masks", labels), ("images", 40 * labels + np.arange(48, dtype=np.uint8))):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "data" / name / "a.png")
    segprep.preprocess(tmp_path / "data", tmp_path / "a.zarr", downsample=3, instances_from="as-is")
    masks = segprep.open(tmp_path / "a.zarr")
    sample = TorchDataset(masks, ["classes"], crop=None, image="grey")[0]
    assert sample["image"].shape[1:] == sample["classes"].shape == (12, 16)
    blocks = pixels.reshape(12, 3, 16, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(sample["image"][0].numpy() * 255, blocks, atol=0.51)
    cropped = TorchDataset(masks, ["classes"], crop=(8, 5), seed=1, image="grey")[0]
    assert cropped["image"].shape == (1, 8, 5)


def test_cross_entropy_takes_the_classes_as_they_are(imaged_store):
    data = TorchDataset(imaged_store, ["classes", "weights"], crop=CROP)
    batch = next(iter(DataLoader(data, batch_size=8)))
    assert (batch["classes"] == -100).any()
    logits = torch.randn(8, 3, CROP, CROP, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(logits, batch["classes"], reduction="none")
    assert (losses[batch["classes"] == -100] == 0).all()
    (losses * batch["weights"]).mean().backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    "method",
    ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in ("spawn", "forkserver"))],
)
def test_persistent_workers_repeat_an_epoch_and_change_from_one_to_the_next(imaged_store, method):
    data = TorchDataset(imaged_store, crop=CROP, seed=1, bias={"cell": 0.5})
    loader = DataLoader(
        data, batch_size=3, num_workers=WORKERS, persistent_workers=True, multiprocessing_context=method
    )
    epochs = {}
    for number, epoch in enumerate((0, 1, 2**40, 0)):
        data.set_epoch(epoch)
        if number == 2:
            next(iter(loader))  # an epoch that is given up
        epochs[number] = [sample for batch in loader for sample in unbatched(batch)]
        for sample, index in zip(epochs[number], range(len(data)), strict=True):
            assert_same(sample, data[index])
    places = {number: [place_of(sample) for sample in samples] for number, samples in epochs.items()}
    assert places[0] == places[3]
    assert places[0] != places[1] != places[2] != places[0]


def unbatched(batch):
    return [{name: values[number] for name, values in batch.items()} for number in range(len(batch["key"]))]


def assert_same(sample, other):
    assert sample.keys() == other.keys()
    for name, value in sample.items():
        assert torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]


def copied_by_pickle(data):
    return pickle.loads(pickle.dumps(data))  # noqa: S301 - from this test


@pytest.mark.parametrize("copied", [copied_by_pickle, copy.deepcopy])
def test_workers_of_a_copy_see_its_epoch(imaged_store, copied):
    data = TorchDataset(imaged_store, [], crop=CROP)
    data.set_epoch(7)
    other = copied(data)
    loader = DataLoader(other, batch_size=None, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    for epoch in (7, 8):
        if epoch != 7:
            other.set_epoch(epoch)
        data.set_epoch(epoch)
        for sample, index in zip(loader, range(len(data)), strict=True):
            assert_same(sample, data[index])
    data.set_epoch(9)
    assert place_of(other[6]) != place_of(data[6])


def places_without_epoch(store, **options):
    data = TorchDataset(store, [], crop=32)
    loader = DataLoader(data, batch_size=2, **options)
    return [[place_of(sample) for batch in loader for sample in unbatched(batch)] for _ in range(2)]


@pytest.mark.parametrize("persistent", [None, False, True])
def test_without_an_epoch_crops_follow_the_random_numbers_of_torch(imaged_store, persistent):
    options = {}
    if persistent is not None:
        options = {"num_workers": 2, "persistent_workers": persistent, "multiprocessing_context": "fork"}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first, second = places_without_epoch(imaged_store, **options)
        torch.manual_seed(5)
        assert places_without_epoch(imaged_store, **options) == [first, second]
    assert first != second


def test_crops_depend_on_the_seed(imaged_store):
    places = set()
    for seed in range(3):
        data = TorchDataset(imaged_store, [], crop=32, seed=seed)
        data.set_epoch(0)
        places.add(tuple(place_of(data[index]) for index in range(len(data))))
    assert len(places) == 3


def test_it_is_small_when_pickled_also_after_use(imaged_store):
    data = TorchDataset(imaged_store, crop=CROP, bias="cell")
    before = len(pickle.dumps(data))
    data.set_epoch(1)
    _ = [data[index] for index in range(len(data))]
    assert len(pickle.dumps(data)) == before < 6000


@pytest.mark.parametrize(("bias", "code"), [("mitosis", 2), ({1: 1.0}, 1), ({"cell": 0.25, "mitosis": 0.75}, None)])
def test_biased_crops_hold_a_pixel_of_the_class(imaged_store, bias, code):
    data = TorchDataset(imaged_store, ["classes"], crop=16, image=False, bias=bias)
    uniform = TorchDataset(imaged_store, ["classes"], crop=16, image=False)
    held = Counter()
    for epoch in range(20):
        data.set_epoch(epoch)
        uniform.set_epoch(epoch)
        for name, source in (("biased", data), ("uniform", uniform)):
            held[name] += bool((source[6]["classes"] == (code or 2)).any())
    assert held["uniform"] < 10
    assert held["biased"] == 20 if code else 10 <= held["biased"] < 20


def test_foreground_is_any_class_and_masks_without_it_give_crops_too(varied_store):
    data = TorchDataset(varied_store, ["classes"], crop=16, image=False, bias="foreground")
    pixels = segprep.open(varied_store).class_pixels
    for epoch in range(3):
        data.set_epoch(epoch)
        for index, counts in enumerate(pixels):
            classes = data[index]["classes"]
            assert ((classes > 0).any()) == (counts[1:].sum() > 0)


def test_complete_masks_have_their_own_size(imaged_store):
    data = TorchDataset(imaged_store, ["classes"], crop=None)
    for index, size in enumerate(data.samples.masks.sizes.tolist()):
        assert list(data[index]["classes"].shape) == size == list(data[index]["image"].shape[1:])


def test_batches_of_a_bucket_need_no_crop(imaged_store):
    data = TorchDataset(imaged_store, crop="bucket")
    masks = data.samples.masks
    loader = DataLoader(data, batch_sampler=BucketBatchSampler(masks.buckets, 2))
    seen = Counter()
    for batch in loader:
        for sample in unbatched(batch):
            index = place_of(sample)[2]
            height, width = masks.sizes[index]
            seen[index] += 1
            assert (sample["classes"][height:] == -100).all()
            assert (sample["classes"][:, width:] == -100).all()
            whole = masks[index]
            np.testing.assert_array_equal(sample["labels"][:height, :width].numpy(), whole["labels"])
    assert seen == dict.fromkeys(range(len(masks)), 1)


def test_a_loader_takes_a_shard_sampler(imaged_store):
    data = TorchDataset(imaged_store, ["classes"], crop=CROP)
    loader = DataLoader(data, batch_size=2, sampler=ShardSampler(data.samples.masks.shards, window=2))
    orders = [[place_of(sample)[2] for batch in loader for sample in unbatched(batch)] for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(len(data)))
    assert orders[0] != orders[1]


def test_a_transform_changes_each_sample(imaged_store):
    plain, mirrored = (TorchDataset(imaged_store, crop=CROP, transform=change) for change in (None, flipped))
    for data in (plain, mirrored):
        data.set_epoch(0)
    for name, value in mirrored[6].items():
        before = plain[6][name]
        assert value == before if name == "key" else torch.equal(value, torch.flip(before, (-1,)))


@pytest.mark.parametrize(("mode", "channels"), [("grey", 1), ("rgb", 3), (True, 3)])
def test_images_have_the_channels_that_are_asked_for(imaged_store, mode, channels):
    image = TorchDataset(imaged_store, [], crop=None, image=mode)[2]["image"]
    assert (image.dtype, image.shape) == (torch.float32, (channels, 130, 70))
    if mode == "grey":
        assert image[0, 100, 60] * 255 == pytest.approx(0.299 * 100 + 0.587 * 60 + 0.114 * 2, abs=1e-3)


def test_grey_images_get_three_channels_and_others_are_refused(tmp_path):
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    (data / "labels").mkdir()
    labels = np.zeros((8, 9), np.uint8)
    labels[2:5, 2:5] = 1
    grey, many = np.full((8, 9), 2**15, np.uint16), np.zeros((8, 9, 5), np.uint8)
    for name, pixels in (("a", grey), ("b", many)):
        tifffile.imwrite(data / "labels" / f"{name}.tif", labels)
        tifffile.imwrite(data / "images" / f"{name}.tif", pixels, photometric="minisblack", planarconfig="contig")
    segprep.preprocess(data, tmp_path / "out.zarr", workers=1)
    masks = segprep.open(tmp_path / "out.zarr")
    coloured = TorchDataset(masks, [], crop=None, image="rgb")
    assert torch.equal(coloured[0]["image"], torch.full((3, 8, 9), 2**15 / (2**16 - 1)))
    with pytest.raises(OptionError, match=r"image='rgb': that of 'labels/b.tif' has 5 channels; use image=True"):
        coloured[1]
    assert TorchDataset(masks, [], crop=None)[1]["image"].shape == (5, 8, 9)


def test_an_index_beyond_the_masks_is_refused(imaged_store):
    data = TorchDataset(imaged_store, [], crop=CROP)
    data.set_epoch(0)
    assert_same(data[-1], data[len(data) - 1])
    with pytest.raises(IndexError):
        data[len(data)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["weight"]}, "targets='weight': choose one of .*did you mean 'weights'"),
        ({"targets": "weights"}, r"must be a list of names, as targets=\['weights'\]"),
        ({"crop": 0}, "crop=0: must be at least 1 pixel"),
        ({"crop": "buckets"}, "crop='buckets': must be an integer"),
        ({"image": "bgr"}, "image='bgr': choose one of"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"bias": "mitose"}, "did you mean 'mitosis'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(imaged_store, options, message):
    with pytest.raises(OptionError, match=message):
        TorchDataset(imaged_store, **options)


def test_a_negative_epoch_is_refused(imaged_store):
    with pytest.raises(OptionError, match="epoch=-1: must be at least 0"):
        TorchDataset(imaged_store).set_epoch(-1)


@pytest.mark.slow
def test_two_ranks_share_each_epoch_and_read_the_crops_of_one_process(imaged_store, tmp_path):
    epochs = 3
    arguments = (2, imaged_store, tmp_path, epochs)
    torch.multiprocessing.start_processes(rank_batches, arguments, nprocs=2, start_method="spawn")
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    data = TorchDataset(imaged_store, ["classes", "weights"], crop=CROP, seed=3)
    keys = data.samples.masks.keys
    orders = []
    for epoch in range(epochs):
        data.set_epoch(epoch)
        seen = [key for rank in ranks for key in rank[epoch][0]]
        orders.append(seen)
        assert sorted(seen) == sorted(keys)
        for rank in ranks:
            for key, classes in zip(*rank[epoch][:2], strict=True):
                assert torch.equal(classes, data[keys.index(key)]["classes"])
        total = sum(data[index]["image"].sum() for index in range(len(data)))
        assert ranks[0][epoch][2] == ranks[1][epoch][2] == pytest.approx(float(total), rel=1e-5)
    assert orders[0] != orders[1]
