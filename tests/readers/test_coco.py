import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError, OptionError
from segprep.masks.mask import Problem
from segprep.readers import ReadOptions, find
from segprep.readers._coco import annotation_crop

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]
FAR_SQUARE = [4, 0, 6, 0, 6, 2, 4, 2]
IMAGE = {"id": 0, "file_name": "a.jpg", "height": 4, "width": 6}
CATEGORIES = [{"id": 0, "name": "cell"}, {"id": 90, "name": "debris"}]


def annotation(segmentation=(SQUARE,), **changes):
    return {"id": 17, "image_id": 0, "category_id": 0, "iscrowd": 0, "segmentation": segmentation} | changes


def document(*annotations, images=(IMAGE,), categories=CATEGORIES):
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def write(tmp_path):
    """Write a document, or text, and return the file."""

    def write(content, name="a.json"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return file

    return write


@pytest.fixture
def load(write):
    """Write annotations of one image and load its mask."""

    def load(*annotations, **options):
        (ref,) = find(write(document(*annotations)), options=ReadOptions(**options)).refs
        return ref.load()

    return load


def test_classes_are_numbered_in_the_order_of_the_file(write):
    masks = find(write(document(annotation(category_id=90), annotation([FAR_SQUARE]))))
    assert [(entry.code, entry.id, entry.name) for entry in masks.classes.entries[1:]] == [
        (1, 0, "cell"),
        (2, 90, "debris"),
    ]
    mask = masks.refs[0].load()
    assert mask.classes.tolist() == [0, 2, 1]
    assert mask.labels[1, 1] == 1
    assert mask.labels[0, 4] == 2


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        SQUARE,
        {"counts": [5, 2, 2, 2, 13], "size": [4, 6]},
        {"counts": "5220;", "size": [4, 6]},
    ],
    ids=["polygons", "bare polygon", "list of runs", "string of runs"],
)
def test_every_form_of_a_segmentation_gives_the_same_pixels(load, segmentation):
    expected = np.zeros((4, 6), int)
    expected[1:3, 1:3] = 1
    mask = load(annotation(segmentation))
    np.testing.assert_array_equal(mask.labels, expected)
    assert (mask.problems, mask.ignore) == ((), None)


def test_parts_of_one_annotation_are_one_instance(load):
    mask = load(annotation([SQUARE, FAR_SQUARE]))
    assert mask.areas.tolist() == [0, 8]


def test_overlapping_instances_lose_no_pixel(load):
    mask = load(annotation([SQUARE]), annotation([[0, 0, 6, 0, 6, 4, 0, 4]]))
    assert mask.areas.tolist() == [0, 4, 24]
    assert len(mask.planes) == 2


def test_an_image_without_annotations_is_a_mask_without_instances(write):
    (ref,) = find(write(document())).refs
    mask = ref.load()
    assert (mask.shape, mask.labels.max(), mask.classes.tolist(), mask.ignore) == ((4, 6), 0, [0], None)


def test_a_crowd_is_ignored_but_for_the_pixels_of_instances(load):
    crowd = annotation([[0, 0, 6, 0, 6, 3, 0, 3]], iscrowd=1)
    mask = load(crowd, annotation([SQUARE]))
    expected = np.zeros((4, 6), bool)
    expected[:3] = True
    expected[1:3, 1:3] = False
    np.testing.assert_array_equal(mask.ignore, expected)
    assert mask.areas.tolist() == [0, 4]


def test_a_crowd_is_an_instance_on_request(load):
    mask = load(annotation([FAR_SQUARE], iscrowd=1), annotation([SQUARE]), crowd="instance")
    assert mask.ignore is None
    assert mask.areas.tolist() == [0, 4, 4]


@pytest.mark.parametrize("iscrowd", [None, 0, False])
def test_what_is_not_marked_as_crowd_is_an_instance(load, iscrowd):
    assert load(annotation(iscrowd=iscrowd)).areas.tolist() == [0, 4]


def test_iscrowd_and_id_may_be_missing(load):
    assert load({"image_id": 0, "category_id": 0, "segmentation": [SQUARE]}).areas.tolist() == [0, 4]


BAD = {
    "null": (None, "no segmentation"),
    "empty": ([], "no segmentation"),
    "empty part": ([[]], "polygon of fewer than 6 numbers"),
    "two points": ([[1, 1, 3, 3]], "polygon of fewer than 6 numbers"),
    "one bad part": ([SQUARE, [*SQUARE, 1]], "polygon of an odd number of numbers"),
    "odd": ([[*SQUARE, 1]], "polygon of an odd number of numbers"),
    "far": ([[*SQUARE, 1e9, 1]], "polygon with a coordinate that is not finite or far off"),
    "text": ([list(map(str, SQUARE))], "segmentation is neither polygons nor runs"),
    "mixed": ([SQUARE, 1.0], "segmentation is neither polygons nor runs"),
    "word": ("polygon", "segmentation is neither polygons nor runs"),
    "outside": ([[10, 10, 12, 10, 12, 12]], "no pixel inside the image"),
    "line": ([[1, 1, 3, 1, 2, 1]], "no pixel inside the image"),
    "empty runs": ({"counts": [24], "size": [4, 6]}, "no pixel inside the image"),
    "short runs": ({"counts": [5, 2], "size": [4, 6]}, "run lengths do not fit the image"),
    "negative runs": ({"counts": [5, -2, 21], "size": [4, 6]}, "run lengths do not fit the image"),
    "long runs": ({"counts": [0, 10**30], "size": [4, 6]}, "run lengths do not fit the image"),
    "no string": ({"counts": "52 203", "size": [4, 6]}, "run lengths cannot be decoded"),
    "other size": ({"counts": [5, 2, 17], "size": [6, 4]}, "size differs from the image's"),
}


def test_a_segmentation_that_is_no_utf8_is_left_out_and_recorded(write):
    file = write(document(annotation(), annotation({"counts": "caf", "size": [4, 6]})))
    file.write_bytes(file.read_bytes().replace(b"caf", b"caf\xe9"))
    (problem,) = find(file).refs[0].load().problems
    assert problem.kind == "segmentation is neither polygons nor runs"


@pytest.mark.parametrize(("segmentation", "kind"), BAD.values(), ids=BAD)
def test_a_bad_annotation_is_left_out_and_recorded(load, segmentation, kind):
    mask = load(annotation(segmentation, id=5), annotation([FAR_SQUARE]))
    assert mask.areas.tolist() == [0, 4]
    (problem,) = mask.problems
    assert problem.kind == kind
    assert "annotation 5: " in problem.where
    assert "\n" not in problem.where


@pytest.mark.parametrize("part", [[], [1, 1], [1, 1, 3, 3]])
def test_a_part_without_area_leaves_the_others_as_they_are(load, part):
    mask = load(annotation([SQUARE, part]))
    assert (mask.areas.tolist(), mask.problems) == ([0, 4], ())


@pytest.mark.parametrize(("crowds", "problems"), [(1, 0), (2, 1), (3, 1)])
def test_a_majority_of_crowds_is_reported(write, crowds, problems):
    regions = [annotation(id=number, iscrowd=int(number < crowds)) for number in range(3)]
    masks = find(write(document(*regions)))
    assert [problem.where.partition(";")[0] for _, problem in masks.problems] == [
        f"{crowds} of 3 annotations"
    ] * problems
    assert not any(problem.left_out for _, problem in masks.problems)
    assert find(write(document(*regions)), options=ReadOptions(crowd="instance")).problems == ()


def test_numbers_beyond_the_range_of_floats_are_a_fault(write):
    text = json.dumps(document(annotation([[*SQUARE, 123456, 1]]))).replace("123456", "1e999")
    (ref,) = find(write(text)).refs
    assert len(ref.load().problems) == 1


def test_a_segmentation_that_is_no_text_in_utf_8_is_a_fault(write):
    runs = annotation({"size": [4, 6], "counts": "odd"})
    file = write(document(runs, annotation()))
    file.write_bytes(file.read_bytes().replace(b'"odd"', b'"\xff"'))
    (ref,) = find(file).refs
    mask = ref.load()
    assert [problem.kind for problem in mask.problems] == ["segmentation is neither polygons nor runs"]
    assert len(mask.classes) == 2


def test_annotations_of_equal_ids_are_both_read_with_a_warning(write):
    masks = find(write(document(*(annotation([part]) for part in (SQUARE, FAR_SQUARE)), annotation(id=None))))
    assert masks.refs[0].load().areas.tolist() == [0, 4, 4, 4]
    assert masks.problems == (
        ("a.json", Problem("annotation id occurs twice", "annotation 17: image_id 0, 0", left_out=False)),
    )


def test_names_of_categories_that_occur_twice_are_a_warning(write):
    categories = [{"id": number, "name": name} for number, name in enumerate(["a", "b", "a", "b", None, None])]
    ((_, problem),) = find(write(document(annotation(), categories=categories))).problems
    assert problem == Problem("category name occurs twice", "a: id 0, 2 and 1 more", left_out=False)


BOX = {"bbox": [1, 1, 2, 2]}


@pytest.mark.parametrize("segmentation", [None, [], [[]], "", {}])
def test_a_box_is_a_mask_on_request(load, segmentation):
    (problem,) = load(annotation(segmentation, **BOX)).problems
    assert problem.kind == "no segmentation"
    assert problem.where.startswith("annotation 17: ")
    assert problem.where.endswith("; boxes_as_masks=True fills its box")
    mask = load(annotation(segmentation, **BOX), boxes_as_masks=True)
    assert (mask.labels == load(annotation()).labels).all()
    assert mask.problems == ()


def test_a_box_beside_a_segmentation_is_not_read(load):
    assert load(annotation(bbox=[0, 0, 6, 4]), boxes_as_masks=True).areas.tolist() == [0, 4]
    (problem,) = load(annotation("polygon", **BOX), boxes_as_masks=True).problems
    assert problem.kind == "segmentation is neither polygons nor runs"


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([1, 1, 2], "box is not x, y, width, height"),
        ("1 1 2 2", "box is not x, y, width, height"),
        (None, "box is not x, y, width, height"),
        ([1, 1, 0, 2], "box without area"),
        ([1, 1, 2, -2], "box without area"),
        ([9, 9, 2, 2], "no pixel inside the image"),
        ([1, 1, 1e300, 2], "polygon with a coordinate that is not finite or far off"),
    ],
)
def test_a_bad_box_is_left_out_and_recorded(load, box, kind):
    mask = load(annotation([], bbox=box), annotation([FAR_SQUARE], id=18), boxes_as_masks=True)
    assert ([problem.kind for problem in mask.problems], mask.areas.tolist()) == ([kind], [0, 4])


def without_segmentations(*annotations):
    return document(*({key: value for key, value in row.items() if key != "segmentation"} for row in annotations))


def test_a_file_of_boxes_alone_is_refused_and_read_on_request(write, tmp_path):
    file = write(without_segmentations(annotation(**BOX)))
    for path in (file, tmp_path):
        with pytest.raises(
            InputError, match=r"a\.json: has boxes, but no segmentation; boxes_as_masks=True fills boxes"
        ):
            find(path)
        assert find(path, options=ReadOptions(boxes_as_masks=True)).refs[0].load().areas.tolist() == [0, 4]


def test_a_file_of_boxes_in_the_folder_of_annotations_is_named(write, tmp_path):
    write(without_segmentations(annotation(**BOX)), "annotations/boxes.json")
    with pytest.raises(InputError, match=r"boxes\.json: has boxes, but no segmentation"):
        find(tmp_path)


def test_boxes_as_masks_of_a_format_without_boxes_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"boxes_as_masks=True: .* is label-image; only coco and yolo have boxes"):
        find(tmp_path, options=ReadOptions(boxes_as_masks=True))


def test_a_file_without_annotations_in_a_folder_is_all_background(write, tmp_path):
    write(document())
    (ref,) = find(tmp_path).refs
    assert ref.load().labels.tolist() == np.zeros((4, 6), int).tolist()


@pytest.mark.parametrize("other", [document(), without_segmentations(annotation(**BOX))])
def test_a_split_without_segmentations_is_of_the_data_set(write, tmp_path, other):
    write(document(annotation()), "annotations/train.json")
    write(other, "annotations/val.json")
    assert [ref.key for ref in find(tmp_path).refs] == ["train/a.jpg", "val/a.jpg"]


def test_a_file_without_segmentations_that_is_no_split_is_skipped(write, tmp_path):
    write(document(annotation()), "annotations/instances.json")
    write(without_segmentations(annotation(**BOX)), "annotations/boxes.json")
    assert [ref.key for ref in find(tmp_path).refs] == ["a.jpg"]


def write_image(file, height, width, orientation=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (width, height))
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(file, exif=exif)


@pytest.mark.parametrize("name", ["a.jpg", "images/a.jpg", "train/deep/a.jpg"])
def test_an_image_of_another_size_is_a_warning(write, tmp_path, name):
    write(document(annotation()), "annotations/a.json")
    write_image(tmp_path / name, 8, 12)
    mask = find(tmp_path).refs[0].load()
    (problem,) = mask.problems
    assert (problem.kind, problem.left_out) == ("size differs from the image file's", False)
    assert problem.where.startswith("4 x 6 pixels, but ")
    assert problem.where.endswith("a.jpg has 8 x 12")
    assert mask.areas.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("height", "width", "orientation", "problems"),
    [(4, 6, None, 0), (6, 4, 6, 0), (4, 6, 6, 0), (6, 4, None, 1), (6, 4, 3, 1)],
)
def test_an_image_that_viewers_turn_may_have_either_size(write, tmp_path, height, width, orientation, problems):
    write(document(annotation()))
    write_image(tmp_path / "a.jpg", height, width, orientation)
    assert len(find(tmp_path).refs[0].load().problems) == problems


def test_an_image_that_is_not_certain_or_not_readable_is_not_compared(write, tmp_path):
    file = write(document(annotation()))
    write_image(tmp_path / "b/a.jpg", 8, 12)
    assert find(file).refs[0].load().problems == ()  # a single file is read alone
    write_image(tmp_path / "c/a.jpg", 8, 12)
    assert find(tmp_path).refs[0].load().problems == ()
    (tmp_path / "a.jpg").write_bytes(b"odd")
    assert find(tmp_path).refs[0].load().problems == ()


@pytest.mark.parametrize("name", ["../a.jpg", "b/../../a.jpg", "C:\\a.jpg", "..\\a.jpg", "/"])
def test_a_name_that_leads_out_is_a_warning_and_not_followed(write, tmp_path, name):
    name = str(tmp_path / "a.jpg") if name == "/" else name
    write_image(tmp_path / "a.jpg", 8, 12)
    write(document(annotation(), images=[IMAGE | {"file_name": name}]), "data/a.json")
    write_image(tmp_path / "data/a.jpg", 8, 12)
    masks = find(tmp_path / "data")
    ((file, problem),) = masks.problems
    assert (file, problem.left_out) == ("a.json", False)
    assert problem.kind == "file_name leads out of the data set and is not followed"
    assert problem.where == f"{name}: image 0"
    assert masks.refs[0].load().problems == ()


def test_the_ref_of_an_image_beside_can_be_pickled(write, tmp_path):
    write(document(annotation()))
    write_image(tmp_path / "a.jpg", 8, 12)
    (ref,) = find(tmp_path).refs
    assert pickle.loads(pickle.dumps(ref)) == ref  # noqa: S301


REFUSED = {
    "image twice": (document(images=[IMAGE, IMAGE]), "images: the id 0 occurs twice"),
    "category twice": (document(categories=CATEGORIES[:1] * 2), "categories: the id 0 occurs twice"),
    "name twice": (document(images=[IMAGE, IMAGE | {"id": 1}]), "2 masks have the name 'a.jpg'"),
    "no name": (document(images=[{"id": 5, "height": 1, "width": 1}]), "image 5 has no file_name"),
    "no image": (document(images=[]), "contains no mask"),
    "image twice as number and text": (document(images=[IMAGE, IMAGE | {"id": "0"}]), "images: the id 0 occurs twice"),
    "id as a fraction": (document(images=[IMAGE | {"id": 0.5}]), "images: the id 0.5 is not an integer"),
    "size as a list": (document(images=[IMAGE | {"height": [4]}]), "not a valid COCO file: .* got `array`"),
    "id as a list": (document(images=[IMAGE | {"id": [4]}]), "not a valid COCO file: .* got `array`"),
    "id of a category beyond 64 bits": (
        document(categories=[{"id": 2**63}]),
        "categories: the id 9223372036854775808 has",
    ),
    "long name": (document(images=[IMAGE | {"file_name": "a" * 1001}]), "image 0: file_name has 1001 characters"),
    "no categories": ({"images": [], "annotations": []}, "not a valid COCO file: .*`categories`"),
    "cut off": (json.dumps(document(annotation()))[:-5], "not a valid COCO file: Input data was truncated"),
    "not JSON": (json.dumps(document(annotation([[float("nan")]]))), "not a valid COCO file: JSON is malformed"),
    "nested": (
        json.dumps(document(annotation("?"))).replace('"?"', "[" * 200_000),
        "not a valid COCO file: maximum recursion",
    ),
    "results": ([annotation() | {"score": 0.5}], "a list, as detectors write their results, is not ground truth"),
    "empty": ("", "the file is empty"),
    "something else": ({"images": [], "shapes": []}, "no known layout"),
    "broken panoptic": (document({"id": 1, "segments_info": []}), "not a valid COCO panoptic file: .*`image_id`"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_whose_meaning_is_unclear_is_refused(write, content, message):
    with pytest.raises(InputError, match=rf"a\.json: .*{message}") as caught:
        find(write(content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height": 0}, "0 x 6 pixels; height and width must be at least 1"),
        ({"width": -6}, "4 x -6 pixels; height and width must be at least 1"),
        ({"width": 200_000, "height": 200_000}, "200000 x 200000 pixels are more than max_pixels"),
        ({"width": None}, "has no width; add it, in pixels"),
        ({"height": 4.5}, "height is 4.5; it must be an integer number of pixels"),
        ({"height": "four"}, "height is 'four'; it must be an integer number of pixels"),
    ],
)
def test_an_image_of_impossible_size_cannot_be_loaded_but_the_others_can(write, size, message):
    bad, good = find(write(document(images=[IMAGE | size, IMAGE | {"id": 1, "file_name": "b.jpg"}]))).refs
    with pytest.raises(InputError, match=f"image a.jpg: {message}"):
        bad.load()
    assert good.load().shape == (4, 6)


def test_names_are_never_opened_and_have_forward_slashes(write):
    names = ["..\\b\\a.jpg", "/etc/passwd", "c/a.jpg"]
    images = [IMAGE | {"id": number, "file_name": name} for number, name in enumerate(names)]
    refs = find(write(document(images=images))).refs
    assert [ref.key for ref in refs] == ["../b/a.jpg", "/etc/passwd", "c/a.jpg"]


def test_a_byte_order_mark_is_accepted(write):
    assert len(find(write("\ufeff" + json.dumps(document(annotation())))).refs) == 1


@pytest.mark.parametrize("name", ["a.json", "annotations/a.json"])
def test_a_folder_may_hold_the_file(write, tmp_path, name):
    write(document(annotation()), name)
    write({"shapes": []}, "labelme.json")
    write([{"segmentation": []}], "results.json")
    assert find(tmp_path).format == "coco"


@pytest.mark.parametrize(
    ("first", "second"),
    [("a.json", "b.json"), ("a.json", "train.json"), ("a_val.json", "b_val.json"), ("test.json", "train_val.json")],
)
def test_several_files_that_are_not_one_per_split_are_refused(write, tmp_path, first, second):
    write(document(annotation()), f"annotations/{first}")
    write(document(annotation()), f"annotations/{second}")
    with pytest.raises(InputError, match=rf"2 COCO files: annotations/{first}, annotations/{second}; give one"):
        find(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["test.json", "train.json", "val.json"],
        [
            "annotations/instances_test2017.json",
            "annotations/instances_train2017.json",
            "annotations/instances_val2017.json",
        ],
        ["test/_annotations.coco.json", "train/_annotations.coco.json", "valid/_annotations.coco.json"],
    ],
    ids=["plain", "COCO", "Roboflow"],
)
def test_files_of_splits_are_one_data_set_whose_keys_tell_the_splits(write, names):
    for number, name in enumerate(names):
        images = [IMAGE | {"id": number}]
        file = write(document(annotation(image_id=number, category_id=90), images=images), name)
    folder = file.parents[name.count("/")]
    masks = find(folder)
    keys = [ref.key for ref in masks.refs]
    assert keys == ["test/a.jpg", "train/a.jpg", "val/a.jpg"]
    assert [ref.split for ref in masks.refs] == ["test", "train", "val"]
    assert [ref.load().classes.tolist() for ref in masks.refs] == [[0, 2]] * 3
    assert len(masks.classes) == 3


def test_categories_may_stand_in_another_order_in_another_file(write, tmp_path):
    write(document(annotation(category_id=90)), "train.json")
    write(document(annotation(category_id=90), categories=CATEGORIES[::-1]), "val.json")
    assert [ref.load().classes.tolist() for ref in find(tmp_path).refs] == [[0, 2], [0, 2]]


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([CATEGORIES[0], {"id": 90, "name": "dust"}], "category 90 is 'dust', but 'debris' in"),
        (CATEGORIES[:1], "category 90 is missing, but 'debris' in"),
        ([*CATEGORIES, {"id": 3, "name": "dust"}], "category 3 is 'dust', but missing in"),
        (CATEGORIES[:1] * 2, "categories: the id 0 occurs twice"),
    ],
)
def test_files_of_one_data_set_must_agree_on_the_categories(write, tmp_path, categories, message):
    write(document(annotation()), "train.json")
    write(document(annotation(), categories=categories), "val.json")
    with pytest.raises(InputError, match=rf"val\.json: {message}"):
        find(tmp_path)


def test_a_file_of_another_split_in_utf_16_is_not_skipped(write, tmp_path):
    write(document(annotation()), "train.json")
    (tmp_path / "val.json").write_bytes(json.dumps(document(annotation())).encode("utf-16"))
    with pytest.raises(InputError, match=r"val\.json: begins with .*; save it as UTF-8"):
        find(tmp_path)


def test_one_file_of_a_split_keeps_its_keys(write, tmp_path):
    write(document(annotation()), "train.json")
    assert find(tmp_path).refs[0].key == "a.jpg"


def test_keypoints_and_stuff_beside_instances_are_skipped(write, tmp_path):
    for name in ("instances_train2017", "instances_val2017", "person_keypoints_train2017", "stuff_val2017"):
        write(document(annotation()), f"annotations/{name}.json")
    assert [ref.key for ref in find(tmp_path).refs] == ["train/a.jpg", "val/a.jpg"]


def test_an_image_without_name_is_named_by_the_end_of_its_address(write):
    image = {"id": 0, "height": 4, "width": 6, "coco_url": "http://images.cocodataset.org/val2017/000000397133.jpg"}
    (ref,) = find(write(document({"image_id": 0, "category_id": 0, "segmentation": [SQUARE]}, images=[image]))).refs
    assert (ref.key, ref.load().areas.tolist()) == ("val2017/000000397133.jpg", [0, 4])


@pytest.mark.parametrize("url", ["", 0, None, "http://[", "http://images.cocodataset.org"])
def test_an_address_that_names_nothing_is_refused(write, url):
    with pytest.raises(InputError, match="image 5 has no file_name"):
        find(write(document(images=[{"id": 5, "height": 1, "width": 1, "coco_url": url}])))


@pytest.mark.parametrize("field", ["image_id", "category_id"])
@pytest.mark.parametrize("id_", [0, 0.0, "0"])
def test_a_reference_means_the_same_as_a_number_or_as_text(load, field, id_):
    assert load(annotation(**{field: id_})).areas.tolist() == [0, 4]


@pytest.mark.parametrize("size", [{"height": "4"}, {"width": 6.0}, {"height": 4.0, "width": "6"}])
def test_sizes_may_be_integral_floats_or_digits(write, size):
    (ref,) = find(write(document(images=[IMAGE | size]))).refs
    assert ref.load().shape == (4, 6)


def test_a_category_whose_id_is_text_has_a_name_only(write):
    masks = find(write(document(annotation(category_id="x"), categories=[{"id": "x"}])))
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [(None, "x")]
    assert masks.refs[0].load().classes.tolist() == [0, 1]


def test_an_annotation_of_an_unknown_category_is_left_out_and_recorded(load):
    mask = load(annotation(category_id=3), annotation())
    assert mask.areas.tolist() == [0, 4]
    assert mask.problems == (Problem("category that the file does not list", "annotation 17: category_id 3"),)


def test_annotations_of_an_unknown_image_are_faults_of_the_file(write, tmp_path):
    strays = [annotation(image_id=3), annotation(image_id=3, id=18), annotation(image_id="b", id=19)]
    write(document(*strays, annotation(id=20)), "train.json")
    write(document(annotation(image_id=4)), "val.json")
    masks = find(tmp_path)
    kind = "image that the file does not list"
    assert masks.problems == (
        ("train/train.json", Problem(kind, "annotation 17 and 1 more: image_id 3")),
        ("train/train.json", Problem(kind, "annotation 19: image_id b")),
        ("val/val.json", Problem(kind, "annotation 17: image_id 4")),
    )
    assert [ref.load().areas.tolist() for ref in masks.refs] == [[0, 4], [0]]


@pytest.mark.parametrize("folder", ["coco", "coco_roboflow"])
def test_foreign_files_of_splits_are_one_data_set(data_dir, folder):
    train, val = find(data_dir / "formats/coco_dataset" / folder, format="coco").refs
    assert (train.key, val.key) == ("train/a.jpg", "val/b.jpg")
    assert [problem.kind for problem in train.load().problems] == ["no segmentation"]
    assert (val.load().areas.tolist(), val.load().ignore.sum()) == ([0, 2], 18)


def test_a_ref_carries_its_own_annotations_only(write):
    images = [IMAGE | {"id": number, "file_name": f"{number}.jpg"} for number in range(2)]
    long = [number % 7 for number in range(20_000)]
    (small, large) = find(write(document(annotation(), annotation([long], image_id=1), images=images))).refs
    assert len(pickle.dumps(small)) < 1000
    assert len(pickle.dumps(large)) < len(json.dumps(long)) + 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(small)).load().labels, small.load().labels)  # noqa: S301


def test_a_region_is_rasterised_within_its_bounding_box():
    y, x, pixels = annotation_crop(json.dumps([[100, 200, 103, 200, 103, 202, 100, 202]]).encode(), (3000, 4000))
    assert (y, x, pixels.shape, pixels.all()) == (200, 100, (2, 3), True)


def test_taco_has_the_counts_of_an_independent_reader(data_dir):
    facts = json.loads((data_dir / "facts/taco_small.json").read_text())
    masks = find(data_dir / "taco")
    instances, pixels, union = {}, {}, 0
    for ref in masks.refs:
        mask = ref.load()
        assert mask.problems == ()
        union += np.count_nonzero(mask.labels)
        for code, area in zip(mask.classes[1:], mask.areas[1:], strict=True):
            id_ = str(masks.classes.entries[code].id)
            instances[id_] = instances.get(id_, 0) + 1
            pixels[id_] = pixels.get(id_, 0) + area
    assert len(masks.refs) == facts["images"]
    assert union == facts["union_pixels"]
    assert instances == {id_: fact["annotations"] for id_, fact in facts["per_class"].items()}
    assert pixels == {id_: fact["sum_instance_pixels"] for id_, fact in facts["per_class"].items()}


def test_detection_results_are_refused(data_dir):
    with pytest.raises(InputError, match="a list, as detectors write their results, is not ground truth"):
        find(data_dir / "coco_results/instances_val2014_fakesegm100_results.json")


def test_result_runs_have_the_area_that_an_independent_reader_found(data_dir):
    facts = json.loads((data_dir / "facts/cocoapi_fakesegm100.json").read_text())
    results = json.loads((data_dir / "coco_results/instances_val2014_fakesegm100_results.json").read_text())
    forms = [result["segmentation"] for result in results]
    total = sum(annotation_crop(json.dumps(form).encode(), tuple(form["size"])).pixels.sum() for form in forms)
    assert total == facts["total_area"]


def test_instances_among_other_coco_files_are_read(data_dir):
    masks = find(data_dir / "formats/coco_dataset/coco/annotations/instances_train.json")
    assert [entry.id for entry in masks.classes.entries[1:]] == [1, 2, 4]
    (ref,) = masks.refs
    assert (ref.key, ref.load().shape) == ("a.jpg", (5, 10))


def lvis(number):
    """One image of LVIS: no name but its address, and annotations without iscrowd."""
    url = f"http://images.cocodataset.org/train2017/{number:012}.jpg"
    extra = {"neg_category_ids": [90], "not_exhaustive_category_ids": [], "flickr_url": "", "license": 4}
    image = {"id": number, "height": 4, "width": 6, "coco_url": url} | extra
    own = {"id": 1, "image_id": number, "category_id": 90, "segmentation": [SQUARE], "area": 4.0, "bbox": [1, 1, 2, 2]}
    categories = [each | {"frequency": "c", "synset": "x.n.01", "image_count": 9} for each in CATEGORIES]
    return {"info": {}, "licenses": []} | document(own, images=[image], categories=categories)


ROBOFLOW = document(
    annotation(category_id=1, area=4, bbox=[1, 1, 2, 2]),
    images=[IMAGE | {"file_name": "a_jpg.rf.5f3c.jpg", "extra": {"name": "a.jpg"}, "license": 1, "date_captured": ""}],
    categories=[{"id": 0, "name": "cells", "supercategory": "none"}, {"id": 1, "name": "c", "supercategory": "cells"}],
)
FIFTYONE = {"info": {"contributor": "", "url": "https://voxel51.com/fiftyone"}, "licenses": []} | document(
    annotation(area=4, bbox=[1.0, 1.0, 2.0, 2.0], supercategory=None),
    images=[IMAGE | {"license": None, "coco_url": None}],
    categories=[CATEGORIES[0] | {"supercategory": None}],
)
CVAT = {"licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": ""}} | document(
    annotation({"counts": [5, 2, 2, 2, 13], "size": [4, 6]}, attributes={"occluded": False, "rotation": 0.0}),
    images=[IMAGE | {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}],
)
LABELME2COCO = {"info": {"year": 2024}, "type": "instances"} | document(
    annotation([list(map(float, SQUARE))], area=4.0, bbox=[1.0, 1.0, 2.0, 2.0]),
    images=[IMAGE | {"file_name": "JPEGImages\\a.jpg", "license": 0, "url": None, "date_captured": None}],
    categories=[{"supercategory": None, "id": 0, "name": "_background_"}, *CATEGORIES[1:]],
)

HABITS = {
    "LVIS": (
        {"lvis_v1_train.json": lvis(9), "lvis_v1_val.json": lvis(5)},
        {"train/train2017/000000000009.jpg": "debris", "val/train2017/000000000005.jpg": "debris"},
    ),
    "Roboflow": (
        {f"{part}/_annotations.coco.json": ROBOFLOW for part in ("train", "valid", "test")}
        | {"README.roboflow.txt": "x", "README.dataset.txt": "x", "train/a_jpg.rf.5f3c.jpg": "x"},
        {f"{part}/a_jpg.rf.5f3c.jpg": "c" for part in ("train", "val", "test")},
    ),
    "FiftyOne": ({"labels.json": FIFTYONE, "data/a.jpg": "x"}, {"a.jpg": "cell"}),
    "CVAT": ({"annotations/instances_default.json": CVAT, "images/default/a.jpg": "x"}, {"a.jpg": "cell"}),
    "CVAT, images beside": ({"annotations/instances_default.json": CVAT, "images/a.jpg": "x"}, {"a.jpg": "cell"}),
    "labelme2coco": (
        {"annotations.json": LABELME2COCO, "JPEGImages/a.jpg": "x", "Visualization/a.jpg": "x"},
        {"JPEGImages/a.jpg": "_background_"},
    ),
}


@pytest.mark.parametrize(("files", "expected"), HABITS.values(), ids=HABITS)
def test_folders_of_other_programs_are_read(write, tmp_path, files, expected):
    for name, content in files.items():
        write(content, name)
    masks = find(tmp_path)
    loaded = {ref.key: ref.load() for ref in masks.refs}
    assert masks.format == "coco"
    assert {key: masks.classes.entries[mask.classes[1]].name for key, mask in loaded.items()} == expected
    for mask in loaded.values():
        assert (mask.areas.tolist(), mask.labels[1, 1], mask.problems, mask.ignore) == ([0, 4], 1, (), None)


def test_refs_outlive_their_file(write):
    """A file that is cut while it is mapped would end the process."""
    annotations = [annotation([SQUARE], id=number) for number in range(2000)]
    file = write(document(*annotations, images=[IMAGE]))
    (ref,) = find(file, options=ReadOptions(crowd="instance")).refs
    file.write_bytes(b"")
    assert len(ref.annotations) == len(annotations)
    assert bytes(ref.annotations[-1].segmentation) == json.dumps([SQUARE]).encode()
