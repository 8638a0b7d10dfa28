import json
import re

import numpy as np
import pytest
from helpers.strategies import SEEDS, unhurried
from hypothesis import assume, given
from hypothesis import strategies as st

from segprep.errors import InputError, OptionError
from segprep.masks.splits import (
    NO_FOLD,
    SPLITS,
    SplitRule,
    by_file,
    by_hash,
    by_layout,
    check_filled,
    check_groups,
    file_of,
    folder_split,
    folds_of,
    fraction_of,
    groups_of,
    stratified,
)

SHARES = [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.7, 0.3, 0.0), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0)]
FRACTIONS = st.sampled_from(SHARES)
GROUPINGS = st.lists(st.sampled_from([f"slide{number}" for number in range(12)]), min_size=1, max_size=60)


def keys_of(count):
    return [f"images/{number:05}.png" for number in range(count)]


def shares_of(splits, amounts):
    """Share of the amounts in each split, (3, ...)."""
    return np.array([amounts[splits == code].sum(axis=0) for code in range(3)]) / amounts.sum(axis=0)


def images(seed):
    """Pixels and instances of each class in 300 to 1000 images; every class is in 50 of them or more."""
    rng = np.random.default_rng(seed)
    count, n_classes = int(rng.integers(300, 1001)), int(rng.integers(1, 7))
    rare = [np.isin(rng.permutation(count), range(rng.integers(50, count))) for _ in range(n_classes)]
    instances = np.where(np.array(rare).T, rng.poisson(rng.uniform(0, 20, n_classes), (count, n_classes)) + 1, 0)
    pixels = instances * rng.integers(20, 2000, instances.shape)
    background = rng.integers(1000, 100_000, (count, 1))
    return np.hstack([background, pixels, np.zeros_like(background), instances])


def test_no_group_is_in_two_splits():
    rng = np.random.default_rng(0)
    for case in range(5000):
        groups = [f"patient{number}" for number in rng.integers(0, rng.integers(1, 15), rng.integers(1, 40))]
        counts = rng.integers(0, 100, (len(groups), 3))
        fractions = SHARES[case % len(SHARES)]
        for splits in (by_hash(groups, fractions, case), stratified(groups, counts, fractions, case)):
            assert len(set(zip(groups, splits.tolist(), strict=True))) == len(set(groups))


@unhurried
@given(st.integers(0, 200), st.integers(1, 200), FRACTIONS, SEEDS)
def test_more_masks_move_none_of_those_before(count, more, fractions, seed):
    before, after = (by_hash(keys_of(number), fractions, seed) for number in (count, count + more))
    np.testing.assert_array_equal(after[:count], before)


@pytest.mark.parametrize("fractions", SHARES)
def test_hash_shares_masks_as_requested_within_2_points(fractions):
    splits = by_hash(keys_of(5000), fractions, 0)
    assert splits.dtype == np.uint8
    np.testing.assert_allclose(shares_of(splits, np.ones(5000)), fractions, atol=0.02)
    assert all((splits != code).all() for code, share in enumerate(fractions) if share == 0)


def test_hash_cuts_the_interval_at_the_shares():
    keys = keys_of(300)
    numbers = np.array([fraction_of(key, 7) for key in keys])
    assert ((numbers >= 0) & (numbers < 1)).all()
    expected = np.where(numbers < 0.5, 0, np.where(numbers < 0.75, 1, 2))
    np.testing.assert_array_equal(by_hash(keys, (0.5, 0.25, 0.25), 7), expected)


def test_splits_of_today_are_those_of_tomorrow():
    keys = ["a.png", "b.png", "größe/c.png", "d", "e", "f", "g", "h"]
    assert by_hash(keys, (0.5, 0.25, 0.25), 0).tolist() == [1, 2, 0, 0, 1, 0, 1, 0]


def test_another_seed_gives_another_split():
    splits = [tuple(by_hash(keys_of(100), (0.5, 0.25, 0.25), seed).tolist()) for seed in range(20)]
    assert len(set(splits)) == 20
    assert splits[3] == tuple(by_hash(keys_of(100), (0.5, 0.25, 0.25), 3).tolist())


def test_another_seed_gives_another_stratified_split_of_equal_images():
    splits = [tuple(stratified(keys_of(100), np.ones((100, 2), int), (0.5, 0.25, 0.25), s).tolist()) for s in range(9)]
    assert len(set(splits)) == 9


@unhurried
@given(GROUPINGS, FRACTIONS, SEEDS, SEEDS)
def test_the_order_of_the_masks_does_not_matter(groups, fractions, seed, shuffle):
    rng = np.random.default_rng(shuffle)
    counts = rng.integers(0, 10**10, (len(groups), 4))
    order = rng.permutation(len(groups))
    shuffled = [groups[index] for index in order]
    np.testing.assert_array_equal(by_hash(shuffled, fractions, seed), by_hash(groups, fractions, seed)[order])
    whole = stratified(groups, counts, fractions, seed)
    np.testing.assert_array_equal(stratified(shuffled, counts[order], fractions, seed), whole[order])


@pytest.mark.parametrize("fractions", SHARES)
@pytest.mark.parametrize("seed", range(12))
def test_stratified_shares_every_class_within_2_points(fractions, seed):
    counts = images(seed)
    splits = stratified(keys_of(len(counts)), counts, fractions, seed)
    occurring = counts[:, counts.any(axis=0)]
    shares = shares_of(splits, np.column_stack([occurring, np.ones(len(counts))]))
    np.testing.assert_allclose(shares, np.broadcast_to(np.array(fractions)[:, None], shares.shape), atol=0.02)


def test_stratified_shares_a_class_of_ten_images_that_a_hash_would_not():
    counts = np.zeros((500, 2), int)
    counts[:, 0], counts[::50, 1] = 1000, 10
    splits = stratified(keys_of(500), counts, (0.6, 0.2, 0.2), 0)
    assert np.bincount(splits[::50]).tolist() == [6, 2, 2]


@unhurried
@given(GROUPINGS, FRACTIONS, SEEDS)
def test_stratified_leaves_splits_of_no_share_empty(groups, fractions, seed):
    counts = np.random.default_rng(seed).integers(0, 9, (len(groups), 3))
    splits = stratified(groups, counts, fractions, seed)
    assert splits.dtype == np.uint8
    assert all(fractions[code] > 0 for code in splits)


@pytest.mark.parametrize("fractions", SHARES)
def test_one_image_is_for_training(fractions):
    assert stratified(["a"], np.array([[5, 1]]), fractions, 0).tolist() == [0]
    assert by_hash(["a"], (1, 0, 0), 0).tolist() == [0]


def test_no_images_have_no_splits():
    assert by_hash([], (0.8, 0.1, 0.1), 0).tolist() == []


@pytest.mark.parametrize(
    ("codes", "fractions", "empty"),
    [([0, 0], (0.8, 0.1, 0.1), "val"), ([0, 1], (0.8, 0.1, 0.1), "test"), ([1, 2], (0.8, 0.1, 0.1), "train")],
)
def test_a_split_that_was_asked_for_and_got_no_mask_is_refused(codes, fractions, empty):
    with pytest.raises(OptionError, match=rf"0.1\): none of 2 masks is in {empty}; try stratify=True, seed=1"):
        check_filled(np.array(codes, np.uint8), SplitRule(fractions), 3)
    with pytest.raises(OptionError, match=f"is in {empty}; try other shares"):
        check_filled(np.array(codes, np.uint8), SplitRule(fractions, stratify=True), 3)
    with pytest.raises(OptionError, match="3 splits need at least 3 masks or groups; the data set has 2"):
        check_filled(np.array(codes, np.uint8), SplitRule(fractions), 2)


@pytest.mark.parametrize(
    ("codes", "fractions"), [([0], (1, 0, 0)), ([0, 1], (0.5, 0.5, 0)), ([0, 1, 2], (0.8, 0.1, 0.1))]
)
def test_a_split_of_no_share_may_be_empty(codes, fractions):
    check_filled(np.array(codes, np.uint8), SplitRule(fractions), len(codes))


@unhurried
@given(st.integers(3, 9), st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2)]), SEEDS)
def test_stratified_leaves_no_split_with_a_share_empty(count, fractions, seed):
    counts = np.random.default_rng(seed).integers(0, 9, (count, 3))
    assert set(stratified(keys_of(count), counts, fractions, seed).tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("pattern", "keys", "groups"),
    [
        (None, ["a", "b"], ["a", "b"]),
        (r"slide\d+", ["slide1_a", "x/slide1_b", "slide12"], ["slide1", "slide1", "slide12"]),
        (r"^([^_]+)_(\d)", ["p_1_x", "p_1_y", "p_2_x"], ["p\0001", "p\0001", "p\0002"]),
        (r"(?P<who>p\d)", ["p1", "p2"], ["p1", "p2"]),
        (r"p(\d)(x)?", ["p1x", "p1"], ["1\0x", "1\0"]),
        (r".*/", ["a/b/c.png", "a/b/d.png"], ["a/b/", "a/b/"]),
    ],
)
def test_masks_whose_keys_match_alike_are_of_one_group(pattern, keys, groups):
    assert groups_of(keys, pattern) == groups


def test_a_key_that_does_not_match_is_refused_by_name():
    with pytest.raises(OptionError, match=re.escape(r"group='slide\\d': does not match 'other.png'")):
        groups_of(["slide1.png", "other.png", "third.png"], r"slide\d")


@pytest.mark.parametrize("pattern", [r"\d*", "(x)?", "", "(?=.)"])
def test_a_key_of_which_no_character_matches_is_refused_by_name(pattern):
    with pytest.raises(OptionError, match=re.escape(f"group={pattern!r}: matches no character of 'a.png'")):
        groups_of(["a.png", "b.png"], pattern)


def test_folds_of_single_masks_are_of_one_size_and_hold_no_test_mask():
    keys = keys_of(3000)
    splits = by_hash(keys, (0.6, 0.2, 0.2), 0)
    folds = folds_of(keys, splits, 5, 0)
    np.testing.assert_array_equal(folds == 255, splits == SPLITS.index("test"))
    sizes = np.bincount(folds[folds < 255])
    assert len(sizes) == 5
    assert sizes.max() - sizes.min() <= 1


@unhurried
@given(st.lists(st.integers(0, 4), min_size=20, max_size=120), st.integers(2, 7), SEEDS)
def test_stratified_folds_have_as_many_masks_of_each_class_within_1(classes, folds, seed):
    counts = np.zeros((len(classes), 10), np.int64)
    counts[np.arange(len(classes)), classes], counts[np.arange(len(classes)), np.add(classes, 5)] = 100, 1
    found = folds_of(keys_of(len(classes)), np.zeros(len(classes), np.uint8), folds, seed, counts)
    table = np.histogram2d(classes, found, bins=(range(6), range(folds + 1)))[0]
    assert (table.max(axis=1) - table.min(axis=1)).max() <= 1


@unhurried
@given(GROUPINGS, st.integers(2, 4), SEEDS)
def test_stratified_folds_keep_groups_together_and_hold_no_test_mask(groups, folds, seed):
    rng = np.random.default_rng(seed)
    splits = np.array([int(group[5:]) % 3 for group in groups], np.uint8)
    assume(len({group for group, code in zip(groups, splits, strict=True) if code < 2}) >= folds)
    found = folds_of(groups, splits, folds, seed, rng.integers(0, 100, (len(groups), 3)))
    assert ((found == 255) == (splits == 2)).all()
    assert set(found[splits < 2].tolist()) == set(range(folds))
    assert len(set(zip(groups, found.tolist(), strict=True))) == len(set(groups))


@unhurried
@given(GROUPINGS, st.integers(2, 12), SEEDS)
def test_folds_keep_groups_together_and_do_not_depend_on_the_order(groups, folds, seed):
    train = np.zeros(len(groups), np.uint8)
    if len(set(groups)) < folds:
        with pytest.raises(OptionError, match=f"folds={folds}: more than the {len(set(groups))} masks"):
            folds_of(groups, train, folds, seed)
        return
    found = folds_of(groups, train, folds, seed)
    assert set(found.tolist()) == set(range(folds))
    assert len(set(zip(groups, found.tolist(), strict=True))) == len(set(groups))
    np.testing.assert_array_equal(folds_of(groups[::-1], train, folds, seed), found[::-1])


def test_a_group_in_two_splits_is_refused_with_two_of_its_masks():
    keys, codes = ["a1", "b1", "a2"], np.array([0, 1, 1], np.uint8)
    check_groups(keys, ["a", "b", "c"], codes)
    with pytest.raises(OptionError, match=r"group: 'a1' is in train and 'a2', of the same group, in val"):
        check_groups(keys, ["a", "b", "a"], codes)


def test_folds_do_not_follow_the_splits():
    keys = keys_of(2000)
    splits = by_hash(keys, (0.5, 0.5, 0), 0)
    in_train = folds_of(keys, splits, 2, 0)[splits == 0]
    assert 0.4 < in_train.mean() < 0.6


def test_without_folds_every_mask_is_in_none():
    assert folds_of(["a", "b"], np.array([0, 2], np.uint8), None, 0).tolist() == [255, 255]


@pytest.mark.parametrize(
    ("keys", "splits"),
    [
        (["train/a", "val/b", "test/c"], [0, 1, 2]),
        (["training/a", "valid/b", "validation/c", "testing/d"], [0, 1, 1, 2]),
        (["Train/x/a", "VAL/b"], [0, 1]),
        (["train/val/a"], [0]),
        (["train/a", "b"], None),
        (["train/a", "other/b"], None),
        (["train"], None),
        (["trainer/a"], None),
    ],
)
def test_folders_give_the_split_if_all_of_them_do(keys, splits):
    found = by_layout([folder_split(key) for key in keys])
    assert (found if found is None else found.tolist()) == splits


JSON_BY_SPLIT = json.dumps({"train": ["a", "größe/b"], "val": ["c"], "test": []})
JSON_BY_KEY = json.dumps({"a": "train", "größe/b": "training", "c": "validation", "more": "test"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("splits.json", JSON_BY_SPLIT),
        ("splits.json", "\ufeff" + JSON_BY_SPLIT),
        ("splits.JSON", JSON_BY_KEY),
        ("splits.csv", "key,split\na,train\ngröße/b,train\nc,val\n"),
        ("splits.csv", "a,train\ngröße/b,train\nc,val\n"),
        ("splits.csv", "\ufeffa,train\r\n\r\ngröße/b, Train\r\nc,VAL"),
        ("splits.txt", '"a",train\n"größe/b",train\nc,val\nmore,test\n'),
    ],
)
def test_a_file_gives_the_split_of_each_key(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert by_file(["c", "a", "größe/b"], path).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.json", JSON_BY_SPLIT, r"does not list 2 masks \(first: 'd'\)"),
        ("s.csv", "a,train\n", r"does not list 2 masks \(first: 'd'\)"),
        ("s.csv", "", r"does not list 3 masks \(first: 'a'\)"),
        ("s.json", '{"a": "holdout"}', r"split 'holdout' is unknown; use train, val or test"),
        ("s.json", '{"holdout": ["a"]}', r"split 'holdout' is unknown"),
        ("s.csv", "a,holdout\n", r"split 'holdout' is unknown"),
        ("s.json", '{"train": ["a"], "val": null}', r"is unknown"),
        ("s.json", '{"train": ["a"', r"not a table of splits"),
        ("s.json", '["a"]', r"not a table of splits"),
        ("s.json", "7", r"not a table of splits"),
        ("s.json", '{"a": ' + "[" * 200_000, r"not a table of splits"),
        ("s.csv", "a,train,val\n", r"not a table of splits"),
        ("s.csv", "a\n", r"not a table of splits"),
        ("s.csv", "a" * 140_000 + ",train\n", r"not a table of splits"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: .*{message}"):
        by_file(["a", "d", "e"], path)


@pytest.mark.parametrize("name", ["s.json", "s.csv"])
def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(InputError, match="cannot be read: No such file"):
        by_file(["a"], path)
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match="not a table of splits"):
        by_file(["a"], path)


@pytest.mark.parametrize(
    ("name", "text"), [("s.json", '{"train": ["a"], "val": ["a"]}'), ("s.csv", "a,train\na,val\n")]
)
def test_a_file_that_puts_a_mask_into_two_splits_is_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match="'a'"):
        by_file(["a"], path)


def test_the_rules_file_comes_before_one_in_the_folder_of_the_data(tmp_path):
    assert file_of(SplitRule(), tmp_path) is None
    (tmp_path / "splits.csv").touch()
    assert file_of(SplitRule(), tmp_path) == tmp_path / "splits.csv"
    (tmp_path / "splits.json").touch()
    assert file_of(SplitRule(), tmp_path) == tmp_path / "splits.json"
    assert file_of(SplitRule(file=str(tmp_path / "mine.csv")), tmp_path) == tmp_path / "mine.csv"
    assert file_of(SplitRule(), tmp_path / "splits.csv") is None
    assert file_of(SplitRule(), None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.8, 0.1, 0.2)}, r"split=\(0.8, 0.1, 0.2\): the shares sum to 1.1"),
        ({"fractions": (0.5, 0.4, 0.0)}, r"split=\(0.5, 0.4, 0\): the shares sum to 0.9"),
        ({"fractions": (1.2, -0.2, 0.0)}, r"must be at least 0"),
        ({"fractions": (float("nan"), 0.5, 0.5)}, r"split=\(nan"),
        ({"fractions": (0.0, 0.5, 0.5)}, r"nothing would be left for training"),
        ({"stratify": True}, r"stratify=True: needs shares or folds"),
        ({"fractions": (0.8, 0.1, 0.1), "file": "a.json"}, r"shares or a file, not both"),
        ({"folds": 1}, r"folds=1: must be from 2 to 254"),
        ({"folds": 255}, r"folds=255: must be from 2 to 254"),
        ({"group": "("}, r"group='\(': not a regular expression: .*unterminated"),
        ({"group": "*"}, r"not a regular expression"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        SplitRule(**options)


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7), (1, 0, 0)])
def test_shares_may_sum_to_1_but_for_rounding(fractions):
    assert SplitRule(fractions=fractions).fractions == fractions


def test_a_link_is_no_file_of_splits(tmp_path):
    (tmp_path / "mine.csv").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/splits.csv").symlink_to(tmp_path / "mine.csv")
    assert file_of(SplitRule(), tmp_path / "data") is None


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5), st.booleans())
def test_masks_keep_their_splits_and_folds_when_others_are_added(before, added, seed, is_stratified):
    keys = [f"slide{number % 13}" for number in range(before + added)]
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (before + added, 3)).astype(np.int64)
    had = np.full(before + added, NO_FOLD, np.uint8)
    had[:before] = stratified(keys[:before], counts[:before], (0.5, 0.3, 0.2), seed)
    now = stratified(keys, counts, (0.5, 0.3, 0.2), seed, had)
    assert np.array_equal(now[:before], had[:before])
    everything, balanced = np.zeros(before + added, np.uint8), counts if is_stratified else None
    if len(set(keys[:before])) >= 2:
        folds = np.full(before + added, NO_FOLD, np.uint8)
        of_before = None if balanced is None else balanced[:before]
        folds[:before] = folds_of(keys[:before], everything[:before], 2, seed, of_before)
        after = folds_of(keys, everything, 2, seed, balanced, folds)
        assert np.array_equal(after[:before], folds[:before])
        assert len({(key, fold) for key, fold in zip(keys, after.tolist(), strict=True)}) == len(set(keys))
