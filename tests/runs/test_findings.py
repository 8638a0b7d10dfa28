"""Findings about all masks of a data set together."""

import numpy as np
import pytest
from PIL import Image

from segprep.runs.check import check
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)
SHAPE = (12, 15)


def save(file, *boxes, value=1):
    """Save a label image with a rectangle for each box; the values count from `value`."""
    labels = np.zeros(SHAPE, np.uint8)
    for number, box in enumerate(boxes, start=value):
        labels[box] = number
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(file)


def photograph(file, seed):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)).save(file)


A, B, C = np.s_[1:4, 1:4], np.s_[4:7, 4:9], np.s_[9:11, 1:9]


def report(folder, **settings):
    return check(folder, workers=ONE, **settings)


def test_instances_that_touch_are_counted_with_the_advice_to_use_the_preset_for_them(tmp_path):
    save(tmp_path / "a.png", A, B, C)
    save(tmp_path / "b.png", A, C)
    found = report(tmp_path)
    assert (found.problems, found.notices) == (
        (),
        (
            "1 pair of instances touches; without background between, a network learns to merge them: use preset='crowded'",
        ),
    )
    assert found.touching_pairs == 1
    separated = report(tmp_path, separate=1)
    assert (separated.notices, separated.touching_pairs) == ((), 1)


def test_masks_without_an_annotation_and_those_that_are_ignored_completely_are_named(tmp_path):
    save(tmp_path / "a.png", A, C)
    save(tmp_path / "b.png")
    save(tmp_path / "c.png", np.s_[:], value=9)
    found = report(tmp_path, ignore=9)
    assert found.problems == ()
    assert found.notices == ("masks without an annotation: b.png", "masks that are ignored completely: c.png")


def test_identical_masks_are_named_but_not_those_without_content(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", A, C)
    for name in ("c", "d"):
        save(tmp_path / f"{name}.png")
    save(tmp_path / "e.png", A, B)
    assert "identical masks: a.png = b.png" in report(tmp_path, separate=1).notices


def test_a_line_does_not_grow_with_the_number_of_copies(tmp_path):
    for number in range(14):
        save(tmp_path / f"{number:02}.png", A, C)
    (line,) = report(tmp_path).notices
    assert line == f"identical masks: {' = '.join(f'{number:02}.png' for number in range(10))} and 4 more"


def test_identical_masks_in_two_splits_are_a_notice_of_another_kind(tmp_path):
    for split in ("train", "val"):
        save(tmp_path / split / "labels/a.png", A, C)
    found = report(tmp_path)
    assert (found.problems, found.notices) == (
        (),
        ("identical masks in several splits: train/labels/a.png = val/labels/a.png",),
    )


def test_one_image_in_two_splits_is_a_problem_and_in_one_a_notice(tmp_path):
    for split, name, box, seed in (
        ("train", "a", A, 0),
        ("train", "b", B, 0),
        ("val", "c", C, 0),
        ("val", "d", A, 1),
        ("val", "e", B, 1),
    ):
        photograph(tmp_path / split / f"images/{name}.png", seed)
        save(tmp_path / split / f"labels/{name}.png", box, np.s_[:1, :1])
    found = report(tmp_path)
    assert [(problem.kind, problem.key, problem.where, problem.left_out) for problem in found.problems] == [
        ("the same image in several splits", "train/labels/a.png", "train/labels/b.png, val/labels/c.png", False)
    ]
    assert "identical images: val/labels/d.png = val/labels/e.png" in found.notices


@pytest.mark.parametrize("function", ["_size", "_digest"])
def test_an_image_that_cannot_be_read_is_like_no_other(tmp_path, monkeypatch, function):
    for name in "ab":
        save(tmp_path / f"labels/{name}.png", A, C)
        photograph(tmp_path / f"images/{name}.png", 0)
    assert [line for line in report(tmp_path).notices if line.startswith("identical images")]
    monkeypatch.setattr(f"segprep.runs.findings.{function}", lambda *_: None)
    assert not [line for line in report(tmp_path).notices if line.startswith("identical images")]


def test_images_that_differ_in_the_last_byte_are_not_identical(tmp_path):
    for name in "ab":
        save(tmp_path / f"labels/{name}.png", A, C)
        photograph(tmp_path / f"images/{name}.png", 0)
    (tmp_path / "images/b.png").write_bytes((tmp_path / "images/b.png").read_bytes()[:-1] + b"?")
    assert not [line for line in report(tmp_path).notices if line.startswith("identical images")]


@pytest.mark.parametrize("split", ["val", "test"])
def test_classes_that_train_lacks_are_named(tmp_path, split):
    save(tmp_path / "train/labels/a.png", A)
    save(tmp_path / f"{split}/labels/b.png", A, C, value=2)
    save(tmp_path / f"{split}/labels/c.png", A)
    found = report(tmp_path, instances_from="components")
    assert f"classes of {split} that train lacks: 2 (class 2, class 3)" in found.notices
