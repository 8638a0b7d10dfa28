import json
import pickle

import numpy as np
import pytest
import zarr

import segprep
from segprep.errors import InputError, OutputError
from segprep.readers import ReadOptions, ome_zarr
from segprep.readers import find as find_any


def labels(dtype=np.uint16):
    """Labels of 6 x 7 pixels with instances of 6 and 8 pixels."""
    values = np.zeros((6, 7), dtype)
    values[:2, :3], values[2:, 5:] = 4, 200
    return values


@pytest.fixture
def write(tmp_path):
    """Write the label images of one image, with chunks of 4 x 4 pixels; the folder of the data set."""

    def write(name="a.zarr", *, names=("cells",), version=3, values=None, axes="yx", path="0", **attributes):
        def wrapped(found):
            return {"ome": {"version": "0.5"} | found} if version == 3 else found

        values = labels() if values is None else values
        image = zarr.create_group(tmp_path / name, zarr_format=version)
        own = image.create_group("labels", attributes=wrapped({"labels": list(names)}))
        for label in names:
            multiscales = [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": path}, {"path": "1"}]}]
            group = own.create_group(
                label, attributes=wrapped({"multiscales": multiscales, "image-label": {}} | attributes)
            )
            chunks = (1,) * (values.ndim - 2) + (4, 4)
            group.create_array("0", shape=values.shape, dtype=values.dtype, chunks=chunks)[...] = values
        return tmp_path

    return write


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("axes", "dtype"), [("yx", np.uint16), ("tczyx", np.int64), ("zyx", np.uint32)])
def test_each_value_is_an_instance(write, version, axes, dtype):
    values = labels(dtype).reshape((1,) * (len(axes) - 2) + (6, 7))
    folder = write(version=version, axes=axes, values=values)
    write("b.ome.zarr", version=version, names=["sub/nuclei"])
    found = find_any(folder)
    mask, _ = (pickle.loads(pickle.dumps(ref)).load() for ref in found.refs)  # noqa: S301
    assert (found.format, [ref.key for ref in found.refs]) == ("ome-zarr", ["a.zarr", "b.ome.zarr"])
    assert [entry.name for entry in found.classes.entries] == ["background", "instance"]
    assert (mask.classes.tolist(), mask.areas.tolist()) == ([0, 1, 1], [0, 6, 8])
    assert np.bincount(mask.class_map.ravel()).tolist() == [28, 14]
    assert mask.labels[[0, 2], [0, 6]].tolist() == [1, 2]


@pytest.mark.parametrize("inside", ["a.zarr", "a.zarr/labels", "a.zarr/labels/cells"])
def test_an_image_or_a_label_image_may_be_given(write, inside):
    (ref,) = find_any(write() / inside).refs
    assert ref.load().areas.tolist() == [0, 6, 8]


def test_one_of_several_label_images_is_chosen_by_its_path(write):
    folder = write(names=["cells", "nuclei"])
    with pytest.raises(InputError, match=r"labels: several label images: cells, nuclei; .* as .*a\.zarr/labels/cells"):
        find_any(folder)
    assert find_any(folder / "a.zarr/labels/nuclei").refs[0].key == "nuclei"


def test_folders_are_splits_and_images_without_labels_are_named(write):
    write("train/a.zarr")
    folder = write("val/b.zarr", names=())
    attributes = {"ome": {"multiscales": [{"datasets": [{"path": "0"}]}]}}
    zarr.create_group(folder / "val/c.zarr", attributes=attributes)
    zarr.create_group(folder / "val/no image.zarr")
    found = find_any(folder)
    assert [(ref.key, ref.split) for ref in found.refs] == [("train/a.zarr", "train")]
    assert found.problems == (("val/c.zarr", ("image without label images", "labels/ lists none", True)),)


@pytest.mark.parametrize(
    ("axes", "shape", "shown"), [("zyx", (3, 6, 7), "z=3"), ("tczyx", (2, 1, 3, 6, 7), "t=2, z=3")]
)
def test_volumes_and_series_are_refused(write, axes, shape, shown):
    ref = find_any(write(axes=axes, values=np.zeros(shape, np.uint8))).refs[0]
    with pytest.raises(InputError, match=f"labels/cells: a label image of {shown}; volumes are not supported yet"):
        ref.load()


@pytest.mark.parametrize("limit", [41, 15])
def test_sizes_are_checked_before_pixels_are_read(write, limit):
    values = labels() if limit == 41 else labels()[:3, :3]
    ref = find_any(write(values=values), options=ReadOptions(max_pixels=limit)).refs[0]
    with pytest.raises(InputError, match=f"labels/cells: .* pixels are more than max_pixels={limit}"):
        ref.load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"axes": "zyx"}, "labels/cells: axes z, y, x, but an array of 2 dimensions"),
        ({"values": labels(np.int16) - 1}, "labels/cells: the value -1; labels are integers"),
        ({"values": labels().astype(complex)}, "labels/cells: pixels are of type complex128; labels are integers"),
        ({"path": "../../../b"}, r"labels/cells: the name '../../../b' leads out of the folder"),
        ({"path": "2"}, "labels/cells/2: cannot be read as OME-Zarr"),
        ({"multiscales": []}, "labels/cells: no group with multiscales"),
        ({"multiscales": 1}, r"labels/cells/zarr\.json: not a valid OME-Zarr group: Expected .array., got .int."),
    ],
)
def test_a_label_image_that_cannot_be_read_is_named(write, settings, message):
    ref = find_any(write(**settings)).refs[0]
    with pytest.raises(InputError, match=message):
        ref.load()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../b.zarr", "the name .* leads out of the folder"),
        ("/etc", "the name .* leads out of the folder"),
        ("", "an empty name"),
    ],
)
def test_names_that_lead_out_of_the_image_are_refused(write, name, message):
    folder = write()
    file = folder / "a.zarr/labels/zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["ome"]["labels"] = [name]
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf"a\.zarr/labels: {message}"):
        find_any(folder)


def test_a_damaged_chunk_is_named(write):
    folder = write()
    chunk = next(file for file in (folder / "a.zarr/labels/cells/0/c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(InputError, match="labels/cells: cannot be read as OME-Zarr"):
        find_any(folder).refs[0].load()


def test_other_groups_and_segprep_stores_are_not_recognised(write, tmp_path):
    write("masks.zarr")
    segprep.preprocess(tmp_path / "masks.zarr", tmp_path / "store/out.zarr")
    zarr.create_group(tmp_path / "store/other.zarr", attributes={"labels": "x", "ome": 1})
    (tmp_path / "store/none.zarr/labels/cells").mkdir(parents=True)
    buckets = [path for path in (tmp_path / "store/out.zarr").iterdir() if path.is_dir()]
    for path in (tmp_path / "store", *(tmp_path / "store").iterdir(), *buckets):
        assert ome_zarr.find(path, ReadOptions()) is None


@pytest.mark.parametrize("version", [2, 3])
def test_a_changed_label_image_is_noticed(write, tmp_path, version):
    data = write("data/a.zarr", version=version) / "data"
    segprep.preprocess(data, tmp_path / "out.zarr")
    zarr.open_group(data / "a.zarr", mode="r+")["labels/cells/0"][5, 0] = 9
    with pytest.raises(OutputError, match=r"has 1: 1 changed"):
        segprep.preprocess(data, tmp_path / "out.zarr")
