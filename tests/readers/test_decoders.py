"""Decoding against COCO's own code, on many random masks and polygons."""

import numpy as np
import pytest
from oracles import coco as coco_oracle

from segprep.masks.rle import bitmap_runs, listed_runs, runs_bitmap, runs_crop, runs_string, string_runs
from segprep.readers._polygon import polygon_runs

pytest.importorskip("pycocotools")

MASKS = POLYGONS = 10_000


def random_bitmap(rng):
    """Noise, blocks or nothing; mostly small, now and then tall or wide."""
    shape = rng.integers(1, rng.choice([8, 40, 40, 90]), 2)
    if rng.random() < 0.02:
        shape[rng.integers(2)] = rng.integers(500, 3000)
    block = rng.choice([1, 1, 3, 11])
    coarse = rng.random(-(-shape // block)) < rng.choice([0, 0.02, 0.3, 0.5, 0.9, 1])
    return np.kron(coarse, np.ones((block, block), bool))[: shape[0], : shape[1]]


def with_empty_runs(runs, rng):
    """The same pixels by runs some of which are split by an empty run."""
    split = []
    for run in runs.tolist():
        cut = int(rng.integers(0, run + 1)) if rng.random() < 0.1 else None
        split += [run] if cut is None else [cut, 0, run - cut]
    return np.array(split, np.int64)


def random_polygons(rng):
    """One to three polygons that lie inside, across the edge and outside of an image, and the image's size."""
    size = rng.integers(1, rng.choice([12, 60, 120]), 2)
    parts = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        corners = rng.integers(3, 12)
        inside = rng.random((corners, 2)) * size[::-1]
        spread, shift = rng.choice([0.3, 1, 1, 2, 8]), rng.choice([0, 0, 0.5, -0.5, 1.5]) * size[::-1]
        parts.append(np.round((inside - size[::-1] / 2) * spread + size[::-1] / 2 + shift, rng.choice([0, 1, 2, 9])))
    return [part.ravel().tolist() for part in parts], size.tolist()


@pytest.mark.slow
def test_runs_are_decoded_and_encoded_as_coco_does(tmp_path):
    rng = np.random.default_rng(20)
    bitmaps = [random_bitmap(rng) for _ in range(MASKS)]
    runs = [with_empty_runs(bitmap_runs(bitmap), rng) for bitmap in bitmaps]
    sizes = [list(bitmap.shape) for bitmap in bitmaps]
    answer = coco_oracle.answers(
        tmp_path,
        strings=[{"size": size, "counts": runs_string(own)} for size, own in zip(sizes, runs, strict=True)],
        lists=[{"size": size, "counts": own.tolist()} for size, own in zip(sizes, runs, strict=True)],
    )
    pixels = np.concatenate([bitmap.ravel() for bitmap in bitmaps])
    np.testing.assert_array_equal(answer["strings"], pixels)
    np.testing.assert_array_equal(answer["lists"], pixels)
    for bitmap, own, text in zip(bitmaps, runs, answer["encoded"].item().split("\n"), strict=True):
        assert text == runs_string(bitmap_runs(bitmap))
        np.testing.assert_array_equal(runs_bitmap(string_runs(text), bitmap.shape), bitmap)
        for decoded in (string_runs(text), listed_runs(own.tolist()), string_runs(runs_string(own))):
            assert_piece_is(decoded, bitmap)


def assert_piece_is(runs, bitmap):
    """The crop of these runs has the pixels of the bitmap."""
    if not bitmap.any():
        return
    y, x, pixels = runs_crop(runs, bitmap.shape)
    image = np.zeros(bitmap.shape, bool)
    image[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    np.testing.assert_array_equal(image, bitmap)


def test_polygons_have_the_pixels_that_coco_gives_them(tmp_path):
    rng = np.random.default_rng(21)
    drawn = [random_polygons(rng) for _ in range(POLYGONS)]
    answer = coco_oracle.answers(tmp_path, polygons=[{"parts": parts, "size": size} for parts, size in drawn])
    ours = [runs_bitmap(polygon_runs(parts, tuple(size)), size) for parts, size in drawn]
    areas = np.array([bitmap.sum() for bitmap in ours])
    assert (areas > 0).sum() > POLYGONS // 2, "most polygons must reach into their image"
    np.testing.assert_array_equal(np.concatenate([bitmap.ravel() for bitmap in ours]), answer["polygons"])
