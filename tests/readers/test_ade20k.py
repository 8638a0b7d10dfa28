import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, ade20k

TABLE = '001 # 0 # 1 # sky # sky # ""\n002 # 0 # 0 # car, auto # car # "red"\n001 # 1 # 0 # wheel # wheel # ""\n'


def write_seg(folder, *pixels, name="1"):
    """Write the picture of objects, of one row."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([pixels], np.uint8)).save(folder / f"{name}_seg.png")


def write_text(folder, *pixels, table=TABLE, name="1"):
    """Write an image in the layout of 2017."""
    write_seg(folder, *pixels, name=name)
    (folder / f"{name}_atr.txt").write_text(table, "latin-1")


def write_json(folder, *objects):
    """Write an image of 1 x 4 pixels in the layout of 2020; an object is its file, its pixels and its part level."""
    write_seg(folder, *[(0, 0, 0)] * 4)
    (folder / "1").mkdir(exist_ok=True)
    document = []
    for number, (file, pixels, level) in enumerate(objects):
        if pixels:
            Image.fromarray(np.array([pixels], np.uint8)).save(folder / file)
        parts = {"part_level": level, "ispartof": [], "hasparts": []}
        name = f"class {number}"
        document.append({"id": number, "name": name, "name_ndx": 400 + number, "instance_mask": file, "parts": parts})
    (folder / "1.json").write_text(json.dumps({"annotation": {"object": document}}))


def find(path, **options):
    return ade20k.find(path, ReadOptions(**options))


SKY, CAR, NONE = (10, 200, 1), (20, 5, 2), (0, 0, 0)


def test_the_blue_channel_numbers_objects_and_the_table_names_them(tmp_path):
    write_text(tmp_path, SKY, SKY, CAR, NONE)
    masks = find(tmp_path)
    (ref,) = masks.refs
    mask = ref.load()
    assert (masks.format, ref.key) == ("ade20k", "1")
    assert [(entry.code, entry.name, entry.is_thing) for entry in masks.classes.entries[1:]] == [
        (1, "car, auto", True),
        (2, "sky", True),
    ]
    assert mask.labels.tolist() == [[1, 1, 2, 0]]
    assert mask.classes.tolist() == [0, 2, 1]
    assert (mask.ignore, mask.problems) == (None, ())


def test_blue_values_that_are_spread_out_are_ranks(tmp_path):
    write_text(tmp_path, (10, 200, 85), (20, 5, 170), (20, 5, 170), NONE)
    mask = find(tmp_path).refs[0].load()
    assert mask.labels.tolist() == [[1, 2, 2, 0]]
    assert mask.classes.tolist() == [0, 2, 1]


def test_an_object_that_is_hidden_wholly_moves_no_other(tmp_path):
    write_text(tmp_path, CAR, CAR, NONE, NONE)
    mask = find(tmp_path).refs[0].load()
    assert mask.classes.tolist() == [0, 1]


def test_an_object_that_the_table_lacks_is_ignored_and_recorded(tmp_path):
    write_text(tmp_path, SKY, CAR, (20, 5, 9), (20, 5, 0), NONE)
    mask = find(tmp_path).refs[0].load()
    assert mask.labels.tolist() == [[1, 2, 0, 0, 0]]
    assert mask.ignore.tolist() == [[False, False, True, True, False]]
    assert mask.problems == (Problem("object is not in the table", "blue 9"),)


def test_images_lie_in_folders_and_split_by_them(tmp_path):
    for folder in ("validation", "training/street"):
        write_text(tmp_path / folder, SKY)
        write_seg(tmp_path / folder, SKY, name="1_parts_1")
        (tmp_path / folder / "1_parts_1_seg.png").rename(tmp_path / folder / "1_parts_1.png")
    keys = [ref.key for ref in find(tmp_path).refs]
    assert keys == ["training/street/1", "validation/1"]
    assert [ref.split for ref in find(tmp_path).refs] == ["train", "val"]


@pytest.mark.parametrize(
    "folder", [".", "abbey", "training/a/abbey", "images/training/a/abbey", "images/ADE/training/urban/street"]
)
def test_the_folders_of_both_releases_lead_to_images(tmp_path, folder):
    write_text(tmp_path / folder, SKY)
    assert [ref.key for ref in find(tmp_path).refs] == [(tmp_path / folder / "1").relative_to(tmp_path).as_posix()]


def test_a_folder_of_data_sets_is_another_layout(tmp_path):
    write_text(tmp_path / "one/training/street", SKY)
    write_json(tmp_path / "two/validation/street", ("1/a.png", [1, 0, 0, 0], 0))
    assert find(tmp_path) is None


def test_images_of_both_layouts_may_be_mixed(tmp_path):
    write_json(tmp_path, ("1/a.png", [1, 0, 0, 0], 0))
    write_text(tmp_path, SKY, name="2", table="1 # 0 # 0 # class 0 # # ")
    assert [ref.load().areas.tolist() for ref in find(tmp_path).refs] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("sky", "line 1: 'sky'; it needs number # part level # occluded # name"),
        ("\nx # 0 # 0 # sky # # ", "line 2: "),
        ("1 # 0 # 0 # # # ", "line 1: "),
        ("1 # 0 # 0 # sky # # \n1 # 0 # 0 # car # # ", "line 2: object 1 has two names; numbers must be unique"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, table, message):
    write_text(tmp_path, SKY, table=table)
    with pytest.raises(InputError, match=rf"1_atr\.txt: {message}") as error:
        find(tmp_path)
    assert "\n" not in str(error.value)


def test_an_image_without_a_table_is_refused_among_others(tmp_path):
    write_text(tmp_path, SKY)
    write_seg(tmp_path, SKY, name="2")
    with pytest.raises(InputError, match=r"2_seg\.png: neither 2_atr\.txt nor 2\.json is beside it"):
        find(tmp_path)


def test_a_table_that_is_a_link_is_not_read(tmp_path):
    write_text(tmp_path / "elsewhere", SKY)
    write_seg(tmp_path / "data", SKY)
    (tmp_path / "data/1_atr.txt").symlink_to(tmp_path / "elsewhere/1_atr.txt")
    assert find(tmp_path / "data") is None


def test_images_without_a_table_are_another_layout(tmp_path):
    write_seg(tmp_path, SKY)
    assert find(tmp_path) is None
    (tmp_path / "1.json").write_text('{"images": [], "annotations": []}')
    assert find(tmp_path) is None
    assert find(tmp_path / "1_seg.png") is None


def test_objects_of_2020_have_files_and_may_overlap(tmp_path):
    write_json(tmp_path, ("1/a.png", [1, 1, 1, 0], 0), ("1/b.png", [0, 0, 255, 255], 0), ("1/c.png", [1, 0, 0, 0], 1))
    masks = find(tmp_path)
    mask = masks.refs[0].load()
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [(400, "class 0"), (401, "class 1")]
    assert mask.areas.tolist() == [0, 3, 2]
    assert mask.classes.tolist() == [0, 1, 2]
    assert mask.problems == ()


def test_bad_objects_of_2020_are_left_out_and_recorded(tmp_path):
    write_json(
        tmp_path,
        ("1/a.png", [1, 0, 0, 0], 0),
        ("1/b.png", None, 0),
        ("1/c.png", [1, 1], 0),
        ("1/d.png", [0, 0, 0, 0], 0),
    )
    mask = find(tmp_path).refs[0].load()
    assert mask.areas.tolist() == [0, 1]
    assert mask.problems == (
        Problem("object has no file", "object 1: 1/b.png"),
        Problem("size differs from the image's", "1/c.png: (1, 2) instead of (1, 4)"),
        Problem("no foreground", "1/d.png"),
    )


@pytest.mark.parametrize("file", ["../a.png", "/a/b.png", "C:/a.png", "1\\a.png", "1/../a.png", "1/..", "", "a.png"])
def test_a_file_out_of_the_folder_is_refused(tmp_path, file):
    write_json(tmp_path, (file, None, 0))
    with pytest.raises(InputError, match=r"1\.json: instance_mask '.*'; it must be a file in a folder beside"):
        find(tmp_path)


def test_a_file_of_another_image_or_a_link_is_not_read(tmp_path):
    write_json(tmp_path, ("1/a.png", [1, 0, 0, 0], 0), ("2/b.png", None, 0), ("1/c.png", None, 0))
    (tmp_path / "2").mkdir()
    (tmp_path / "2/b.png").write_bytes((tmp_path / "1/a.png").read_bytes())
    (tmp_path / "1/c.png").symlink_to(tmp_path / "2/b.png")
    mask = find(tmp_path).refs[0].load()
    assert mask.areas.tolist() == [0, 1]
    assert [problem.where for problem in mask.problems] == ["object 1: 2/b.png", "object 2: 1/c.png"]


@pytest.mark.parametrize(
    "change",
    [('"id"', '"no"'), ('"name_ndx": 400', '"name_ndx": "x"'), ("{", "[" * 10**5)],
    ids=["id", "class", "deep"],
)
def test_a_bad_json_file_is_refused(tmp_path, change):
    write_json(tmp_path, ("1/a.png", [1, 0, 0, 0], 0))
    file = tmp_path / "1.json"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(InputError, match=r"1\.json: not a valid ADE20K file") as error:
        find(tmp_path)
    assert "\n" not in str(error.value)


def test_names_may_be_in_latin_1(tmp_path):
    write_text(tmp_path / "a", SKY, table="1 # 0 # 0 # caf\u00e9 # # ")
    assert find(tmp_path).classes.entries[1].name == "caf\u00e9"


def test_the_limit_of_pixels_reaches_the_ref(tmp_path):
    write_text(tmp_path, SKY, CAR)
    (ref,) = find(tmp_path, max_pixels=1).refs
    with pytest.raises(InputError, match=r"1_seg\.png: 1 x 2 pixels are more than max_pixels=1"):
        pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


@pytest.mark.parametrize("folder", ["dataset", "dataset_with_meta_file"])
def test_the_sample_of_2017_has_a_sky_and_a_person(data_dir, folder):
    masks = find(data_dir / "formats/ade20k2017_dataset" / folder)
    street = masks.refs[0].load()
    names = [masks.classes.entries[code].name.split(",")[0] for code in street.classes]
    assert masks.refs[0].key == "training/street/1"
    assert (street.shape, names) == ((3, 4), ["background", "sky", "person"])
    assert street.problems == ()


def test_the_sample_of_2020_has_the_pixels_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/datumaro_assets_labels.json").read_text())["per_file"]
    root = "ade20k2020_dataset/dataset"
    masks = find(data_dir / "formats" / root)
    for ref, end in zip(masks.refs, ("train_1", "val_2"), strict=True):
        files = [f"{root}/{ref.key}/instance_{number:03}_ADE_{end}.png" for number in range(2)]
        assert ref.load().areas.tolist() == [0, *(facts[file]["foreground_pixels"] for file in files)]
    assert [entry.id for entry in masks.classes.entries[1:]] == [401, 1831]


def test_of_an_object_that_is_partly_hidden_only_what_can_be_seen_counts(tmp_path):
    write_json(
        tmp_path, ("1/a.png", [0, 255, 128, 128], 0), ("1/b.png", [0, 0, 255, 255], 0), ("1/c.png", [1, 0, 0, 0], 0)
    )
    (ref,) = find(tmp_path).refs
    mask = ref.load()
    assert mask.labels.tolist() == [[3, 1, 2, 2]]
    assert mask.planes.shape[0] == 1
