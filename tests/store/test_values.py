"""Arrays in the form that a training takes: padded, widened, with other class weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import OptionError
from segprep.store.values import padded

ALL = "weights,distance,border,boundaries"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Store of two semantic masks of other sizes, with ignored pixels, and of all targets."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "data").mkdir()
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(20, 30), (13, 9)]):
        values = rng.choice([0, 0, 0, 1, 2, 255], shape).astype(np.uint8).repeat(2, 0).repeat(2, 1)
        Image.fromarray(values).save(folder / "data" / f"{number}.png")
    options = {"instances_from": "components", "ignore": 255, "canvas": (64, 64), "workers": 1}
    segprep.preprocess(folder / "data", folder / "out.zarr", targets=ALL, **options)
    segprep.preprocess(
        folder / "data", folder / "exact.zarr", targets=ALL, dtype="float32", class_weights="none", **options
    )
    return folder / "out.zarr"


def test_float16_maps_are_float32_unless_they_are_asked_for_as_stored(root):
    wide, stored = segprep.open(root), segprep.open(root, dtype="stored")
    for name in ("weights", "distance", "border"):
        assert (wide[0][name].dtype, stored[0][name].dtype) == (np.float32, np.float16)
        np.testing.assert_array_equal(wide[0][name], stored[0][name].astype(np.float32), strict=True)
        np.testing.assert_array_equal(wide.array(0, name), wide[0][name], strict=True)
    for name in ("labels", "classes", "boundaries"):
        np.testing.assert_array_equal(wide[0][name], stored[0][name], strict=True)
    with pytest.raises(OptionError, match="dtype='float64': choose one of float32, stored"):
        segprep.open(root, dtype="float64")


@pytest.mark.parametrize("window", [None, (3, 2, 11, 7)])
def test_padding_is_that_of_the_store_and_keeps_the_values(root, window):
    dataset = segprep.open(root)
    for index in range(2):
        plain, wide = dataset.read(index, window), dataset.read(index, window, pad_to=(64, 70))
        height, width = plain["labels"].shape
        for name, values in plain.items():
            if name == "key":
                continue
            assert wide[name].shape[-2:] == (64, 70)
            assert wide[name].flags.c_contiguous
            np.testing.assert_array_equal(wide[name][..., :height, :width], values, strict=True)
            outer = np.ones((64, 70), np.bool_)
            outer[:height, :width] = False
            expected = 255 if name in {"classes", "boundaries"} else 0
            assert (wide[name][..., outer] == expected).all()


def test_padding_is_that_of_zarr_within_the_canvas(root):
    import zarr  # noqa: PLC0415

    dataset = segprep.open(root, dtype="stored")
    for target in dataset.info.targets:
        row = zarr.open_array(root, path=f"{dataset.info.buckets[0].name}/{target.name}", mode="r")[0]
        np.testing.assert_array_equal(dataset.read(0, pad_to=(64, 64))[target.name], row, strict=True)


@pytest.mark.parametrize("size", [(39, 60), (40, 59), 64, (64,), "64,64", (64.0, 64)])
def test_a_size_that_is_too_small_or_none_is_refused(root, size):
    with pytest.raises(OptionError, match=r"pad_to=.*: must be "):
        segprep.open(root).read(0, pad_to=size)


def test_an_array_of_the_size_is_not_copied():
    values = np.zeros((2, 3))
    assert padded(values, (2, 3), 1) is values


def test_weights_of_other_class_weights_are_those_that_a_store_would_have(root):
    vector = {"background": 0.5, "class 1": 2.0, "class 2": 3.5}
    folder = root.parent
    options = {"instances_from": "components", "ignore": 255, "canvas": (64, 64), "workers": 1}
    segprep.preprocess(folder / "data", folder / "other.zarr", class_weights=vector, dtype="float32", **options)
    other, exact, half = (segprep.open(folder / name) for name in ("other.zarr", "exact.zarr", "out.zarr"))
    assert [entry.name for entry in half.info.classes] == list(vector)
    for index in range(2):
        expected = other[index]["weights"]
        np.testing.assert_array_equal(exact.weights(index, vector), expected, strict=True)
        np.testing.assert_array_equal(
            exact.weights(index, list(vector.values()), window=(1, 2, 3, 4)), expected[1:4, 2:6]
        )
        np.testing.assert_allclose(
            half.weights(index, np.array(list(vector.values()))), expected, rtol=2**-11, atol=2**-25
        )
        assert (half.weights(index, vector)[half[index]["classes"] == 255] == 0).all()


def test_weights_by_a_formula_are_those_of_the_train_split(root):
    dataset = segprep.open(root.with_name("exact.zarr"))
    vector = segprep.class_weights(root, "inverse")
    np.testing.assert_array_equal(dataset.weights(0, "inverse"), dataset.weights(0, vector))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            [1, 2],
            "must be the name of a formula, or 3 numbers of at least 0, one for each of background, class 1, class 2",
        ),
        ([1, 2, -1], "3 numbers of at least 0"),
        ([1, 2, float("nan")], "3 numbers of at least 0"),
        ("invers", "did you mean 'inverse'"),
        ({"background": 1, "class 1": 2}, "needs a weight for 'class 2'; its classes are background, class 1, class 2"),
        ({"background": 1, "class 1": 2, "class 2": 3, "cell": 1}, "has no class 'cell'"),
        (None, "3 numbers"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(root, weights, message):
    with pytest.raises(OptionError, match=message):
        segprep.open(root).weights(0, weights)


def test_weights_need_the_border(coins_store: Path):
    with pytest.raises(OptionError, match="has no target 'border', which this needs; add it by targets='border'"):
        segprep.open(coins_store).weights(0, "none")
