"""Make the example data: 24 coins of a photograph, as a label image and as COCO JSON.

Usage: python make_coins.py [FOLDER]

FOLDER (default: the folder of this script) gets coins/images/coins.png, coins/labels/coins.png and
coins_coco/annotations.json. The photograph comes with scikit-image; nothing is downloaded.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.data import coins
from skimage.filters import sobel
from skimage.measure import label, regionprops
from skimage.morphology import disk
from skimage.segmentation import watershed

ROWS, COLUMNS = 4, 6  # layout of the coins in the photograph
DARK, BRIGHT = 30, 150  # grey values found only outside and only on coins (from scikit-image's coins tutorial)
CONTRAST = 40  # grey values by which a shaded rim still exceeds the background near it
MARGIN, SMOOTH, CLOSE, OPEN = 4, 10, 3, 4  # pixels; chosen by inspecting the outlines


def segment(photo: np.ndarray) -> np.ndarray:
    """(H, W) uint8 labels of the coins, ``1..24`` row by row and from left to right."""
    markers = (photo < DARK) + 2 * (photo > BRIGHT)
    inside = watershed(sobel(photo), markers) > 1
    inside |= photo - background(photo, inside) > CONTRAST  # rims that a shadow separates from their coin
    inside = ndimage.binary_closing(inside, disk(CLOSE))
    inside = ndimage.binary_opening(ndimage.binary_fill_holes(inside), disk(OPEN))
    return in_reading_order(label(inside))


def background(photo: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean grey value of the pixels nearby that are not `inside`, weighted by a Gaussian of their distance."""
    outside = (~ndimage.binary_dilation(inside, disk(MARGIN))).astype(float)
    return ndimage.gaussian_filter(photo * outside, SMOOTH) / ndimage.gaussian_filter(outside, SMOOTH)


def in_reading_order(labels: np.ndarray) -> np.ndarray:
    """Renumber `labels`, whose instances form `ROWS` rows of `COLUMNS`."""
    regions = sorted(regionprops(labels), key=lambda region: region.centroid[0])
    if len(regions) != ROWS * COLUMNS:
        raise SystemExit(f"found {len(regions)} coins; the photograph shows {ROWS * COLUMNS}")
    ordered = np.zeros(labels.shape, np.uint8)
    for row in range(ROWS):
        in_row = regions[row * COLUMNS : (row + 1) * COLUMNS]
        in_row.sort(key=lambda region: region.centroid[1])
        for number, region in enumerate(in_row, start=row * COLUMNS + 1):
            ordered[labels == region.label] = number
    return ordered


def run_lengths(inside: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE: lengths of the runs of 0, 1, 0, ..., down the columns and from left to right."""
    pixels = np.concatenate([[False], inside.ravel(order="F")])  # the first run is of 0 and may be empty
    starts = np.flatnonzero(pixels[1:] != pixels[:-1])
    return np.diff(np.concatenate([[0], starts, [inside.size]])).tolist()


def annotation(inside: np.ndarray, number: int) -> dict:
    """COCO annotation of one coin."""
    ys, xs = np.nonzero(inside)
    y, x = int(ys.min()), int(xs.min())
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1],
        "area": int(inside.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(inside.shape), "counts": run_lengths(inside)},
    }


def main(folder: Path) -> None:
    photo = coins()
    labels = segment(photo)
    height, width = labels.shape
    instances = {
        "images": [{"id": 1, "file_name": "coins.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "coin"}],
        "annotations": [annotation(labels == number, number) for number in range(1, ROWS * COLUMNS + 1)],
    }
    for name in ("coins/images", "coins/labels", "coins_coco"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(folder / "coins/images/coins.png")
    Image.fromarray(labels).save(folder / "coins/labels/coins.png")
    (folder / "coins_coco/annotations.json").write_text(json.dumps(instances) + "\n", encoding="utf-8", newline="\n")
    print(f"{folder}: {labels.max()} coins")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
