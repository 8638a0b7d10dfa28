"""Hostile input under a memory limit: it is refused, or left out, before memory is allocated for it."""

import json
import os
import struct
import subprocess
import sys
import zlib

import pytest
from helpers.commands import COMMAND

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process by address space"),
]

LIMIT = 2 * 2**30
"""Bytes of address space; a run on a small image takes about 1 GiB, most of it libraries that are mapped."""
SECONDS = 120
"""Timeout of a command; far more than it needs."""
DEPTH = 200_000
SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]


def weights(data, store):
    """The command as it is installed, with one thread and little memory."""
    import resource  # noqa: PLC0415 - not on Windows

    return subprocess.run(
        [COMMAND, "weights", data, store, "--workers", "1"],
        env=os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def coco(folder, *, segmentation="[]", images=None, size=20):
    """COCO file of one image with two instances, of which the second is a good square."""
    images = images or json.dumps([{"id": 1, "file_name": "a.jpg", "height": size, "width": size}])
    annotations = ",".join(
        f'{{"id": {number}, "image_id": 1, "category_id": 1, "segmentation": {text}}}'
        for number, text in enumerate((segmentation, json.dumps([SQUARE])), start=1)
    )
    file = folder / "coco.json"
    categories = '[{"id": 1, "name": "cell"}]'
    file.write_text(f'{{"images": {images}, "annotations": [{annotations}], "categories": {categories}}}')
    return file


def white_png(file, side):
    """Write a PNG of one channel with that many rows and columns, all of them white, row by row."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * side
    with file.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)))
        for _ in range(side):
            if packed := packer.compress(row):
                out.write(chunk(b"IDAT", packed))
        out.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def assert_refused(ended, *words):
    """The command ends with one line that contains these words; of a mask, after its progress and before the remedy."""
    assert ended.returncode == 3, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("segprep: read ")]
    message, *remedy = lines
    assert all(line.startswith("segprep: 1 of 1 masks cannot be read, nothing was written; ") for line in remedy), lines
    assert all(word in message for word in words), message


def test_a_png_of_900_megapixels_is_refused(tmp_path):
    file = tmp_path / "large.png"
    white_png(file, 30_000)
    assert_refused(weights(file, tmp_path / "out.zarr"), "large.png", "30000 x 30000 pixels", "--max-pixels")


def test_runs_of_a_million_pixels_squared_are_refused(tmp_path):
    runs = json.dumps({"size": [10**6, 10**6], "counts": [0, 10**12]})
    data = coco(tmp_path, segmentation=runs, size=10**6)
    assert_refused(weights(data, tmp_path / "out.zarr"), "coco.json", "1000000 x 1000000 pixels", "--max-pixels")


@pytest.mark.parametrize("where", ["images", "segmentation"])
def test_a_coco_file_of_many_nested_brackets_is_refused(tmp_path, where):
    data = coco(tmp_path, **{where: "[" * DEPTH + "]" * DEPTH})
    assert_refused(weights(data, tmp_path / "out.zarr"), "coco.json", "not a valid COCO file")


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ("[[0, 0, 1e9, 0, 1e9, 1e9, 0, 1e9]]", ["not finite or far off", "1000000000"]),
        ("[" * 500 + "]" * 500, ["neither polygons nor runs"]),
        ('{"size": [1000000, 1000000], "counts": [0, 1000000000000]}', ["size differs from the image's"]),
    ],
    ids=["polygon at 1e9", "some nested brackets", "runs of another size"],
)
def test_a_monstrous_annotation_is_left_out_with_a_warning(tmp_path, segmentation, words):
    ended = weights(coco(tmp_path, segmentation=segmentation), tmp_path / "out.zarr")
    assert ended.returncode == 0, ended.stderr
    for word in ["annotation 1", *words]:
        assert word in ended.stderr
    assert (tmp_path / "out.zarr").is_dir()
