import pickle

import numpy as np
import pytest
import tifffile

from segprep.errors import InputError
from segprep.readers import ReadOptions, ctc
from segprep.readers import find as find_any


@pytest.fixture
def write(tmp_path):
    """Write label images of 6 x 7 pixels with cells of 6 and 8 pixels, and return the data set's folder."""

    def write(*names, dtype=np.uint16, shape=(6, 7)):
        values = np.zeros(shape, dtype)
        values[..., :2, :3], values[..., 2:, 5:] = 4, 300
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / name, values, photometric="minisblack")
        return tmp_path

    return write


def test_each_number_of_a_time_point_is_a_cell(write):
    folder = write("01_GT/SEG/man_seg000.tif", "01_GT/SEG/man_seg0012.tif", "02_GT/SEG/man_seg003.tif")
    write("01/t000.tif", "01/t001.tif", "02/t003.tif", "01_GT/TRA/man_track000.tif")
    found = find_any(folder)
    mask = pickle.loads(pickle.dumps(found.refs[0])).load()  # noqa: S301
    assert (found.format, [entry.name for entry in found.classes.entries]) == ("ctc", ["background", "cell"])
    assert [ref.key for ref in found.refs] == [
        "01_GT/SEG/man_seg000.tif",
        "01_GT/SEG/man_seg0012.tif",
        "02_GT/SEG/man_seg003.tif",
    ]
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1], [0, 6, 8])
    assert np.bincount(mask.class_map.ravel()).tolist() == [28, 14]


@pytest.mark.parametrize("inside", ["", "train", "train/Fluo", "train/Fluo/01_ST", "train/Fluo/01_ST/SEG"])
def test_any_folder_around_may_be_given(write, inside):
    folder = write("train/Fluo/01_ST/SEG/man_seg000.tif", "train/Fluo/01/t000.tif")
    found = find_any(folder / inside)
    assert (found.format, len(found.refs)) == ("ctc", 1)
    assert found.refs[0].split == ("train" if not inside else None)


def test_gold_and_silver_truth_of_one_sequence_are_refused(write):
    folder = write("01_GT/SEG/man_seg000.tif", "01_ST/SEG/man_seg000.tif", "02_ST/SEG/man_seg000.tif")
    with pytest.raises(InputError, match="gold and silver truth of one sequence: 01_GT and 01_ST; give one"):
        find_any(folder)
    assert len(find_any(folder / "01_ST").refs) == 1


def test_slices_of_volumes_are_refused_by_name(write):
    with pytest.raises(InputError, match=r"man_seg_000_012\.tif: a slice of a 3-D sequence; volumes are not supported"):
        find_any(write("01_GT/SEG/man_seg_000_012.tif", "01_GT/SEG/man_seg_000_013.tif"))


def test_a_volume_is_refused(write):
    ref = find_any(write("01_GT/SEG/man_seg000.tif", shape=(3, 6, 7))).refs[0]
    with pytest.raises(InputError, match=r"man_seg000\.tif: a stack of 3 x 6 x 7; volumes are not supported yet"):
        ref.load()


def test_markers_for_tracking_are_no_masks(write):
    with pytest.raises(InputError, match=r"01_GT/TRA: markers for tracking, .*; 01_GT/SEG has no man_seg"):
        find_any(write("01_GT/TRA/man_track000.tif", "01/t000.tif"))


def test_a_damaged_file_is_named(write):
    folder = write("01_GT/SEG/man_seg000.tif", "01_GT/SEG/man_seg001.tif")
    file = folder / "01_GT/SEG/man_seg001.tif"
    file.write_bytes(file.read_bytes()[:150])
    good, bad = find_any(folder).refs
    assert good.load().areas.sum() == 14
    with pytest.raises(InputError, match=r"man_seg001\.tif: cannot be read as TIFF"):
        bad.load()


@pytest.mark.parametrize(
    "name", ["01_RES/mask000.tif", "01_GT/SEG/a.tif", "SEG/man_seg000.tif", "masks/man_seg000.tif"]
)
def test_other_folders_are_not_recognised(write, name):
    assert ctc.find(write(name), ReadOptions()) is None
