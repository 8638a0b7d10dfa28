"""Whatever is in a file, a mask is a mask, or one line says which file is bad and why."""

import contextlib
import json
import warnings

import numpy as np
import pytest
from helpers.bad_strategies import (
    PNG_MODES,
    TIFF_KINDS,
    coco_documents,
    counts,
    damaged,
    png_files,
    polygons,
    segmentations,
    sizes,
    small_png,
    small_tiff,
    tiff_files,
)
from helpers.examples import fuzzed
from hypothesis import example, given
from hypothesis import strategies as st

from segprep.errors import InputError, OptionError
from segprep.masks.rle import BadRegionError
from segprep.readers import ReadOptions, find
from segprep.readers._coco import annotation_crop
from segprep.readers._polygon import polygon_runs


def assert_sound(mask):
    """What targets take for granted of a mask."""
    assert mask.planes.ndim == 3
    assert mask.planes.dtype == mask.classes.dtype == np.int32
    count = len(mask.classes) - 1
    assert 0 <= mask.planes.min() <= mask.planes.max() <= count
    assert mask.classes[0] == 0
    assert (mask.classes[1:] > 0).all()
    holders = np.concatenate([np.unique(plane[plane > 0]) for plane in mask.planes])
    assert sorted(holders.tolist()) == list(range(1, count + 1)), "each instance lies whole in one plane"
    for other, kind in ((mask.ignore, np.bool_), (mask.stuff, np.int32)):
        assert other is None or (other.shape == mask.shape and other.dtype == kind)
    assert all(" ".join(f"{kind} {where}".split()) for kind, where, _ in mask.problems)


def read_or_refused(file, content, data=None, **named):
    """Read all masks of a file of this content; True where each of them, and the file, could be read."""
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the decoders; the command shows none of them
        try:
            refs = find(data or file, **named).refs
        except (InputError, OptionError) as error:
            assert_clear(error, file)
            return False
        answers = [loaded(ref, file) for ref in refs]  # all of them, even after the first that is bad
        return all(answers)


def loaded(ref, file):
    """Whether a mask can be loaded."""
    try:
        assert_sound(ref.load())
    except (InputError, OptionError) as error:
        assert_clear(error, file)
        return False
    return True


def assert_clear(error, file):
    """The message is one line that can be printed and names the file."""
    message = str(error)
    assert message.isprintable(), repr(message)
    assert file.name in message, message


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder whose one file each example writes again."""
    return tmp_path_factory.mktemp("fuzz")


def coco_with(segmentation):
    """COCO file of one image with this segmentation."""
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 12, "width": 10}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    return json.dumps(document).encode()


@given(coco_documents())
@fuzzed(2500)
def test_any_coco_file_is_read_or_refused(folder, content):
    read_or_refused(folder / "coco.json", content, format="coco")


@example(b'{"size": [12, 10], "counts": "\xff"}')
@given(damaged(segmentations().map(json.dumps).map(str.encode)))
@fuzzed(1000)
def test_any_text_of_a_segmentation_is_read_or_left_out(content):
    with contextlib.suppress(BadRegionError):
        y, x, pixels = annotation_crop(content, (12, 10))
        assert pixels.any()
        assert 0 <= y <= y + pixels.shape[0] <= 12
        assert 0 <= x <= x + pixels.shape[1] <= 10


@given(st.fixed_dictionaries({"size": sizes(), "counts": counts()}))
@fuzzed(1500)
def test_any_runs_are_read_or_left_out(folder, runs):
    read_or_refused(folder / "coco.json", coco_with(runs), format="coco")


@given(st.lists(polygons(), min_size=1, max_size=3))
@fuzzed(1500)
def test_any_polygons_are_read_or_left_out(folder, parts):
    read_or_refused(folder / "coco.json", coco_with(parts), format="coco")
    with contextlib.suppress(BadRegionError):  # the same without JSON, which has no NaN
        assert polygon_runs(parts, (12, 10)).sum() == 12 * 10


@given(png_files(), st.sampled_from(["instances", "classes"]))
@fuzzed(1500)
def test_any_png_is_read_or_refused_as_label_image(folder, content, values):
    read_or_refused(folder / "a.png", content, options=ReadOptions(values=values))


@given(png_files())
@fuzzed(1000)
def test_any_png_is_read_or_refused_as_one_of_several_instances(folder, content):
    masks = folder / "data" / "cell" / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    (masks / "b.png").write_bytes(small_png("L"))
    read_or_refused(masks / "a.png", content, folder / "data", format="instance-png")


@given(tiff_files())
@fuzzed(1500)
def test_any_tiff_is_read_or_refused(folder, content):
    read_or_refused(folder / "a.tif", content)


@pytest.mark.parametrize("mode", PNG_MODES)
def test_an_undamaged_png_of_greys_is_read_in_every_mode(folder, mode):
    assert read_or_refused(folder / "a.png", small_png(mode))


@pytest.mark.parametrize("kind", TIFF_KINDS, ids=str)
def test_an_undamaged_tiff_is_read_unless_it_holds_floats(folder, kind):
    assert read_or_refused(folder / "a.tif", small_tiff(kind)) == (kind["dtype"] != "float32")
