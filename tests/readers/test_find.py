import json
import os
import tomllib
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError, OptionError
from segprep.readers import READERS, ReadOptions, find

COCO = {"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1}], "annotations": [], "categories": []}


LABELME = {"imagePath": "b.png", "imageHeight": 2, "imageWidth": 2, "shapes": []}


def write_coco(folder):
    """Write a COCO file."""
    (folder / "a.json").write_text(json.dumps(COCO | {"info": {"segmentation": "none"}}))


def write_label_image(folder):
    """Write a label image."""
    (folder / "labels").mkdir()
    Image.fromarray(np.ones((2, 2), np.uint8)).save(folder / "labels/a.png")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such file or folder$"):
        find(tmp_path / "nowhere")


UNRECOGNISED = {
    "nothing": ({}, ": no known layout: the folder is empty", None),
    "files": ({"a.txt": "", "b/c.docx": "", "b/d.docx": ""}, ": no known layout: 2 DOCX in b/, 1 TXT", None),
    "truncated": (
        {"x.json": '{"images": [], "annot'},
        ": 1 JSON",
        "x.json: not valid JSON: ends at byte 21; copy or export it again",
    ),
    "empty file": ({"x.json": ""}, ": 1 JSON", "x.json: the file is empty"),
    "number": ({"x.json": "5"}, ": 1 JSON", "x.json: JSON of no known layout: a number, not an object"),
    "results": (
        {"x.json": '[{"segmentation": []}]'},
        ": 1 JSON",
        "nearest is coco: {}/x.json: a list, as detectors write their results, is not ground truth; "
        "give the annotations",
    ),
    "no annotations": (
        {"x.json": '{"images": [], "categories": []}'},
        ": 1 JSON",
        "x.json: has images and categories as coco, but no annotations",
    ),
    "unknown": ({"x.json": '{"a": 1}'}, ": 1 JSON", "x.json: JSON of no known layout: an object with the keys a"),
    "archive": ({"a/b.zip": ""}, ": 1 ZIP in a/", "a/b.zip: an archive; unpack it and give the folder"),
    "volume": (
        {"labelsTr/a.nii.gz": "", "dataset.json": '{"labels": {}}'},
        ": 1 JSON, 1 NIfTI in labelsTr/",
        "labelsTr/a.nii.gz: a volume; volumes are not supported yet, export 2-D slices as PNG or TIFF",
    ),
    "voc boxes": (
        {"JPEGImages/a.jpg": "", "Annotations/a.xml": "<annotation/>"},
        ": 1 XML in Annotations/, 1 JPG in JPEGImages/",
        "nearest is voc: Annotations/*.xml has boxes alone; there is no SegmentationClass/ with masks",
    ),
}


@pytest.mark.parametrize(("files", "contents", "reason"), UNRECOGNISED.values(), ids=UNRECOGNISED)
def test_data_of_no_known_layout_are_described(tmp_path, files, contents, reason):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        find(tmp_path)
    first, *reasons, last = caught.value.args
    assert first.startswith(f"{tmp_path}: no known layout")
    assert first.endswith(contents)
    assert reasons == ([] if reason is None else [reason.format(tmp_path)])
    assert "segprep formats" in last


def test_a_single_file_of_no_known_layout_is_described(tmp_path):
    (tmp_path / "export.zip").touch()
    with pytest.raises(InputError, match=r"export\.zip: no known layout; export\.zip: an archive; unpack it"):
        find(tmp_path / "export.zip")


def test_kinds_of_files_beyond_three_are_counted(tmp_path):
    for number in range(100):
        (tmp_path / f"a.x{number}").touch()
    with pytest.raises(InputError, match=r"no known layout: 1 X0, 1 X1, 1 X10 and 97 more kinds; the command"):
        find(tmp_path)


def test_a_data_set_in_a_folder_of_the_given_one_is_pointed_out(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "c/b").mkdir(parents=True)
    Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / "a/photo.png")
    (tmp_path / "c/b/a.json").write_text(json.dumps(COCO | {"info": {"segmentation": "none"}}))
    with pytest.raises(InputError, match=r"no known layout.*; c/b/ in it is coco; give .*/c/b;"):
        find(tmp_path)


def test_a_folder_of_masks_beside_images_is_pointed_out(tmp_path):
    for name in ("Urban/images_png", "Urban/masks_png"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / "deep" / name / "1.png")
    with pytest.raises(InputError, match=r"in it is label-image; give .*deep/Urban"):
        find(tmp_path)


PARENTS = {
    "formats/ade20k2017_dataset": "dataset/ in it is ade20k; give",
    "formats/cityscapes_dataset": "dataset/ in it is cityscapes; give",
    "formats/coco_dataset": "coco/ in it is coco or panoptic; give",
    "formats/synthia_dataset": "rand_custom_labelmap/ in it is colour-png; give",
    "formats/voc_dataset": "voc_dataset1/ in it is voc; give",
    "formats/yolo_dataset": "labels/ in it is yolo; give",
    "panoptic": "sample_data/ in it is coco or panoptic; give",
}


@pytest.mark.parametrize(("path", "message"), PARENTS.items())
def test_of_folders_of_data_sets_one_is_pointed_out(data_dir, path, message):
    with pytest.raises(InputError, match=f"no known layout.*; {message}"):
        find(data_dir / path)


def test_a_folder_of_two_special_layouts_is_refused_with_the_remedy(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "b.json").write_text(json.dumps(LABELME))
    message = r"matches several formats \(coco, labelme\); choose one, as format='coco': a .json with .*, and .*\.json"
    with pytest.raises(InputError, match=message):
        find(tmp_path)


def test_a_special_layout_wins_over_a_general_one(tmp_path):
    write_label_image(tmp_path)
    assert find(tmp_path).format == "label-image"
    write_coco(tmp_path)
    assert find(tmp_path).format == "coco"


def test_two_general_layouts_are_refused(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "masks").mkdir(parents=True)
        Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / split / "masks/a.png")
    with pytest.raises(InputError, match=r"matches several formats \(instance-png, label-image\)"):
        find(tmp_path)


@pytest.mark.parametrize("name", ["coco", "label-image"])
def test_the_user_may_choose_the_layout(tmp_path, name):
    write_coco(tmp_path)
    write_label_image(tmp_path)
    assert find(tmp_path, format=name).format == name


@pytest.mark.parametrize("kind", [str, Path, PurePosixPath])
def test_a_path_may_be_of_any_type(tmp_path, kind):
    write_label_image(tmp_path)
    assert find(kind(tmp_path)).format == "label-image"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crowd": "drop"}, "crowd='drop': choose one of ignore, instance"),
        ({"max_pixels": 0}, "max_pixels=0: must be from 1"),
        ({"max_pixels": 2**31}, "max_pixels=2147483648: must be from 1"),
    ],
)
def test_an_option_without_such_a_value_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        ReadOptions(**options)


def test_a_format_without_a_reader_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"format='tarot': choose one of coco, panoptic, .*, label-image"):
        find(tmp_path, format="tarot")
    with pytest.raises(OptionError, match=r"format='cocoo': choose .*; did you mean 'coco'"):
        find(tmp_path, format="cocoo")


def test_a_name_that_cannot_be_written_is_refused(tmp_path):
    images = [COCO["images"][0] | {"file_name": "a\nb"}]
    (tmp_path / "a.json").write_text(json.dumps(COCO | {"images": images}))
    with pytest.raises(InputError, match=r"the name 'a\\nb' has characters that cannot be written"):
        find(tmp_path / "a.json")


def test_every_reader_describes_its_layout_in_one_line():
    for name, reader in READERS.items():
        assert reader.name == name
        assert reader.find.__doc__.startswith("Find ")
        assert reader.find.__doc__.partition("\n")[0].endswith(".")
        assert reader.layout


CLAIMS = {
    "taco": "coco",
    "formats/coco_dataset/coco_roboflow": "coco",
    "formats/coco_dataset/coco_panoptic": "panoptic",
    "panoptic/sample_data/panoptic_examples.json": "panoptic",
    "cityscapes_style/data/testdata/gtFine": "panoptic",
    "dsb2018/stage1_train": "instance-png",
    "stardist/tests/data/mask2d.tif": "label-image",
    "formats/cityscapes_dataset/dataset": "cityscapes",
    "formats/cityscapes_dataset/dataset/gtFine/train/defaultcity": "cityscapes",
    "formats/kitti_dataset/kitti_segmentation": "kitti",
    "formats/mots_dataset": "mots",
    "formats/mapillary_vistas_dataset": "mapillary",
    "formats/voc_dataset/voc_dataset1": "voc",
    "formats/ade20k2017_dataset/dataset": "ade20k",
    "formats/ade20k2020_dataset/dataset": "ade20k",
    "formats/camvid_dataset": "colour-png",
    "formats/synthia_dataset/rand_custom_labelmap": "colour-png",
    "formats/common_semantic_segmentation_dataset/dataset": "colour-png",
    "formats/segment_anything_dataset": "segment-anything",
    "formats/yolo_dataset/labels": "yolo",
}


@pytest.mark.parametrize(("path", "name"), CLAIMS.items())
def test_layouts_of_others_are_found_by_the_one_reader_that_knows_them(data_dir, path, name):
    assert find(data_dir / path).format == name


REPOSITORY = Path(__file__).parents[2]


def test_every_reader_of_the_package_is_registered():
    registered = {reader.find.__module__.rpartition(".")[2] for reader in READERS.values()}
    missing = {path.stem for path in (REPOSITORY / "segprep/readers").glob("[!_]*.py")} - registered - {"coco_results"}
    assert not missing, f"add {missing} to READERS in segprep/readers/_find.py"


def test_every_reader_is_described_for_users():
    text = (REPOSITORY / "docs/formats.md").read_text(encoding="utf-8")
    missing = [name for name in READERS if f"| `{name}` |" not in text]
    assert not missing, f"add a row for {missing[0]} to the table of docs/formats.md, beginning with | `{missing[0]}` |"


def test_every_reader_is_independent_of_the_others():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (modules,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    missing = [module for reader in READERS.values() if (module := reader.find.__module__) not in modules]
    assert not missing, f"add {missing[0]} to the contract 'Readers do not know each other' in pyproject.toml"


def test_images_that_no_reader_knows_are_refused_as_label_images(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo\.png: not a label image"):
        find(tmp_path)


def test_folders_that_lie_very_deep_in_each_other_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("cell")
    monkeypatch.chdir(tmp_path / "labels")
    for _ in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    with pytest.raises(InputError, match="its folders are nested too deeply"):
        find(tmp_path, format="yolo")
    for _ in range(1200):  # what removes the others' folders would find them too deep as well
        os.chdir("..")
        Path("d").rmdir()
