"""A store whose images tell where each of their pixels lies."""

import json

import numpy as np
import pytest
from helpers.coco import square
from PIL import Image

import segprep

SIZES = [(60, 90), (64, 64), (130, 70), (40, 50), (61, 91), (130, 70), (200, 180), (33, 129)]
"""Height and width of the masks: some are smaller than a crop of 64 pixels."""


def position_image(size, number):
    """RGB image of the y, x and number of each pixel."""
    y, x = np.indices(size, np.uint8)
    return np.stack([y, x, np.full_like(y, number)], axis=-1)


@pytest.fixture(scope="session")
def imaged(tmp_path_factory):
    """COCO data set of masks of several sizes with their images, in ``images``.

    Each has three instances of the class cell and an ignored region; every third also has a small one of the class mitosis.
    """
    folder = tmp_path_factory.mktemp("imaged") / "data"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        name = f"{number}.png"
        Image.fromarray(position_image((height, width), number)).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        boxes = [(1, 3, 4, 12), (1, 18, 6, 9), (1, 20, 30, 10)] + [(2, height - 4, width - 5, 3)] * (number % 3 == 0)
        annotations += [square(number, *box) for box in boxes]
        annotations.append(square(number, 1, 5, 20, 8) | {"iscrowd": 1})
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "mitosis"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def imaged_store(imaged):
    """Store of `imaged` beside it, with every target."""
    root = imaged.parent / "out.zarr"
    segprep.preprocess(imaged, root, targets="weights,distance,border,boundaries", workers=1)
    return root
