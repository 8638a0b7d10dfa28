"""What the values of label images mean over a data set: foreground masks, background other than 0, void."""

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.errors import InputError, OptionError, OutputError
from segprep.runs.foreground import (
    CONTRADICTION,
    INVERTED,
    NO_BACKGROUND,
    NOTICE,
    SCATTERED,
    SCATTERED_FILE,
    VOID,
    notice,
)

SQUARES = ((3, 3), (3, 30), (20, 14))


def squares(values, *, background=0):
    pixels = np.full((32, 44), background, np.uint8)
    for (y, x), value in zip(SQUARES, values, strict=False):
        pixels[y : y + 6, x : x + 6] = value
    return pixels


def write(folder, *masks):
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(masks):
        Image.fromarray(pixels).save(folder / f"m{number}.png")
    return folder


def run(data, store, **settings):
    return segprep.preprocess(data, store, workers=1, targets="border", **settings)


def kinds(data, **settings):
    return segprep.check(data, workers=1, **settings).kinds


@pytest.mark.parametrize("value", [1, 7, 255])
def test_one_value_over_the_data_set_means_foreground_masks(tmp_path, value):
    data = write(tmp_path / "masks", squares([value] * 3), squares([value]), squares([]))
    info = run(data, tmp_path / "a.zarr")
    assert (info.instances, info.instance_rule.instances_from, notice(info)) == (4, "components", NOTICE)
    assert segprep.open(tmp_path / "a.zarr")[0]["border"].max() > 0
    report = segprep.check(data, workers=1)
    assert (report.instances, report.problems, report.notices) == (
        4,
        (),
        (NOTICE, "masks without an annotation: m2.png"),
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_the_decision_needs_no_second_reading(tmp_path, workers):
    data = write(tmp_path / "masks", *[squares([255] * 3)] * 20)
    before = run(data, tmp_path / "a.zarr")
    stages = []
    after = segprep.preprocess(
        data, tmp_path / "a.zarr", workers=workers, targets="border", progress=lambda stage, *_: stages.append(stage)
    )
    assert (stages, after) == ([], before)


def test_parts_decide_alike(tmp_path):
    data = write(tmp_path / "masks", *[squares([255] * 3)] * 5)
    for part in ("1/2", "2/2", None):
        info = run(data, tmp_path / "parts.zarr", part=part)
    assert info == run(data, tmp_path / "one.zarr")


def test_as_is_keeps_one_instance_per_mask(tmp_path):
    data = write(tmp_path / "masks", squares([255] * 3))
    info = run(data, tmp_path / "a.zarr", instances_from="as-is")
    assert (info.instances, info.instance_rule.instances_from, notice(info)) == (1, "as-is", None)
    with pytest.raises(OutputError, match="instances_from='components' instead of instances_from='as-is'"):
        run(data, tmp_path / "a.zarr")
    assert kinds(data, instances_from="as-is") == {}


def test_asking_for_components_is_no_decision(tmp_path):
    data = write(tmp_path / "masks", squares([255] * 3))
    assert notice(run(data, tmp_path / "a.zarr", instances_from="components")) is None
    assert run(data, tmp_path / "a.zarr").instances == 3


def test_several_values_are_instances(tmp_path):
    data = write(tmp_path / "masks", squares([1, 2, 3]), squares([1]))
    info = run(data, tmp_path / "a.zarr")
    assert (info.instances, info.instance_rule.instances_from, info.problems, notice(info)) == (4, "as-is", (), None)
    assert run(data, tmp_path / "a.zarr", instances_from="as-is") == info


def test_a_value_that_contradicts_ends_the_run_and_names_both_files(tmp_path):
    data = write(tmp_path / "masks", *[squares([255] * 3)] * 4, squares([255, 200, 255]))
    with pytest.raises(
        InputError, match=r"m0\.png is a foreground mask, with the one value 255 .* but m4\.png has 200, 255"
    ):
        run(data, tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr/zarr.json").exists()
    assert kinds(data) == {CONTRADICTION: 1}
    assert run(data, tmp_path / "a.zarr", instances_from="as-is").instances == 6


def test_formats_with_instances_are_read_as_they_are(tmp_path):
    write(tmp_path / "data/a/masks", squares([255] * 3), squares([0, 0, 255]))
    info = run(tmp_path / "data", tmp_path / "a.zarr")
    assert (info.source_format, info.instances, info.instance_rule.instances_from) == ("instance-png", 2, "as-is")


def test_foreground_masks_that_cover_most_of_their_images_may_be_inverted(tmp_path):
    inverted = [255 - squares([255] * count) for count in (3, 1)]
    data = write(tmp_path / "masks", *inverted, squares([255]))
    (problem,) = segprep.check(data, workers=1).problems
    assert (problem.kind, problem.key, problem.left_out) == (INVERTED, "m0.png", False)
    assert problem.where.startswith("it covers more than 60% of the pixels in 2 of 3 masks, this one first")
    before = run(data, tmp_path / "a.zarr")
    assert run(data, tmp_path / "a.zarr") == before
    assert kinds(write(tmp_path / "most", inverted[0], squares([255]))) == {}


def test_classes_read_as_instances_are_a_finding_that_survives_a_rerun(tmp_path):
    data = write(tmp_path / "masks", squares([1, 2, 1]), squares([2, 2, 1]))
    assert kinds(data) == {SCATTERED: 1}
    before = run(data, tmp_path / "a.zarr")
    assert [problem.left_out for problem in before.problems] == [False]
    assert run(data, tmp_path / "a.zarr") == before


def test_files_with_all_objects_of_a_class_are_a_finding_with_the_option(tmp_path):
    for name in "ab":
        write(tmp_path / f"data/{name}/masks", squares([1, 1]), np.roll(squares([1, 1]), 10, axis=0))
    assert kinds(tmp_path / "data") == {SCATTERED_FILE: 1}
    assert kinds(tmp_path / "data", instances_from="as-is") == {}
    separated = segprep.check(tmp_path / "data", instances_from="components", workers=1)
    assert (separated.instances, separated.kinds) == (8, {})


def test_an_object_cut_in_two_is_one_instance(tmp_path):
    pixels = squares([1, 2, 3])
    pixels[5, :] = 0  # a twig in front
    assert kinds(write(tmp_path / "masks", pixels)) == {}


def test_masks_without_background_are_a_finding_with_the_option(tmp_path):
    data = write(tmp_path / "masks", squares([2, 2, 2], background=1), squares([2], background=1))
    (problem,) = segprep.check(data, workers=1).problems
    assert (problem.kind, problem.left_out) == (NO_BACKGROUND, False)
    assert problem.where == "1 is the commonest value in 2 of 2 masks; background=1 makes it background"
    info = run(data, tmp_path / "a.zarr", background=1)
    assert (info.instances, info.problems, notice(info)) == (4, (), NOTICE)


def test_255_beside_small_values_is_a_finding_with_the_options(tmp_path):
    data = write(tmp_path / "masks", squares([1, 2, 255]), squares([1, 2]))
    (problem,) = segprep.check(data, workers=1).problems
    assert (problem.kind, problem.key) == (VOID, "m0.png")
    assert "beside 1, 2 in 1 of 2 masks; ignore=255 " in problem.where
    info = run(data, tmp_path / "ignored.zarr", ignore=255)
    assert (info.instances, info.ignored_pixels, info.problems) == (4, 36, ())
    assert segprep.open(tmp_path / "ignored.zarr")[0]["classes"][21, 15] == 255
    info = run(data, tmp_path / "background.zarr", background=255, instances_from="components")
    assert (info.instances, [entry.name for entry in info.classes]) == (4, ["background", "class 1", "class 2"])


def test_numbers_up_to_255_are_instances(tmp_path):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, axis=0).repeat(4, axis=1)
    assert kinds(write(tmp_path / "masks", labels)) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"background": -1}, "background=-1: must be a value of pixels"),
        ({"ignore": 2**63}, f"ignore={2**63}: must be a value of pixels"),
        ({"ignore": 3, "background": 3}, "ignore=3: is also the background"),
    ],
)
def test_values_that_no_pixel_has_are_refused(tmp_path, settings, message):
    with pytest.raises(OptionError, match=message):
        kinds(write(tmp_path / "masks", squares([1])), **settings)


def test_other_formats_have_no_such_values(tmp_path):
    write(tmp_path / "data/a/masks", squares([255] * 3), squares([0, 0, 255]))
    with pytest.raises(OptionError, match=r"background=1: .* is instance-png; only label-image has such a value"):
        kinds(tmp_path / "data", background=1)
