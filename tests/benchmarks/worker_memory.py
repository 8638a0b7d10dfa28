"""Peak memory of a worker that scans and writes one full shard, by the side of the canvas.

``python tests/benchmarks/worker_memory.py [SIDE ...]`` prints the table of docs/clusters.md, in MB (10^6 bytes). Each figure
is the peak of a separate process, which has imported all that a Dask worker imports.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SIDES = (256, 512, 1024, 2048, 4096)
TARGETS = {"none": (), "default": ("weights",), "all": ("weights", "border", "boundaries", "distance")}
INSTANCES = 10
"""Along each side of a mask: a hundred squares."""
KIB = 1024 if sys.platform == "linux" else 1  # of ru_maxrss


def write_data(folder, side, masks):
    """COCO file of square masks."""
    step = side // INSTANCES
    corners = [(y * step + 1, x * step + 1) for y in range(INSTANCES) for x in range(INSTANCES)]
    end = step - 4
    squares = [[[x, y, x + end, y, x + end, y + end, x, y + end]] for y, x in corners]
    annotations = [
        {"image_id": image, "category_id": 1, "segmentation": each} for image in range(masks) for each in squares
    ]
    images = [{"id": image, "file_name": f"{image}.png", "height": side, "width": side} for image in range(masks)]
    file = folder / "squares.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]})
    )
    return file


def rows_of(side):
    """Rows of a full shard."""
    from segprep.store.layout import SHARD_PIXELS, Bucket  # noqa: PLC0415 - not before the child measures itself

    return Bucket((side, side), (0,) * SHARD_PIXELS).shard_shape[0]


def measure(side, kind):
    """Peak of this process, in bytes, once it has written a shard."""
    import distributed.worker  # noqa: F401, PLC0415 - what a Dask worker imports

    import segprep  # noqa: PLC0415
    from segprep.targets import TARGETS as KINDS  # noqa: PLC0415

    if kind != "none":
        with tempfile.TemporaryDirectory() as folder:
            data = write_data(Path(folder), side, rows_of(side))
            targets = [each() for each in KINDS if each.name in TARGETS[kind]]
            segprep.preprocess(data, Path(folder) / "out.zarr", targets=targets, workers=segprep.Workers(processes=1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def measured(side, kind):
    """Peak of a separate process, in MB."""
    command = [sys.executable, __file__, "--child", str(side), kind]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return round(int(ended.stdout) / 1e6)


def main(sides):
    """Print the table; see the module."""
    print("| canvas | masks in a shard | weights | all targets |")
    print("|---|---|---|---|")
    for side in sides:
        print(f"| {side}x{side} | {rows_of(side)} | {measured(side, 'default')} | {measured(side, 'all')} |")
    print(f"\nAn idle worker: {measured(0, 'none')} MB.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(measure(int(sys.argv[2]), sys.argv[3]))
    else:
        main([int(side) for side in sys.argv[1:]] or SIDES)
