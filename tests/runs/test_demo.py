"""The demo data set: each layout is read with its exact facts, and `check` reports each deliberate mistake."""

import json
import shutil
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep import InputError, OptionError, OutputError
from segprep.masks.touching import touching_pairs
from segprep.runs.demo import DemoInfo, demo
from segprep.runs.demo_files import DemoLayout
from segprep.runs.demo_mistakes import MISTAKES

LAYOUTS = get_args(DemoLayout)
IMAGES = 10
"""Enough for all splits and an image without cells."""
SIZE = 128


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data set in each layout, and its description."""
    folder = tmp_path_factory.mktemp("demo")
    return {
        layout: (folder / layout, demo(folder / layout, layout=layout, images=IMAGES, size=SIZE)) for layout in LAYOUTS
    }


def loaded(folder, **options):
    return [(ref, ref.load()) for ref in segprep.find(folder, **options).refs]


@pytest.mark.parametrize("layout", ["labels", "instances", "coco"])
def test_the_masks_are_those_that_were_drawn(made, layout):
    folder, info = made[layout]
    masks = [mask for _, mask in loaded(folder)]
    assert len(masks) == info.images == IMAGES
    assert Counter("x".join(map(str, mask.shape)) for mask in masks) == info.sizes
    assert sum(len(mask.classes) - 1 for mask in masks) == info.instances
    assert sum(touching_pairs(mask) for mask in masks) == info.touching_pairs > IMAGES
    assert sorted(len(mask.classes) == 1 for mask in masks)[-2:] == [False, True]  # one is empty
    assert all(len(mask.planes) == 1 for mask in masks)  # none overlap


@pytest.mark.parametrize("layout", ["instances", "coco"])
def test_the_classes_are_those_that_were_drawn(made, layout):
    folder, info = made[layout]
    names = [entry.name for entry in segprep.find(folder).classes.entries]
    found = Counter(names[code] for _, mask in loaded(folder) for code in mask.classes[1:])
    assert found == info.classes
    assert min(info.classes.values()) > 0


def test_all_layouts_have_the_same_pixels(made):
    foregrounds, images = {}, {}
    for folder, _ in made.values():
        for ref, mask in loaded(folder):
            name = ref.key.rpartition("/")[2].removesuffix(".png")
            foregrounds.setdefault(name, []).append(mask.labels > 0)
            images.setdefault(name, []).append(np.asarray(Image.open(ref.image)))
    for arrays in (*foregrounds.values(), *images.values()):
        assert len(arrays) == len(LAYOUTS)
        assert all(np.array_equal(arrays[0], other) for other in arrays[1:])


def test_foreground_masks_are_recognised_and_have_fewer_instances(made):
    folder, info = made["masks"]
    report = segprep.check(folder, workers=1)
    assert (report.format, report.masks, report.problems) == ("label-image", IMAGES, ())
    assert 0 < report.instances < info.instances
    watershed = segprep.check(folder, workers=1, instances_from="watershed")
    assert watershed.instances > report.instances
    assert watershed.touching_pairs > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_image_of_each_mask_is_found(made, layout, tmp_path):
    folder = shutil.copytree(made[layout][0], tmp_path / "data")
    info = segprep.preprocess(folder, tmp_path / "out.zarr", targets=(), workers=1)
    masks = segprep.open(tmp_path / "out.zarr")
    assert len(masks) == info.masks == IMAGES
    for index, size in enumerate(masks.sizes):
        image = masks.image(index)
        assert (image.dtype, image.shape) == (np.uint8, tuple(size))
    assert Counter(masks.splits) == made[layout][1].splits == {"train": 7, "val": 2, "test": 1}


def test_images_show_their_masks(made):
    folder, _ = made["labels"]
    for ref, mask in loaded(folder):
        inside = mask.labels > 0
        if inside.any():
            pixels = np.asarray(Image.open(ref.image), float)
            assert pixels[inside].mean() > 1.5 * pixels[~inside].mean()


def test_the_same_seed_gives_the_same_files(made, tmp_path, files_of):
    for layout in LAYOUTS:
        demo(tmp_path / layout, layout=layout, images=IMAGES, size=SIZE)
        assert files_of(tmp_path / layout) == files_of(made[layout][0])


def test_another_seed_gives_other_images(made, tmp_path, files_of):
    demo(tmp_path / "other", images=IMAGES, size=SIZE, seed=1)
    one, other = files_of(made["labels"][0]), files_of(tmp_path / "other")
    assert one.keys() == other.keys()
    assert not {name for name in one if "images" in name and one[name] == other[name]}


def test_the_first_images_do_not_depend_on_the_number(made, tmp_path, files_of):
    demo(tmp_path / "few", images=3, size=SIZE)
    assert files_of(tmp_path / "few").items() <= files_of(made["labels"][0]).items()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("images", [1, 9])
def test_check_reports_each_mistake_and_nothing_else(layout, images, tmp_path):
    info = demo(tmp_path / "data", layout=layout, images=images, size=64, with_problems=True)
    report = segprep.check(tmp_path / "data", workers=1)
    named = sorted((problem.kind, problem.key) for problem in info.problems)
    assert named == sorted((problem.kind, problem.key) for problem in report.problems)
    assert len(named) == len(MISTAKES[layout]) >= 7
    assert info.images == images + len(named) + 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("images", [1, 2, 4, 5, 6, 9])
def test_few_images_are_read_without_a_problem(layout, images, tmp_path):
    info = demo(tmp_path / "data", layout=layout, images=images, size=64)
    report = segprep.check(tmp_path / "data", workers=1)
    assert (report.masks, report.sizes, report.problems) == (images, info.sizes, ())


@pytest.mark.parametrize("seed", range(1, 8))
def test_mistakes_are_reported_for_every_seed(seed, tmp_path):
    layout = LAYOUTS[seed % len(LAYOUTS)]
    info = demo(tmp_path / "data", layout=layout, images=1, size=64 + 8 * seed, seed=seed, with_problems=True)
    report = segprep.check(tmp_path / "data", workers=1)
    assert Counter((each.kind, each.key) for each in report.problems) == Counter(
        (each.kind, each.key) for each in info.problems
    )


def test_data_with_mistakes_cannot_be_computed_unless_bad_masks_are_skipped(tmp_path):
    demo(tmp_path / "data", images=3, size=64, with_problems=True)
    with pytest.raises(InputError, match="cannot be read"):
        segprep.preprocess(tmp_path / "data", tmp_path / "out.zarr", workers=1)
    assert segprep.preprocess(tmp_path / "data", tmp_path / "out.zarr", workers=1, on_error="skip-mask").masks > 3


def test_more_than_255_cells_are_kept_in_16_bits(tmp_path):
    info = demo(tmp_path / "data", images=1, size=1024)
    ((_, mask),) = loaded(tmp_path / "data")
    assert len(mask.classes) - 1 == info.instances > 255


def test_an_empty_folder_is_filled(tmp_path):
    assert demo(tmp_path, images=1, size=64).images == 1
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["images", "labels"]


def test_a_folder_with_a_file_is_refused_and_stays(tmp_path):
    (tmp_path / ".mine").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; give a new folder"):
        demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine"]


def test_a_file_is_refused_and_stays(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(OutputError, match="is a file; give a new folder"):
        demo(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_was_written_is_removed_if_a_run_is_interrupted(tmp_path):
    def interrupt(stage, done, masks):
        assert (stage, masks) == ("write", IMAGES)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "new" / "data", images=IMAGES, size=64, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    rival = tmp_path / "data" / "train" / "images" / "cells002.png"

    def write(*progress):
        if progress == ("write", 2, 4):
            rival.write_text("mine")

    with pytest.raises(segprep.StorageError, match="File exists"):
        demo(tmp_path / "data", images=4, size=64, progress=write)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [rival]
    assert rival.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(segprep.StorageError, match="cannot be written: Not a directory"):
        demo(tmp_path / "mine" / "data", images=1, size=64)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layout": "lables"}, "layout='lables': choose one of .*; did you mean 'labels'?"),
        ({"images": 0}, "images=0: must be an integer from 1 to 100000"),
        ({"images": 2.5}, "images=2.5: must be an integer"),
        ({"size": 63}, "size=63: must be an integer from 64 to 2048"),
        ({"size": "256"}, "size='256': must be an integer"),
        ({"seed": -1}, "seed=-1: must be an integer from 0"),
        ({"with_problems": "no"}, "with_problems='no': choose one of False, True"),
        ({"folder": 3}, "folder=3: must be a path"),
    ],
)
def test_a_bad_parameter_is_an_option_error(parameters, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        demo(**{"folder": tmp_path / "data"} | parameters)
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="folder of this machine"):
        demo("s3://bucket/data")


def test_the_description_is_plain_data(made):
    _, info = made["coco"]
    assert isinstance(info, DemoInfo)
    assert json.dumps(info.sizes) == '{"128x128": 4, "128x160": 3, "96x128": 3}'
