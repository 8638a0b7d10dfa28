"""Stores of tiles that follow their data: masks that are cut, and slides, which are read in tiles."""

import shutil

import numpy as np
import pytest
from helpers.updates import (
    ONE,
    SIDES,
    assert_repaired,
    assert_same,
    assert_sound,
    contents,
    draw,
    made,
    preprocess,
    rows_of,
    update,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import segprep
from segprep.errors import OutputError
from segprep.masks import instances
from segprep.masks.tiles import source_key
from segprep.readers._slides import LabelSlide
from segprep.runs.verify import verify
from segprep.store import layout

THOROUGH = settings.get_current_profile_name() == "thorough"
LIMIT = {"tile": 16, "max_pixels": 24 * 24}
"""Settings with which masks of 24 x 40 pixels are slides, and those of 24 x 24 pixels are not."""
TARGETS = [segprep.Weights(sigma=2), segprep.Distance(distance_clip=9)]
BALANCED = [segprep.Weights(sigma=2, class_weights="inverse"), *TARGETS[1:]]
TILES = {"tile": 16, "targets": TARGETS}
LIMITED = {**LIMIT, "targets": TARGETS}


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Five tiles in a shard, so that sources share shards."""
    monkeypatch.setattr(layout, "SHARD_PIXELS", 5 * 16 * 16)


def made_arrays(folder, count=6):
    """Folder of label images in NPY, of three sizes."""
    for number in range(count):
        draw(folder / f"{number:02}.npy", number, SIDES[number % 3])
    return folder


def touch(file):
    """Change one pixel of a mask."""
    labels = np.load(file)
    labels[-1, -1] = labels[-1, -1] + 1
    np.save(file, labels)


def assert_same_sources(root, other):
    """Two stores hold the same tiles, and instances have the same numbers in the masks that these were cut from."""
    assert_same(root, other)
    one, two = segprep.open(root), segprep.open(other)
    assert one.sources == two.sources
    for key in one.sources:
        assert np.array_equal(one.source(key, ["labels"])["labels"], two.source(key, ["labels"])["labels"])


def change(data):
    """Add, change and remove a cut mask and a slide."""
    for number, seed in ((20, 20), (22, 22), (3, 103), (4, 104)):
        draw(data / f"{number:02}.npy", seed, SIDES[number % 3])
    for number in (0, 2):
        (data / f"{number:02}.npy").unlink()


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "overlap"), [(TILES, 0), (LIMITED, 4)], ids=["cut", "slides"])
def test_an_update_of_sources_gives_the_tiles_of_a_new_store(limit, overlap, tmp_path):
    given = {**limit, "tile_overlap": overlap, "keep_empty": 0.5}
    data = made_arrays(tmp_path / "data")
    first = preprocess(data, tmp_path / "out.zarr", **given)
    before = rows_of(tmp_path / "out.zarr")
    change(data)
    info = update(data, tmp_path / "out.zarr", **given)
    preprocess(data, tmp_path / "new.zarr", **given)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", data)
    after = rows_of(tmp_path / "out.zarr")
    assert {key: after[key] for key in after if key in before} == {key: before[key] for key in before if key in after}
    assert (info.revision, len(info.buckets)) == (1, 1)
    assert info.holes == info.buckets[0].rows - info.masks
    assert min(row for key, (_, row) in after.items() if source_key(key) in {"20.npy", "22.npy"}) >= first.masks
    assert info.touching_pairs == segprep.describe(tmp_path / "new.zarr").touching_pairs

    closed = update(data, tmp_path / "out.zarr", compact=True, **given)
    assert (closed.holes, closed.buckets[0].rows) == (0, closed.masks)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")


@pytest.mark.parametrize("limit", [pytest.param(TILES, marks=pytest.mark.slow), LIMITED], ids=["cut", "slides"])
def test_only_shards_with_tiles_of_touched_sources_are_written(limit, tmp_path):
    data = made_arrays(tmp_path / "data", 9)
    preprocess(data, tmp_path / "out.zarr", **limit)
    before = contents(tmp_path / "out.zarr")
    rows = rows_of(tmp_path / "out.zarr")
    touch(data / "04.npy")
    update(data, tmp_path / "out.zarr", **limit)
    after = contents(tmp_path / "out.zarr")
    shards = {path for path in before if "/c/" in path.as_posix() and "16x16" in path.as_posix()}
    written = {int(path.parts[3]) for path in shards if before[path] != after[path]}
    assert written == {row // 5 for key, (_, row) in rows.items() if source_key(key) == "04.npy"}


@pytest.mark.slow
@pytest.mark.parametrize("limit", [TILES, LIMITED], ids=["cut", "slides"])
def test_sources_that_are_not_changed_are_not_read(limit, tmp_path, monkeypatch):
    data = made_arrays(tmp_path / "data")
    given = {**limit, "keep_empty": 0.3}
    preprocess(data, tmp_path / "out.zarr", **given)
    read, load, window = [], instances.read_mask, LabelSlide.read
    monkeypatch.setattr(instances, "read_mask", lambda ref, *rest: read.append(ref.key) or load(ref, *rest))
    monkeypatch.setattr("segprep.runs.scan.read_mask", lambda ref, *rest: read.append(ref.key) or load(ref, *rest))
    monkeypatch.setattr(LabelSlide, "read", lambda self, *part: read.append(self.shape) or window(self, *part))
    before = contents(tmp_path / "out.zarr")
    preprocess(data, tmp_path / "out.zarr", **given)
    assert (read, contents(tmp_path / "out.zarr")) == ([], before)

    draw(data / "20.npy", 20, (24, 24))
    update(data, tmp_path / "out.zarr", **given)
    assert set(read) == {"20.npy"}
    read.clear()
    draw(data / "21.npy", 21, (24, 50))
    update(data, tmp_path / "out.zarr", **given)
    assert set(read) == ({(24, 50)} if limit is LIMITED else {"21.npy"})
    preprocess(data, tmp_path / "new.zarr", **given)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")
    info, new = (segprep.describe(tmp_path / name) for name in ("out.zarr", "new.zarr"))
    assert info.touching_pairs == new.touching_pairs


@pytest.mark.slow
def test_a_target_that_checks_complete_masks_reads_them_again(tmp_path):
    data = made_arrays(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **{**TILES, "targets": TARGETS[1:]})
    draw(data / "20.npy", 20)
    both = {**TILES, "targets": [*TARGETS, segprep.Border()]}
    update(data, tmp_path / "out.zarr", **both)
    preprocess(data, tmp_path / "new.zarr", **both)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")


def test_a_change_beside_a_tile_of_a_slide_reaches_it(tmp_path):
    labels = np.zeros((16, 48), np.uint8)
    labels[4:12, 2:16], labels[4:12, 16:30], labels[2:5, 40:44] = 1, 2, 3
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a.npy", labels)
    given = {**TILES, "max_pixels": 300}
    preprocess(tmp_path / "data", tmp_path / "out.zarr", **given)
    labels[labels == 2] = 1  # each tile alone looks as before
    np.save(tmp_path / "data" / "a.npy", labels)
    update(tmp_path / "data", tmp_path / "out.zarr", **given)
    preprocess(tmp_path / "data", tmp_path / "new.zarr", **given)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")
    assert_sound(tmp_path / "out.zarr", tmp_path / "data")


def test_a_refusal_names_sources_and_the_cost(tmp_path):
    data = made_arrays(tmp_path / "data", 7)
    preprocess(data, tmp_path / "out.zarr", targets="weights", **LIMIT)
    before = contents(tmp_path / "out.zarr")
    change(data)
    words = (
        r"the store has 36 tiles, and data has 38: 2 new \(20.npy, 22.npy\), 2 missing \(00.npy, 02.npy\), "
        r"2 changed \(03.npy, 04.npy\); add update=True to follow the data \(writes 18 of 30 shards, computes 22 of 38 tiles\)"
    )
    with pytest.raises(OutputError, match=words):
        preprocess(data, tmp_path / "out.zarr", targets="weights", **LIMIT)
    assert contents(tmp_path / "out.zarr") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"tile": 20}, r"tile=\(20, 20\) instead of tile=\(16, 16\)"),
        ({"tile_overlap": 3}, "tile_overlap=3 instead of tile_overlap=0"),
        ({"keep_empty": 0.2}, "keep_empty=0.2 instead of keep_empty=1.0"),
        ({"tile": None}, r"tile=None instead of tile=\(16, 16\)"),
    ],
)
def test_another_tiling_is_refused(other, said, tmp_path):
    data = made_arrays(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **TILES)
    draw(data / "20.npy", 20)
    with pytest.raises(OutputError, match=f"exists with other settings: {said}; update=True follows the data alone"):
        update(data, tmp_path / "out.zarr", **{**TILES, **other})
    with pytest.raises(OutputError, match=f"exists with other settings: {said}; choose another name"):
        preprocess(data, tmp_path / "out.zarr", **{**TILES, **other})


@pytest.mark.slow
def test_a_store_of_complete_masks_gets_no_tiles(tmp_path):
    data = made(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr")
    draw(data / "20.png", 20)
    with pytest.raises(OutputError, match=r"tile=\(16, 16\) instead of tile=None"):
        update(data, tmp_path / "out.zarr", tile=16)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        {"split": (0.5, 0.3, 0.2)},
        {"split": (0.5, 0.3, 0.2), "stratify": True},
        {"folds": 3},
        {"folds": 3, "stratify": True, "group": r"(.)\.npy"},
    ],
)
def test_sources_keep_their_split_and_new_ones_are_placed_as_a_group(rule, tmp_path):
    data = made_arrays(tmp_path / "data", 12)
    given = {**LIMIT, **rule, "targets": "boundaries", "keep_empty": 0.5}
    preprocess(data, tmp_path / "out.zarr", **given)
    before = places_of(tmp_path / "out.zarr")
    change(data)
    draw(data / "05.npy", 777, (40, 40))
    update(data, tmp_path / "out.zarr", **given)
    after = places_of(tmp_path / "out.zarr")
    assert all(len(places) == 1 for places in after.values())
    kept = before.keys() & after.keys()
    assert len(kept) == 10
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    again = contents(tmp_path / "out.zarr")
    preprocess(data, tmp_path / "out.zarr", **LIMIT, targets="boundaries", keep_empty=0.5)
    assert contents(tmp_path / "out.zarr") == again


def places_of(root):
    """Splits and folds of each source, by its key."""
    dataset, places = segprep.open(root), {}
    for key, split, fold in zip(dataset.tile_sources, dataset.splits, dataset._tables["fold"].tolist(), strict=True):
        places.setdefault(key, set()).add((split, fold))
    return places


@pytest.mark.slow
def test_tiles_that_were_left_out_stay_so_after_the_split_has_changed(tmp_path):
    data = made_arrays(tmp_path / "data", 9)
    given = {"tile": 16, "split": (0.5, 0.5), "seed": 3, "keep_empty": 0.5, "targets": "boundaries"}
    preprocess(data, tmp_path / "out.zarr", **given)
    segprep.resplit(tmp_path / "out.zarr", (0.4, 0.6), seed=8, workers=ONE)
    tiles = set(segprep.open(tmp_path / "out.zarr").keys)
    draw(data / "20.npy", 20)
    update(data, tmp_path / "out.zarr", tile=16, keep_empty=0.5, targets="boundaries")
    after = segprep.open(tmp_path / "out.zarr")
    assert {key for key in after.keys if source_key(key) != "20.npy"} == tiles
    assert (after.info.split_rule.seed, after.info.tiling.seed) == (8, 3)


@pytest.mark.slow
def test_tiles_that_fit_no_canvas_of_a_store_get_another(tmp_path):
    data = tmp_path / "data"
    for number in range(3):
        draw(data / f"{number}.npy", number, (12, 30))
    preprocess(data, tmp_path / "out.zarr", **TILES)
    before = rows_of(tmp_path / "out.zarr")
    draw(data / "4.npy", 4, (20, 20))
    draw(data / "5.npy", 5, (9, 16))
    info = update(data, tmp_path / "out.zarr", **TILES)
    assert [bucket.name for bucket in info.buckets] == ["12x16", "16x16"]
    after = rows_of(tmp_path / "out.zarr")
    assert {key: after[key] for key in before} == before
    assert after["5.npy/y000000_x000000"] == ("12x16", 8)
    preprocess(data, tmp_path / "new.zarr", **TILES)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")
    again = contents(tmp_path / "out.zarr")
    preprocess(data, tmp_path / "out.zarr", **TILES)
    assert contents(tmp_path / "out.zarr") == again


@pytest.mark.slow
@pytest.mark.parametrize(
    "lost",
    [
        ["16x16/labels/c/1/0/0", "16x16/weights/records/0.json"],
        ["row/zarr.json", "bucket/c/0", "split/c/0", "source/c/0/0"],
        ["key/records/manifest.json", "instances/source_number/c/0"],
        ["zarr.json"],
    ],
)
def test_whatever_is_lost_of_an_updated_store_of_tiles_is_repaired(lost, tmp_path, files_of):
    data = made_arrays(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **LIMITED)
    touch(data / "01.npy")
    draw(data / "22.npy", 22)
    update(data, tmp_path / "out.zarr", **LIMITED)
    assert_repaired(tmp_path / "out.zarr", data, lost, files_of)


@pytest.mark.slow
def test_parts_update_a_store_of_tiles_to_the_same_bytes(tmp_path, files_of):
    data = made_arrays(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **LIMITED)
    shutil.copytree(tmp_path / "out.zarr", tmp_path / "parts.zarr")
    change(data)
    update(data, tmp_path / "out.zarr", **LIMITED)
    for part in ((2, 3), (1, 3), (3, 3)):
        update(data, tmp_path / "parts.zarr", part=part, **LIMITED)
    update(data, tmp_path / "parts.zarr", **LIMITED)
    assert files_of(tmp_path / "parts.zarr") == files_of(tmp_path / "out.zarr")


@pytest.mark.slow
def test_class_weights_are_fitted_again_to_the_tiles(tmp_path):
    data = made_arrays(tmp_path / "data")
    given = {**LIMIT, "class_weights": "inverse", "targets": "weights"}
    preprocess(data, tmp_path / "out.zarr", **given)
    shutil.copytree(tmp_path / "out.zarr", tmp_path / "kept.zarr")
    change(data)
    update(data, tmp_path / "out.zarr", **given)
    preprocess(data, tmp_path / "new.zarr", **given)
    assert_same_sources(tmp_path / "out.zarr", tmp_path / "new.zarr")
    before = vector_of(segprep.describe(tmp_path / "kept.zarr"))
    assert before != vector_of(segprep.describe(tmp_path / "new.zarr"))
    assert vector_of(update(data, tmp_path / "kept.zarr", keep_class_weights=True, **given)) == before
    assert_sound(tmp_path / "kept.zarr", data)


def vector_of(info):
    """Class weights of a store."""
    return next(target.parameters["vector"] for target in info.targets if target.name == "weights")


@pytest.mark.slow
def test_verify_compares_with_data_to_which_a_slide_was_added(tmp_path):
    data = made_arrays(tmp_path / "data")
    preprocess(data, tmp_path / "out.zarr", **LIMITED)
    draw(data / "21.npy", 21, (24, 50))
    assert verify(tmp_path / "out.zarr", against=data, sample=100, workers=ONE).findings == ()


@settings(max_examples=60 if THOROUGH else 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_sequence_of_updates_gives_the_tiles_of_a_new_store(tmp_path_factory, choices):
    folder = tmp_path_factory.mktemp("sequence")
    data, root = folder / "data", folder / "out.zarr"
    for number in range(choices.draw(st.integers(1, 5))):
        draw(data / f"{number:02}.npy", number, SIDES[number % 3])
    given = choices.draw(st.sampled_from([TILES, LIMITED])) | choices.draw(
        st.fixed_dictionaries({"tile_overlap": st.sampled_from([0, 5]), "keep_empty": st.sampled_from([1.0, 0.4])})
    )
    given |= choices.draw(st.sampled_from([{}, {"targets": BALANCED}, {"separate": "falk2019"}]))
    preprocess(data, root, **given)
    for _ in range(choices.draw(st.integers(1, 3))):
        for number in choices.draw(st.sets(st.integers(0, 7), max_size=4)):
            file = data / f"{number:02}.npy"
            kind = choices.draw(st.sampled_from(["draw", "touch", "remove"]))
            if kind == "draw" or not file.exists():
                draw(file, choices.draw(st.integers(0, 99)), SIDES[choices.draw(st.integers(0, 2))])
            elif kind == "touch":
                touch(file)
            elif len(list(data.iterdir())) > 1:
                file.unlink()
        compact = choices.draw(st.booleans())
        info = update(data, root, compact=compact, **given)
        assert not (compact and info.holes)
    preprocess(data, folder / "new.zarr", **given)
    assert_same_sources(root, folder / "new.zarr")
    assert_sound(root, data)
    shutil.rmtree(folder)
