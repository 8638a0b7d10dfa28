"""A check of LZW codes that accepts all that an encoder writes, and nothing that leaves the table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagecodecs import lzw_decode, lzw_encode

from segprep.kernels.lzw import follows_lzw


def follows(data):
    return follows_lzw(np.frombuffer(data, np.uint8))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 3000)), max_size=20), st.integers(0, 2**32 - 1))
def test_what_an_encoder_writes_is_accepted_also_if_it_is_cut(runs, seed):
    noise = np.random.default_rng(seed).integers(0, 256, 5000, np.uint8).tobytes()
    for data in (b"".join(bytes([value]) * count for value, count in runs), noise):
        assert follows(lzw_encode(data))
        assert follows(lzw_encode(data)[: seed % 5000])


@given(st.binary(min_size=1, max_size=700), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=4))
def test_what_is_accepted_can_be_decoded_without_an_end_of_the_process(data, faults):
    damaged = bytearray(lzw_encode(data))
    for at, value in faults:
        damaged[at % len(damaged)] = value
    if follows(bytes(damaged)) and damaged[:2] == lzw_encode(data)[:2]:
        assert isinstance(lzw_decode(bytes(damaged), out=2000), bytes)


@pytest.mark.parametrize("code", [258, 300, 511])
def test_the_code_after_a_clear_code_must_be_a_byte(code):
    assert not follows((256 << 15 | code << 6).to_bytes(3, "big"))
