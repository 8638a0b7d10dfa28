"""Stores that follow folders of small label images, and kills at any write."""

import numpy as np
from PIL import Image

import segprep
from segprep.paths import files
from segprep.runs.repair import repair
from segprep.runs.verify import verify
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
SIDES = ((24, 24), (24, 40), (40, 24))


def draw(file, seed, shape=(24, 24)):
    """Write a label image of up to five squares, by a seed."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for number in range(1, int(rng.integers(1, 6)) + 1):
        y, x = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 6)
        labels[y : y + 6, x : x + 6] = number
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, labels)
    else:
        Image.fromarray(labels).save(file)


def made(folder, count=8):
    """Folder of label images, of three sizes."""
    for number in range(count):
        draw(folder / f"{number:02}.png", number, SIDES[number % 3])
    return folder


def preprocess(data, root, **settings):
    """Write or update a store in this process."""
    return segprep.preprocess(data, root, workers=ONE, instances_from="as-is", **settings)


def update(data, root, **settings):
    """Update a store in this process."""
    return preprocess(data, root, update=True, **settings)


def assert_same(root, other):
    """Two stores hold the same masks: pixels of all targets, instances, splits and folds."""
    one, two = (segprep.open(path, dtype="stored") for path in (root, other))
    assert one.keys == two.keys
    assert one.splits == two.splits
    assert np.array_equal(one.class_pixels, two.class_pixels)
    for key in one.keys:
        arrays, others = one[key], two[key]
        assert arrays.keys() == others.keys()
        for name in arrays.keys() - {"key"}:
            assert arrays[name].dtype == others[name].dtype
            assert np.array_equal(arrays[name], others[name]), (key, name)
        assert np.array_equal(one.instances(key).masks, two.instances(key).masks)


def assert_sound(root, data):
    """A store has no damage, and each of its masks is that of the data."""
    assert verify(root, deep=True, workers=ONE).findings == ()
    assert verify(root, against=data, sample=10**6, workers=ONE).findings == ()


def assert_repaired(root, data, lost, files_of):
    """Files that are lost are found missing, and written again with the same bytes."""
    expected = files_of(root)
    for name in lost:
        (root / name).unlink()
    assert verify(root, workers=ONE).findings
    assert repair(root, data, workers=ONE).findings == ()
    assert files_of(root) == expected


def contents(root):
    """Bytes and times of all files of a store."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def rows_of(root):
    """Bucket and row of each mask, by its key."""
    dataset = segprep.open(root)
    tables = dataset._tables
    names = [dataset.info.buckets[number].name for number in tables["bucket"].tolist()]
    return dict(zip(dataset.keys, zip(names, tables["row"].tolist(), strict=True), strict=True))


class Crash(BaseException):
    """A kill at a write."""


def crash_at(number, patch, kind=files.DiskPath):
    """Let the process end at the write or removal of this number, counted from 0, before or after it is done."""
    left = [number]

    def counted(method):
        def call(self, *arguments):
            left[0] -= 1
            if left[0] == -1 and number % 2:
                raise Crash
            result = method(self, *arguments)
            if left[0] < 0:
                raise Crash
            return result

        return call

    for name in ("put", "remove_tree"):
        patch.setattr(kind, name, counted(getattr(kind, name)))
    return left
