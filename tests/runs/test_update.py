import json
import pickle
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.buckets import make_bucket, objects_in, upload
from helpers.coco import square
from helpers.examples import mostly_slow
from helpers.updates import (
    ONE,
    SIDES,
    Crash,
    assert_repaired,
    assert_same,
    assert_sound,
    contents,
    crash_at,
    draw,
    made,
    preprocess,
    rows_of,
    update,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import segprep
from segprep.errors import IntegrityError, OptionError, OutputError
from segprep.paths.bucket import BucketPath
from segprep.paths.lock import write_lock
from segprep.runs.former import FORMER, without_holes
from segprep.runs.repair import repair
from segprep.runs.verify import verify
from segprep.store import layout
from segprep.store.layout import HOLE
from segprep.store.metadata import bytes_on_disk, read_info
from segprep.workers.jobs import Workers

THOROUGH = settings.get_current_profile_name() == "thorough"


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Three rows of the smallest canvas in a shard, so that buckets of a few masks have several."""
    monkeypatch.setattr(layout, "SHARD_PIXELS", 3 * 24 * 24)


@pytest.mark.parametrize("settings", [{}, {"downsample": 2}])
def test_an_update_of_added_changed_and_removed_masks_gives_the_pixels_of_a_new_store(settings, tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **settings)
    for number in (20, 21, 22):
        draw(data / f"{number}.png", number, SIDES[number % 3])
    draw(data / "03.png", 103)
    (data / "06.png").unlink()
    info = update(data, tmp_path / "out.zarr", **settings)
    assert (info.masks, info.revision, info.holes, info.status) == (10, 1, 1, "complete")
    preprocess(data, tmp_path / "new.zarr", **settings)
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)


def test_masks_keep_their_rows_and_new_ones_follow(tmp_path):
    data = made(tmp_path / "data", 6)
    preprocess(data, tmp_path / "out.zarr")
    before = rows_of(tmp_path / "out.zarr")
    draw(data / "00a.png", 50)
    draw(data / "01.png", 101, SIDES[1])
    (data / "00.png").unlink()
    update(data, tmp_path / "out.zarr")
    after = rows_of(tmp_path / "out.zarr")
    assert after == {key: place for key, place in before.items() if key != "00.png"} | {"00a.png": ("24x24", 2)}


def test_a_mask_of_another_size_moves_to_another_bucket(tmp_path):
    data = made(tmp_path / "data", 6)
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "00.png", 100, (60, 60))
    info = update(data, tmp_path / "out.zarr")
    assert rows_of(tmp_path / "out.zarr")["00.png"] == ("64x64", 0)
    assert info.holes == 1
    assert_sound(tmp_path / "out.zarr", data)


def test_shards_without_a_new_or_changed_mask_are_not_written(tmp_path):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number)
    preprocess(data, tmp_path / "out.zarr")
    before = contents(tmp_path / "out.zarr")
    draw(data / "4.png", 104)
    (data / "7.png").unlink()
    update(data, tmp_path / "out.zarr")
    after = contents(tmp_path / "out.zarr")
    shards = {path for path in before if "/c/" in path.as_posix() and "24x24" in path.as_posix()}
    assert len(shards) == 3 * 4
    changed = {path.as_posix() for path in shards if before[path] != after[path]}
    assert changed == {f"24x24/{name}/c/1/0/0" for name in ("labels", "classes", "weights", "distance")}


def test_a_row_that_stays_is_copied_and_not_computed(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for number in range(5):
        draw(data / f"{number}.png", number)
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "4.png", 104)
    draw(data / "5.png", 5)
    computed, compute = [], segprep.targets.Distance.images
    monkeypatch.setattr(
        segprep.targets.Distance, "images", lambda self, mask: computed.append(mask) or compute(self, mask)
    )
    update(data, tmp_path / "out.zarr")
    assert len(computed) == 2


def test_a_store_of_other_masks_is_refused_with_the_changes_and_the_cost(tmp_path):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number)
    preprocess(data, tmp_path / "out.zarr")
    before = contents(tmp_path / "out.zarr")
    draw(data / "4.png", 104)
    draw(data / "9.png", 109)
    (data / "7.png").unlink()
    words = r"1 new \(9.png\), 1 missing \(7.png\), 1 changed \(4.png\); add update=True .*writes 8 of 16 shards, computes 2"
    with pytest.raises(OutputError, match=words):
        preprocess(data, tmp_path / "out.zarr")
    assert contents(tmp_path / "out.zarr") == before


def test_an_update_without_changes_leaves_the_store_as_it_is(tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr")
    before = contents(tmp_path / "out.zarr")
    update(data, tmp_path / "out.zarr")
    assert contents(tmp_path / "out.zarr") == before


def test_an_update_of_no_store_makes_a_new_one(tmp_path, files_of):
    data = made(tmp_path / "data")
    update(data, tmp_path / "out.zarr")
    preprocess(data, tmp_path / "new.zarr")
    assert files_of(tmp_path / "out.zarr") == files_of(tmp_path / "new.zarr")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sigma": 3}, "sigma=3.0 instead of sigma=5.0"),
        ({"split": (0.5, 0.5)}, "split="),
        ({"separate": 1}, "separate=1 instead of separate=0"),
        ({"canvas": (64, 64)}, "canvas 64x64 instead of 24x24"),
        ({"background": 3}, "background=3 instead of background=None"),
        ({"downsample": 2}, "downsample=2 instead of downsample=None"),
    ],
)
def test_an_update_with_other_settings_is_refused(settings, said, tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "20.png", 20)
    before = contents(tmp_path / "out.zarr")
    with pytest.raises(OutputError, match=said):
        update(data, tmp_path / "out.zarr", **settings)
    assert contents(tmp_path / "out.zarr") == before


@pytest.mark.parametrize(
    "settings", [{"overwrite": True, "update": True}, {"compact": True}, {"keep_class_weights": True}]
)
def test_parameters_that_make_no_sense_together_are_refused(settings, tmp_path):
    with pytest.raises(OptionError, match="update=True"):
        preprocess(made(tmp_path / "data"), tmp_path / "out.zarr", **settings)


def test_the_command_of_before_is_accepted_after_an_update_and_adds_targets(tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr")
    (data / "04.png").unlink()
    update(data, tmp_path / "out.zarr")
    before = contents(tmp_path / "out.zarr")
    preprocess(data, tmp_path / "out.zarr")
    assert contents(tmp_path / "out.zarr") == before
    preprocess(data, tmp_path / "out.zarr", targets="weights,distance,border")
    preprocess(data, tmp_path / "new.zarr", targets="weights,distance,border")
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)


def test_compact_fills_the_holes(tmp_path):
    data = made(tmp_path / "data", 12)
    preprocess(data, tmp_path / "out.zarr")
    for number in (0, 3, 4, 2, 5, 8, 11):
        (data / f"{number:02}.png").unlink()
    assert update(data, tmp_path / "out.zarr").holes == 7
    info = update(data, tmp_path / "out.zarr", compact=True)
    assert (info.holes, info.revision, len(info.buckets)) == (0, 2, 2)
    preprocess(data, tmp_path / "new.zarr")
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)
    assert not (tmp_path / "out.zarr" / "40x24").exists()
    shards = [len([*(tmp_path / root / "24x24" / "labels" / "c").iterdir()]) for root in ("out.zarr", "new.zarr")]
    assert shards[0] == shards[1]


def test_overwrite_replaces_a_store_that_was_updated(tmp_path, files_of):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr")
    (data / "04.png").unlink()
    update(data, tmp_path / "out.zarr")
    draw(data / "20.png", 20)
    preprocess(data, tmp_path / "out.zarr", overwrite=True)
    preprocess(data, tmp_path / "new.zarr")
    assert files_of(tmp_path / "out.zarr") == files_of(tmp_path / "new.zarr")


@pytest.mark.parametrize(
    "lost",
    [
        ["24x24/labels/c/1/0/0", "24x24/weights/records/0.json"],
        ["row/zarr.json", "bucket/c/0", "split/c/0"],
        ["key/records/places", "24x24/labels/zarr.json"],
        ["key/records/manifest.json"],
        ["zarr.json"],
    ],
)
def test_whatever_is_lost_of_an_updated_store_is_repaired(lost, tmp_path, files_of):
    data = made(tmp_path / "data", 9)
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "20.png", 20, SIDES[0])
    draw(data / "01.png", 101, SIDES[1])
    update(data, tmp_path / "out.zarr")
    assert_repaired(tmp_path / "out.zarr", data, lost, files_of)


def test_a_resplit_store_that_was_updated_is_sound(tmp_path):
    data = made(tmp_path / "data", 9)
    preprocess(data, tmp_path / "out.zarr", class_weights="inverse")
    (data / "01.png").unlink()
    update(data, tmp_path / "out.zarr", class_weights="inverse")
    segprep.resplit(tmp_path / "out.zarr", (0.5, 0.5), refit=True, workers=ONE)
    preprocess(data, tmp_path / "new.zarr", class_weights="inverse", split=(0.5, 0.5))
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)


@settings(max_examples=60 if THOROUGH else 5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_sequence_of_updates_gives_the_pixels_of_a_new_store(tmp_path_factory, choices):
    folder = tmp_path_factory.mktemp("sequence")
    data, root = folder / "data", folder / "out.zarr"
    seeds = {number: (number, number % 3) for number in range(choices.draw(st.integers(1, 7)))}
    for number, (seed, size) in seeds.items():
        draw(data / f"{number:02}.png", seed, SIDES[size])
    chosen = choices.draw(
        st.sampled_from([{}, {"split": (0.6, 0.4)}, {"targets": "distance", "distance_per": "class"}])
    )
    chosen |= choices.draw(st.sampled_from([{}, {"class_weights": "inverse"}])) if "targets" not in chosen else {}
    filled = {"split": (1.0, 0.0)} if "split" in chosen else {}
    preprocess(data, root, **chosen | filled)
    for _ in range(choices.draw(st.integers(1, 3))):
        for number in choices.draw(st.sets(st.integers(0, 9), max_size=5)):
            file = data / f"{number:02}.png"
            if choices.draw(st.booleans()) or len(list(data.iterdir())) == 1:
                draw(file, choices.draw(st.integers(0, 99)), SIDES[choices.draw(st.integers(0, 2))])
            else:
                file.unlink(missing_ok=True)
        compact = choices.draw(st.booleans())
        info = update(data, root, compact=compact, **chosen | filled)
        assert not (compact and info.holes)
    preprocess(data, folder / "new.zarr", **chosen | filled)
    assert_same(root, folder / "new.zarr")
    assert_sound(root, data)
    assert read_info(root).status == "complete"
    shutil.rmtree(folder)


def test_a_hole_is_no_mask():
    assert layout.Shard(0, 0, (3, HOLE, 0)).filled == [3, 0]


def changed_store(folder, settings):
    """Data after a change, and the store from before it: masks of several shards were added, changed, moved and removed."""
    data = made(folder / "data", 10)
    preprocess(data, folder / "before.zarr", **settings)
    for number in (20, 21):
        draw(data / f"{number}.png", number, SIDES[0])
    draw(data / "03.png", 103)
    draw(data / "09.png", 109, SIDES[2])
    for number in (0, 4, 7):
        (data / f"{number:02}.png").unlink()
    return data


EXACT = [segprep.Weights(class_weights="inverse"), segprep.Border(dtype="float32")]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"compact": True},
        {"class_weights": "inverse", "targets": "weights"},
        {"targets": EXACT},
        {"tile": 24, "keep_empty": 0.5, "targets": "boundaries"},
    ],
)
@pytest.mark.parametrize("moment", [pytest.param("many", marks=pytest.mark.slow), "some"])
def test_an_update_that_is_killed_at_any_write_resumes_to_the_same_bytes(settings, moment, tmp_path, files_of):
    compact = {name: value for name, value in settings.items() if name == "compact"}
    settings = {name: value for name, value in settings.items() if name != "compact"}
    data = changed_store(tmp_path, settings)
    before = files_of(tmp_path / "before.zarr")
    shutil.copytree(tmp_path / "before.zarr", tmp_path / "undisturbed.zarr")
    with pytest.MonkeyPatch.context() as patch:
        left = crash_at(10**6, patch)
        update(data, tmp_path / "undisturbed.zarr", **settings, **compact)
    expected, writes = files_of(tmp_path / "undisturbed.zarr"), 10**6 - left[0]
    step = writes // 6 if moment == "some" else 17
    for number in range(0, writes, step):
        root = tmp_path / f"{number}.zarr"
        shutil.copytree(tmp_path / "before.zarr", root)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(number, patch)
            with pytest.raises(Crash):
                update(data, root, **settings, **compact)
        if read_info(root).status == "complete":
            assert without_hidden(files_of(root)) in (before, expected)
        update(data, root, **settings, **compact)
        assert files_of(root) == expected, number
        shutil.rmtree(root)


def without_hidden(contents):
    """Files that are part of a store."""
    return {name: data for name, data in contents.items() if not any(part.startswith(".") for part in name.split("/"))}


def interrupted(folder, number=40):
    """Data, and a store whose update was killed."""
    data = changed_store(folder, {})
    root = folder / "before.zarr"
    with pytest.MonkeyPatch.context() as patch:
        crash_at(number, patch)
        with pytest.raises(Crash):
            update(data, root)
    assert read_info(root).status == "incomplete"
    return data, root


def test_an_update_that_was_interrupted_is_completed_or_replaced_and_nothing_else(tmp_path, files_of):
    data, root = interrupted(tmp_path)
    before = files_of(root)
    with pytest.raises(OutputError, match="update was interrupted; update=True completes it"):
        preprocess(data, root)
    for call in (lambda: repair(root, data, workers=ONE), lambda: segprep.resplit(root, (0.5, 0.5), workers=ONE)):
        with pytest.raises(IntegrityError, match="update was interrupted; update=True completes it"):
            call()
    with pytest.raises(IntegrityError, match="incomplete"):
        segprep.open(root)
    with pytest.raises(IntegrityError, match="incomplete"):
        verify(root, workers=ONE)
    assert files_of(root) == before
    preprocess(data, root, overwrite=True)
    preprocess(data, tmp_path / "new.zarr")
    assert files_of(root) == files_of(tmp_path / "new.zarr")


def test_data_that_change_again_after_an_interrupted_update_are_followed(tmp_path):
    data, root = interrupted(tmp_path)
    draw(data / "20.png", 333)
    draw(data / "04.png", 4, SIDES[1])
    (data / "21.png").unlink()
    assert update(data, root).revision == 1
    preprocess(data, tmp_path / "new.zarr")
    assert_same(root, tmp_path / "new.zarr")
    assert_sound(root, data)


def test_data_that_are_as_before_after_an_interrupted_update_are_followed(tmp_path):
    data, root = interrupted(tmp_path)
    shutil.rmtree(data)
    made(data, 10)
    update(data, root)
    preprocess(data, tmp_path / "new.zarr")
    assert_same(root, tmp_path / "new.zarr")
    assert_sound(root, data)


def test_a_reader_that_was_opened_before_an_update_gets_a_clear_error(tmp_path):
    data = changed_store(tmp_path, {})
    root = tmp_path / "before.zarr"
    fresh, read, travelled = (segprep.open(root, dtype="stored") for _ in range(3))
    for key in read.keys:
        read[key]
    pickled = pickle.dumps(travelled)
    update(data, root)
    for dataset in (fresh, read, pickle.loads(pickled)):  # noqa: S301 - it is ours
        with pytest.raises(IntegrityError, match="was changed since it was opened; open it again"):
            dataset["03.png"]


def test_a_reader_of_untouched_shards_reads_on_or_gets_a_clear_error(tmp_path):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number)
    preprocess(data, tmp_path / "out.zarr")
    read = segprep.open(tmp_path / "out.zarr")
    before = {key: read[key] for key in read.keys}
    draw(data / "4.png", 104)
    update(data, tmp_path / "out.zarr")
    for key in ("0.png", "8.png"):
        assert np.array_equal(read[key]["weights"], before[key]["weights"])
    for key in ("3.png", "4.png", "5.png"):
        with pytest.raises(IntegrityError, match="was changed since it was opened; open it again"):
            read[key]


@pytest.mark.parametrize("moment", range(12, 40, 3))
def test_a_reader_never_gets_other_values_while_an_update_runs(moment, tmp_path):
    data = changed_store(tmp_path, {})
    root = tmp_path / "before.zarr"
    read, fresh = segprep.open(root), segprep.open(root)
    before = {key: read[key] for key in read.keys}
    with pytest.MonkeyPatch.context() as patch:
        crash_at(moment, patch)
        with pytest.raises(Crash):
            update(data, root)
    for dataset in (read, fresh):
        for index, key in enumerate(before):
            arrays = read_or_refused(dataset, index)
            if arrays is not None:
                assert arrays["key"] == key
                assert all(np.array_equal(arrays[name], before[key][name]) for name in arrays)


def read_or_refused(dataset, index):
    """Arrays of a mask, or None if the store was changed since it was opened."""
    try:
        return dataset[index]
    except IntegrityError as error:
        if "was changed since it was opened; open it again" in str(error):
            return None
        raise


def test_a_reader_reads_on_when_a_target_is_added_the_split_changes_or_damage_is_repaired(tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", targets="weights")
    read = segprep.open(tmp_path / "out.zarr")
    before = {key: read[key] for key in read.keys}
    preprocess(data, tmp_path / "out.zarr", targets="weights,distance")
    segprep.resplit(tmp_path / "out.zarr", (0.5, 0.5), workers=ONE)
    for file in (tmp_path / "out.zarr" / "24x24" / "weights" / "c").iterdir():
        shutil.rmtree(file)
    repair(tmp_path / "out.zarr", data, workers=ONE)
    for key, arrays in before.items():
        assert all(np.array_equal(read[key][name], arrays[name]) for name in arrays)


# --- splits and class weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [{"split": (0.5, 0.3, 0.2), "stratify": True}, {"folds": 3}, {"folds": 3, "stratify": True}]
)
def test_balanced_splits_and_folds_keep_their_masks_and_place_the_new_ones(rule, tmp_path):
    data = made(tmp_path / "data", 12)
    preprocess(data, tmp_path / "out.zarr", **rule)
    before = places_of(tmp_path / "out.zarr")
    for number in range(20, 32):
        draw(data / f"{number}.png", number, SIDES[number % 3])
    (data / "05.png").unlink()
    update(data, tmp_path / "out.zarr", **rule)
    after = places_of(tmp_path / "out.zarr")
    assert {key: place for key, place in after.items() if key in before} == {
        key: place for key, place in before.items() if key != "05.png"
    }
    folds = np.array([fold for _, fold in after.values()])
    if "folds" in rule:
        assert np.ptp(np.bincount(folds)) <= 2
    else:
        counts = np.bincount([0 if split == "train" else 1 if split == "val" else 2 for split, _ in after.values()])
        assert np.abs(counts / 23 - (0.5, 0.3, 0.2)).max() < 0.1
    again = places_of(tmp_path / "out.zarr")
    preprocess(data, tmp_path / "out.zarr")
    assert places_of(tmp_path / "out.zarr") == again


def places_of(root):
    """Split and fold of each mask, by its key."""
    dataset = segprep.open(root)
    return dict(zip(dataset.keys, zip(dataset.splits, dataset._tables["fold"].tolist(), strict=True), strict=True))


def test_a_group_that_is_known_gets_its_new_masks(tmp_path):
    data = tmp_path / "data"
    for slide in range(8):
        draw(data / f"slide{slide}_0.png", slide)
    rule = {"split": (0.5, 0.5), "group": "slide[0-9]+", "stratify": True, "folds": 2}
    preprocess(data, tmp_path / "out.zarr", **rule)
    before = places_of(tmp_path / "out.zarr")
    for slide in range(8):
        draw(data / f"slide{slide}_1.png", 50 + slide)
    update(data, tmp_path / "out.zarr")
    after = places_of(tmp_path / "out.zarr")
    assert after == before | {key.replace("_0", "_1"): place for key, place in before.items()}


def test_masks_follow_the_folders_of_splits(tmp_path):
    data = tmp_path / "data"
    for split in ("train", "val"):
        for number in range(3):
            draw(data / split / f"{split}{number}.png", number)
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "val" / "val9.png", 9)
    (data / "train" / "train0.png").unlink()
    update(data, tmp_path / "out.zarr")
    preprocess(data, tmp_path / "new.zarr")
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")


def test_class_weights_are_fitted_again_and_only_the_weights_are_written(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number)
    given = {"class_weights": "inverse", "targets": "weights,distance"}
    preprocess(data, tmp_path / "out.zarr", **given)
    before = contents(tmp_path / "out.zarr")
    draw(data / "9.png", 109)
    computed, compute = [], segprep.targets.Distance.images
    monkeypatch.setattr(
        segprep.targets.Distance, "images", lambda self, mask: computed.append(mask) or compute(self, mask)
    )
    update(data, tmp_path / "out.zarr", **given)
    assert len(computed) == 1
    after = contents(tmp_path / "out.zarr")
    shards = [path for path in before if "/c/" in path.as_posix() and "24x24" in path.as_posix()]
    assert {path.parts[-5] for path in shards if before[path] != after[path]} == {"weights"}
    preprocess(data, tmp_path / "new.zarr", **given)
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)


def test_class_weights_are_kept_on_request(tmp_path):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number)
    given = {"class_weights": "inverse", "targets": "weights"}
    vector = vector_of(preprocess(data, tmp_path / "out.zarr", **given))
    before = contents(tmp_path / "out.zarr")
    draw(data / "9.png", 109)
    assert vector_of(update(data, tmp_path / "out.zarr", keep_class_weights=True, **given)) == vector
    after = contents(tmp_path / "out.zarr")
    assert all(
        before[path] == after[path] for path in before if "/c/" in path.as_posix() and "24x24" in path.as_posix()
    )
    assert_sound(tmp_path / "out.zarr", data)
    assert vector_of(preprocess(data, tmp_path / "out.zarr", **given)) == vector
    assert vector_of(preprocess(data, tmp_path / "new.zarr", **given)) != vector


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_weights_are_fitted_again_from_a_border_that_is_exact(dtype, tmp_path, monkeypatch):
    data = tmp_path / "data"
    for number in range(9):
        draw(data / f"{number}.png", number, (20, 23))
    border = segprep.Border(dtype="float32")
    given = {"targets": [segprep.Weights(class_weights="inverse", dtype=dtype), border]}
    preprocess(data, tmp_path / "out.zarr", **given)
    draw(data / "9.png", 109, (20, 23))
    computed, compute = [], segprep.Border.term
    monkeypatch.setattr(segprep.Border, "term", lambda self, mask: computed.append(mask) or compute(self, mask))
    update(data, tmp_path / "out.zarr", **given)
    assert len(computed) == 2  # weights and border of the new mask
    preprocess(data, tmp_path / "new.zarr", **given)
    assert_same(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)


def vector_of(info):
    """Class weights of a store."""
    return next(target.parameters["vector"] for target in info.targets if target.name == "weights")


# --- classes and types -----------------------------------------------------------------------------------------------


def coco(file, classes, images):
    """Write a COCO file with a square of one class in each image."""
    categories = [{"id": number, "name": name} for number, name in classes.items()]
    sizes = [{"id": number, "file_name": f"{number}.png", "height": 24, "width": 24} for number in images]
    squares = [square(number, category, 3, 3, 6 + number) for number, category in images.items()]
    file.write_text(json.dumps({"images": sizes, "annotations": squares, "categories": categories}))


MANY = {number: str(number) for number in range(1, 300)}


@pytest.mark.parametrize(
    ("names", "targets"),
    [({1: "a", 2: "b", 3: "c"}, "distance"), ({1: "0", 2: "a", 3: "b"}, "distance"), (MANY, "weights")],
)
def test_an_update_with_other_classes_has_the_codes_of_a_new_store(names, targets, tmp_path):
    file, root = tmp_path / "a.json", tmp_path / "out.zarr"
    given = {"targets": targets} | ({"distance_per": "class"} if targets == "distance" else {})
    coco(file, {1: "a", 2: "b"}, {1: 1, 2: 2, 3: 1, 4: 2, 5: 2})
    segprep.preprocess(file, root, workers=ONE, **given)
    coco(file, names, {1: 1, 2: 2, 3: 1, 4: 2, 5: 2, 6: 3})
    segprep.preprocess(file, root, workers=ONE, update=True, **given)
    segprep.preprocess(file, tmp_path / "new.zarr", workers=ONE, **given)
    assert read_info(root).class_table == read_info(tmp_path / "new.zarr").class_table
    assert_same(root, tmp_path / "new.zarr")
    assert_sound(root, file)


@pytest.mark.parametrize("names", [{1: "a", 2: "b", 3: "c"}, pytest.param({1: "a"}, marks=pytest.mark.slow)])
def test_a_last_class_without_instances_may_come_and_go(names, tmp_path):
    file, root, given = tmp_path / "a.json", tmp_path / "out.zarr", {"class_weights": "inverse", "workers": ONE}
    coco(file, {1: "a", 2: "b"}, {1: 1, 2: 1})
    segprep.preprocess(file, root, **given)
    coco(file, names, {1: 1, 2: 1})
    with pytest.raises(OutputError, match=f"classes {', '.join(names.values())} instead of a, b; add update=True"):
        segprep.preprocess(file, root, **given)
    shutil.copytree(root, tmp_path / "other.zarr")
    segprep.preprocess(file, tmp_path / "new.zarr", **given)
    segprep.preprocess(file, root, update=True, **given)
    segprep.preprocess(file, tmp_path / "other.zarr", overwrite=True, **given)
    for store in (root, tmp_path / "other.zarr"):
        assert read_info(store).class_table == read_info(tmp_path / "new.zarr").class_table
        assert_same(store, tmp_path / "new.zarr")
        assert_sound(store, file)


def test_class_weights_of_other_classes_are_not_kept(tmp_path):
    file, root = tmp_path / "a.json", tmp_path / "out.zarr"
    coco(file, {1: "a"}, {1: 1})
    segprep.preprocess(file, root, workers=ONE)
    coco(file, {1: "a", 2: "b"}, {1: 1, 2: 2})
    with pytest.raises(
        OptionError, match="keep_class_weights=True: the store has weights for 2 classes, and the data have 3"
    ):
        segprep.preprocess(file, root, workers=ONE, update=True, keep_class_weights=True)


def test_labels_get_a_wider_type_where_an_instance_needs_it(tmp_path):
    data = made(tmp_path / "data", 3)
    preprocess(data, tmp_path / "out.zarr", targets="boundaries")
    Image.fromarray(np.arange(1, 256 * 258 + 1, dtype=np.int32).reshape(256, 258)).save(data / "20.tif")
    update(data, tmp_path / "out.zarr", targets="boundaries")
    assert segprep.open(tmp_path / "out.zarr")["00.png"]["labels"].dtype == np.uint32
    preprocess(data, tmp_path / "new.zarr", targets="boundaries")
    one, two = (segprep.open(tmp_path / name) for name in ("out.zarr", "new.zarr"))
    assert all(np.array_equal(one[key]["labels"], two[key]["labels"]) for key in one.keys)


def test_a_target_that_is_not_part_of_segprep_needs_its_class(tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", targets=Doubled())
    (data / "01.png").unlink()
    with pytest.raises(OptionError, match="needs its class"):
        update(data, tmp_path / "out.zarr")
    update(data, tmp_path / "out.zarr", targets=Doubled())
    mask = segprep.open(tmp_path / "out.zarr")["02.png"]
    assert np.array_equal(2 * mask["labels"], mask["doubled"])


@dataclass(frozen=True)
class Doubled:
    """Twice the labels."""

    name = "doubled"
    dtype = "int32"
    fill = -1

    def compute(self, mask):
        return (2 * mask.labels).astype(np.int32)


# --- parts, buckets, two writers -------------------------------------------------------------------------------------


def test_parts_of_an_update_and_a_last_run_make_the_store_of_one_run(tmp_path, files_of):
    data = changed_store(tmp_path, {})
    for name in ("one.zarr", "parts.zarr"):
        shutil.copytree(tmp_path / "before.zarr", tmp_path / name)
    update(data, tmp_path / "one.zarr")
    for number in (2, 1, 3):
        assert update(data, tmp_path / "parts.zarr", part=(number, 3)).status == "incomplete"
    with pytest.raises(OutputError, match="update was interrupted; update=True completes it"):
        preprocess(data, tmp_path / "parts.zarr", part=(1, 3))
    update(data, tmp_path / "parts.zarr")
    assert files_of(tmp_path / "parts.zarr") == files_of(tmp_path / "one.zarr")


def test_an_update_in_a_bucket_makes_the_store_of_one_on_a_disk(object_store, tmp_path, files_of):  # noqa: ARG001
    data = changed_store(tmp_path, {})
    root = upload(tmp_path / "before.zarr", make_bucket("update") / "out.zarr")
    read = segprep.open(root)
    before = {key: read[key] for key in read.keys}
    update(data, tmp_path / "before.zarr")
    update(data, root, compact=False)
    assert objects_in(root) == files_of(tmp_path / "before.zarr")
    for index, key in enumerate(before):
        arrays = read_or_refused(read, index)
        assert arrays is None or all(np.array_equal(arrays[name], before[key][name]) for name in arrays)
    assert read_or_refused(segprep.open(root), 0) is not None
    update(data, root, compact=True)
    update(data, tmp_path / "before.zarr", compact=True)
    assert objects_in(root) == files_of(tmp_path / "before.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("compact", [False, True])
def test_an_update_in_a_bucket_that_is_killed_resumes_to_the_same_objects(compact, object_store, tmp_path, files_of):  # noqa: ARG001
    data = changed_store(tmp_path, {})
    shutil.copytree(tmp_path / "before.zarr", tmp_path / "undisturbed.zarr")
    with pytest.MonkeyPatch.context() as patch:
        left = crash_at(10**6, patch)
        update(data, tmp_path / "undisturbed.zarr", compact=compact)
    expected = files_of(tmp_path / "undisturbed.zarr")
    bucket = make_bucket(f"killed-{compact}".lower())
    for number in range(1, 10**6 - left[0] - 10, 79):
        root = upload(tmp_path / "before.zarr", bucket / f"{number}.zarr")
        with pytest.MonkeyPatch.context() as patch:
            crash_at(number, patch, BucketPath)
            with pytest.raises(Crash):
                update(data, root, compact=compact)
        update(data, root, compact=compact)
        assert objects_in(root) == expected, number


@pytest.mark.parametrize("moment", mostly_slow(range(0, 60, 6), 6, 30, 48))
def test_a_part_of_an_update_that_is_killed_is_run_again(moment, tmp_path, files_of):
    data = changed_store(tmp_path, {})
    for name in ("one.zarr", "parts.zarr"):
        shutil.copytree(tmp_path / "before.zarr", tmp_path / name)
    update(data, tmp_path / "one.zarr")
    with pytest.MonkeyPatch.context() as patch:
        crash_at(moment, patch)
        with pytest.raises(Crash):
            update(data, tmp_path / "parts.zarr", part="1/2")
    update(data, tmp_path / "parts.zarr", part="2/2")
    update(data, tmp_path / "parts.zarr", part="1/2")
    update(data, tmp_path / "parts.zarr")
    assert files_of(tmp_path / "parts.zarr") == files_of(tmp_path / "one.zarr")


def test_a_second_update_is_refused_while_one_is_running(tmp_path):
    data = changed_store(tmp_path, {})
    root = tmp_path / "before.zarr"
    with write_lock(root), pytest.raises(OutputError, match="is being written"):
        update(data, root)


@given(st.lists(st.integers(-1, 40), max_size=20))
def test_holes_are_filled_from_the_end(masks):
    closed = without_holes(masks)
    assert sorted(closed) == sorted(mask for mask in masks if mask != HOLE)
    assert all(closed[row] == mask for row, mask in enumerate(masks[: len(closed)]) if mask != HOLE)


def test_notes_of_an_update_that_was_killed_at_its_very_end_do_no_harm(tmp_path):
    data = changed_store(tmp_path, {})
    root = tmp_path / "before.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segprep.runs.write.remove_former", lambda _: None)
        update(data, root)
    assert (root / FORMER).exists()
    with pytest.MonkeyPatch.context() as patch:
        crash_at(30, patch)
        with pytest.raises(Crash):
            preprocess(data, root, targets="weights,distance,border")
    assert read_info(root).status == "incomplete"
    preprocess(data, root, targets="weights,distance,border")
    assert_sound(root, data)


def test_damaged_notes_of_an_update_are_an_error_with_the_remedy(tmp_path):
    data, root = interrupted(tmp_path)
    (root / FORMER).write_bytes((root / FORMER).read_bytes()[:-3])
    with pytest.raises(IntegrityError, match="is damaged, so its update cannot be completed: overwrite the store"):
        update(data, root)
    preprocess(data, root, overwrite=True)
    assert_sound(root, data)


@pytest.mark.parametrize("kind", ["2 processes", "cluster"])
def test_an_update_by_other_workers_makes_the_same_store(kind, tmp_path, files_of, request):
    workers = Workers(processes=2) if kind != "cluster" else Workers(scheduler=str(request.getfixturevalue("cluster")))
    data = changed_store(tmp_path, {})
    shutil.copytree(tmp_path / "before.zarr", tmp_path / "other.zarr")
    update(data, tmp_path / "before.zarr")
    segprep.preprocess(data, tmp_path / "other.zarr", workers=workers, instances_from="as-is", update=True)
    assert files_of(tmp_path / "other.zarr") == files_of(tmp_path / "before.zarr")


# --- estimates -------------------------------------------------------------------------------------------------------


def test_the_estimate_of_a_store_that_was_updated_is_exact(tmp_path):
    data, root = made(tmp_path / "data"), tmp_path / "out.zarr"
    preprocess(data, root)
    for number in (0, 3, 7):
        (data / f"{number:02}.png").unlink()
    draw(data / "20.png", 20)
    assert update(data, root).holes > 0
    rules = {"workers": ONE, "instances_from": "as-is"}
    assert segprep.estimate(data, root, **rules).status == "up to date"
    found = segprep.estimate(data, root, targets="border", **rules)
    assert (found.status, found.masks, found.done, found.is_sample) == ("continued", 6, 0, False)
    assert sum(found.canvases.values()) == found.masks
    before = bytes_on_disk(root)
    info = preprocess(data, root, targets="border")
    assert (info.holes, found.bytes) == (3, bytes_on_disk(root))
    assert found.bytes_to_write < before
    again = segprep.estimate(data, root, targets="border", sigma=3, overwrite=True, **rules)
    assert (again.status, again.shards) == ("replaced", found.shards)
    preprocess(data, root, targets="border", sigma=3, overwrite=True)
    assert again.bytes == bytes_on_disk(root)
    assert_sound(root, data)
