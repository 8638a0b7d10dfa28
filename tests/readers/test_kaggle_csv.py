import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.masks.rle import BadRegionError
from segprep.readers import ReadOptions, kaggle_csv
from segprep.readers import find as find_any
from segprep.readers.kaggle_csv import pairs_crop

ROWS = "ImageId,EncodedPixels\na.jpg,6 2 10 2\na.jpg,16 1\nb.jpg,-1\nc,\n"


@pytest.fixture
def write(tmp_path):
    """Write a table and images of 4 x 5 pixels, and return the data set's folder."""

    def write(text=ROWS, *, name="train.csv", images=("train/a.jpg", "train/b.jpg", "train/c.png")):
        (tmp_path / name).write_text(text, "utf-8")
        for image in images:
            (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (5, 4)).save(tmp_path / image)
        return tmp_path

    return write


def find(path, **options):
    return kaggle_csv.find(path, ReadOptions(**options))


def test_runs_go_down_the_columns_from_pixel_1(write):
    masks = find_any(write())
    mask = pickle.loads(pickle.dumps(masks.refs[0])).load()  # noqa: S301
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    expected[3, 3] = 2
    np.testing.assert_array_equal(mask.labels, expected)
    assert (masks.format, mask.problems, mask.classes.tolist()) == ("kaggle-csv", (), [0, 1, 1])
    assert [entry.name for entry in masks.classes.entries[1:]] == ["instance"]


def test_an_image_without_runs_has_no_instance(write):
    masks = find(write())
    assert [ref.key for ref in masks.refs] == ["a.jpg", "b.jpg", "c"]
    assert [ref.load().areas.tolist() for ref in masks.refs] == [[0, 4, 1], [0], [0]]


@pytest.mark.parametrize(
    "text",
    [
        "ImageId,ClassId,EncodedPixels\na.jpg,3,6 2\na.jpg,1,1 1\n",
        "ImageId_ClassId,EncodedPixels\r\na.jpg_3,6 2\r\na.jpg_1,1 1\r\n",
        "id,rle_mask,class\na.jpg,6 2,3\na.jpg,1 1,1\n",
        "note,ImageId,note,ClassId,EncodedPixels\n,a.jpg,x,3,6 2\n,a.jpg,,1,1 1\n",
        '\ufeffImage_Label, EncodedPixels\n"a.jpg_3","6 2"\na.jpg_1,1 1\na.jpg_1,\n',
    ],
)
def test_classes_are_in_a_column_or_after_the_image(write, text):
    masks = find(write(text))
    (ref,) = masks.refs
    mask = ref.load()
    assert [(entry.id, entry.name) for entry in masks.classes.entries[1:]] == [(1, "1"), (3, "3")]
    assert (ref.key, mask.classes.tolist(), mask.areas.tolist()) == ("a.jpg", [0, 2, 1], [0, 2, 1])


def test_columns_may_have_the_size(write):
    (ref,) = find(write("ImageId,EncodedPixels,Height,Width\na,20 1,4,5.0\n", images=())).refs
    assert (ref.load().shape, ref.load().areas.tolist()) == ((4, 5), [0, 1])


def test_the_file_itself_may_be_given(write):
    assert [ref.key for ref in find(write() / "train.csv").refs] == ["a.jpg", "b.jpg", "c"]


def test_files_of_splits_are_one_data_set(write):
    write(name="val.csv")
    masks = find(write(name="train.csv"))
    assert [(ref.key, ref.split) for ref in masks.refs[::3]] == [("train/a.jpg", "train"), ("val/a.jpg", "val")]


def test_several_files_of_no_split_are_refused(write):
    write(name="b.csv")
    with pytest.raises(InputError, match=r"2 Kaggle CSV files: a\.csv, b\.csv; give one, or one for each of train"):
        find(write(name="a.csv"))


@pytest.mark.parametrize("name", ["train.txt", "sample_submission.csv"])
def test_other_files_are_not_recognised(write, name):
    assert find(write(name=name)) is None
    assert find(write("name,r,g,b\n", name="class_dict.csv")) is None


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("1 2 3", "runs of an odd number of numbers"),
        ("1 x", "runs are not numbers"),
        ("-3 4", "runs are not numbers"),
        ("0 4", "runs lie outside the image"),
        ("19 3", "runs lie outside the image"),
        ("6 2 5 1", "runs are not in ascending order"),
        ("6 2 7 1", "runs are not in ascending order"),
        ("9999999999 1 1 1", "runs are not in ascending order"),
        ("3 0", "no pixel inside the image"),
    ],
)
def test_bad_runs_are_left_out_and_named(write, runs, message):
    with pytest.raises(BadRegionError, match=message):
        pairs_crop(runs, (4, 5))
    mask = find(write(f"ImageId,EncodedPixels\na.jpg,{runs}\na.jpg,1 1\n")).refs[0].load()
    assert [(kind, where.split(":")[0]) for kind, where, _ in mask.problems] == [(message, "line 2")]
    assert mask.areas.tolist() == [0, 1]


def test_a_row_that_is_cut_off_is_a_problem(write):
    masks = find(write("ImageId,EncodedPixels\na.jpg,1 1\nb.jpg\n,1 1\n"))
    assert [ref.key for ref in masks.refs] == ["a.jpg"]
    assert [(file, *problem[:2]) for file, problem in masks.problems] == [
        ("train.csv", "row of a wrong number of cells", "line 3: 1 of 2"),
        ("train.csv", "row without the name of an image", "line 4: ''"),
    ]


@pytest.mark.parametrize(
    ("text", "images", "message"),
    [
        (ROWS, (), r"train\.csv: image a\.jpg: no image of this name beside the file, or several; add the one image"),
        (ROWS, ("x/a.jpg", "y/a.jpg"), r"image a\.jpg: no image of this name beside the file, or several"),
        ("ImageId,EncodedPixels,height,width\na,1 1,x,5\n", (), r"image a: height='x' and width='5'; write them as"),
        (
            "ImageId,EncodedPixels,height,width\na,1 1,4,5\na,2 1,4,\x15\n",
            (),
            r"rows have the sizes '4' x '5' and '4' x '.x15'; give",
        ),
        ("ImageId,EncodedPixels,height,width\na,1 1,99999999,9\n", (), r"pixels are more than max_pixels="),
    ],
)
def test_an_unknown_size_is_named_with_the_remedy(write, text, images, message):
    with pytest.raises(InputError, match=message):
        find(write(text, images=images)).refs[0].load()


def test_no_path_in_a_file_is_opened(write):
    folder = write("ImageId,EncodedPixels\n../outside.png,1 1\n", name="train.csv", images=())
    Image.new("RGB", (5, 4)).save(folder.parent / "outside.png")
    with pytest.raises(InputError, match=r"image \.\./outside\.png: no image of this name"):
        find(folder).refs[0].load()
