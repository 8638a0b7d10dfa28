import os
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz.seeds import SEEDS
from PIL import Image

import segprep
from segprep.errors import OutputError
from segprep.readers import ReadOptions, find, label_image
from segprep.runs.unchanged import ref_prints
from segprep.store.metadata import read_stamp
from segprep.workers.jobs import Workers

OPENED = []


def _log(event, arguments):
    if event == "open" and isinstance(arguments[0], str | bytes | Path):
        OPENED.append(Path(arguments[0] if not isinstance(arguments[0], bytes) else arguments[0].decode()))


sys.addaudithook(_log)  # the files that are opened, in any way


def write(seed, folder):
    """Data set of a seed."""
    for name, content in seed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / seed.given


ALL = [(name, number) for name in SEEDS for number in range(len(SEEDS[name]))]
UNKNOWN = {("ade20k", number) for number in range(3)} | {("ome-zarr", number) for number in range(3)}
"""Data sets whose masks are always loaded."""


@pytest.mark.parametrize(("name", "number"), ALL)
def test_a_change_of_any_file_that_a_ref_opens_changes_its_fingerprint(name, number, tmp_path):
    data = write(SEEDS[name][number], tmp_path)
    masks = find(data, format=name, options=ReadOptions())
    prints = ref_prints(masks, data)
    assert len(prints) == (0 if (name, number) in UNKNOWN else len(masks.refs))
    for ref in masks.refs if prints else ():
        OPENED.clear()
        ref.load()
        for path in {path.resolve() for path in OPENED if path.resolve().is_relative_to(tmp_path.resolve())}:
            content, time = path.read_bytes(), path.stat().st_mtime_ns
            path.write_bytes(content + b" ")
            assert ref_prints(masks, data)[ref.key] != prints[ref.key], path
            path.write_bytes(content)
            os.utime(path, ns=(time, time))
    assert ref_prints(masks, data) == prints


def draw(file, *values):
    """Write a label image with a square of each value."""
    labels = np.zeros((12, 40), np.uint8)
    for number, value in enumerate(values):
        labels[2:8, 8 * number : 8 * number + 6] = value
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(labels).save(file)


@pytest.fixture
def loaded(monkeypatch):
    """Keys of the masks that are loaded."""
    keys = []
    load = label_image.LabelImageRef.load
    monkeypatch.setattr(label_image.LabelImageRef, "load", lambda ref: keys.append(ref.key) or load(ref))
    return keys


def preprocess(data, root, **settings):
    """Write or update a store in this process."""
    return segprep.preprocess(data, root, workers=Workers(processes=1), targets="weights", **settings)


def test_an_update_loads_only_masks_whose_files_have_changed(tmp_path, loaded):
    for number in range(6):
        draw(tmp_path / "data" / f"{number}.png", 1, number + 2)
    preprocess(tmp_path / "data", tmp_path / "out.zarr")
    draw(tmp_path / "data" / "2.png", 3, 4, 5)
    draw(tmp_path / "data" / "7.png", 1)
    (tmp_path / "data" / "3.png").unlink()
    loaded.clear()
    with pytest.raises(OutputError, match=r"1 new .*7.png.*, 1 missing .*3.png.*, 1 changed .*2.png"):
        preprocess(tmp_path / "data", tmp_path / "out.zarr")
    assert sorted(loaded) == ["2.png", "7.png"]
    loaded.clear()
    info = preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True)
    assert sorted(loaded) == ["2.png", "7.png"]
    new = preprocess(tmp_path / "data", tmp_path / "new.zarr")
    names = ("masks", "instances", "input", "classes", "problems", "touching_pairs", "ignored_pixels", "hidden_pixels")
    assert [getattr(info, name) for name in names] == [getattr(new, name) for name in names]
    (tmp_path / "data" / "0.png").unlink()
    loaded.clear()
    preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True)
    assert loaded == []


def test_reread_loads_all_masks_in_an_update(tmp_path, loaded):
    for number in range(3):
        draw(tmp_path / "data" / f"{number}.png", 1, number + 2)
    preprocess(tmp_path / "data", tmp_path / "out.zarr")
    draw(tmp_path / "data" / "7.png", 1)
    loaded.clear()
    preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True, reread=True)
    assert sorted(loaded) == ["0.png", "1.png", "2.png", "7.png"]


def test_foreground_masks_that_get_a_label_image_are_refused_and_others_are_followed(tmp_path):
    for number in range(3):
        draw(tmp_path / "data" / f"{number}.png", 255, 255)
    assert preprocess(tmp_path / "data", tmp_path / "out.zarr").instance_rule.instances_from == "components"
    draw(tmp_path / "data" / "7.png", 1, 2)
    with pytest.raises(OutputError, match="instances_from='as-is' instead of instances_from='components'"):
        preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True)
    (tmp_path / "data" / "7.png").unlink()
    draw(tmp_path / "data" / "8.png", 255, 255)
    assert preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True).instances == 8


def test_the_fingerprints_of_an_update_are_those_of_a_new_store(tmp_path):
    for number in range(3):
        draw(tmp_path / "data" / f"{number}.png", 1, number + 2)
    preprocess(tmp_path / "data", tmp_path / "out.zarr")
    draw(tmp_path / "data" / "7.png", 1)
    preprocess(tmp_path / "data", tmp_path / "out.zarr", update=True)
    preprocess(tmp_path / "data", tmp_path / "new.zarr")
    assert read_stamp(tmp_path / "out.zarr").refs == read_stamp(tmp_path / "new.zarr").refs
