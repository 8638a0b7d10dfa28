import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segprep.masks.touching import touching_pairs


@given(
    arrays.arrays(
        np.int32, st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 5)
    )
)
def test_pairs_are_those_of_all_neighbouring_pixels(planes):
    pairs = set()
    for plane in planes:
        for (y, x), label in np.ndenumerate(plane):
            around = plane[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            pairs |= {frozenset((label, other)) for other in around.ravel() if label > 0 < other != label}
    assert touching_pairs(planes) == len(pairs)
