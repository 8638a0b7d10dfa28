"""What becomes of every kind of bad or odd COCO file: in a run, and in `check`."""

import json
from typing import Any, NamedTuple

import pytest

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]
FAR_SQUARE = [4, 0, 6, 0, 6, 2, 4, 2]
RUNS = {"counts": [5, 2, 2, 2, 13], "size": [4, 6]}
IMAGE = {"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}
CATEGORY = {"id": 1, "name": "cell"}
GOOD = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [FAR_SQUARE]}

FINE, NOTED, WARNED, UNREADABLE, REFUSED = "fine", "noted", "warned", "unreadable", "refused"
"""What is noted is read completely."""
RUN_ENDS = {FINE: 0, NOTED: 0, WARNED: 0, UNREADABLE: 3, REFUSED: 3}
CHECK_ENDS = {FINE: 0, NOTED: 1, WARNED: 1, UNREADABLE: 1, REFUSED: 3}


class Row(NamedTuple):
    """A file, what becomes of it, what is said on stderr, and how many instances are read."""

    content: Any
    outcome: str
    words: tuple[str, ...] = ()
    instances: int = 1
    options: tuple[str, ...] = ()


def document(*annotations, images=(IMAGE,), categories=(CATEGORY,)):
    """A good annotation and some others."""
    return {"images": images, "annotations": [GOOD, *annotations], "categories": categories}


def second(segmentation=(SQUARE,), **changes):
    """Document whose second annotation is as given."""
    return document({"id": 17, "image_id": 1, "category_id": 1, "segmentation": segmentation} | changes)


def without(key, whole):
    return {name: value for name, value in whole.items() if name != key}


def odd_segmentation(segmentation, *words):
    return Row(second(segmentation), WARNED, ("a.json" if not words else "a.jpg: annotation 17: ", *words))


def text(old, new):
    """Text of a document, a part of which is replaced; `old` stands in it once, as the second annotation."""
    return json.dumps(second(old)).replace(json.dumps(old), new)


def image(**changes):
    return document(images=[IMAGE | changes])


def name(file_name):
    return image(file_name=file_name)


def ids(id_, reference=None):
    """Document whose image has an id that its annotation repeats."""
    reference = id_ if reference is None else reference
    return document(images=[IMAGE | {"id": id_}]) | {"annotations": [GOOD | {"image_id": reference}]}


def class_ids(id_, reference=None):
    """Document whose category has an id that its annotation repeats."""
    reference = id_ if reference is None else reference
    return document(categories=[CATEGORY | {"id": id_}]) | {"annotations": [GOOD | {"category_id": reference}]}


def two_images(*names):
    images = [IMAGE | {"id": number, "file_name": each} for number, each in enumerate(names, start=1)]
    return document(images=images)


NOT_A_REGION = "segmentation is neither polygons nor runs"
NO_RUNS = "run lengths do not fit the image"
FAR_OFF = "polygon with a coordinate that is not finite or far off"
OUTSIDE = "leads out of the data set and is not followed"
REMEDY = "fix it or export it again"

SEGMENTATIONS = {
    "list of polygons": Row(second([SQUARE]), FINE, instances=2),
    "flat polygon": Row(second(SQUARE), FINE, instances=2),
    "uncompressed runs": Row(second(RUNS), FINE, instances=2),
    "compressed runs": Row(second(RUNS | {"counts": "5220;"}), FINE, instances=2),
    "polygon partly outside": Row(second([[-3, -3, 3, -3, 3, 3, -3, 3]]), FINE, instances=2),
    "polygon of numbers that are whole floats": Row(second([[float(each) for each in SQUARE]]), FINE, instances=2),
    "empty list": odd_segmentation([], "no segmentation"),
    "null": odd_segmentation(None, "no segmentation"),
    "missing": Row(
        document(without("segmentation", GOOD) | {"id": 17}), WARNED, ("annotation 17: ", "no segmentation")
    ),
    "string": odd_segmentation("polygon", NOT_A_REGION, "got `str`"),
    "number": odd_segmentation(7, NOT_A_REGION, "got `int`"),
    "true": odd_segmentation(True, NOT_A_REGION, "got `bool`"),
    "dict without counts": odd_segmentation({"size": [4, 6]}, NOT_A_REGION, "`counts`"),
    "dict without size": odd_segmentation({"counts": "5220;"}, NOT_A_REGION, "`size`"),
    "empty dict": odd_segmentation({}, NOT_A_REGION),
    "list of runs": odd_segmentation([RUNS], NOT_A_REGION, "got `object`"),
    "polygons and numbers": odd_segmentation([SQUARE, 1], NOT_A_REGION),
    "empty polygon": odd_segmentation([[]], "polygon of fewer than 6 numbers", ": 0"),
    "4 numbers": odd_segmentation([[1, 1, 3, 3]], "polygon of fewer than 6 numbers", ": 4"),
    "odd number of numbers": odd_segmentation([[*SQUARE, 1]], "polygon of an odd number of numbers", ": 9"),
    "pairs": odd_segmentation(
        [[1, 1], [3, 1], [3, 3], [1, 3]], "polygon of pairs [x, y]", "one list x1, y1, x2", "[[1, 1]"
    ),
    "polygons of pairs": odd_segmentation([[[1, 1], [3, 1], [3, 3], [1, 3]]], "polygon of pairs [x, y]", "[[[1, 1]"),
    "contours of OpenCV": odd_segmentation([[[[1, 1]], [[3, 1]], [[3, 3]]]], "polygon of pairs [x, y]", "[[[[1, 1]]"),
    "fractions": odd_segmentation(
        [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], "coordinates are fractions of the image, not pixels", "[[0.1, 0.1, "
    ),
    "fractions of which some are whole": odd_segmentation([[0, 0, 1, 0.0, 1, 1, 0.5, 1]], "coordinates are fractions"),
    "the first pixel": Row(second([[0, 0, 1, 0, 1, 1, 0, 1]]), FINE, instances=2),
    "beyond the first pixel": Row(second([[0.5, 0, 1.5, 0, 1.5, 1, 0.5, 1]]), FINE, instances=2),
    "a box alone": Row(
        second([], bbox=[1, 1, 2, 2]),
        WARNED,
        ("no segmentation", "a.jpg: annotation 17: []; --boxes-as-masks fills its box"),
    ),
    "a box on request": Row(second([], bbox=[1, 1, 2, 2]), FINE, instances=2, options=("--boxes-as-masks",)),
    "no box on request": Row(second([]), WARNED, ("annotation 17: []",), options=("--boxes-as-masks",)),
    "a bad box on request": Row(
        second([], bbox=[1, 1, 2]), WARNED, ("a.jpg: annotation 17: ", "length 4"), options=("--boxes-as-masks",)
    ),
    "a point beside a polygon": Row(second(segmentation=[SQUARE, [1, 1]]), FINE, instances=2),
    "points alone": odd_segmentation([[1, 1], [2, 2]], "polygon of fewer than 6 numbers", ": 2"),
    "1e9": odd_segmentation([[*SQUARE, 1e9, 1]], FAR_OFF, "1000000000.0"),
    "1e999": Row(text("?", "[[1, 1, 3, 1, 3, 1e999]]"), WARNED, ("annotation 17: ", "out of range")),
    "wholly outside": odd_segmentation([[10, 10, 12, 10, 12, 12]], "no pixel inside the image", "4 x 6"),
    "zero area": odd_segmentation([[1, 1, 3, 1, 2, 1]], "no pixel inside the image", "4 x 6"),
    "numbers as strings": odd_segmentation([list(map(str, SQUARE))], NOT_A_REGION, "got `str`"),
    "nulls": odd_segmentation([[None] * 6], NOT_A_REGION, "got `null`"),
    "runs that do not add up": odd_segmentation(RUNS | {"counts": [5, 2]}, NO_RUNS, "[5, 2] for 4 x 6"),
    "negative runs": odd_segmentation(RUNS | {"counts": [5, -2, 21]}, NO_RUNS, "-2"),
    "huge runs": odd_segmentation(RUNS | {"counts": [0, 10**30]}, NO_RUNS, str(10**30)),
    "runs whose sum wraps round": odd_segmentation(RUNS | {"counts": [2**31 - 1] * 8}, NO_RUNS, "2147483647"),
    "runs as floats": odd_segmentation(RUNS | {"counts": [5.5, 18.5]}, NOT_A_REGION, "got `float`"),
    "runs without a pixel": odd_segmentation(RUNS | {"counts": [24]}, "no pixel inside the image", "4 x 6"),
    "no runs": odd_segmentation(RUNS | {"counts": []}, NO_RUNS, "[] for 4 x 6"),
    "other size": odd_segmentation(
        RUNS | {"size": [5, 5]}, "size differs from the image's", "(5, 5) instead of (4, 6)"
    ),
    "swapped size": odd_segmentation(RUNS | {"size": [6, 4]}, "size differs from the image's", "(6, 4) instead"),
    "size of three": odd_segmentation(RUNS | {"size": [4, 6, 1]}, NOT_A_REGION, "length 2"),
    "foreign characters": odd_segmentation(RUNS | {"counts": "52 20;"}, "run lengths cannot be decoded", "52 20;"),
    "characters beyond ASCII": odd_segmentation(RUNS | {"counts": "52é"}, "run lengths cannot be decoded"),
    "line feed in a string": odd_segmentation(RUNS | {"counts": "52\n0"}, "run lengths cannot be decoded", r"52\n0"),
    "truncated string": odd_segmentation(RUNS | {"counts": "522`"}, "run lengths cannot be decoded", "522`"),
    "string of a huge number": odd_segmentation(RUNS | {"counts": "o" * 5000 + "0"}, "a number of 5001 characters"),
    "empty string": odd_segmentation(RUNS | {"counts": ""}, "run lengths cannot be decoded"),
}

FILES = {
    "good": Row(document(), FINE),
    "no annotation": Row(document() | {"annotations": []}, FINE, ("no instance in any mask",), 0),
    "byte order mark": Row("\ufeff" + json.dumps(document()), FINE),
    "UTF-16": Row(json.dumps(document()).encode("utf-16"), REFUSED, ("a.json: ", "UTF-16", "save it as UTF-8")),
    "UTF-16 without mark": Row(json.dumps(document()).encode("utf-16-le"), REFUSED, ("a.json: ", "save it as UTF-8")),
    "Latin-1": Row(json.dumps(name("ä.jpg"), ensure_ascii=False).encode("latin-1"), REFUSED, ("a.json: ", REMEDY)),
    "NUL after the end": Row(json.dumps(document()) + "\0" * 512, REFUSED, ("a.json: ", "trailing characters", REMEDY)),
    "NUL before the start": Row("\0" * 512 + json.dumps(document()), REFUSED, ("a.json: ", r"\x00")),
    "truncated": Row(json.dumps(document())[:-5], REFUSED, ("a.json: ", "truncated", REMEDY)),
    "empty": Row("", REFUSED, ("a.json: the file is empty",)),
    "blanks alone": Row(" \n\t", REFUSED, ("a.json: the file is empty",)),
    "a number alone": Row("7", REFUSED, ("a.json: JSON of no known layout: a number, not an object",)),
    "a negative number alone": Row("-1.5", REFUSED, ("a.json: JSON of no known layout: a number, not an object",)),
    "a string alone": Row('"images"', REFUSED, ("a.json: JSON of no known layout: a string, not an object",)),
    "null alone": Row("null", REFUSED, ("a.json: JSON of no known layout: null, not an object",)),
    "a word alone": Row("hello", REFUSED, ("a.json: ", "malformed")),
    "list of results": Row([GOOD | {"score": 0.5}], REFUSED, ("a.json: a list", "give the annotations")),
    "no annotations": Row(
        without("annotations", document()), REFUSED, ("a.json: has images and categories as coco, but no annotations",)
    ),
    "no images": Row(
        without("images", document()), REFUSED, ("a.json: has annotations and categories as coco, but no images",)
    ),
    "no categories": Row(without("categories", document()), REFUSED, ("a.json: ", "`categories`", REMEDY)),
    "no category": Row(document(categories=[]), WARNED, ("category that the file does not list", "annotation 1"), 0),
    "no image": Row(document(images=[]), REFUSED, ("a.json: ", "at least one image")),
    "images as an object": Row(document(images={}), REFUSED, ("a.json: ", "$.images", REMEDY)),
    "null for annotations": Row(
        document() | {"annotations": None, "": "segmentation"}, REFUSED, ("$.annotations", REMEDY)
    ),
    "annotation that is null": Row(document(None), REFUSED, ("a.json: ", "$.annotations", REMEDY)),
    "NaN": Row(
        second([[*SQUARE, float("nan"), 1]]),
        REFUSED,
        ("a.json: ", "NaN at line 1, column 2", "is no JSON number", REMEDY),
    ),
    "Infinity": Row(second([[*SQUARE, float("inf"), 1]]), REFUSED, (" Infinity at line 1, column", REMEDY)),
    "-Infinity": Row(second([[*SQUARE, float("-inf"), 1]]), REFUSED, (" -Infinity at line 1, column", REMEDY)),
    "NaN on a later line": Row(
        json.dumps(second(iscrowd=float("nan")), indent=1),
        REFUSED,
        ("a.json: ", "NaN at line 4", "column 15 is", REMEDY),
    ),
    "nested segmentation": Row(text("?", "[" * 200_000), REFUSED, ("a.json: ", "recursion", REMEDY)),
    "nested and closed": Row(text("?", "[" * 200_000 + "]" * 200_000), REFUSED, ("a.json: ", "recursion", REMEDY)),
    "nested at the top": Row("[" * 200_000, REFUSED, ("a.json: a list",)),
    "nested objects": Row('{"images":' * 200_000 + '"annotations" "segmentation"', REFUSED, ("a.json: ", REMEDY)),
    "duplicate keys, of which the last counts": Row('{"images": [], ' + json.dumps(document())[1:], FINE),
    "unknown keys": Row(document() | {"info": {"year": None}, "licenses": "none"}, FINE),
}

IDS = {
    "annotation ids twice": Row(
        document(GOOD | {"segmentation": [SQUARE]}),
        NOTED,
        ("annotation id occurs twice", "a.json: annotation 1: image_id 1, 1"),
        instances=2,
    ),
    "annotation ids missing": Row(document(without("id", GOOD) | {"segmentation": [SQUARE]}), FINE, instances=2),
    "annotation id of odd characters": Row(second([], id="a\x1b\n"), WARNED, (r"annotation 'a\x1b\n': ",)),
    "annotation id of 5000 characters": Row(second([], id="x" * 5000), WARNED, ("annotation xxx", "x...: ")),
    "image ids twice": Row(
        two_images("a", "b") | {"images": [IMAGE, IMAGE]}, REFUSED, ("a.json: images: the id 1 ", "unique")
    ),
    "image ids twice as number and text": Row(
        document(images=[IMAGE, IMAGE | {"id": "1"}]), REFUSED, ("a.json: images: the id 1 occurs twice", "unique")
    ),
    "category ids twice": Row(
        document(categories=[CATEGORY] * 2), REFUSED, ("a.json: categories: the id 1 ", "unique")
    ),
    "image id 0": Row(ids(0), FINE),
    "image id negative": Row(ids(-5), FINE),
    "image id of 64 bits": Row(ids(2**63 - 1), FINE),
    "image id beyond 64 bits": Row(ids(2**80), FINE),
    "image id beyond any number": Row(
        json.dumps(ids("?")).replace('"?"', "1" * 5000),
        REFUSED,
        ("a.json: ", "out of range - at `$.images[0].id`", REMEDY),
    ),
    "image id as text": Row(ids("img_001"), FINE),
    "image id as digits": Row(ids("7", 7), FINE),
    "image id as a number that is text elsewhere": Row(ids(7, "7"), FINE),
    "image id as a whole float": Row(ids(1.0, 1), FINE),
    "image id that is a float elsewhere": Row(ids(1, 1.0), FINE),
    "image id with zeros before, which is another": Row(ids("01", 1), WARNED, ("image_id 1",), 0),
    "image id as a fraction": Row(ids(1.5), REFUSED, ("a.json: images: the id 1.5", "must be integers or text")),
    "image id null": Row(image(id=None), REFUSED, ("a.json: ", "$.images", REMEDY)),
    "image id true": Row(image(id=True), REFUSED, ("a.json: ", "$.images", REMEDY)),
    "image id missing": Row(document(images=[without("id", IMAGE)]), REFUSED, ("a.json: ", "`id`", REMEDY)),
    "category id 0": Row(class_ids(0), FINE),
    "category id negative": Row(class_ids(-1), FINE),
    "category id of 64 bits": Row(class_ids(2**63 - 1), FINE),
    "category id beyond 64 bits": Row(class_ids(2**64), REFUSED, ("a.json: categories: ", str(2**64), "smaller")),
    "category id as text": Row(class_ids("cell"), FINE),
    "category id as digits": Row(class_ids("3", 3), FINE),
    "category id as a whole float": Row(class_ids(3.0, "3"), FINE),
    "category id as a fraction": Row(class_ids(0.5), REFUSED, ("a.json: categories: the id 0.5", "integer")),
    "unknown image": Row(second(image_id=9), WARNED, ("a.json: annotation 17: image_id 9", "does not list")),
    "unknown image many times": Row(
        document(*[GOOD | {"id": number, "image_id": 9} for number in range(17, 1017)]),
        WARNED,
        (
            "image that the file does not list: 1",
            "a.json: annotation 17 and 999 more: image_id 9",
        ),
    ),
    "unknown image as a fraction": Row(second(image_id=1.5), WARNED, ("annotation 17: image_id 1.5", "does not list")),
    "image_id null": Row(second(image_id=None), WARNED, ("annotation 17: image_id None", "does not list")),
    "image_id missing": Row(
        document(without("image_id", GOOD) | {"id": 17}), WARNED, ("annotation 17: image_id None",)
    ),
    "image_id as a list": Row(second(image_id=[1]), REFUSED, ("a.json: ", ".image_id", REMEDY)),
    "unknown category": Row(second(category_id=9), WARNED, ("a.jpg: annotation 17: category_id 9", "does not list")),
    "category_id null": Row(second(category_id=None), WARNED, ("annotation 17: category_id None", "does not list")),
    "category_id missing": Row(document(without("category_id", GOOD) | {"id": 17}), WARNED, ("category_id None",)),
    "category names twice": Row(
        document(categories=[CATEGORY, CATEGORY | {"id": 2}]),
        NOTED,
        ("category name occurs twice", "a.json: cell: id 1, 2"),
    ),
    "category without name": Row(document(categories=[{"id": 1}]), FINE),
    "category with null for a name": Row(document(categories=[{"id": 1, "name": None}]), FINE),
    "category with a number for a name": Row(
        document(categories=[{"id": 1, "name": 5}]), REFUSED, ("categories", REMEDY)
    ),
}

CROWDS = {
    **{f"iscrowd {value!r}": Row(second(iscrowd=value), FINE, instances=2) for value in (0, False, None, 0.0, "0")},
    **{f"iscrowd {value!r}": Row(second(iscrowd=value), FINE) for value in (1, True, 1.0, "1")},
    **{
        f"iscrowd {value!r}": Row(second(iscrowd=value), WARNED, ("annotation 17: ", repr(value), "neither 0 nor 1"))
        for value in (2, -1, 0.5, "yes", "")
    },
    "iscrowd as a list": Row(second(iscrowd=[]), REFUSED, ("a.json: ", ".iscrowd", REMEDY)),
}

SIZES = {
    "height missing": Row(
        document(images=[without("height", IMAGE)]), UNREADABLE, ("a.json: image a.jpg: ", "no height", "add it")
    ),
    "width null": Row(image(width=None), UNREADABLE, ("a.json: image a.jpg: ", "no width", "add it")),
    "height as text": Row(image(height="4"), FINE),
    "width as a whole float": Row(image(width=6.0), FINE),
    "height 0": Row(image(height=0), UNREADABLE, ("a.json: image a.jpg: 0 x 6", "at least 1")),
    "width negative": Row(image(width=-6), UNREADABLE, ("a.json: image a.jpg: 4 x -6", "at least 1")),
    "200000 squared": Row(image(height=200_000, width=200_000), UNREADABLE, ("200000 x 200000", "raise the limit")),
    "height beyond 64 bits": Row(image(height=2**70), UNREADABLE, (str(2**70), "raise the limit")),
    "height as a fraction": Row(image(height=4.5), UNREADABLE, ("a.json: image a.jpg: height is 4.5", "integer")),
    "width as a word": Row(image(width="wide"), UNREADABLE, ("a.json: image a.jpg: width is 'wide'", "integer")),
    "width of 5000 digits": Row(image(width="1" * 5000), UNREADABLE, ("width is '111", "1...;", "integer")),
    "height 1e300": Row(image(height=1e300), UNREADABLE, ("a.json: image a.jpg: ", "raise the limit")),
    "height as a list": Row(image(height=[4]), REFUSED, ("a.json: ", ".height", REMEDY)),
}

NAMES = {
    "name that climbs out": Row(name("../a.jpg"), NOTED, (OUTSIDE, "a.json: ../a.jpg: image 1")),
    "name that is absolute": Row(name("/etc/passwd"), NOTED, (OUTSIDE, "a.json: /etc/passwd: image 1")),
    "name with backslashes": Row(name("b\\a.jpg"), FINE),
    "name with a drive": Row(name("C:\\a.jpg"), NOTED, (OUTSIDE, "image 1")),
    "same name in two folders": Row(two_images("b/a.jpg", "c/a.jpg"), FINE),
    "same name twice": Row(two_images("a.jpg", "a.jpg"), REFUSED, ("a.json: ", "'a.jpg'", "unique")),
    "same name but for the slash": Row(two_images("b/a.jpg", "b\\a.jpg"), REFUSED, ("'b/a.jpg'", "unique")),
    "name empty": Row(name(""), REFUSED, ("a.json: image 1 has no file_name", "add it")),
    "name null": Row(name(None), REFUSED, ("a.json: image 1 has no file_name", "add it")),
    "name as a number": Row(name(7), REFUSED, ("a.json: ", ".file_name", REMEDY)),
    "name with control characters": Row(name("a\x1b[31m\n.jpg"), REFUSED, (r"'a\x1b[31m\n.jpg'", "rename")),
    "name with half a surrogate": Row(name("a\ud800.jpg"), REFUSED, ("a.json: ",)),
    "name of 5000 characters": Row(name("a" * 5000), REFUSED, ("a.json: image 1: ", "5000 characters", "shorten it")),
    "name beyond ASCII": Row(name("größe/図.jpg"), FINE),
}

ROWS = SEGMENTATIONS | FILES | IDS | CROWDS | SIZES | NAMES


@pytest.fixture
def write(tmp_path):
    """Callable: write a document, text or bytes to a file that is alone in its folder."""

    def write(content):
        content = content if isinstance(content, str | bytes) else json.dumps(content)
        file = tmp_path / "data" / "a.json"
        file.parent.mkdir()
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_run_reads_the_valid_skips_the_bad_and_refuses_the_unclear(row, write, segprep_here, tmp_path):
    file, store = write(row.content), tmp_path / "out.zarr"
    ended = segprep_here("weights", file, store, "--workers", "1", *row.options)
    code, stdout, stderr = ended.returncode, ended.stdout, ended.stderr
    assert code == RUN_ENDS[row.outcome], stderr
    assert [word for word in row.words if word not in stderr] == [], stderr
    assert "Traceback" not in stderr
    assert max(map(len, stderr.splitlines()), default=0) < 2000
    if code:
        assert [line for line in stderr.splitlines() if not line.startswith("segprep: ")] == []
        assert [path.name for path in tmp_path.iterdir()] == ["data"]
    else:
        assert ("left out" in stderr) is (row.outcome == WARNED)
        assert f" {row.instances} instance{'' if row.instances == 1 else 's'};" in stdout


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_check_distinguishes_bad_input_from_no_data_set(row, write, segprep_here):
    ended = segprep_here("check", write(row.content), "--workers", "1", *row.options)
    assert ended.returncode == CHECK_ENDS[row.outcome], ended.stderr
    assert "Traceback" not in ended.stderr
    if row.outcome in (NOTED, WARNED, UNREADABLE):
        assert [word for word in row.words if word not in ended.stdout] == [], ended.stdout
    assert ("no problems found" in ended.stdout) is (row.outcome == FINE)


def test_an_annotation_of_an_unknown_image_ends_the_run_on_request(write, segprep_here, tmp_path):
    file, store = write(second(image_id=9)), tmp_path / "out.zarr"
    ended = segprep_here("weights", file, store, "--workers", "1", "--on-error", "fail")
    assert ended.returncode == RUN_ENDS[REFUSED]
    assert "a.json: image that the file does not list: annotation 17: image_id 9" in ended.stderr
    assert not store.exists()
