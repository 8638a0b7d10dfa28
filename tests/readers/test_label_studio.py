import json
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.rle import BadRegionError
from segprep.readers import ReadOptions, label_studio
from segprep.readers import find as find_any
from segprep.readers._brush import brush_bitmap

SQUARE = {"points": [[20, 25], [60, 25], [60, 75], [20, 75]], "closed": True, "polygonlabels": ["leaf"]}
ELLIPSE = {"x": 50, "y": 50, "radiusX": 40, "radiusY": 25, "rotation": 0, "ellipselabels": ["stem"]}


def pack(values, *, sizes=(3, 4, 8, 16), bits=8):
    """Bytes of packed runs of values: equal ones as a run, else each by itself as a list of one."""
    text = f"{len(values):032b}{bits - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    start = 0
    while start < len(values):
        stop = start + 1
        while stop < len(values) and values[stop] == values[start] and stop - start < 2 ** sizes[3]:
            stop += 1
        size = next(index for index, size in enumerate(sizes) if stop - start <= 2**size)
        text += f"{int(stop - start > 1)}{size:02b}{stop - start - 1:0{sizes[size]}b}{values[start]:0{bits}b}"
        start = stop
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def brush(pixels, **changes):
    return {
        "rle": list(pack(np.repeat(np.ravel(pixels), 4).tolist())),
        "format": "rle",
        "brushlabels": ["leaf"],
    } | changes


def result(value, **changes):
    size = {"original_width": 5, "original_height": 4, "image_rotation": 0}
    kind = next((key for key in value if key.endswith("labels")), "polygon")
    return {"type": kind, "value": value, "from_name": "tag", "to_name": "image"} | size | changes


def annotation(*results, was_cancelled=False):
    return {"id": 9, "result": list(results), "was_cancelled": was_cancelled, "completed_by": 1}


def task(*annotations, image="/data/upload/1/0123abcd-a.png", id_=1):
    return {"id": id_, "annotations": list(annotations), "data": {"n": 1, "image": image}, "predictions": []}


@pytest.fixture
def write(tmp_path):
    """Write a file and return the data set's folder."""

    def write(content, name="project-1.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return tmp_path

    return write


def find(path, **options):
    return label_studio.find(path, ReadOptions(**options))


@pytest.fixture
def load(write):
    """Write regions of one image and load its mask."""
    return lambda *results: find(write([task(annotation(*results))])).refs[0].load()


def test_polygons_brush_regions_and_ellipses_are_instances(write):
    corner = np.zeros((4, 5), int)
    corner[:2, 3:] = 255
    folder = write([task(annotation(result(SQUARE), result(brush(corner)), result(ELLIPSE)))])
    masks = find_any(folder)
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    assert [entry.name for entry in masks.classes.entries[1:]] == ["leaf", "stem"]
    assert (masks.format, ref.key, mask.shape, mask.problems) == ("label-studio", "0123abcd-a.png", (4, 5), ())
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1, 2], [0, 4, 4, 6])
    assert np.argwhere(mask.planes[0] == 1).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert find_any(folder / "project-1.json").format == "label-studio"


def test_an_ellipse_turns_in_pixels_around_its_centre(load):
    assert load(result(ELLIPSE | {"rotation": 90})).areas.tolist() == [0, 4]


@pytest.mark.parametrize("seed", range(20))
def test_packed_runs_are_those_of_the_alpha_channel(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, 2).tolist())
    values = rng.choice([0, 0, 0, 1, 255], (*shape, 4)).repeat(rng.integers(1, 40), axis=1)
    sizes = rng.choice([[3, 4, 8, 16], [1, 2, 3, 9], [4, 4, 4, 4]])
    found = brush_bitmap(pack(values.ravel().tolist(), sizes=sizes.tolist()), values.shape[:2])
    np.testing.assert_array_equal(found, values[..., 3] > 0)


def test_packed_runs_may_list_their_values():
    head = f"{8:032b}{8 - 1:05b}" + f"{8 - 1:04b}" * 4
    text = head + "0" + "01" + f"{7:08b}" + "".join(f"{value:08b}" for value in [9, 9, 9, 0, 0, 0, 0, 9])
    packed = int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")
    assert brush_bitmap(packed, (1, 2)).tolist() == [[False, True]]
    with pytest.raises(BadRegionError) as caught:
        brush_bitmap(packed[:-2], (1, 2))
    assert caught.value.args == ("brush runs end early or have values of more than 8 bits", "6 of 8 values")


def test_the_label_of_a_shape_may_be_another_result(load):
    points = {"points": SQUARE["points"]}
    text = {"text": ["old"]} | points
    labelled = result(points | {"labels": ["leaf"]}, type="labels", id="x")
    mask = load(result(points, id="x"), labelled, result(text, id="x", type="textarea"), {"type": "relation"})
    assert (mask.areas.tolist(), mask.problems) == ([0, 4], ())


@pytest.mark.parametrize(
    ("damaged", "kind", "where"),
    [
        (
            result({"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["leaf"]}),
            "region is neither a polygon, an ellipse nor a brush region",
            "'rectanglelabels'",
        ),
        (result({"points": SQUARE["points"]}), "region without a label", "region 0: 'polygon'"),
        (result(SQUARE, image_rotation=90), "region of an image that was turned in Label Studio", "90 degrees"),
        (result(SQUARE) | {"original_width": 6}, "size of the image differs from that of other regions", "4 x 6"),
        (result(brush(np.ones((3, 3), int))), "brush runs do not fit the image", "36 values instead of 80"),
        (
            result(brush(0, rle=[0, 0, 0, 80, 57])),
            "brush runs end early or have values of more than 8 bits",
            "0 of 80 values",
        ),
        (result(brush(0, rle=[256])), "region cannot be understood", "<= 255"),
        (result(brush(np.zeros((4, 5), int))), "no pixel inside the image", "4 x 5"),
        (
            result({key: value for key, value in ELLIPSE.items() if key != "y"}),
            "ellipse with a number that is not finite or far off",
            "nan",
        ),
        (result(SQUARE | {"points": [[1, 1], [2, 2]]}), "polygon of fewer than 6 numbers", "4"),
        (7, "region cannot be understood", "Expected `object`, got `int`"),
    ],
)
def test_bad_regions_are_left_out_and_named(write, damaged, kind, where):
    good = result(SQUARE)
    results = [good, damaged] if damaged != 7 and damaged["original_width"] == 6 else [damaged, good]
    mask = find(write([task(annotation(*results))])).refs[0].load()
    assert [problem.kind for problem in mask.problems] == [kind]
    assert where in mask.problems[0].where
    assert mask.areas.tolist() == [0, 4]


def test_of_several_labels_the_first_counts(load):
    mask = load(result(SQUARE | {"polygonlabels": ["leaf", "old"]}))
    assert mask.problems == (("region with several labels, the first of which counts", "region 0", False),)
    assert mask.areas.tolist() == [0, 4]


def test_of_several_annotations_the_first_that_is_not_cancelled_counts(write):
    cancelled = annotation(result(ELLIPSE), was_cancelled=True)
    masks = find(
        write([task(cancelled, annotation(result(SQUARE)), annotation()), task(id_=2), task(cancelled, id_=3)])
    )
    (ref,) = masks.refs
    mask = ref.load()
    assert mask.areas.tolist() == [0, 4]
    assert mask.problems == (("image with several annotations, the first of which counts", "2", False),)
    assert [problem[:2] for _, problem in masks.problems] == [
        ("task that is not annotated", "task 2"),
        ("task that is not annotated", "task 3"),
    ]


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("https://host/x/a.jpg?sign=1/2", "a.jpg"),
        ("s3://bucket/x/a.jpg", "a.jpg"),
        ("/data/local-files/?d=train/a%20b.jpg", "train/a b.jpg"),
        (r"..\a.jpg", "../a.jpg"),
    ],
)
def test_the_image_gives_the_name(write, image, key):
    (ref,) = find(write([task(annotation(result(SQUARE)), image=image)])).refs
    assert ref.key == key
    assert ref.split == ("train" if key.startswith("train/") else None)


def test_equal_names_get_the_number_of_the_task(write):
    tasks = [task(annotation(), image=f"s3://b/{folder}/a.jpg", id_=number) for number, folder in enumerate("xy")]
    assert [ref.key for ref in find_any(write(tasks)).refs] == ["0/a.jpg", "1/a.jpg"]


def test_an_image_without_regions_needs_the_image_for_its_size(write):
    folder = write([task(annotation())])
    with pytest.raises(InputError, match=r"project-1\.json: 0123abcd-a\.png: no image of this name beside the file"):
        find(folder).refs[0].load()
    Image.new("RGB", (5, 4)).save(folder / "a.png")
    assert find_any(folder).refs[0].load().shape == (4, 5)


def test_splits_have_a_file_each(write):
    write([task(annotation(result(SQUARE)))], "train/a.json")
    masks = find(write([task(annotation(result(SQUARE)))], "val/a.json"))
    assert [(ref.key, ref.split) for ref in masks.refs] == [
        ("train/0123abcd-a.png", "train"),
        ("val/0123abcd-a.png", "val"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '[{"annotations": [{"result": [], "data"',
            r"project-1\.json: not a valid Label Studio export: .*export it again",
        ),
        ([task(annotation(), image="") | {"id": "z"}], r"project-1\.json: task 'z': its image has no name"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(write, content, message):
    with pytest.raises(InputError, match=message):
        find(write(content))


def test_other_json_is_not_recognised(write):
    assert find(write([{"image_id": 1, "category_id": 1, "segmentation": []}])) is None


@pytest.fixture
def write_png(tmp_path):
    """Write a square of 255 in an image of 4 x 5 pixels and return the data set's folder."""

    def write_png(name, *, size=(4, 5), value=255):
        pixels = np.zeros(size, np.uint8)
        pixels[1:3, 1:3] = value
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path

    return write_png


def test_png_files_of_brush_regions_are_the_instances_of_a_task(write_png):
    write_png("task-1-annotation-12-by-4-tag-stem-0.png")
    write_png("task-1-annotation-2-by-a@b.org-tag-Big-Leaf-0.png")
    write_png("task-1-annotation-2-by-a@b.org-tag-Big-Leaf-1.png", value=0)
    folder = write_png("train/task-2-annotation-7-by--tag--0.png")
    masks = find_any(folder)
    first, second = masks.refs
    assert masks.format == "label-studio"
    assert [entry.name for entry in masks.classes.entries[1:]] == ["Big-Leaf", "instance", "stem"]
    assert [(ref.key, ref.split) for ref in masks.refs] == [("task-1", None), ("train/task-2", "train")]
    mask = first.load()
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1], [0, 4])
    assert [problem[:2] for problem in mask.problems] == [
        ("image with several annotations, the first of which counts", "2"),
        ("no foreground", "task-1-annotation-2-by-a@b.org-tag-Big-Leaf-1.png"),
    ]
    assert (second.load().classes.tolist(), second.load().areas.tolist()) == ([0, 2], [0, 4])


def test_png_files_of_one_task_have_one_size(write_png):
    write_png("task-1-annotation-2-by-3-tag-a-0.png")
    folder = write_png("task-1-annotation-2-by-3-tag-a-1.png", size=(4, 6))
    with pytest.raises(InputError, match=r"a-1\.png: 4 x 6 pixels, but .*a-0\.png has 4 x 5; all must be of one size"):
        find(folder).refs[0].load()
