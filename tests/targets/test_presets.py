import numpy as np
import pytest
from helpers.strategies import HAND_MADE, drawn_masks, masks, unhurried
from hypothesis import assume, given
from oracles import targets as oracles
from oracles import unet

from segprep.errors import OptionError
from segprep.masks.instances import separated
from segprep.masks.mask import InstanceMask
from segprep.masks.stats import Counts, class_pixels
from segprep.readers import find
from segprep.targets.weights import PRESETS, Weights

REACH = 33
"""Pixels beyond which the border term of w0 = 10 and sigma = 5 is below 1e-7."""
FALK_REACH = 40
"""The same for lambda = 50 and sigma = 6."""


@pytest.fixture(scope="module")
def nuclei(data_dir):
    """48 real masks, by their keys."""
    loaded = {ref.key: ref.load() for ref in find(data_dir / "dsb2018").refs}
    assert len(loaded) == 48
    return loaded


def fitted(name, *everything):
    """Preset in float32, with the class weights of these masks."""
    pixels = np.array([class_pixels(mask, 6) for mask in everything])
    counts = Counts.of_images(pixels, np.zeros_like(pixels))
    return Weights(**{**vars(PRESETS[name]), "dtype": "float32"}).fit(counts, counts)


def stacked(mask):
    """Bitmap of each instance, (N, H, W)."""
    return np.array([(mask.planes == number).any(axis=0) for number in range(1, len(mask.classes))])


def is_in_the_article(mask):
    """Whether Deshpande's article says what comes out."""
    overlapping = len(mask.planes) > 1
    return mask.ignore is None and len(mask.classes) > 1 and not overlapping and mask.areas.max() < mask.labels.size


def corner(mask, side):
    """Upper left part of a mask, with the instances that show there."""
    labels = mask.labels[:side, :side]
    values, renumbered = np.unique(np.append(0, labels), return_inverse=True)
    planes = renumbered[1:].reshape(1, *labels.shape).astype(np.int32)
    return InstanceMask(planes, mask.classes[values])


def paper(mask, train):
    """The paper's formula, class weights over `train`."""
    pixels = sum(np.array(unet.visible_pixels(each.planes, each.classes, each.ignore, 6)) for each in train)
    return unet.unet_weights(mask.planes, mask.classes, mask.ignore, unet.inverse_class_weights(pixels), w0=10, sigma=5)


def falk(mask, nearest_two=unet.nearest_two):
    """Falk's formula after Falk's separation."""
    return oracles.falk_weights(oracles.falk_planes(mask.planes, mask.classes), mask.classes, nearest_two)


def falk_computed(mask):
    return fitted("falk2019", mask).compute(separated(mask, "falk2019"))


def test_presets_are_as_published_and_as_measured():
    assert {
        "paper": Weights(
            w0=10,
            sigma=5,
            border_on="background",
            single_instance="zero",
            border_between="all",
            class_weights="inverse",
        ),
        "crowded": Weights(w0=10, sigma=2.5, class_weights="none"),
        "deshpande2018": Weights(w0=10, sigma=5, border_on="all", single_instance="d1", class_weights="deshpande2018"),
        "falk2019": Weights(w0=50, sigma=6, border_between="same-class", class_weights="falk2019"),
    } == PRESETS


@pytest.mark.parametrize("name", HAND_MADE)
def test_paper_is_eq_2_on_masks_made_by_hand(name):
    train = list(HAND_MADE.values())
    weights = fitted("paper", *train).compute(HAND_MADE[name])
    np.testing.assert_allclose(weights, paper(HAND_MADE[name], train), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, mask in HAND_MADE.items() if is_in_the_article(mask)])
def test_deshpande2018_is_the_article_on_masks_made_by_hand(name):
    weights = fitted("deshpande2018", HAND_MADE[name]).compute(HAND_MADE[name])
    np.testing.assert_allclose(weights, oracles.make_weight_map(stacked(HAND_MADE[name])), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", HAND_MADE)
def test_falk2019_is_its_formula_on_masks_made_by_hand(name):
    np.testing.assert_allclose(falk_computed(HAND_MADE[name]), falk(HAND_MADE[name]), rtol=1e-6, atol=1e-5)


def test_enough_masks_made_by_hand_are_in_the_article():
    assert sum(map(is_in_the_article, HAND_MADE.values())) >= 6


@unhurried
@given(drawn_masks())
def test_deshpande2018_is_the_article_wherever_it_is_defined(mask):
    one_plane = InstanceMask(*_renumbered(mask.planes[:1], mask.classes))
    assume(is_in_the_article(one_plane))
    weights = fitted("deshpande2018", one_plane).compute(one_plane)
    np.testing.assert_allclose(weights, oracles.make_weight_map(stacked(one_plane)), rtol=1e-6, atol=1e-5)


def _renumbered(planes, classes):
    """Planes whose instances have the numbers 1 to N, and their classes."""
    values, index = np.unique(np.append(0, planes), return_inverse=True)
    return index[1:].reshape(planes.shape).astype(np.int32), classes[values]


@unhurried
@given(masks())
def test_falk2019_is_its_formula(mask):
    expected = falk(mask)
    expected = expected if mask.ignore is None else np.where(mask.ignore, 0, expected)
    np.testing.assert_allclose(falk_computed(mask), expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize(
    ("planes", "class_weights"),
    [
        ([[[0, 0, 0, 0]]], [0, 0, 0, 0]),
        ([[[1, 1, 1, 1]]], [0, 0, 0, 0]),
        ([[[1, 1, 0, 0]], [[0, 2, 0, 0]]], [1 / 4, 1 / 4, 3 / 4, 3 / 4]),
        ([[[1, 1, 1, 0]], [[2, 2, 2, 0]]], [0, 0, 0, 1]),
        ([[[1, 1, 0, 0]], [[2, 0, 0, 0]], [[3, 0, 0, 0]]], [0, 0, 1, 1]),
    ],
)
def test_deshpande2018_is_defined_also_where_the_article_is_not(planes, class_weights):
    mask = InstanceMask(np.array(planes, np.int32), np.array([0, 1, 1, 1][: np.max(planes) + 1], np.int32))
    weights = Weights(w0=0, border_on="all", single_instance="d1", class_weights="deshpande2018").compute(mask)
    assert weights.tolist() == [class_weights]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("case", HAND_MADE)
def test_every_preset_is_finite_and_never_negative_in_float16(name, case):
    mask = separated(HAND_MADE[case], "falk2019" if name == "falk2019" else 0)
    counts = Counts.of_pixels([5, 4, 3, 2])
    weights = PRESETS[name].fit(counts, counts).compute(mask)
    assert weights.dtype == np.float16
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()


def test_paper_is_eq_2_on_real_nuclei(nuclei):
    target = fitted("paper", *nuclei.values())
    counts = sum(class_pixels(mask, 2) for mask in nuclei.values())
    vector = unet.inverse_class_weights(counts.tolist())
    for key, mask in nuclei.items():
        border = unet.border_of(unet.nearest_two_within(mask.planes, REACH), 10, 5)
        expected = vector[(mask.planes > 0).any(axis=0).astype(int)] + border
        np.testing.assert_allclose(target.compute(mask), expected, rtol=1e-6, atol=1e-5, err_msg=key)


def test_deshpande2018_is_the_article_on_real_nuclei_with_overlaps(nuclei):
    for key, mask in nuclei.items():
        overlap = np.count_nonzero(mask.planes, axis=0) > 1
        expected = oracles.make_weight_map_within(mask.planes, REACH)
        expected[overlap] += 1 - np.count_nonzero(mask.planes) / mask.labels.size
        weights = fitted("deshpande2018", mask).compute(mask)
        np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-5, err_msg=key)


def test_windowed_article_is_the_literal_one_on_parts_of_real_nuclei(nuclei):
    parts = [part for part in (corner(mask, 120) for mask in nuclei.values()) if len(part.classes) > 2][:8]
    assert len(parts) == 8
    for part in parts:
        literal = oracles.make_weight_map(stacked(part))
        windowed = oracles.make_weight_map_within(part.planes, REACH)
        np.testing.assert_allclose(windowed, literal, rtol=0, atol=1e-6)


def test_windowed_article_is_the_literal_one_where_two_overlap():
    planes = HAND_MADE["overlap"].planes
    literal = oracles.make_weight_map(stacked(HAND_MADE["overlap"]))
    np.testing.assert_allclose(oracles.make_weight_map_within(planes, REACH), literal, rtol=0, atol=1e-6)


def test_falk2019_is_its_formula_on_real_nuclei(nuclei):
    small = {key: mask for key, mask in nuclei.items() if mask.labels.size <= 360 * 360}
    touching = 0
    assert len(small) >= 20
    for key, mask in small.items():
        expected = falk(mask, lambda planes: unet.nearest_two_within(planes, FALK_REACH))
        np.testing.assert_allclose(falk_computed(mask), expected, rtol=1e-6, atol=1e-4, err_msg=key)
        touching += (separated(mask, "falk2019").labels != mask.labels).any()
    assert touching > 0


def test_falk2019_refuses_a_type_that_cannot_hold_its_weights():
    with pytest.raises(OptionError, match="float16"):
        Weights(w0=70_000, class_weights="falk2019")
