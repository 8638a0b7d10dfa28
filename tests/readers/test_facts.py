"""Counts of independent readers, one file of them per data set, are met by what is read."""

import json
from collections import Counter
from fnmatch import fnmatch

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, find
from segprep.readers._coco import annotation_crop
from segprep.readers._image import label_values, png_foreground
from segprep.readers._palette import png_colours


def facts_of(data_dir, name):
    return json.loads((data_dir / "facts" / name).read_text(encoding="utf-8"))


def touching_pairs(labels):
    """Pairs of instances that share the side of a pixel."""
    pairs = set()
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        touch = (first != second) & (first > 0) & (second > 0)
        pairs.update(map(tuple, np.sort(np.stack([first[touch], second[touch]], axis=1)).tolist()))
    return len(pairs)


def test_results_of_a_detector_are_refused_though_their_runs_decode(data_dir):
    facts = facts_of(data_dir, "cocoapi_fakesegm100.json")
    file = data_dir / "coco_results/instances_val2014_fakesegm100_results.json"
    with pytest.raises(InputError, match="a list, as detectors write their results, is not ground truth"):
        find(file)
    results = json.loads(file.read_text(encoding="utf-8"))
    forms = [result["segmentation"] for result in results]
    crops = [annotation_crop(json.dumps(form).encode(), tuple(form["size"])) for form in forms]
    assert (len(crops), len({result["image_id"] for result in results})) == (facts["entries"], facts["images"])
    assert sum(crop.pixels.sum() for crop in crops) == facts["total_area"]
    assert sorted({tuple(form["size"]) for form in forms}) == [tuple(size) for size in facts["sizes_hw"]]


def test_label_tiffs_have_the_counts_and_a_stack_is_refused(data_dir):
    facts = facts_of(data_dir, "stardist_labels.json")
    labels = 0
    for name, fact in facts["per_file"].items():
        (ref,) = find(data_dir / "stardist" / name).refs
        if fact["pages"] > 1:
            size = " x ".join(map(str, fact["shape"]))
            with pytest.raises(InputError, match=f"a stack of {size}; volumes are not supported yet"):
                ref.load()
            labels += fact["labels_without_0"]
            continue
        mask = ref.load()
        labels += len(mask.classes) - 1
        assert (list(mask.shape), len(mask.classes) - 1) == (fact["shape"], fact["labels_without_0"])
        assert np.count_nonzero(mask.labels) == fact["foreground_pixels"]
        assert (mask.areas[1:].min(), touching_pairs(mask.labels)) == (fact["smallest_area"], fact["touching_pairs"])
    assert (len(facts["per_file"]), labels) == (facts["files"], facts["labels_total"])


def test_images_with_alpha_are_label_images_if_they_are_grey(data_dir):
    facts = facts_of(data_dir, "deeplab2_eval_instances.json")
    for name, fact in facts["per_file"].items():
        file = data_dir / "cityscapes_style" / name
        shape, crop = png_foreground(file, max_pixels=2**20)
        height, width, channels = fact["shape"]
        opaque = height * width  # the counts are of numbers, those of the alpha channel included
        assert shape == (height, width)
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        if (pixels == pixels[..., :1]).all():
            assert np.count_nonzero(find(file).refs[0].load().labels) == crop.pixels.sum()
        else:
            with pytest.raises(InputError, match=f"{file.name}: not a label image but an image of several channels"):
                find(file)
        assert crop.pixels.sum() * (channels - 1) + opaque == fact["foreground_pixels"]


def test_cityscapes_panoptic_has_the_counts(data_dir):
    facts = facts_of(data_dir, "deeplab2_cityscapes_panoptic.json")
    masks = find(data_dir / "cityscapes_style/data/testdata/gtFine", options=ReadOptions(crowd="instance"))
    (fact,) = facts["per_image"].values()
    (mask,) = [ref.load() for ref in masks.refs]
    pixels = np.bincount(mask.class_map.ravel(), minlength=len(masks.classes))
    names = [entry.name for entry in masks.classes.entries]
    assert {names[code]: pixels[code] for code in range(1, len(names))} == {
        name: row["pixels"] for name, row in facts["per_class"].items()
    }
    assert sorted(mask.areas[1:]) == sorted(count for id_, count in fact["segment_pixels"].items() if id_ != "0")
    assert (len(mask.classes) - 1, np.count_nonzero(mask.ignore)) == (facts["segments"], facts["void_pixels"])


def test_coco_panoptic_has_the_counts(data_dir):
    facts = facts_of(data_dir, "panopticapi_sample.json")
    masks = find(data_dir / "panoptic/sample_data/panoptic_examples.json", options=ReadOptions(crowd="instance"))
    pixels, instances, void = Counter(), 0, 0
    for ref in masks.refs:
        mask = ref.load()
        pixels.update(dict(enumerate(np.bincount(mask.class_map.ravel()).tolist())))
        instances += len(mask.classes) - 1
        void += np.count_nonzero(mask.ignore)
    found = {str(entry.id): (entry.name, int(entry.is_thing), pixels[entry.code]) for entry in masks.classes.entries}
    expected = {id_: (fact["name"], fact["isthing"], fact["pixels"]) for id_, fact in facts["per_class"].items()}
    assert {id_: found[id_] for id_ in expected} == expected
    assert sum(pixels.values()) - pixels[0] == sum(fact["pixels"] for fact in facts["per_class"].values())
    assert (len(masks.refs), instances, void) == (facts["images"], facts["thing_segments"], facts["void_pixels"])


def test_dsb2018_has_the_counts(data_dir):
    facts = facts_of(data_dir, "dsb2018.json")
    sums, sizes, empty = Counter(), Counter(), []
    for ref in find(data_dir / "dsb2018/stage1_train").refs:
        mask, fact = ref.load(), facts["per_image"][ref.key]
        areas, union = mask.areas[1:], np.count_nonzero(mask.labels)
        assert (areas.min(), areas.max(), touching_pairs(mask.labels)) == (
            *(fact["min_area"], fact["max_area"]),
            fact["touching_pairs"],
        )
        counts = {
            "images": 1,
            "instances": len(areas),
            "sum_instance_pixels": areas.sum(),
            "union_pixels": union,
            "overlap_pixels": areas.sum() - union,
            "total_pixels": mask.labels.size,
            "touching_pairs": touching_pairs(mask.labels),
        }
        assert all(counts[name] == fact[name] for name in counts.keys() & fact.keys())
        sums.update(counts)
        sizes[f"{mask.shape[0]}x{mask.shape[1]}"] += 1
        empty += [problem.where for problem in mask.problems]
    assert sums == {name: facts[name] for name in sums}
    assert (sizes, empty) == (facts["image_sizes"], facts["empty_mask_files"])


def test_taco_has_the_counts(data_dir):
    facts = facts_of(data_dir, "taco_small.json")
    by_name = {fact["file_name"]: fact for fact in facts["per_image"].values()}
    masks = find(data_dir / "taco")
    per_class, total = Counter(), Counter()
    for ref in masks.refs:
        mask, fact = ref.load(), by_name[ref.key]
        union = np.count_nonzero(mask.labels)
        assert (mask.shape, len(mask.classes) - 1) == ((fact["h"], fact["w"]), fact["rasterised_instances"])
        assert (mask.areas.sum(), union) == (fact["sum_instance_pixels"], fact["union_pixels"])
        per_class.update(masks.classes.entries[code].name for code in mask.classes[1:])
        total.update(union_pixels=union, total_pixels=mask.labels.size, sum_instance_pixels=mask.areas.sum())
    assert total == {name: facts[name] for name in total}
    assert per_class == {fact["name"]: fact["annotations"] for fact in facts["per_class"].values()}
    assert (len(masks.refs), len(masks.classes) - 1) == (facts["images"], facts["categories"])


NUMBERS, COLOURS, BITMAP = "numbers", "colours", "bitmap"

READ = {
    "ade20k20*/*_seg.png": COLOURS,
    "ade20k2020_dataset/*/instance_00[01]_*.png": BITMAP,
    "camvid_dataset/*annot/*.png": COLOURS,
    "cityscapes_dataset/*_instanceIds.png": NUMBERS,
    "coco_dataset/*/panoptic_*/*.png": COLOURS,
    "common_semantic_segmentation_dataset/*/masks/*.png": COLOURS,
    "kaggle_dataset/*/masks/*.png": NUMBERS,
    "kitti_dataset/*/instance/*.png": NUMBERS,
    "mapillary_vistas_dataset/*/instances/*.png": NUMBERS,
    "mots_dataset/*/instances/*.png": NUMBERS,
    "synthia_dataset/rand_*/GT/*.png": COLOURS,
    "voc_dataset/voc_dataset1/Segmentation*/*.png": COLOURS,
}
"""How the files are read that are ground truth of a data set."""

NOT_READ = {
    "ade20k20*/*_parts_?.png": "parts of objects are no instances of their own",
    "ade20k2020_dataset/*/instance_00[23]_*.png": "parts of objects are no instances of their own",
    "camvid_dataset/t*t/*.png": "photographs",
    "camvid_dataset/train/*.png": "photographs",
    "camvid_dataset/val/*.png": "photographs",
    "*/leftImg8bit/*.png": "photographs",
    "*/images/*.png": "photographs",
    "*/image_2/*.png": "photographs",
    "synthia_dataset/*/RGB*/*.png": "photographs",
    "synthia_dataset/*/Depth*/*.png": "distances from the camera",
    "synthia_dataset/al/SemSeg/*.png": "colours without a palette",
    "synthia_dataset/rand/GT/*.png": "colours without a palette",
    "synthia_dataset/sf/GTLeft/*.png": "colours without a palette",
    "cityscapes_dataset/*_labelTrainIds.png": "the instanceIds beside them say more",
    "mapillary_vistas_dataset/*/labels/*.png": "the instances beside them say more",
    "mapillary_vistas_dataset/*/panoptic/*.png": "the instances beside them say the same",
    "labelme_dataset/*.png": "LabelMe's online tool wrote XML, which no reader knows",
}
"""Files that no reader takes for ground truth, and why."""

ROOTS = {
    "ade20k2017_dataset/dataset": "ade20k",
    "ade20k2017_dataset/dataset_with_meta_file": "ade20k",
    "ade20k2020_dataset/dataset": "ade20k",
    "ade20k2020_dataset/dataset_with_meta_file": "ade20k",
    "camvid_dataset": "colour-png",
    "cityscapes_dataset/dataset": "cityscapes",
    "cityscapes_dataset/train_dataset": "cityscapes",
    "coco_dataset/coco": "panoptic",
    "coco_dataset/coco_panoptic": "panoptic",
    "common_semantic_segmentation_dataset/dataset": "colour-png",
    "common_semantic_segmentation_dataset/non_standard_dataset": "colour-png",
    "kaggle_dataset/image_mask": "label-image",
    "kaggle_dataset/image_mask_with_labelmap": "label-image",
    "kitti_dataset": "kitti",
    "mapillary_vistas_dataset/config_v1.2.json": "mapillary",
    "mapillary_vistas_dataset/config_v2.0.json": "mapillary",
    "mots_dataset": "mots",
    "synthia_dataset/rand_custom_labelmap": "colour-png",
    "synthia_dataset/rand_meta_file": "colour-png",
    "voc_dataset/voc_dataset1": "voc",
}


def kinds_of(name):
    """What the tables say of a file: how it is read, or why it is not."""
    kinds = {kind for pattern, kind in READ.items() if fnmatch(name, pattern)}
    return kinds or {why for pattern, why in NOT_READ.items() if fnmatch(name, pattern)}


def numbers_in(file, kind):
    """Numbers of a picture as they are read, shape (H, W) or (H, W, 3)."""
    if kind == NUMBERS:
        return label_values(file, max_pixels=2**20)
    if kind == COLOURS:
        colours = png_colours(file, max_pixels=2**20)
        return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    (height, width), (y, x, pixels) = png_foreground(file, max_pixels=2**20)
    bitmap = np.zeros((height, width), int)
    bitmap[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return bitmap


def test_every_file_of_the_samples_is_read_or_has_a_reason_not_to_be(data_dir):
    names = facts_of(data_dir, "datumaro_assets_labels.json")["per_file"]
    assert {name: kinds_of(name) for name in names if len(kinds_of(name)) != 1} == {}
    patterns = [*READ, *NOT_READ]
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)] == []


def test_files_of_the_samples_have_the_counts(data_dir):
    facts = facts_of(data_dir, "datumaro_assets_labels.json")["per_file"]
    for name, fact in facts.items():
        (kind,) = kinds_of(name)
        if kind not in {NUMBERS, COLOURS, BITMAP}:
            continue
        numbers = numbers_in(data_dir / "formats" / name, kind)
        assert (name, list(numbers.shape)) == (name, fact["shape"])
        assert (name, len(np.unique(numbers[numbers > 0]))) == (name, fact["labels_without_0"])
        assert (name, np.count_nonzero(numbers)) == (name, fact["foreground_pixels"])
        assert (name, numbers.min(), numbers.max()) == (name, fact["min_label"], fact["max_label"])


@pytest.fixture
def refs_of_samples(data_dir):
    """Masks of the samples, by the files that they are read from."""
    formats = data_dir / "formats"
    refs = [ref for root, name in ROOTS.items() for ref in find(formats / root, format=name).refs]
    return {file.relative_to(formats).as_posix(): ref for ref in refs for file in files_of_ref(ref)}


def files_of_ref(ref):
    """Pictures that a mask is read from."""
    if hasattr(ref, "class_file"):
        return [ref.class_file, ref.object_file]
    if hasattr(ref, "objects"):
        return [ref.file, *(ref.file.parent / file for _, _, file in ref.objects if file)]
    return [ref.folder / ref.name if hasattr(ref, "folder") else ref.file]


CONTRADICTED = "coco_dataset/coco_panoptic/annotations/panoptic_train/a.png"
"""A picture of 5 x 5 pixels whose JSON says 5 x 10."""


def test_masks_are_read_from_the_files_of_the_table(data_dir, refs_of_samples):
    facts = facts_of(data_dir, "datumaro_assets_labels.json")["per_file"]
    assert refs_of_samples.keys() == {name for name in facts if kinds_of(name) & {NUMBERS, COLOURS, BITMAP}}
    with pytest.raises(InputError, match=r"a\.png: 5 x 5 pixels, but 5 x 10 in the JSON; correct one of them"):
        refs_of_samples.pop(CONTRADICTED).load()
    for name, ref in refs_of_samples.items():
        assert (name, list(ref.load().shape)) == (name, facts[name]["shape"][:2])


@pytest.mark.parametrize("folder", ["kaggle_dataset", "mots_dataset"])
def test_samples_whose_values_are_instances_have_the_counts(data_dir, refs_of_samples, folder):
    facts = facts_of(data_dir, "datumaro_assets_labels.json")["per_file"]
    names = [name for name in refs_of_samples if name.startswith(folder)]
    assert names
    for name in names:
        mask, fact = refs_of_samples[name].load(), facts[name]
        assert (name, len(mask.classes) - 1) == (name, fact["labels_without_0"])
        assert (name, np.count_nonzero(mask.labels)) == (name, fact["foreground_pixels"])
        assert (name, mask.areas[1:].min()) == (name, fact["smallest_area"])
        assert (name, touching_pairs(mask.labels)) == (name, fact["touching_pairs"])


TESTS = {
    "cocoapi_fakesegm100.json": test_results_of_a_detector_are_refused_though_their_runs_decode,
    "datumaro_assets_labels.json": test_files_of_the_samples_have_the_counts,
    "deeplab2_cityscapes_panoptic.json": test_cityscapes_panoptic_has_the_counts,
    "deeplab2_eval_instances.json": test_images_with_alpha_are_label_images_if_they_are_grey,
    "dsb2018.json": test_dsb2018_has_the_counts,
    "panopticapi_sample.json": test_coco_panoptic_has_the_counts,
    "stardist_labels.json": test_label_tiffs_have_the_counts_and_a_stack_is_refused,
    "taco_small.json": test_taco_has_the_counts,
}
"""The test that meets each file of counts."""


def test_every_file_of_counts_is_met_by_a_test(data_dir):
    assert sorted(file.name for file in (data_dir / "facts").glob("*.json")) == sorted(TESTS)
