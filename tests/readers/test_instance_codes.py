import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import (
    ReadOptions,
    cityscapes,
    coco,
    find,
    instance_png,
    kitti,
    kitti360,
    label_image,
    mapillary,
    mots,
    panoptic,
)
from segprep.readers._coded import BACKGROUND, IGNORED, Meaning, mask_of_values

FINDS = [reader.find for reader in (cityscapes, coco, instance_png, kitti, label_image, mapillary, mots, panoptic)]
MEANINGS = {
    0: BACKGROUND,
    1: Meaning("thing", 4),
    2: Meaning("group", 4),
    3: Meaning("stuff", 2),
    4: IGNORED,
    5: Meaning("ignore", problem="odd"),
    70000: Meaning("thing", 1),
}
LABELS = [
    {"name": "animal--bird", "instances": True, "evaluate": True},
    {"name": "void--unlabeled", "instances": False, "evaluate": False},
    {"name": "nature--sky", "instances": False},
]


def write(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint16)).save(file)


def write_config(folder, labels=LABELS, name="config.json"):
    (folder / name).write_text(json.dumps({"labels": labels, "version": "1.1"}))
    return folder / name


def load(find, path, **options):
    (ref,) = find(path, ReadOptions(**options)).refs
    return pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def finders(path):
    """Formats that claim a path."""
    return [masks.format for find in FINDS if (masks := find(path, ReadOptions()))]


@given(
    arrays.arrays(np.int64, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.sampled_from(list(MEANINGS))),
    st.sampled_from(["ignore", "instance"]),
)
def test_every_pixel_has_the_meaning_of_its_value(values, crowd):
    mask = mask_of_values(values, MEANINGS.__getitem__, crowd=crowd)
    as_instance = {"thing"} | ({"group"} if crowd == "instance" else set())
    instances = [value for value in np.unique(values).tolist() if MEANINGS[value].kind in as_instance]
    assert mask.classes.tolist() == [0, *(MEANINGS[value].code for value in instances)]
    ignore = np.zeros(values.shape, bool) if mask.ignore is None else mask.ignore
    stuff = np.zeros(values.shape, int) if mask.stuff is None else mask.stuff
    for at, value in np.ndenumerate(values):
        kind, code, _ = MEANINGS[value]
        assert mask.labels[at] == (instances.index(value) + 1 if value in instances else 0)
        assert stuff[at] == (code if kind == "stuff" else 0)
        assert ignore[at] == (kind in {"ignore", "group"} and value not in instances)
    assert mask.problems == ((Problem("odd", "value 5"),) if 5 in values else ())
    assert (mask.planes.dtype, mask.classes.dtype, stuff.dtype.kind) == (np.int32, np.int32, "i")


def test_what_does_not_occur_takes_no_array():
    mask = mask_of_values(np.array([[0, 1]]), MEANINGS.__getitem__)
    assert (mask.ignore, mask.stuff) == (None, None)


def test_kitti_values_are_256_times_the_class_plus_the_instance(tmp_path):
    write(tmp_path / "training/instance/a.png", [[26 * 256 + 1, 26 * 256 + 2, 26 * 256, 7 * 256, 3 * 256, 40 * 256]])
    (tmp_path / "training/image_2").mkdir()
    mask = load(kitti.find, tmp_path)
    assert mask.planes[0].tolist() == [[1, 2, 0, 0, 0, 0]]
    assert mask.classes.tolist() == [0, 14, 14]
    assert mask.stuff.tolist() == [[0, 0, 0, 1, 0, 0]]
    assert mask.ignore.tolist() == [[False, False, True, False, True, True]]
    assert mask.problems == (Problem("class is not one of Cityscapes", "value 10240"),)
    assert len(load(kitti.find, tmp_path, crowd="instance").classes) == 4


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("label_colors.txt", "1 2 3 cell\n"),
        ("class_names.txt", "_background_\nroad\ncell\n"),
        ("labels.txt", "__ignore__\n_background_\ncell\n"),
        ("labelmap.txt", "cell:1,2,3::\n"),
    ],
)
def test_kitti_with_custom_classes_is_refused(tmp_path, file, content):
    write(tmp_path / "instance/a.png", [[26 * 256 + 1]])
    (tmp_path / "image_2").mkdir()
    (tmp_path / file).write_text("7 7 7 road\n" if file == "label_colors.txt" else "road:7,7,7::\n")
    if file in {"label_colors.txt", "labelmap.txt"}:
        assert kitti.find(tmp_path, ReadOptions()) is not None
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match="has the class 'cell', which is not one of Cityscapes"):
        kitti.find(tmp_path, ReadOptions())


def test_kitti_has_16_bits_and_other_folders_beside(tmp_path):
    write(tmp_path / "instance/a.png", [[6657]])
    assert kitti.find(tmp_path, ReadOptions()) is None
    (tmp_path / "semantic").mkdir()
    assert [ref.key for ref in kitti.find(tmp_path, ReadOptions()).refs] == ["instance/a.png"]
    Image.fromarray(np.ones((1, 1), np.uint8)).save(tmp_path / "instance/a.png")
    assert kitti.find(tmp_path, ReadOptions()) is None


def test_kitti_sample_has_the_values_of_its_files(data_dir):
    masks = kitti.find(data_dir / "formats/kitti_dataset", ReadOptions())
    names = [entry.name for entry in masks.classes.entries]
    first, second = (ref.load() for ref in masks.refs)
    assert [names[code] for code in first.classes] == ["background", "truck", "truck"]
    assert [names[code] for code in second.classes] == ["background", "train"]
    assert (first.stuff, {names[code] for code in second.stuff.ravel()}) == (None, {"background", "wall"})
    assert [ref.split for ref in masks.refs] == ["train", "train"]


def write_kitti(folder, values, classes=None, name="a"):
    """Write an instance file, and the classes beside it."""
    write(folder / f"instance/{name}.png", values)
    (folder / "semantic").mkdir(exist_ok=True)
    if classes is not None:
        Image.fromarray(np.array(classes, np.uint8)).save(folder / f"semantic/{name}.png")


def test_kitti360_values_are_1000_times_the_class_plus_the_instance(tmp_path):
    image = tmp_path / "data_2d_semantics/train/drive/image_00"
    write_kitti(image, [[26001, 26002, 26000, 7000, 11002, 34001, 3000, 39001]])
    masks = find(tmp_path)
    assert masks.format == "kitti360"
    assert [ref.split for ref in masks.refs] == ["train"]
    mask = masks.refs[0].load()
    assert mask.planes[0].tolist() == [[1, 2, 0, 0, 0, 0, 0, 0]]
    assert mask.classes.tolist() == [0, 14, 14]
    assert mask.stuff.tolist() == [[0, 0, 0, 1, 3, 3, 0, 0]]
    assert np.flatnonzero(mask.ignore).tolist() == [2, 6, 7]
    assert mask.problems == ()


@pytest.mark.parametrize(
    ("values", "classes", "formats"),
    [
        ([[6657, 1792]], None, ["kitti"]),  # by 1000, ground and ego vehicle would have instances
        ([[7000, 26001]], None, ["kitti360"]),  # 26001 is class 101 by 256
        ([[7000, 8000]], [[7, 8]], ["kitti360"]),
        ([[7000, 8000]], [[27, 31]], ["kitti"]),
        ([[7000, 8000]], None, ["kitti", "kitti360"]),
        ([[7000, 8000]], [[1, 2]], ["kitti"]),
        ([[0, 0]], None, ["kitti", "kitti360"]),
        ([[60 * 256]], None, ["kitti"]),  # neither; a value without a class is recorded
    ],
)
def test_values_tell_kitti_and_kitti360_apart(tmp_path, values, classes, formats):
    write_kitti(tmp_path, values, classes)
    assert [masks.format for reader in (kitti, kitti360) if (masks := reader.find(tmp_path, ReadOptions()))] == formats


def test_values_of_both_kitti_formats_need_a_choice(tmp_path):
    write_kitti(tmp_path, [[7000, 0]])
    with pytest.raises(InputError, match=r"choose one, as format='kitti': KITTI: .*256 class.*KITTI-360: .*1000 class"):
        find(tmp_path)
    assert find(tmp_path, format="kitti360").refs[0].load().stuff.tolist() == [[1, 0]]


def test_a_later_file_tells_the_kitti_formats_apart_where_the_first_fits_both_or_neither(tmp_path):
    write_kitti(tmp_path, [[7000, 0]], name="a")
    write_kitti(tmp_path, [[65535]], name="b")
    write_kitti(tmp_path, [[26001]], name="c")
    assert find(tmp_path).format == "kitti360"


def test_mots_values_are_1000_times_the_class_plus_the_instance(tmp_path):
    write(tmp_path / "instances/0001/000000.png", [[0, 1000, 2005, 10000]])
    masks = mots.find(tmp_path, ReadOptions())
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [(1, "car"), (2, "pedestrian")]
    mask = load(mots.find, tmp_path)
    assert (mask.planes[0].tolist(), mask.classes.tolist()) == ([[0, 1, 2, 0]], [0, 1, 2])
    assert mask.ignore.tolist() == [[False, False, False, True]]
    assert (mask.stuff, mask.problems) == (None, ())


def test_mots_classes_may_be_named_in_a_file(tmp_path):
    write(tmp_path / "val/instances/a.png", [[4001]])
    assert mots.find(tmp_path, ReadOptions()) is None
    (tmp_path / "val/instances/labels.txt").write_text("a\nb\n\nc\nd\n")
    assert [entry.name for entry in mots.find(tmp_path, ReadOptions()).classes.entries[1:]] == ["a", "b", "c", "d"]
    write(tmp_path / "train/instances/a.png", [[1001]])
    (tmp_path / "train/instances/labels.txt").write_text("b\n")
    with pytest.raises(InputError, match=r"train/instances/labels\.txt: other classes than in .*val/instances"):
        mots.find(tmp_path, ReadOptions())


def test_a_list_of_mots_classes_that_is_far_too_long_is_refused(tmp_path):
    write(tmp_path / "train/instances/a.png", np.array([[0, 1001]], np.uint16))
    (tmp_path / "train/instances/labels.txt").write_bytes(b"a\n" * 2**19 + b"b")
    with pytest.raises(InputError, match=r"labels\.txt: more than 1048576 bytes"):
        mots.find(tmp_path, ReadOptions())


@pytest.mark.parametrize("value", [1, 999, 3000, 10001])
def test_values_of_no_mots_class_are_another_layout(tmp_path, value):
    write(tmp_path / "instances/a.png", [[0, value, 1001]])
    assert mots.find(tmp_path, ReadOptions()) is None


def test_a_late_value_of_no_mots_class_is_ignored_and_recorded(tmp_path):
    for number in range(9):
        write(tmp_path / f"instances/{number}.png", [[0, 1001 if number < 8 else 3000]])
    mask = mots.find(tmp_path, ReadOptions()).refs[-1].load()
    assert (mask.ignore.tolist(), mask.problems) == ([[False, True]], (Problem("class is unknown", "value 3000"),))


def test_mots_sample_has_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/datumaro_assets_labels.json").read_text())["per_file"]
    masks = mots.find(data_dir / "formats/mots_dataset", ReadOptions())
    for ref in masks.refs:
        fact, mask = facts[f"mots_dataset/{ref.key}"], ref.load()
        assert len(mask.classes) - 1 == fact["labels_without_0"]
        assert np.count_nonzero(mask.labels) == fact["foreground_pixels"]
    assert [entry.name for entry in masks.classes.entries[1:]] == ["a", "b", "c", "d"]
    assert masks.refs[0].load().classes.tolist() == [0, 3, 4, 4]
    assert [ref.split for ref in masks.refs] == ["train", "train", "val"]


def test_mapillary_values_are_256_times_the_class_plus_the_instance(tmp_path):
    write_config(tmp_path)
    write(tmp_path / "training/instances/a.png", [[0, 1, 256, 512, 768]])
    masks = mapillary.find(tmp_path, ReadOptions())
    assert [(entry.id, entry.name, entry.is_thing) for entry in masks.classes.entries[1:]] == [
        (0, "animal--bird", True),
        (2, "nature--sky", False),
    ]
    mask = load(mapillary.find, tmp_path)
    assert (mask.planes[0].tolist(), mask.classes.tolist()) == ([[1, 2, 0, 0, 0]], [0, 1, 1])
    assert mask.stuff.tolist() == [[0, 0, 0, 2, 0]]
    assert mask.ignore.tolist() == [[False, False, True, False, True]]
    assert mask.problems == (Problem("class is not in the configuration", "value 768"),)


def test_mapillary_reads_the_last_version_or_the_one_given(tmp_path):
    old = write_config(tmp_path, name="config_v1.2.json")
    new = write_config(tmp_path, name="config_v2.0.json")
    for version in ("v1.2", "v2.0"):
        write(tmp_path / f"training/{version}/instances/a.png", [[0]])
    keys = [mapillary.find(path, ReadOptions()).refs[0].key for path in (tmp_path, old, new)]
    assert keys == [f"training/{version}/instances/a.png" for version in ("v2.0", "v1.2", "v2.0")]


@pytest.mark.parametrize("labels", [3, [{"name": "a", "instances": "yes"}], [{"instances": True}]])
def test_a_damaged_mapillary_configuration_is_refused(tmp_path, labels):
    (tmp_path / "config.json").write_text(json.dumps({"labels": labels, "instances": 1}))
    write(tmp_path / "training/instances/a.png", [[0]])
    with pytest.raises(
        InputError, match=r"config\.json: not a valid configuration of Mapillary Vistas: .*; fix it or export it again"
    ) as error:
        mapillary.find(tmp_path, ReadOptions())
    assert "\n" not in str(error.value)


def test_another_configuration_is_another_layout(tmp_path):
    write(tmp_path / "training/instances/a.png", [[0, 300]])
    (tmp_path / "config.json").write_text("{}")
    assert finders(tmp_path) == []


@pytest.mark.parametrize("version", ["v1.2", "v2.0"])
def test_mapillary_sample_has_the_counts_of_an_independent_reader(data_dir, version):
    facts = json.loads((data_dir / "facts/datumaro_assets_labels.json").read_text())["per_file"]
    masks = mapillary.find(data_dir / f"formats/mapillary_vistas_dataset/config_{version}.json", ReadOptions())
    assert len(masks.refs) == 3
    for ref in masks.refs:
        fact, mask = facts[f"mapillary_vistas_dataset/{ref.key}"], ref.load()
        assert len(mask.classes) - 1 == fact["labels_without_0"] + (fact["min_label"] == 0)
        assert (mask.labels > 0).all()
        assert mask.problems == ()
    assert masks.refs[-1].load().classes.tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize(
    ("path", "formats"),
    [
        ("formats/cityscapes_dataset/dataset", ["cityscapes"]),
        ("formats/kitti_dataset", ["kitti"]),
        ("formats/mots_dataset", ["mots"]),
        ("formats/mapillary_vistas_dataset", ["mapillary"]),
        ("panoptic/sample_data/panoptic_examples.json", ["panoptic"]),
        ("cityscapes_style/data/testdata/gtFine", ["panoptic"]),
        ("formats/mapillary_vistas_dataset/val/v1.2/panoptic", ["panoptic"]),
        ("dsb2018/stage1_train", ["instance-png"]),
        ("taco", ["coco"]),
        ("stardist/stardist/data/images", ["label-image"]),
    ],
)
def test_each_data_set_is_claimed_by_one_reader(data_dir, path, formats):
    assert finders(data_dir / path) == formats


def test_the_example_of_coins_is_claimed_by_one_reader(request):
    assert finders(request.config.rootpath / "examples/coins") == ["label-image"]
