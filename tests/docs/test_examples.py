import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segprep.readers import find

EXAMPLES = Path(__file__).parents[2] / "examples"
IMAGE, LABELS, COCO = "coins/images/coins.png", "coins/labels/coins.png", "coins_coco/annotations.json"
NUMBERS = range(1, 25)


def pixels(path):
    with Image.open(path) as image:
        return np.array(image)


def decode(segmentation):
    counts = segmentation["counts"]
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(segmentation["size"], order="F")


@pytest.fixture(scope="module")
def remade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run([sys.executable, EXAMPLES / "make_coins.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def labels():
    return pixels(EXAMPLES / LABELS)


@pytest.fixture(scope="module")
def coco():
    return json.loads((EXAMPLES / COCO).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [IMAGE, LABELS])
def test_script_makes_the_same_pixels_again(remade, name):
    again, kept = pixels(remade / name), pixels(EXAMPLES / name)
    assert again.dtype == kept.dtype
    np.testing.assert_array_equal(again, kept)


def test_script_makes_the_same_json_again(remade):
    assert (remade / COCO).read_text(encoding="utf-8") == (EXAMPLES / COCO).read_text(encoding="utf-8")


def test_script_makes_no_other_file(remade):
    made = {path.relative_to(remade).as_posix() for path in remade.rglob("*") if path.is_file()}
    assert made == {IMAGE, LABELS, COCO}


def test_labels_are_the_24_coins_of_the_photograph(labels):
    assert labels.shape == pixels(EXAMPLES / IMAGE).shape == (303, 384)
    assert np.unique(labels).tolist() == [0, *NUMBERS]


def test_coins_are_numbered_in_reading_order(labels):
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, NUMBERS)).reshape(4, 6, 2)
    y, x = centres[..., 0], centres[..., 1]
    assert (y[:-1].max(axis=1) < y[1:].min(axis=1)).all()
    assert (np.diff(x, axis=1) > 0).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_coin_is_in_one_piece_without_holes_and_of_a_coins_size(labels, number):
    coin = labels == number
    assert ndimage.label(coin, np.ones((3, 3)))[1] == 1
    assert (ndimage.binary_fill_holes(coin) == coin).all()
    assert 1000 < coin.sum() < 3500


def test_rle_decodes_to_the_label_image(labels, coco):
    decoded = np.zeros_like(labels)
    for annotation in coco["annotations"]:
        decoded[decode(annotation["segmentation"])] = annotation["id"]
    np.testing.assert_array_equal(decoded, labels)


def test_boxes_and_areas_are_those_of_the_coins(labels, coco):
    assert [annotation["id"] for annotation in coco["annotations"]] == list(NUMBERS)
    for annotation, (ys, xs) in zip(coco["annotations"], ndimage.find_objects(labels), strict=True):
        assert annotation["bbox"] == [xs.start, ys.start, xs.stop - xs.start, ys.stop - ys.start]
        assert annotation["area"] == np.count_nonzero(labels == annotation["id"])


def test_both_forms_read_as_equal_labels(labels):
    for folder in ("coins", "coins_coco"):
        (ref,) = find(EXAMPLES / folder).refs
        np.testing.assert_array_equal(ref.load().labels, labels)


# --- scripts that train ----------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """Six images of bright discs, some of which touch, and their label images."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:96, :120]
    for number in range(6):
        labels = np.zeros((96, 120), np.uint8)
        for label, (top, left) in enumerate(random.integers(10, (86, 110), (9, 2)), start=1):
            labels[((y - top) ** 2 + (x - left) ** 2 < 81) & (labels == 0)] = label
        image = (60 + 120 * (labels > 0) + random.normal(0, 10, labels.shape)).astype(np.uint8)
        for folder, pixels in (("images", image), ("labels", labels)):
            file = tmp_path / "data" / folder / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    return tmp_path / "data"


def lines_of(script, *arguments):
    """Lines that a script of the examples prints."""
    command = [sys.executable, EXAMPLES / script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["crowded", "plain"])
def test_a_network_is_trained_and_scored(preset, pictures, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    how = ("--preset", preset, "--work", tmp_path / "work", "--steps", 30, "--seeds", 2)
    first, second = lines_of("train_unet.py", pictures, *how)
    found = [
        re.fullmatch(rf"{preset} ([01]): mean AP (0\.\d+), \d+ of \d+ touching pairs separated", line)
        for line in (first, second)
    ]
    assert [match and match[1] for match in found] == ["0", "1"]
    assert all(float(match[2]) > 0.1 for match in found)


@pytest.mark.slow
def test_settings_are_compared_in_several_starts(pictures, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    how = ("--work", tmp_path / "work", "--steps", 2, "--seeds", 1)
    names = ["plain", "crowded", "dice", "former", "falk2019", "boundary", "focal"]
    first = lines_of("does_it_help.py", pictures, *how, "--settings", *names[:2])
    again = lines_of("does_it_help.py", pictures, *how, "--settings", *names)
    assert [line.count("'setting'") for line in first[:3]] == [1, 1, 0]
    assert sum("'setting'" in line for line in again) == len(names) - 2
    assert len([line for line in again if line.startswith("| ")]) == 1 + len(names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "needed"), [("train_jax.py", ["jax", "grain"]), ("train_keras.py", ["keras", "torch"])]
)
def test_the_loss_decreases(script, needed, monkeypatch):
    for name in needed:
        pytest.importorskip(name, reason=f"needs {name}")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    losses = [float(line.rpartition(" ")[2]) for line in lines_of(script)]
    assert losses[-1] < 0.7 * losses[0]
