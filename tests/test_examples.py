import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segprep.readers import find

EXAMPLES = Path(__file__).parents[1] / "examples"
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
