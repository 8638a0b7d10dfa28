"""Shards are those that zarr-python writes, to the byte."""

import numpy as np
import pytest
from zarr.storage import MemoryStore

from segprep.store.shards import ArraySpec, decode_shard, encode_array, encode_shard, shard_name

FORMS = {
    "a shard": ((16, 48, 64), (16, 48, 64), (1, 48, 64)),
    "the last shard": ((10, 64, 80), (16, 64, 80), (1, 64, 80)),
    "chunks beyond the image": ((5, 100, 130), (8, 192, 192), (1, 64, 64)),
    "channels": ((3, 7, 70, 60), (4, 7, 128, 64), (1, 1, 64, 64)),
    "a single pixel": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
}
FILLS = {"uint8": 255, "uint16": 65535, "float16": np.nan, "float32": np.nan}


@pytest.mark.parametrize("dtype", FILLS)
@pytest.mark.parametrize("form", FORMS)
def test_a_shard_is_that_of_zarr_python(form, dtype):
    shape, shard, chunk = FORMS[form]
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 9, shape) * (rng.random(shape) < 0.3)).astype(dtype)
    rows[-1] = FILLS[dtype]
    spec = ArraySpec("a/b", shape, shard, chunk, dtype, FILLS[dtype], 0)
    objects = {}
    encode_array(MemoryStore(objects), spec)[:] = rows
    data = encode_shard(spec, rows)
    assert data == objects[f"a/b/{shard_name(0, len(shape))}"].to_bytes()
    np.testing.assert_array_equal(decode_shard(spec, shape[0], data), rows)
