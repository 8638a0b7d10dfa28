import json
import pickle
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions
from segprep.readers.panoptic import find, segment_ids

CATEGORIES = [
    {"id": 9, "name": "sky", "isthing": 0},
    {"id": 3, "name": "cell", "isthing": 1},
    {"id": 0, "name": "debris"},
]
IDS = np.array([[0, 5, 5, 7], [0, 70000, 70000, 7]])
SEGMENTS = [
    {"id": 5, "category_id": 3, "iscrowd": 0},
    {"id": 7, "category_id": 9},
    {"id": 70000, "category_id": 0, "iscrowd": 0},
]
IMAGE = {"id": 1, "file_name": "a.jpg", "height": 2, "width": 4}


@pytest.fixture
def write(tmp_path):
    """Write a JSON beside a folder with one PNG and return the JSON."""

    def write(segments=SEGMENTS, *, ids=IDS, name="a.png", mode="RGB", **changes):
        annotation = {"image_id": 1, "file_name": name, "segments_info": segments}
        document = {"images": [IMAGE], "categories": CATEGORIES, "annotations": [annotation]} | changes
        file = tmp_path / "panoptic.json"
        file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
        (tmp_path / "panoptic").mkdir(exist_ok=True)
        Image.fromarray(colours).convert(mode).save(tmp_path / "panoptic/a.png")
        return file

    return write


def load(file, **options):
    (ref,) = find(file, ReadOptions(**options)).refs
    return pickle.loads(pickle.dumps(ref)).load()  # noqa: S301


def entries(file):
    return [(entry.code, entry.id, entry.name, entry.is_thing) for entry in find(file, ReadOptions()).classes.entries]


def segments_with(**changes):
    return [SEGMENTS[0] | changes, *SEGMENTS[1:]]


def test_things_are_instances_and_stuff_has_a_class_alone(write):
    mask = load(write())
    np.testing.assert_array_equal(mask.planes, [[[0, 1, 1, 0], [0, 2, 2, 0]]])
    assert mask.classes.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(mask.stuff, [[0, 0, 0, 1], [0, 0, 0, 1]])
    assert mask.problems == ()


def test_void_is_a_place_without_truth(write):
    np.testing.assert_array_equal(load(write()).ignore, IDS == 0)
    assert load(write(ids=np.full((2, 4), 5))).ignore is None


def test_classes_have_the_order_of_the_file_and_are_things_by_default(write):
    assert entries(write())[1:] == [(1, 9, "sky", False), (2, 3, "cell", True), (3, 0, "debris", True)]


def test_a_category_called_background_has_a_name_that_tells_it_from_class_0(write):
    categories = [*CATEGORIES, {"id": 4, "name": "background", "isthing": 0}]
    names = [name for _, _, name, _ in entries(write(categories=categories))]
    assert len(set(names)) == len(names) == 5


def test_classes_are_known_by_their_ids_where_there_are_no_categories(write):
    assert entries(write(categories=None))[1:] == [(1, 0, "0", True), (2, 3, "3", True), (3, 9, "9", True)]


def test_a_crowd_is_ignored_or_an_instance_by_option(write):
    file = write(segments_with(iscrowd=1))
    ignored = load(file)
    np.testing.assert_array_equal(ignored.ignore, (IDS == 0) | (IDS == 5))
    assert ignored.areas.tolist() == [0, 2]
    kept = load(file, crowd="instance")
    np.testing.assert_array_equal(kept.ignore, IDS == 0)
    assert (kept.areas.tolist(), kept.classes.tolist()) == ([0, 2, 2], [0, 2, 3])


def test_a_crowd_of_stuff_is_ignored_or_stuff(write):
    file = write(segments_with(category_id=9, iscrowd=1))
    assert load(file).ignore[0, 1]
    assert load(file).stuff[0, 1] == 0
    assert load(file, crowd="instance").stuff[0, 1] == 1


def test_a_segment_that_the_file_does_not_list_is_ignored_and_recorded(write):
    mask = load(write(SEGMENTS[1:]))
    np.testing.assert_array_equal(mask.ignore, (IDS == 0) | (IDS == 5))
    assert mask.problems == (Problem("segment that the JSON does not list", "segment 5"),)


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        (SEGMENTS[0] | {"id": 6}, "segment without pixels"),
        (SEGMENTS[0] | {"id": -6}, "segment without pixels"),
        (SEGMENTS[0] | {"id": 2**40}, "segment without pixels"),
        (SEGMENTS[0] | {"id": 0}, "segment with the id of void"),
        (SEGMENTS[0] | {"category_id": 9}, "segment listed twice"),
    ],
)
def test_a_segment_that_makes_no_sense_is_recorded_and_changes_nothing(write, segment, kind):
    expected = load(write())
    mask = load(write([*SEGMENTS, segment]))
    assert mask.problems == (Problem(kind, f"segment {segment['id']}"),)
    np.testing.assert_array_equal(mask.planes, expected.planes)
    np.testing.assert_array_equal(mask.ignore, expected.ignore)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_other_images_in_colour_give_the_same_ids(write, mode):
    file = write(ids=np.array([[0, 255, 255 * 65536]]), mode=mode)
    np.testing.assert_array_equal(segment_ids(file.with_suffix("") / "a.png", max_pixels=3), [[0, 255, 255 * 65536]])


def test_an_image_without_colours_is_refused(write):
    with pytest.raises(InputError, match=r"a\.png: an image in L; ids of segments are colours"):
        load(write(mode="L"))


def test_sizes_that_differ_are_refused(write):
    with pytest.raises(InputError, match=r"a\.png: 2 x 4 pixels, but 3 x 4 in the JSON"):
        load(write(images=[IMAGE | {"height": 3}]))


def test_the_size_is_checked_before_pixels_are_decoded(write):
    with pytest.raises(InputError, match="2 x 4 pixels are more than max_pixels=7"):
        load(write(), max_pixels=7)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "b/../../a.png",
        "/a.png",
        "C:a.png",
        "C:/a.png",
        "//server/a.png",
        "..\\a.png",
        "b\\a.png",
        "a\0.png",
        "",
    ],
)
def test_names_that_may_lead_out_of_the_folder_are_refused(write, name):
    with pytest.raises(InputError, match="may lead out of the folder; give a name relative to it"):
        find(write(name=name), ReadOptions())


def test_links_out_of_the_folder_are_not_followed(write, tmp_path):
    file = write()
    (tmp_path / "panoptic/a.png").rename(tmp_path / "outside.png")
    (tmp_path / "panoptic/a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InputError, match=r"a\.png: a link out of its folder"):
        load(file)


def test_a_missing_image_is_named_when_it_is_read(write):
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG: No such file"):
        load(write(name="b.png"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, "annotation of image 1: no image has this id"),
        ({"categories": CATEGORIES[:1]}, "segment 5: no category has the id 3; add it"),
        ({"categories": [*CATEGORIES, CATEGORIES[0]]}, "categories: an id occurs twice"),
        ({"segments": [{"id": "5", "category_id": 3}]}, "not a valid COCO panoptic file: Expected `int`, got `str`"),
        ({"segments": [{"id": 5}]}, "not a valid COCO panoptic file: Object missing required field `category_id`"),
        ({"images": 3}, "not a valid COCO panoptic file"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_one_line(write, changes, message):
    with pytest.raises(InputError, match=message) as error:
        find(write(**changes), ReadOptions())
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_refused(write):
    file = write()
    file.write_text(file.read_text()[:-5])
    with pytest.raises(InputError, match=r"panoptic\.json: not a valid COCO panoptic file"):
        find(file, ReadOptions())


def test_images_may_lie_beside_the_file(write, tmp_path):
    file = write()
    (tmp_path / "panoptic/a.png").rename(tmp_path / "a.png")
    (tmp_path / "panoptic").rmdir()
    assert load(file).shape == (2, 4)


def test_a_folder_holds_one_file_or_has_it_in_annotations(write, tmp_path):
    write()
    assert load(tmp_path).shape == (2, 4)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/annotations").mkdir()
    for name in ("panoptic.json", "panoptic"):
        (tmp_path / name).rename(tmp_path / "data/annotations" / name)
    assert load(tmp_path / "data").shape == (2, 4)
    text = (tmp_path / "data/annotations/panoptic.json").read_text()
    (tmp_path / "data/annotations/other.json").write_text(text)
    with pytest.raises(
        InputError, match=r"2 panoptic files: annotations/other\.json, annotations/panoptic\.json; give one of them, or"
    ):
        find(tmp_path / "data", ReadOptions())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"annotations": [{"segments_info": [], "segmentation": []}], "images": []}',
        '{"images": [], "annotations": [{"segmentation": []}]}',
        '[{"segments_info": [], "annotations": 1}]',
    ],
)
def test_other_json_files_are_another_layout(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert find(tmp_path / "a.json", ReadOptions()) is None
    assert find(tmp_path, ReadOptions()) is None


def test_panopticapi_samples_have_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/panopticapi_sample.json").read_text())
    folder = data_dir / "panoptic/sample_data"
    masks = find(folder / "panoptic_examples.json", ReadOptions(crowd="instance"))
    refs = {ref.key: ref for ref in masks.refs}
    pixels = Counter()
    for fact in facts["per_image"].values():
        ref = refs.pop(fact["file_name"])
        mask = ref.load()
        assert (mask.shape, mask.problems) == ((fact["h"], fact["w"]), ())
        assert np.count_nonzero(mask.ignore) == fact["void_pixels"]
        things = sorted(segment.id for segment in ref.segments if segment.is_thing)
        assert mask.areas[1:].tolist() == [fact["segment_pixels"][str(id_)] for id_ in things]
        pixels += Counter(dict(enumerate(np.bincount(mask.class_map.ravel())[1:].tolist(), start=1)))
    assert not refs
    names = {entry.code: entry.name for entry in masks.classes.entries}
    expected = {fact["name"]: fact["pixels"] for fact in facts["per_class"].values()}
    assert {names[code]: count for code, count in pixels.items() if count} == expected
    instances = sum(len(ref.load().classes) - 1 for ref in masks.refs)
    without_crowds = find(folder / "panoptic_examples.json", ReadOptions()).refs
    crowds = instances - sum(len(ref.load().classes) - 1 for ref in without_crowds)
    assert (instances, crowds) == (facts["thing_segments"], facts["iscrowd"])


def test_a_bare_panoptic_file_has_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/deeplab2_cityscapes_panoptic.json").read_text())
    (fact,) = facts["per_image"].values()
    masks = find(data_dir / "cityscapes_style/data/testdata/gtFine", ReadOptions())
    (mask,) = [ref.load() for ref in masks.refs]
    crowd = fact["segment_pixels"]["26"]
    sizes = {int(id_): count for id_, count in fact["segment_pixels"].items() if id_ not in {"0", "26"}}
    assert mask.areas[1:].tolist() == [sizes[id_] for id_ in sorted(sizes)]
    assert np.count_nonzero(mask.ignore) == fact["void_pixels"] + crowd
    assert [entry.name for entry in masks.classes.entries[1:]] == list(facts["per_class"])
    assert (mask.shape, mask.problems, mask.stuff) == ((fact["h"], fact["w"]), (), None)


def test_files_of_several_splits_are_one_data_set(write, tmp_path):
    text = write().read_text()
    for name in ("panoptic_val2017", "panoptic_train2017"):
        (tmp_path / f"annotations/{name}").mkdir(parents=True)
        (tmp_path / f"annotations/{name}/a.png").write_bytes((tmp_path / "panoptic/a.png").read_bytes())
        (tmp_path / f"annotations/{name}.json").write_text(text)
    (tmp_path / "panoptic.json").unlink()
    refs = find(tmp_path, ReadOptions()).refs
    assert [(ref.key, ref.load().shape) for ref in refs] == [("train/a.png", (2, 4)), ("val/a.png", (2, 4))]
    (tmp_path / "annotations/panoptic_train2017.json").write_text(text.replace("debris", "dust"))
    with pytest.raises(
        InputError, match=r"val2017\.json: other categories than in .*train2017\.json; give the files one by"
    ):
        find(tmp_path, ReadOptions())


def test_the_splits_of_a_coco_sample_are_found(data_dir):
    masks = find(data_dir / "formats/coco_dataset/coco_panoptic", ReadOptions())
    assert [ref.key for ref in masks.refs] == ["train/a.png", "val/b.png"]


def test_stuff_of_a_coco_sample_is_no_instance(data_dir):
    file = data_dir / "formats/coco_dataset/coco/annotations/panoptic_val.json"
    mask = load(file)
    assert mask.classes.tolist() == [0]
    assert np.bincount(mask.stuff.ravel()).tolist() == [30, 20]
    assert np.count_nonzero(mask.ignore) == 30
    assert np.bincount(load(file, crowd="instance").stuff.ravel()).tolist() == [10, 20, 20]


def test_of_the_colours_of_a_photograph_the_first_hundred_are_listed(write):
    mask = load(write([], ids=np.arange(400).reshape(20, 20), images=None))
    assert len(mask.problems) == 101
    assert (mask.problems[0].where, mask.problems[-1].where) == ("segment 1", "and 299 more")
