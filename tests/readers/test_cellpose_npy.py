import io
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from segprep.errors import InputError
from segprep.readers import ReadOptions, cellpose_npy
from segprep.readers import find as find_any

MASKS = np.zeros((4, 5), np.uint16)
MASKS[1:3, 1:3] = 7
MASKS[0, 3:] = 2


def state(masks=MASKS, **more):
    """State as Cellpose saves it."""
    flows = [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.float32), [], None]
    known = {"outlines": masks, "colors": np.zeros((2, 3)), "flows": flows, "est_diam": np.float64(30), "chan": [0, 0]}
    return (
        {"masks": masks, "filename": "a.png", "ismanual": np.zeros(2, bool), "normalize": {"low": 1.5}} | known | more
    )


def write(file, content=None, protocol=4):
    """Write a state, or any object, as numpy.save does."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    out.write(pickle.dumps(np.array(state() if content is None else content, object), protocol=protocol))
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(out.getvalue())
    return file


def find(path, **options):
    return cellpose_npy.find(path, ReadOptions(**options))


def load(file, **options):
    return find(file, **options).refs[0].load()


@pytest.mark.parametrize("protocol", [3, 4])
def test_masks_are_instances(tmp_path, protocol):
    write(tmp_path / "a_seg.npy", protocol=protocol)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    masks = find_any(tmp_path)
    (ref,) = masks.refs
    mask = pickle.loads(pickle.dumps(ref)).load()  # noqa: S301
    np.testing.assert_array_equal(mask.labels, np.where(MASKS == 7, 2, MASKS > 0))
    assert [entry.name for entry in masks.classes.entries[1:]] == ["instance"]
    assert (masks.format, ref.key, mask.areas.tolist()) == ("cellpose-npy", "a", [0, 2, 4])


def test_what_numpy_saves_is_read(tmp_path):
    np.save(tmp_path / "a_seg.npy", np.array(state(filename=pathlib.PurePosixPath("a.png")), object), allow_pickle=True)
    with pytest.raises(InputError, match="PurePosixPath"):
        load(tmp_path)
    np.save(tmp_path / "a_seg.npy", np.array(state(filename=pathlib.Path("a.png")), object), allow_pickle=True)
    assert load(tmp_path).areas.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    "masks",
    [
        MASKS.astype(np.uint32),
        MASKS.astype(">i4"),
        np.asfortranarray(MASKS),
        MASKS[None],
        MASKS.astype(np.int32) - 1,
    ],
    ids=["uint32", "big endian", "by column", "one slice", "background -1"],
)
def test_masks_of_every_form_are_equal(tmp_path, masks):
    assert load(write(tmp_path / "a_seg.npy", state(masks))).areas.tolist() == [0, 2, 4]


def test_splits_are_folders(tmp_path):
    write(tmp_path / "train/a_seg.npy")
    write(tmp_path / "test/a_seg.npy")
    assert [(ref.key, ref.split) for ref in find(tmp_path).refs] == [("test/a", "test"), ("train/a", "train")]


def test_label_images_beside_it_are_read_instead(tmp_path):
    write(tmp_path / "a_seg.npy")
    for name in ("a.png", "a_cp_masks.png"):
        Image.fromarray(MASKS.astype(np.uint8)).save(tmp_path / name)
    assert find_any(tmp_path).format == "label-image"
    assert find_any(tmp_path / "a_seg.npy").format == "cellpose-npy"


def test_an_array_of_numbers_is_not_recognised(tmp_path):
    np.save(tmp_path / "a_seg.npy", MASKS)
    assert find(tmp_path) is None
    assert find_any(tmp_path).format == "label-image"


class Harmful:
    """Object that writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return pathlib.Path.touch, (self.file,)


def test_nothing_is_executed(tmp_path):
    file = write(tmp_path / "a_seg.npy", state(more=Harmful(tmp_path / "harm")))
    with pytest.raises(
        InputError, match=r"a_seg\.npy: its pickle names '.+', which Cellpose does not save; save the masks"
    ):
        load(file)
    assert not (tmp_path / "harm").exists()
    pickle.loads(pickle.dumps(Harmful(tmp_path / "harm")))  # noqa: S301 - shows that the object is harmful
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"outlines": MASKS}, r"masks of Cellpose cannot be read: KeyError 'masks'; save it again in Cellpose"),
        ([1, 2], r"masks of Cellpose cannot be read: "),
        (state([[1, 2]]), r"masks of Cellpose cannot be read: TypeError not an array"),
        (state(MASKS.astype(float)), r"cannot be read: ValueError masks of type 'f8', not integers"),
        (state(np.zeros((2, 4, 5), int)), r"masks of 2 x 4 x 5; volumes are not supported yet, so save one"),
        (state(MASKS.astype(int) - 9), r"the value -9; masks are not negative, and 0 is the background"),
        (state(np.zeros((0, 4), int)), r"0 x 4 pixels; height and width must be at least 1"),
        (state({(1, 2): 3}), r"cannot be read: TypeError a key that is not text"),
    ],
)
def test_other_content_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"a_seg\.npy: {message}" if message[0] != "c" else message):
        load(write(tmp_path / "a_seg.npy", content))


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    file = write(tmp_path / "a_seg.npy")
    data = file.read_bytes()
    file.write_bytes(data[: 130 + int(kept * (len(data) - 130))])
    with pytest.raises(
        InputError, match=r"a_seg\.npy: masks of Cellpose cannot be read: .*; save it again in Cellpose"
    ):
        load(file)


def test_limits_hold(tmp_path):
    file = write(tmp_path / "a_seg.npy", state(more=list(range(2**20))))
    with pytest.raises(InputError, match=r"a pickle of more than 1048576 steps"):
        load(file)
    write(file)
    with pytest.raises(InputError, match=r"4 x 5 pixels are more than max_pixels=19"):
        load(file, max_pixels=19)
    with pytest.raises(InputError, match=r"2 instances are more than max_instances=1"):
        load(file, max_instances=1)
