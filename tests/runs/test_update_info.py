"""The summary of an update, against what it does to the files of a store."""

import shutil

import numpy as np
import pytest
from PIL import Image

import segprep
from segprep.runs import write
from segprep.runs.audit import read_state
from segprep.runs.former import former_of
from segprep.runs.plan import Plan
from segprep.runs.update_info import MaskList, update_info
from segprep.store import layout
from segprep.workers.jobs import Workers


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """Three rows in a shard."""
    monkeypatch.setattr(layout, "SHARD_PIXELS", 3 * 24 * 24)


def draw(file, side):
    """Write a label image with one square."""
    labels = np.zeros((24, 24), np.uint8)
    labels[2 : 2 + side, 2 : 2 + side] = 1
    Image.fromarray(labels).save(file)


def preprocess(data, root, **settings):
    """Write or update a store in this process."""
    segprep.preprocess(data, root, workers=Workers(processes=1), instances_from="as-is", **settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of eight label images, and a store of three shards of each target."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "data").mkdir()
    for number in range(8):
        draw(folder / "data" / f"{number}.png", 3 + number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SHARD_PIXELS", 3 * 24 * 24)
        preprocess(folder / "data", folder / "out.zarr")
    return folder


@pytest.fixture
def data(made, tmp_path):
    """Copy of the folder of label images, beside one of the store."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "data"


def times(root):
    """Time of the last change of each shard."""
    return {path: path.stat().st_mtime_ns for path in root.glob("*x*/*/c/**/*") if path.is_file()}


@pytest.fixture
def update(data, tmp_path, monkeypatch):
    """Function that updates the store: returns the summary, and what it counts as seen from outside."""
    root = tmp_path / "out.zarr"

    def update(**settings):
        computed, encode_mask = set(), write.encode_mask
        monkeypatch.setattr(write, "encode_mask", lambda *given: computed.add(given[2].key) or encode_mask(*given))
        before, former = times(root), former_of(read_state(root))
        preprocess(data, root, update=True, **settings)
        state, now = read_state(root), times(root)
        tables = {name: state.table(name) for name in ("key", "digest")}
        info = update_info(former, Plan(state.info, state.places()[0], state.targets, tables))
        written = [path for path in now if now[path] != before.get(path)]
        return info, (len(computed), len(written), len(now))

    return update


def test_counts_are_what_an_update_computes_and_writes(data, update):
    draw(data / "0.png", 15)
    (data / "4.png").unlink()
    for name in ("7b", "8", "9"):
        draw(data / f"{name}.png", 12)
    info, (computed, written, shards) = update()
    assert info.added.named() == "7b.png, 8.png, 9.png"
    assert (info.computed, info.written, info.shards) == (computed, written, shards) == (4, 12, 16)
    assert info.copied == 4
    assert info.changes() == {
        "added": MaskList(3, ("7b.png", "8.png", "9.png")),
        "changed": MaskList(1, ("0.png",)),
        "removed": MaskList(1, ("4.png",)),
    }


def test_a_target_that_is_added_is_computed_of_all_masks(data, update):
    draw(data / "0.png", 15)
    info, (computed, written, shards) = update(targets="weights,distance,boundaries")
    assert (info.computed, info.copied, info.written, info.shards) == (computed, 0, written, shards) == (8, 0, 7, 15)


def test_a_mask_that_is_removed_leaves_all_shards(data, update):
    (data / "4.png").unlink()
    info, (computed, written, shards) = update()
    assert (info.computed, info.copied, info.written, info.shards) == (computed, 0, written, shards) == (0, 0, 0, 12)


def test_holes_are_closed_by_masks_that_are_computed(data, update):
    (data / "4.png").unlink()
    info, (computed, written, shards) = update(compact=True)
    assert (info.computed, info.copied, info.written, info.shards) == (computed, 2, written, shards)
