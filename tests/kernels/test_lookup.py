import numpy as np
import pytest

from segprep.kernels import lookup as module
from segprep.kernels.lookup import counts, lookup, occurring


@pytest.mark.parametrize("part", [1, 7, 10**6])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int32", "uint32", "int64"])
def test_is_what_numpy_finds_whatever_the_parts(part, dtype, monkeypatch):
    monkeypatch.setattr(module, "_PART", part)
    numbers = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 20, (9, 5)).astype(dtype)
    table = np.arange(20, dtype=np.float32) ** 2
    found = lookup(table, numbers)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, table[numbers.astype(int)])
    expected = np.bincount(numbers.ravel().astype(int), minlength=30)
    np.testing.assert_array_equal(counts(numbers, 30), expected)
    np.testing.assert_array_equal(occurring(numbers), (expected > 0)[: int(numbers.max()) + 1])
