"""The image of each mask, by names alone."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from segprep.masks.classes import class_table
from segprep.readers import MaskSet, find, image_names

IMAGES_IN = {
    "formats/camvid_dataset": {"test/0001TP_008550.png": "test/0001TP_008550.png"},
    "formats/ade20k2017_dataset/dataset": {
        "training/street/1": "training/street/1.jpg",
        "validation/2": "validation/2.jpg",
    },
    "formats/ade20k2020_dataset/dataset": {"training/street/1": "training/street/1.jpg"},
    "formats/cityscapes_dataset/dataset": {
        "gtFine/test/defaultcity/defaultcity_000001_000031_gtFine_instanceIds.png": (
            "leftImg8bit/test/defaultcity/defaultcity_000001_000031_leftImg8bit.png"
        )
    },
    "formats/coco_dataset/coco_panoptic": {"train/a.png": "images/train/a.jpg", "val/b.png": "images/val/b.jpg"},
    "formats/coco_dataset/coco_roboflow": {"train/a.jpg": "train/a.jpg", "val/b.jpg": "val/b.jpg"},
    "formats/common_semantic_segmentation_dataset/non_standard_dataset": {"masks/gt_0001.png": "images/image_0001.png"},
    "formats/kaggle_dataset/image_mask": {"masks/001.png": "images/001.png"},
    "formats/kaggle_dataset/relaxed_coco": {"train_001.jpg": "train_001.jpg"},
    "formats/kitti_dataset": {
        "kitti_segmentation/training/instance/000030_10.png": "kitti_segmentation/training/image_2/000030_10.png"
    },
    "formats/labelme_dataset": {"Annotations/subset1/img1": "Images/subset1/img1.png"},
    "formats/mapillary_vistas_dataset": {"train/v2.0/instances/2.png": "train/images/2.jpg"},
    "formats/mots_dataset": {"train/instances/1.png": "train/images/1.jpg"},
    "formats/segment_anything_dataset": {"a": "a.jpg", "b": "b.jpg"},
    "formats/synthia_dataset/rand_meta_file": {"GT/000000.png": "RGB/000000.png"},
    "formats/voc_dataset/voc_dataset1": {"train/2007_000001": "JPEGImages/2007_000001.jpg"},
    "formats/yolo_dataset/labels": {"labels/train/1.txt": "images/train/1.jpg", "labels/val/1.txt": "images/val/1.jpg"},
    "taco/annotations_small.json": {"batch_14/000048.jpg": "batch_14/000048.jpg"},
}
"""Image of some masks of real data sets, of which all are found."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", IMAGES_IN)
def test_images_of_real_data_sets_are_all_found(data_dir, path):
    data = data_dir / path
    masks = find(data)
    found = image_names(masks, data)
    assert (found.missing, found.ambiguous) == ((), ())
    assert all((data / name).is_file() for name in found.names if data.is_dir())
    assert IMAGES_IN[path].items() <= dict(zip([ref.key for ref in masks.refs], found.names, strict=True)).items()


def test_masks_of_panoptic_coco_are_no_images(data_dir):
    data = data_dir / "panoptic/sample_data"
    found = image_names(find(data / "panoptic_examples.json", format="panoptic"), data)
    assert found.names == ("input_images/000000142238.jpg", "input_images/000000439180.jpg")


@dataclass(frozen=True)
class Ref:
    """Ref of a file of annotations."""

    key: str
    split: str | None = None

    def load(self):
        raise NotImplementedError


def paired(tmp_path, keys, images):
    """Image of each mask of these keys among files of these paths."""
    for name in images:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return image_names(MaskSet("own", class_table([(None, "a")]), tuple(map(Ref, keys))), tmp_path)


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("a.json", "a.jpg"),
        ("ann/a.png.json", "img/a.png"),
        ("a_seg.npy", "a.tif"),
        ("01_GT/SEG/man_seg007.tif", "01/t007.tif"),
        ("train/Instance_masks/images/P0_instance_id_RGB.png", "train/images/images/P0.png"),
        ("data_2d_semantics/train/drive/image_00/instance/07.png", "data_2d_raw/drive/image_00/data_rect/07.png"),
        ("labels/ins_seg/bitmasks/train/a.png", "images/10k/train/a.jpg"),
        ("annotations/Ä b.xml", "images/Ä b.JPG"),
    ],
)
def test_names_that_agree_are_paired(tmp_path, key, image):
    assert paired(tmp_path, [key], [image]).names == (image,)


def test_of_images_of_one_name_that_in_the_folders_of_the_mask_is_taken(tmp_path):
    keys = ["gt/train/a/1.json", "gt/train/b/1.json", "gt/val/a/1.json"]
    images = ["images/train/a/1.png", "images/train/b/1.png", "images/val/a/1.png"]
    assert paired(tmp_path, keys, images).names == tuple(images)


@pytest.mark.parametrize(
    ("keys", "images"),
    [
        (["a.json"], ["a.jpg", "a.png"]),
        (["x/a.json", "y/a.json"], ["images/a.png"]),
        (["a_1.json", "a-1.json"], ["a 1.png"]),
    ],
)
def test_images_that_fit_several_masks_or_one_of_several_are_ambiguous(tmp_path, keys, images):
    found = paired(tmp_path, keys, images)
    assert (found.names, found.missing, found.ambiguous) == (("",) * len(keys), (), tuple(keys))


@pytest.mark.parametrize(
    ("keys", "images"),
    [
        (["a.json"], ["ab.png", "a_b.png", ".a.png", "labels/a.png", "masks/a.png"]),
        (["a_2.json"], ["a.png"]),
        (["train/1.json", "val/2.json"], ["images/val/1.png", "images/train/2.png"]),
    ],
)
def test_what_only_looks_alike_is_no_image(tmp_path, keys, images):
    found = paired(tmp_path, keys, images)
    assert (found.names, found.missing, found.ambiguous) == (("",) * len(keys), tuple(keys), ())


def test_links_are_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.png").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "outside")
    (tmp_path / "data" / "b.png").symlink_to(tmp_path / "outside" / "a.png")
    assert paired(tmp_path / "data", ["a.json", "b.json"], []).names == ("", "")


def labelme(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    square = {"label": "a", "points": [[1, 1], [4, 1], [4, 4]], "shape_type": "polygon"}
    file.write_text(json.dumps({"shapes": [square], "imagePath": image, "imageHeight": 5, "imageWidth": 6}), "utf-8")


def test_the_name_in_a_labelme_file_counts_more_than_that_of_the_file(tmp_path):
    labelme(tmp_path / "json" / "a.json", r"..\images\other.png")
    labelme(tmp_path / "json" / "b.json", "../../secret.png")
    for name in ("images/other.png", "images/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / name)
    assert image_names(find(tmp_path / "json"), tmp_path).names == ("images/other.png", "")
