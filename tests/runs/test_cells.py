"""Drawn cells: their labels fit the image, and many touch."""

import cv2
import numpy as np
import pytest

from segprep.masks.touching import list_touching
from segprep.runs.cells import CLASSES, draw_cells

SHAPE = (200, 240)


@pytest.fixture(scope="module")
def images():
    return [draw_cells((5, number), SHAPE) for number in range(4)]


def test_the_same_seed_gives_the_same_image():
    for one, other in zip(draw_cells((5, 1), SHAPE), draw_cells((5, 1), SHAPE), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_another_image(images):
    assert not np.array_equal(images[0].pixels, images[1].pixels)


def test_cells_are_numbered_without_gaps_and_each_has_a_class(images):
    for image in images:
        assert np.array_equal(np.unique(image.labels), np.arange(len(image.classes) + 1))
        assert set(image.classes.tolist()) <= set(range(1, len(CLASSES) + 1))


def test_every_cell_is_one_piece(images):
    for image in images:
        for cell in range(1, len(image.classes) + 1):
            assert cv2.connectedComponents((image.labels == cell).astype(np.uint8), connectivity=4)[0] == 2


def test_cells_touch_in_every_image(images):
    assert all(len(list_touching(image.labels[np.newaxis])) > 5 for image in images)


def test_all_classes_occur(images):
    assert set(np.concatenate([image.classes for image in images]).tolist()) == {1, 2, 3}


def test_foreground_is_brighter_than_the_background_beside_it(images):
    for image in images:
        inside = (image.labels > 0).astype(np.uint8)
        around = cv2.dilate(inside, np.ones((9, 9), np.uint8)) > inside
        bright = cv2.GaussianBlur(image.pixels, (0, 0), 1)
        level = (np.median(bright[inside > 0]) + np.median(bright[around])) / 2
        assert np.mean(bright[inside > 0] > level) > 0.75
        assert np.mean(bright[around] < level) > 0.85


def test_labels_lie_where_the_cells_are(images):
    """Shifted in any direction they fit less well."""
    for image in images:

        def contrast(dy, dx, image=image):
            foreground = np.roll(image.labels > 0, (dy, dx), (0, 1))[8:-8, 8:-8]
            pixels = image.pixels[8:-8, 8:-8].astype(float)
            return pixels[foreground].mean() - pixels[~foreground].mean()

        assert all(contrast(0, 0) > contrast(dy, dx) for dy, dx in ((2, 0), (-2, 0), (0, 2), (0, -2)))


def test_an_empty_image_is_dark_noise():
    image = draw_cells((5, 1), SHAPE, is_empty=True)
    assert (image.labels.max(), len(image.classes)) == (0, 0)
    assert 0 < image.pixels.std() < 10


@pytest.mark.parametrize("number", range(20))
def test_small_images_have_two_cells_at_least(number):
    assert len(draw_cells((0, number), (48, 64)).classes) >= 2
