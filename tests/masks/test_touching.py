import numpy as np
from helpers.strategies import masks, unhurried
from hypothesis import given

from segprep.masks.touching import touching_pairs


@unhurried
@given(masks())
def test_pairs_are_those_of_all_neighbouring_pixels(mask):
    pairs = set()
    for plane in mask.planes:
        for (y, x), label in np.ndenumerate(plane):
            around = plane[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            pairs |= {frozenset((label, other)) for other in around.ravel() if label > 0 < other != label}
    assert touching_pairs(mask) == len(pairs)
