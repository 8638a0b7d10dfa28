"""A format of one's own: a reader that is registered passes through all that is done with masks."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import segprep
from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.readers import READERS, MaskSet, Reader, find
from segprep.runs.resplit import resplit
from segprep.runs.verify import verify
from segprep.store.metadata import read_info
from segprep.store.tables import read_table

ONE = segprep.Workers(processes=1)


@dataclass(frozen=True)
class DrawingRef:
    key: str
    split: str | None
    file: Path

    def load(self):
        rows = self.file.read_text().split()
        labels = np.array([[int(digit) for digit in row] for row in rows], np.int32)
        if not labels.any():
            raise InputError(f"{self.file}: nothing is drawn; draw an instance")
        return InstanceMask(labels[np.newaxis], np.array([0, *[1] * int(labels.max())], np.int32))


def find_drawings(path, options):  # noqa: ARG001
    """Find *.drawing with one digit for each pixel, the number of its instance."""
    files = sorted(path.glob("*.drawing")) if path.is_dir() else []
    if not files:
        return None
    refs = (DrawingRef(file.stem, "val" if file.stem == "b" else "train", file) for file in files)
    return MaskSet("drawing", class_table([(None, "cell")]), tuple(refs))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Register the reader."""
    monkeypatch.setitem(READERS, "drawing", Reader("drawing", find_drawings))


@pytest.fixture
def drawings(tmp_path):
    """Data set of three masks."""
    folder = tmp_path / "drawings"
    folder.mkdir()
    for name, rows in {"a": "0110 0110 0002", "b": "1002 1002", "c": "0000 0330 0201"}.items():
        (folder / f"{name}.drawing").write_text("\n".join(rows.split()))
    return folder


@pytest.fixture
def store(drawings, tmp_path):
    """Store of `drawings`."""
    segprep.preprocess(drawings, tmp_path / "out.zarr", workers=ONE)
    return tmp_path / "out.zarr"


def test_its_masks_are_found_and_written(store):
    info = read_info(store)
    assert (info.status, info.source_format, info.masks, info.instances) == ("complete", "drawing", 3, 7)
    assert segprep.open(store)[1]["labels"].tolist() == [[1, 0, 0, 2], [1, 0, 0, 2]]


def test_its_layout_decides_the_splits(store):
    assert read_table(store, read_info(store), "split").tolist() == [0, 1, 0]


def test_it_wins_over_general_readers(drawings):
    np.save(drawings / "labels.npy", np.ones((2, 2), int))
    assert find(drawings).format == "drawing"
    assert find(drawings, format="label-image").format == "label-image"


def test_its_layout_is_described_where_it_does_not_recognise_the_data(tmp_path):
    with pytest.raises(
        InputError, match=r"; drawing reads \*\.drawing with one digit for each pixel, the number of its"
    ):
        find(tmp_path, format="drawing")


def test_it_is_named_where_a_folder_within_the_data_has_its_layout(drawings):
    with pytest.raises(InputError, match=rf"{drawings.name}/ in it is drawing; give {drawings}"):
        find(drawings.parent)


def test_its_masks_are_verified_against_the_data(store, drawings):
    report = verify(store, deep=True, against=drawings, workers=ONE)
    assert (report.findings, report.compared) == ((), 3)
    (drawings / "a.drawing").write_text("0110\n0110\n0022")
    with pytest.raises(InputError, match=r"the data have changed since .* \(a\)"):
        verify(store, deep=True, against=drawings, workers=ONE)


def test_a_rerun_loads_only_masks_of_changed_files(store, drawings, monkeypatch):
    loads = []
    load = DrawingRef.load
    monkeypatch.setattr(DrawingRef, "load", lambda ref: loads.append(ref.key) or load(ref))
    segprep.preprocess(drawings, store, workers=ONE)
    assert loads == []
    (drawings / "c.drawing").write_text("0000\n0330\n0211")
    segprep.preprocess(drawings, store, workers=ONE, overwrite=True)
    assert "c" in loads


def test_its_store_is_split_again(store):
    resplit(store, segprep.SplitRule((0.4, 0.3, 0.3), stratify=True), refit=True, workers=ONE)
    assert sorted(read_table(store, read_info(store), "split").tolist()) == [0, 1, 2]
    assert verify(store, deep=True, workers=ONE).findings == ()


def test_its_unreadable_mask_is_named(drawings, tmp_path):
    (drawings / "d.drawing").write_text("00\n00")
    with pytest.raises(InputError, match=r"d\.drawing: nothing is drawn; draw an instance"):
        segprep.preprocess(drawings, tmp_path / "out.zarr", workers=ONE)


def test_the_command_line_offers_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("segprep.cli")]:
        monkeypatch.delitem(sys.modules, name)
    command = importlib.import_module("segprep.cli.weights").weights
    ended = CliRunner().invoke(command, ["data", "out.zarr", "--format", "none"])
    assert ", drawing" in str(ended.exception)
