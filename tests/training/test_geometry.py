"""Flips, turns, crops and rescaling of arrays."""

import numpy as np
import pytest
from benchmarks.made import discs

import segprep
from segprep.errors import OptionError
from segprep.kernels.boundaries import boundaries
from segprep.training import geometry

LABELS = discs(60, 90, 12)[0]
EIGHT = range(8)


def changed(array, number):
    """One of the eight symmetries, by NumPy."""
    turned = np.rot90(array, number % 4, axes=(-2, -1))
    return np.flip(turned, -1) if number >= 4 else turned


@pytest.mark.parametrize("number", EIGHT)
def test_maps_of_turned_labels_are_turned_maps(number):
    turned = np.ascontiguousarray(geometry.symmetry(LABELS, number))
    for target in (segprep.signed_distance, segprep.border_weights, boundaries):
        np.testing.assert_allclose(geometry.symmetry(target(LABELS), number), target(turned), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (4, 2, 3, 5)])
@pytest.mark.parametrize("number", EIGHT)
def test_numpy_and_torch_arrays_are_turned_alike(number, shape):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    array = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(geometry.symmetry(array, number), changed(array, number))
    np.testing.assert_array_equal(geometry.symmetry(torch.from_numpy(array), number).numpy(), changed(array, number))


@pytest.mark.parametrize("quarters", [-5, -1, 0, 2, 3, 4, 7])
def test_turns_are_those_of_rot90(quarters):
    array = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(geometry.turn(array, quarters), np.rot90(array, quarters, axes=(1, 2)))


def test_eight_symmetries_differ():
    array = np.arange(9).reshape(3, 3)
    assert len({geometry.symmetry(array, number).tobytes() for number in EIGHT}) == 8


def test_a_sample_is_changed_alike_in_all_its_arrays():
    sample = {"key": "a.png", "number": np.array(3), "image": np.stack([LABELS] * 3), "labels": LABELS}
    for change in (
        lambda arrays: geometry.flip(arrays, "y"),
        lambda arrays: geometry.turn(arrays, 3),
        lambda arrays: geometry.crop(arrays, (5, 7, 20, 30)),
    ):
        result = change(sample)
        assert (result["key"], result["number"]) == ("a.png", 3)
        np.testing.assert_array_equal(result["image"], np.stack([result["labels"]] * 3))
        assert result["labels"].shape != LABELS.shape or (result["labels"] != LABELS).any()
    assert sample["labels"] is LABELS


def test_a_crop_keeps_distances_to_boundaries_beyond_it():
    labels = np.zeros((9, 9), np.int32)
    labels[:, 6:] = 1
    part = geometry.crop(segprep.signed_distance(labels), (0, 0, 9, 4))
    assert part[0].tolist() == [6, 5, 4, 3]


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 0, 2), (59, 0, 2, 2), (0, 80, 2, 11)])
def test_a_window_beyond_the_array_is_refused(window):
    with pytest.raises(OptionError, match="within 60 x 90 pixels"):
        geometry.crop(LABELS, window)


@pytest.mark.parametrize(("change", "value"), [(geometry.flip, "z"), (geometry.symmetry, 8)])
def test_an_unknown_change_is_refused(change, value):
    with pytest.raises(OptionError, match="choose one of"):
        change(LABELS, value)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_rescaled_distance_is_that_of_the_larger_image_along_straight_boundaries(scale):
    labels = np.zeros((20, 24), np.int32)
    labels[:, 12:] = 1
    larger = np.repeat(np.repeat(labels, scale, axis=0), scale, axis=1)
    inner = slice(scale, -scale)  # of the outermost pixels, bilinear interpolation repeats the centres
    np.testing.assert_allclose(
        geometry.rescale(segprep.signed_distance(labels), scale)[:, inner],
        segprep.signed_distance(larger)[:, inner],
        atol=1e-5,
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_a_rescaled_distance_is_off_by_less_than_a_pixel_of_the_image_before(scale):
    larger = np.repeat(np.repeat(LABELS > 0, scale, axis=0), scale, axis=1)
    expected = segprep.signed_distance(larger.astype(np.int32))
    rescaled = geometry.rescale(segprep.signed_distance((LABELS > 0).astype(np.int32)), scale)
    assert np.abs(rescaled - expected).max() < scale
    assert np.abs(rescaled - expected).mean() < np.abs(rescaled / scale - expected).mean() / 4


def test_a_rescaled_map_keeps_its_kind_type_and_channels():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    maps = np.stack([segprep.signed_distance(LABELS), np.zeros(LABELS.shape, np.float32)]).astype(np.float16)
    by_numpy = geometry.rescale(maps, 0.5)
    by_torch = geometry.rescale(torch.from_numpy(maps), 0.5)
    assert (by_numpy.dtype, by_numpy.shape) == (np.float16, (2, 30, 45))
    assert by_torch.dtype == torch.float16
    np.testing.assert_array_equal(by_torch.numpy(), by_numpy)
    assert by_numpy[0].any()
    assert not by_numpy[1].any()  # an absent class


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), 0.001])
def test_a_scale_that_leaves_no_image_is_refused(scale):
    with pytest.raises(OptionError, match="must be a number greater than 0"):
        geometry.rescale(np.zeros((4, 4), np.float32), scale)
