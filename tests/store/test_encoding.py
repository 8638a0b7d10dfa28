"""What segprep encodes is, byte for byte, what zarr-python writes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from helpers.shards import chunks_of
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from segprep.masks.mask import InstanceMask
from segprep.store.encoding import (
    DTYPES,
    ArrayForm,
    array_metadata,
    encode_chunks,
    encode_shard,
    group_metadata,
    read_form,
)
from segprep.store.layout import Bucket
from segprep.store.shards import array_spec, encode_row
from segprep.targets import Distance
from segprep.targets.target import images_of

NAMES = st.text(st.characters(codec="utf-8"), max_size=5)


@st.composite
def forms(draw, *, sharded):
    """Form of an array, and its values."""
    dtype = np.dtype(draw(st.sampled_from(sorted(DTYPES))))
    fills = [0, 1, float("nan"), float("inf"), -float("inf"), 0.1] if dtype.kind == "f" else [0, 1]
    fill = dtype.type(draw(st.sampled_from(fills))).item()
    if sharded:
        shape = draw(st.lists(st.integers(1, 9), min_size=3, max_size=4))
        chunks = [*(1 for _ in shape[:-2]), *(draw(st.integers(1, side)) for side in shape[-2:])]
        rows = draw(st.integers(shape[0], 9))
        shards = (rows, *(-(-side // part) * part for side, part in zip(shape[1:], chunks[1:], strict=True)))
        form = ArrayForm(tuple(shape), dtype, tuple(chunks), shards, fill)
    else:
        shape = [draw(st.integers(0, 9)), *draw(st.lists(st.integers(1, 9), max_size=1))]
        form = ArrayForm(tuple(shape), dtype, (draw(st.integers(1, 9)), *shape[1:]), None, fill)
    values = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 2, shape)
    return form, values.astype(dtype)


def written_by_zarr(form, values, dimensions, attributes):
    """Objects of an array by their paths, as zarr-python writes them."""
    objects = {}
    array = zarr.create_array(
        MemoryStore(objects),
        shape=form.shape,
        dtype=form.dtype,
        chunks=form.chunks,
        shards=form.shards,
        fill_value=form.fill_value,
        compressors=(ZstdCodec(level=3), Crc32cCodec()),
        dimension_names=dimensions,
        attributes=attributes,
        config={"write_empty_chunks": True},
    )
    array[:] = values
    return {path: data.to_bytes() for path, data in objects.items()}


@given(forms(sharded=True), st.dictionaries(NAMES, st.none() | st.booleans() | st.floats() | NAMES))
def test_a_shard_and_its_metadata_are_those_of_zarr_python(array, attributes):
    form, values = array
    dimensions = "abcd"[: form.ndim]
    expected = {
        "zarr.json": array_metadata(form, dimensions, attributes),
        "/".join(["c", *"0" * form.ndim]): encode_shard(form, chunks_of(form, values)),
    }
    assert written_by_zarr(form, values, dimensions, attributes) == expected


@given(forms(sharded=False))
def test_chunks_and_their_metadata_are_those_of_zarr_python(array):
    form, values = array
    dimensions = "ab"[: form.ndim]
    chunks = {
        "/".join(["c", str(number), *"0" * (form.ndim - 1)]): chunk
        for number, chunk in enumerate(encode_chunks(form, values))
    }
    expected = {"zarr.json": array_metadata(form, dimensions), **chunks}
    assert written_by_zarr(form, values, dimensions, {}) == expected


@given(st.dictionaries(NAMES, st.lists(st.integers() | NAMES)))
def test_a_group_is_that_of_zarr_python(attributes):
    objects = {}
    zarr.create_group(MemoryStore(objects), attributes=attributes)
    assert {path: data.to_bytes() for path, data in objects.items()} == {"zarr.json": group_metadata(attributes)}


@given(forms(sharded=True) | forms(sharded=False))
def test_a_form_that_is_written_is_read_back(array):
    form, _ = array
    is_finite = np.isfinite(form.fill_value)
    read = read_form(array_metadata(form, "abcd"[: form.ndim], {"a": 1}))
    assert read is None if not is_finite and form.fill_value == form.fill_value else repr(read) == repr(form)


SHARDED = ArrayForm((2, 8, 8), np.dtype("uint16"), (1, 4, 4), (1, 8, 8))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2, 8, 8.5]},
        {"shape": 2},
        {"shape": [2, 8, True]},
        {"data_type": "u2"},
        {"data_type": ["uint16"]},
        {"fill_value": 70000},
        {"fill_value": None},
        {"codecs": []},
        {"codecs": [BytesCodec().to_dict()]},
        {"chunk_key_encoding": {"name": "v2"}},
        {"zarr_format": 2},
        {"another": 1},
    ],
)
def test_other_metadata_are_left_to_zarr_python(change):
    metadata = json.loads(array_metadata(SHARDED, "abc"))
    assert read_form(json.dumps(metadata).encode()) == SHARDED
    assert read_form(json.dumps(metadata | change).encode()) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_metadata_are_no_form(data):
    assert read_form(data) is None


READ = """
import sys
import segprep
segprep.open(sys.argv[1], split="train")[0]
slow = {"zarr", "numba", "scipy", "dask", "distributed", "cv2", "PIL", "skimage", "tifffile", "obstore"}
print(sorted(slow & sys.modules.keys()))
"""


def test_a_store_is_read_without_libraries_that_are_slow_to_import(coins_store):
    command = [sys.executable, "-c", READ, str(coins_store)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("size", "canvas"), [((3, 5), (8, 8)), ((1030, 1100), (1280, 1280))])
def test_channels_that_a_mask_lacks_are_encoded_as_zeros(size, canvas):
    planes = np.zeros((1, *size), np.int32)
    planes[0, :2, 1:4] = 1
    mask = InstanceMask(planes, np.array([0, 3], np.int32))
    target = Distance(distance_per="class", channels=5)
    spec = array_spec(Bucket(canvas, (0,)), target)
    assert [channel for channel, _ in images_of(target, mask, "a")] == [(0,), (3,)]
    rows = np.zeros(spec.shape, spec.dtype)
    rows[0, :, : size[0], : size[1]] = target.compute(mask)
    assert rows[0, 3].any()
    assert not rows[0, [1, 2, 4]].any()
    assert encode_row(spec, 0, images_of(target, mask, "a")) == chunks_of(spec.form, rows)
