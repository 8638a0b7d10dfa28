"""Made data of the benchmarks, of seeded random numbers; and copies of a real data set under new names."""

import json
import shutil

import cv2
import numpy as np
from PIL import Image

COCO_SHAPE = (480, 640)
"""Height and width of the COCO-like images, and the commonest of COCO's."""
POLYGONS = 7
"""Mean number of polygons of a COCO-like image; COCO's is 7.3."""
CATEGORIES = 80


def discs(height, width, count, seed=0):
    """Planes of `count` discs on a jittered grid, as wide as its cells; they cover about 45 % and some touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.int32)
    if count == 0:
        return labels[np.newaxis]
    columns = round(np.sqrt(count * width / height))
    rows = -(-count // columns)
    cell = np.array([height / rows, width / columns])
    grid = np.indices(labels.shape)
    for number, place in enumerate(rng.permutation(rows * columns)[:count], start=1):
        centre = (np.array(divmod(place, columns)) + rng.uniform(0.3, 0.7, 2)) * cell
        radii = cell * rng.uniform(0.28, 0.47)
        (top, left), (bottom, right) = np.maximum(centre - radii, 0).astype(int), (centre + radii + 1).astype(int)
        y, x = grid[:, top:bottom, left:right]
        window = labels[top:bottom, left:right]
        own = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1]) <= 1
        window[own & (window == 0)] = number
    return labels[np.newaxis]


def _instance(side):
    return ((discs(side, side, 30)[0] == 7) * 255).astype(np.uint8)


def _labels(dtype):
    return discs(512, 512, 100)[0].astype(dtype)


def _palette(bits):
    image = Image.fromarray((_labels(np.int32) % 2**bits).astype(np.uint8)).convert("P")
    image.putpalette(list(range(3 * 2**bits)) if bits < 8 else list(range(256)) * 3)
    return image


def _colours(channels):
    table = np.random.default_rng(0).integers(0, 256, (101, channels), np.uint8)
    return table[_labels(np.uint8)]


def _noise():
    rng = np.random.default_rng(0)
    return (_labels(np.int32) + rng.integers(0, 8, (512, 512))).astype(np.uint8)


PNGS = {
    "one instance, 256x256": lambda: Image.fromarray(_instance(256)),
    "one instance, 256x256, by OpenCV": lambda: _instance(256),
    "1 bit": lambda: Image.fromarray(_labels(np.bool_)),
    "8 bits": lambda: Image.fromarray(_labels(np.uint8)),
    "8 bits, by OpenCV": lambda: _labels(np.uint8),
    "16 bits": lambda: Image.fromarray(_labels(np.uint16)),
    "16 bits, by OpenCV": lambda: _labels(np.uint16),
    **{f"palette, {bits} bits": lambda bits=bits: _palette(bits) for bits in (1, 2, 4, 8)},
    "RGB": lambda: Image.fromarray(_colours(3)),
    "RGB, by OpenCV": lambda: _colours(3),
    "RGBA": lambda: Image.fromarray(_colours(4)),
    "8 bits of noise": lambda: Image.fromarray(_noise()),
}
"""Images of 256 x 256 or 512 x 512 pixels, saved by Pillow if not by OpenCV, which choose different filters."""


def write_png(kind, file):
    """Write an image of `PNGS`."""
    image = PNGS[kind]()
    if isinstance(image, np.ndarray):
        cv2.imwrite(str(file), image)
    elif kind.startswith("palette"):
        image.save(file, bits=int(kind.split()[1]))
    else:
        image.save(file)


def write_labels(folder, side, instances, images):
    """Write square label images of discs, as PNG of 16 bits."""
    folder.mkdir()
    for number in range(images):
        labels = discs(side, side, instances, seed=number)[0]
        Image.fromarray(labels.astype(np.uint16)).save(folder / f"{number}.png")


def _polygon(rng):
    """Outline of one object: a wobbly ellipse of 10 to 40 points, mostly small, as in COCO."""
    height, width = COCO_SHAPE
    angles = np.linspace(0, 2 * np.pi, rng.integers(10, 41), endpoint=False)
    radius = np.exp(rng.normal(3.4, 0.9)) * (1 + 0.2 * np.sin(3 * angles + rng.uniform(0, 6)))
    aspect = np.exp(rng.normal(0, 0.3))
    x = rng.uniform(0, width) + radius * aspect * np.cos(angles)
    y = rng.uniform(0, height) + radius / aspect * np.sin(angles)
    return np.stack([x.clip(0, width), y.clip(0, height)], axis=1).round(2)


def _annotation(rng):
    """Text of an annotation, without its ids."""
    corners = _polygon(rng)
    (left, top), (wide, tall) = corners.min(axis=0).tolist(), np.ptp(corners, axis=0).round(2).tolist()
    values = {
        "segmentation": [corners.ravel().tolist()],
        "area": round(wide * tall * 0.8, 2),
        "iscrowd": 0,
        "bbox": [left, top, wide, tall],
        "category_id": int(rng.integers(1, CATEGORIES + 1)),
    }
    return json.dumps(values)[1:-1]


def write_coco(file, images, distinct=5000):
    """Write a COCO file of about `POLYGONS` polygons an image; after `distinct` images, their polygons repeat."""
    rng = np.random.default_rng(0)
    made = [[_annotation(rng) for _ in range(rng.poisson(POLYGONS))] for _ in range(min(images, distinct))]
    height, width = COCO_SHAPE
    entries = [{"id": n, "file_name": f"{n:012}.jpg", "height": height, "width": width} for n in range(images)]
    categories = [{"id": n, "name": f"class {n}"} for n in range(1, CATEGORIES + 1)]
    with file.open("w", encoding="utf-8") as text:
        text.write(f'{{"images": {json.dumps(entries)}, "categories": {json.dumps(categories)}, "annotations": [')
        before, number = "", 0
        for image in range(images):
            for annotation in made[image % len(made)]:
                number += 1
                text.write(f'{before}{{"id": {number}, "image_id": {image}, {annotation}}}')
                before = ",\n"
        text.write("]}")
    return file


def copies(folder, target, count):
    """Copy each folder of a data set `count` times under new names."""
    for number in range(count):
        for image in folder.iterdir():
            shutil.copytree(image / "masks", target / f"{number}_{image.name}" / "masks")
    return target
