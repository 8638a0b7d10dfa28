"""Weights and distances as a usual script computes them, with OpenCV and SciPy: ``usual_script.py DATA FOLDER [IMAGES]``.

Two processes take one image after another: decode it, run one distance transform per instance for the border weights and two
for the distance of the foreground, and save the arrays in a compressed ``.npz``. The class weights are those of each image,
which saves the pass over all images that weights of the train split need.
"""

import json
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

W0, SIGMA = 10, 5


def images_in(data):
    """Name of each image, and what `decoded` needs of it."""
    if data.suffix == ".json":
        document = json.loads(data.read_text(encoding="utf-8"))
        annotations = defaultdict(list)
        for each in document["annotations"]:
            annotations[each["image_id"]].append((each["category_id"], each["segmentation"]))
        return [
            (f"{each['id']}", (each["height"], each["width"], annotations[each["id"]])) for each in document["images"]
        ]
    if (data / "labels").is_dir():
        return [(file.stem, file) for file in sorted((data / "labels").iterdir())]
    return [(folder.name, sorted((folder / "masks").iterdir())) for folder in sorted(data.iterdir())]


def decoded(source):
    """Labels and class codes of an image: polygons of COCO, a label image, or files of one instance each."""
    if isinstance(source, tuple):
        height, width, annotations = source
        labels, classes = np.zeros((height, width), np.int32), np.zeros((height, width), np.uint8)
        for number, (category, polygons) in enumerate(annotations, start=1):
            corners = [np.reshape(polygon, (-1, 2)).round().astype(np.int32) for polygon in polygons]
            cv2.fillPoly(labels, corners, number)
            cv2.fillPoly(classes, corners, category)
        return labels, classes
    if isinstance(source, Path):
        labels = cv2.imread(str(source), cv2.IMREAD_UNCHANGED).astype(np.int32)
    else:
        masks = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in source]
        labels = np.zeros(masks[0].shape, np.int32)
        for number, mask in enumerate(masks, start=1):
            labels[mask > 0] = number
    return labels, (labels > 0).astype(np.uint8)


def border_weights(labels):
    """Border term of U-Net's eq. 2."""
    numbers = np.unique(labels[labels > 0])
    if len(numbers) < 2:
        return np.zeros(labels.shape)
    distances = np.stack([distance_transform_edt(labels != number) for number in numbers])
    distances.sort(axis=0)
    return W0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * SIGMA**2)) * (labels == 0)


def signed_distance(foreground):
    """Signed distance to the foreground, negative inside."""
    if foreground.all() or not foreground.any():
        return np.zeros(foreground.shape)
    return distance_transform_edt(~foreground) - (distance_transform_edt(foreground) - 1) * foreground


def save(folder, image):
    """Compute the arrays of an image, and save them."""
    name, source = image
    labels, classes = decoded(source)
    pixels = np.bincount(classes.ravel())
    class_weights = pixels.sum() / (np.count_nonzero(pixels) * np.maximum(pixels, 1))
    weights = class_weights[classes] + border_weights(labels)
    arrays = {"weights": weights.astype(np.float16), "distance": signed_distance(labels > 0).astype(np.float16)}
    np.savez_compressed(folder / f"{name}.npz", labels=labels.astype(np.uint16), classes=classes, **arrays)


def main(data, folder, images=None):
    """Save the arrays of all images, or of the first ones."""
    folder.mkdir()
    with ProcessPoolExecutor(2) as pool:
        for _ in pool.map(partial(save, folder), images_in(data)[:images]):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
