import numpy as np
import pytest
from helpers.strategies import masks, unhurried
from hypothesis import given
from hypothesis import strategies as st

from segprep.errors import OptionError
from segprep.kernels.border import border_weights
from segprep.kernels.boundaries import boundaries
from segprep.kernels.distance import signed_distance
from segprep.kernels.nearest import nearest_two

KERNELS = pytest.mark.parametrize("kernel", [border_weights, nearest_two, signed_distance, boundaries])
TYPES = st.sampled_from(["uint8", "int16", "uint32", "int64", "uint64"])


@KERNELS
@unhurried
@given(mask=masks(), dtype=TYPES)
def test_a_label_image_of_any_integer_type_is_one_plane(kernel, mask, dtype):
    expected = kernel(mask.planes[:1])
    np.testing.assert_array_equal(kernel(mask.planes[0].astype(dtype)), expected.reshape(kernel(mask.planes[0]).shape))


@KERNELS
@unhurried
@given(mask=masks())
def test_leaves_the_labels_as_they_are(kernel, mask):
    before = mask.planes.copy()
    kernel(mask.planes)
    np.testing.assert_array_equal(mask.planes, before)


@KERNELS
def test_takes_a_binary_mask_as_one_instance(kernel):
    region = np.array([[False, True, True]])
    np.testing.assert_array_equal(kernel(region), kernel(region.astype(np.int32)))


@KERNELS
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(5, np.int32), r"labels.shape=\(5,\): must be \(H, W\), or \(K, H, W\)"),
        (np.zeros((1, 1, 5, 5), np.int32), r"labels.shape=\(1, 1, 5, 5\)"),
        (np.zeros((0, 5, 5), np.int32), r"labels.shape=\(0, 5, 5\).* at least one pixel"),
        (np.zeros((5, 5)), r"labels.dtype='float64': must be an integer type"),
        (np.array([[0, -1]]), r"labels: contain -1; must be 0 for background"),
        (np.array([[0, 2**31]]), r"labels: contain 2147483648; .* 1 to 2147483647 for instances"),
    ],
)
def test_refuses_what_is_no_label_image(kernel, labels, message):
    with pytest.raises(OptionError, match=message):
        kernel(labels)


def test_boundaries_refuse_a_width_of_0():
    with pytest.raises(OptionError, match="width=0: must be at least 1"):
        boundaries(np.array([[0, 1]]), width=0)
