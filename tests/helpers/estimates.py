"""Made masks, and what a store has of what an estimate says."""

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import SegprepError
from segprep.store.metadata import bytes_on_disk

ONE = segprep.Workers(processes=1)


def entries(folder):
    """Size and time of every file and folder."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}


def label_images(folder, sizes):
    """Label images of random squares."""
    folder.mkdir(parents=True)
    for number, (height, width) in enumerate(sizes):
        rng, labels = np.random.default_rng(number), np.zeros((height, width), np.uint8)
        for instance in range(1, 9):
            y, x = rng.integers(0, height - 8), rng.integers(0, width - 8)
            labels[y : y + 8, x : x + rng.integers(3, 9)] = instance
        Image.fromarray(labels).save(folder / f"{number:03}.png")
    return folder


def objects(root):
    return [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]


def array_bytes(root, target):
    return sum(path.stat().st_size for path in root.glob(f"*/{target}/c/**/*") if path.is_file())


def assert_exact(found, root):
    """An estimate has the bytes and objects of the store that was then made."""
    assert found.bytes == bytes_on_disk(root)
    assert found.objects == len(objects(root))
    assert {target.name: target.bytes for target in found.targets} == {
        target.name: array_bytes(root, target.name) for target in segprep.open(root).info.targets
    }
    info = segprep.open(root).info
    assert (found.masks, found.canvases) == (info.masks, {bucket.name: bucket.rows for bucket in info.buckets})


def refused(function, *arguments, **options):
    """Error of a call."""
    with pytest.raises(SegprepError) as caught:
        function(*arguments, workers=ONE, **options)
    return type(caught.value), [str(line) for line in caught.value.args]
