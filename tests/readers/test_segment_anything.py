import json
import pickle

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.readers import ReadOptions, segment_anything

IMAGE = {"image_id": 1, "width": 6, "height": 4, "file_name": "../../a.jpg"}
SQUARE = {"size": [4, 6], "counts": "5220;"}


def write(file, *regions, image=IMAGE):
    """Write one image."""
    annotations = [{"id": number, "segmentation": region} for number, region in enumerate(regions, start=1)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"image": image, "annotations": annotations}))
    return file


def find(path, **options):
    return segment_anything.find(path, ReadOptions(**options))


def test_every_region_is_an_instance_of_the_one_class(tmp_path):
    masks = find(write(tmp_path / "a.json", SQUARE, SQUARE))
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key, mask.shape, len(mask.planes)) == ("segment-anything", "a", (4, 6), 2)
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1], [0, 4, 4])
    assert [(entry.name, entry.is_thing) for entry in masks.classes.entries[1:]] == [("object", True)]
    expected = np.zeros((4, 6), int)
    expected[1:3, 1:3] = 2
    np.testing.assert_array_equal(mask.labels, expected)


def test_an_image_without_regions_is_a_mask_without_instances(tmp_path):
    mask = find(write(tmp_path / "a.json")).refs[0].load()
    assert (mask.shape, mask.classes.tolist(), mask.problems) == ((4, 6), [0], ())


def test_files_lie_in_the_folder_or_in_folders_below(tmp_path):
    for name in ("x/sa_2.json", "x/sa_1.json", "y/sa_1.json", "y/._a.json"):
        write(tmp_path / "data" / name)
    (tmp_path / "data/z").symlink_to(tmp_path / "data/x")
    assert [ref.key for ref in find(tmp_path / "data").refs] == ["x/sa_1", "x/sa_2", "y/sa_1"]
    assert [ref.key for ref in find(tmp_path / "data/y").refs] == ["sa_1"]


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        ({"size": [6, 4], "counts": "5220;"}, "size differs from the image's"),
        ({"size": [4, 6], "counts": "52"}, "run lengths do not fit the image"),
        ({"size": [4, 6], "counts": "\n"}, "run lengths cannot be decoded"),
        ({"size": [4, 6], "counts": "h0"}, "no pixel inside the image"),
        ({"size": [4, 6], "counts": [5, 2]}, "segmentation is not compressed runs"),
        ([[0, 0, 1, 0, 1, 1]], "segmentation is not compressed runs"),
        (None, "segmentation is not compressed runs"),
    ],
)
def test_a_bad_region_is_left_out_and_recorded(tmp_path, region, kind):
    mask = find(write(tmp_path / "a.json", region, SQUARE)).refs[0].load()
    assert mask.areas.tolist() == [0, 4]
    (problem,) = mask.problems
    assert problem.kind == kind
    assert problem.where.startswith("annotation 1: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"images": [], "annotations": []}',
        '{"image": "a.jpg", "annotations": []}',
        '{"image": {"width": 1, "height": 1, "file_name": ""}, "images": [], "annotations": []}',
        "[" * 10**5,
        '{"image": ' + "[" * 10**5,
    ],
)
def test_other_json_is_another_layout(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert find(tmp_path) is None
    assert find(tmp_path / "a.json") is None


@pytest.mark.parametrize("text", ["", "{}", '{"image": {"width": "6"}, "annotations": []}', "\x00", "[" * 10**5])
def test_a_bad_file_does_not_hide_the_others(tmp_path, text):
    write(tmp_path / "a.json", SQUARE)
    (tmp_path / "b.json").write_text(text)
    good, bad = find(tmp_path).refs
    assert good.load().areas.tolist() == [0, 4]
    with pytest.raises(InputError, match=r"b\.json: (not a valid Segment Anything file|begins with)") as error:
        bad.load()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [((0, 6), "must be at least 1"), ((-1, -1), "must be at least 1"), ((200_000, 200_000), "more than max_pixels")],
)
def test_a_size_that_makes_no_sense_is_refused_before_decoding(tmp_path, size, message):
    image = IMAGE | {"height": size[0], "width": size[1]}
    (ref,) = find(write(tmp_path / "a.json", SQUARE, image=image)).refs
    with pytest.raises(InputError, match=message):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def test_the_limit_of_pixels_reaches_the_ref(tmp_path):
    (ref,) = find(write(tmp_path / "a.json", SQUARE), max_pixels=23).refs
    with pytest.raises(InputError, match=r"a\.json: 4 x 6 pixels are more than max_pixels=23"):
        ref.load()


def test_the_sample_has_the_area_that_it_records(data_dir):
    first, second = find(data_dir / "formats/segment_anything_dataset").refs
    mask = first.load()
    assert (mask.shape, mask.areas.tolist()) == ((5, 10), [0, 4])
    assert [problem.kind for problem in second.load().problems] == ["size differs from the image's"]
