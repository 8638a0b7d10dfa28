import numpy as np
import pytest
from helpers.strategies import SHAPES, masks, unhurried
from hypothesis import given
from hypothesis import strategies as st
from oracles import unet as oracles

from segprep.errors import InputError
from segprep.masks.classes import ClassEntry, class_table
from segprep.masks.crops import InstanceCrop, mask_from_crops
from segprep.masks.mask import InstanceMask
from segprep.readers import ReadOptions
from segprep.readers._reader import mask_from_instances


def crop(y, x, *rows):
    """Piece whose pixels are drawn with #."""
    return InstanceCrop(y, x, np.array([[pixel == "#" for pixel in row] for row in rows]))


@st.composite
def images_and_crops(draw):
    """Shapes and up to 6 crops within them."""
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    crops = []
    for _ in range(draw(st.integers(0, 6))):
        (y, bottom), (x, right) = (sorted(rng.choice(side + 1, 2, replace=False)) for side in shape)
        crops.append(InstanceCrop(int(y), int(x), rng.random((bottom - y, right - x)) < 0.7))
    return shape, crops


@unhurried
@given(images_and_crops())
def test_every_instance_lies_completely_in_one_plane(image):
    shape, crops = image
    planes = mask_from_crops(shape, crops, [1] * len(crops)).planes
    assert planes.dtype == np.int32
    for number, (y, x, pixels) in enumerate(crops, start=1):
        whole = np.zeros(shape, bool)
        whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        np.testing.assert_array_equal((planes == number).any(axis=0), whole)
        assert (planes == number).any(axis=(1, 2)).sum() == pixels.any()


@pytest.mark.parametrize(
    ("crops", "planes"),
    [
        ([], [["...."]]),
        ([crop(0, 0, "##"), crop(0, 2, "##")], [["1122"]]),
        ([crop(0, 0, "##"), crop(0, 1, "##"), crop(0, 2, "##")], [["1133"], [".22."]]),
        ([crop(0, 0, "####")] * 3, [["1111"], ["2222"], ["3333"]]),
        ([crop(0, 0, "#..#"), crop(0, 1, "##")], [["1221"]]),
        ([crop(0, 0, "###"), crop(0, 1, "#"), crop(0, 1, "##"), crop(0, 3, "#")], [["1114"], [".2.."], [".33."]]),
    ],
)
def test_piece_goes_to_the_first_plane_that_is_free_under_it(crops, planes):
    mask = mask_from_crops((1, 4), crops, range(1, len(crops) + 1))
    drawn = [["".join(".123456789"[number] for number in row) for row in plane] for plane in mask.planes]
    assert drawn == planes
    assert mask.classes.tolist() == list(range(len(crops) + 1))


@unhurried
@given(masks())
def test_labels_show_the_smaller_instance_in_front_and_of_equals_the_last(mask):
    np.testing.assert_array_equal(mask.labels, oracles.front(mask.planes))


@pytest.mark.parametrize(
    ("planes", "labels"),
    [
        ([[1, 1, 0]], [1, 1, 0]),
        ([[1, 1, 1], [0, 2, 0]], [1, 2, 1]),
        ([[1, 0, 0], [2, 2, 2]], [1, 2, 2]),
        ([[1, 1, 0], [0, 2, 2]], [1, 2, 2]),
        ([[2, 2, 0], [0, 1, 1]], [2, 2, 1]),
        ([[1, 1, 1], [2, 2, 0], [3, 0, 0]], [3, 2, 1]),
        ([[0, 0, 0], [1, 1, 0]], [1, 1, 0]),
    ],
)
def test_labels_of_three_pixels_are_as_found_by_hand(planes, labels):
    planes = np.array(planes, np.int32)[:, np.newaxis]
    assert InstanceMask(planes, np.zeros(planes.max() + 1, np.int32)).labels.tolist() == [labels]


@unhurried
@given(masks())
def test_areas_include_hidden_parts_of_instances(mask):
    expected = [0, *(np.count_nonzero(mask.planes == number) for number in range(1, len(mask.classes)))]
    assert mask.areas.dtype == np.int64
    assert mask.areas.tolist() == expected


def test_background_alone_has_no_area():
    mask = mask_from_crops((3, 2), [], [])
    assert (mask.shape, mask.areas.tolist(), mask.labels.any(), mask.ignore) == ((3, 2), [0], False, None)


def test_class_table_begins_with_the_background_and_keeps_the_order():
    table = class_table([(90, "toothbrush"), (0, "cell"), (None, "nameless")])
    assert table.entries == (
        ClassEntry(0, None, "background", is_thing=False),
        ClassEntry(1, 90, "toothbrush", is_thing=True),
        ClassEntry(2, 0, "cell", is_thing=True),
        ClassEntry(3, None, "nameless", is_thing=True),
    )
    assert len(table) == 4
    assert len(class_table([])) == 1


def test_stuff_has_a_class_where_no_instance_is():
    stuff = np.array([[0, 0, 2, 2]], np.int32)
    mask = InstanceMask(np.array([[[1, 0, 0, 0]]], np.int32), np.array([0, 1], np.int32), stuff=stuff)
    assert mask.class_map.tolist() == [[1, 0, 2, 2]]
    assert mask.labels.tolist() == [[1, 0, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "most"), [((2, 2), 1024), ((2**12, 2**12), 32), ((2**14, 2**14), 4)])
def test_planes_of_one_mask_are_bounded_by_their_number_and_their_memory(shape, most):
    pixel = InstanceCrop(0, 0, np.ones((1, 1), np.bool_))
    with pytest.raises(InputError, match=rf"a\.json: instance {most + 1} lies over {most} others, .* remove repeated"):
        mask_from_crops(shape, [pixel] * (most + 1), [1] * (most + 1), where="a.json")


def test_no_memory_is_taken_for_the_pixels_of_an_instance_too_many():
    drawn = []

    def found():
        for number in range(5):
            drawn.append(number)
            yield 1, InstanceCrop(0, number, np.ones((1, 1), np.bool_))

    with pytest.raises(InputError, match=r"a\.txt: 3 instances are more than max_instances=2; raise"):
        mask_from_instances("a.txt", (1, 9), found(), ReadOptions(max_instances=2))
    assert drawn == [0, 1, 2]
