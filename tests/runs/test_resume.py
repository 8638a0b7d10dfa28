"""What has not changed is not loaded again, and whatever has changed is noticed."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.examples import mostly_slow
from PIL import Image

import segprep
from segprep.errors import InputError, OutputError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.readers import READERS, ReadOptions, find
from segprep.runs.audit import read_state
from segprep.runs.plan import plan
from segprep.runs.resplit import resplit
from segprep.runs.resume import covers_all_files, stat_fingerprint, stats_from_store
from segprep.runs.scan import LEFT_OUT, scan
from segprep.runs.settings import run_rules
from segprep.store.layout import Part
from segprep.store.metadata import INPUT_STAMP, MANIFEST, put_stamp, read_info, read_stamp
from segprep.store.tables import read_table
from segprep.targets import Border, Distance, Weights
from segprep.workers.jobs import Workers, no_progress, open_executor

ONE = Workers(processes=1)
COINS = Path(__file__).parents[2] / "examples" / "coins"


@pytest.fixture
def cells(tmp_path):
    """Three label images, of which the last is larger."""
    folder = tmp_path / "cells"
    folder.mkdir()
    for number, name in enumerate("abc"):
        values = np.zeros((40, 50) if name == "c" else (12, 15), np.uint8)
        values[2:6, 2 : 5 + number] = 1
        values[7:11, 4:9] = 2
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def made(cells, tmp_path):
    """Store of the label images."""
    root = tmp_path / "cells.zarr"
    segprep.preprocess(cells, root, workers=ONE)
    return root


def told(data, root, **options):
    """What a run says of its progress."""
    calls = []
    segprep.preprocess(data, root, workers=ONE, progress=lambda *call: calls.append(call), **options)
    return calls


def stages(data, root, **options):
    """Stages of a run that there was anything to do in."""
    return sorted({stage for stage, _, _ in told(data, root, **options)})


def in_place(path, data):
    """Give a file other bytes and its former time."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def spoil(path):
    """Make a PNG unreadable, but for its header, its size and its time."""
    data = path.read_bytes()
    place = data.index(b"IDAT") + 8
    in_place(path, data[:place] + bytes(each ^ 255 for each in data[place : place + 8]) + data[place + 8 :])


def later(path):
    """Give a file another time."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


# --- names, sizes and times ------------------------------------------------------------------------------------------


def _new_file(folder):
    (folder / "deep" / "new.png").write_bytes(b"")


def _longer(folder):
    path = folder / "deep" / "b.png"
    before = path.stat()
    path.write_bytes(b"longer")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a file has another time": lambda folder: later(folder / "deep" / "b.png"),
    "a file has another size": _longer,
    "a file is new": _new_file,
    "a file is gone": lambda folder: (folder / "a.json").unlink(),
    "a file has another name": lambda folder: (folder / "a.json").rename(folder / "b.json"),
    "a file is in another folder": lambda folder: (folder / "a.json").rename(folder / "deep" / "a.json"),
    "a folder has another name": lambda folder: (folder / "deep").rename(folder / "high"),
}


def _link(folder):
    (folder / "link.png").symlink_to(folder / "a.json")


def _store(folder):
    (folder / "mine.zarr").mkdir()
    (folder / "mine.zarr" / "zarr.json").write_text("{}")


def _folder_of_out(folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.png").write_text("mine")


SAME = {
    "nothing has changed": lambda _: None,
    "a hidden file is new": lambda folder: (folder / ".DS_Store").write_text("mine"),
    "a link is new": _link,
    "a store is new": _store,
    "the output lies there": _folder_of_out,
    "an empty folder is new": lambda folder: (folder / "empty").mkdir(),
    "a file has other bytes, but its size and time": lambda folder: in_place(folder / "a.json", b"?"),
}


@pytest.fixture
def folder(tmp_path):
    """Folder of two files."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.json").write_text("a")
    (tmp_path / "data" / "deep" / "b.png").write_text("b")
    return tmp_path / "data"


@pytest.mark.parametrize("what", CHANGES)
def test_the_fingerprint_is_another_where(what, folder):
    before = stat_fingerprint(folder, folder / "out")
    CHANGES[what](folder)
    assert stat_fingerprint(folder, folder / "out") not in (before, None)


@pytest.mark.parametrize("what", SAME)
def test_the_fingerprint_is_the_same_where(what, folder):
    before = stat_fingerprint(folder, folder / "out")
    SAME[what](folder)
    assert stat_fingerprint(folder, folder / "out") == before


def test_the_fingerprint_does_not_depend_on_where_the_folder_lies(folder, tmp_path, monkeypatch):
    before = stat_fingerprint(folder, tmp_path / "out")
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert stat_fingerprint(tmp_path / "elsewhere", tmp_path / "out") == before
    (tmp_path / "link").symlink_to(folder)
    assert stat_fingerprint(tmp_path / "link", tmp_path / "out") == before
    monkeypatch.chdir(folder)
    assert stat_fingerprint(Path(), Path("out")) == before


def test_the_fingerprint_of_a_file_is_of_that_file_alone(folder):
    file = folder / "a.json"
    before = stat_fingerprint(file, folder / "out")
    (folder / "b.json").touch()
    assert stat_fingerprint(file, folder / "out") == before
    later(file)
    assert stat_fingerprint(file, folder / "out") not in (before, None)


def test_there_is_no_fingerprint_of_what_cannot_be_looked_at(tmp_path):
    (tmp_path / "ring").symlink_to("ring")
    for name in ("nowhere", "ring"):
        assert stat_fingerprint(tmp_path / name, tmp_path / "out") is None


def test_folders_may_lie_deep_in_each_other(tmp_path):
    folders = [tmp_path]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    assert stat_fingerprint(tmp_path, tmp_path / "out") is not None
    for folder in reversed(folders[1:]):  # pytest's own tidying up would go too deep
        folder.rmdir()


def test_a_single_file_is_complete_only_if_its_reader_opens_no_other(folder):
    alone = {form for form in READERS if covers_all_files(folder / "a.json", form)}
    assert alone == {
        *(
            "cellpose-npy",
            "coco",
            "cvat-xml",
            "darwin",
            "isat",
            "label-image",
            "labelme",
            "pannuke",
            "segment-anything",
        ),
        *("tissuenet", "tissuenet-nuclear"),
    }
    assert {form for form in READERS if not covers_all_files(folder, form)} == {"ome-zarr"}


# --- what is known again ---------------------------------------------------------------------------------------------

RULES = {
    "as they are": {},
    "separate": {"separate": 1},
    "stratified": {"split": SplitRule((0.5, 0.5, 0.0), stratify=True)},
}


def planned(data, found, rules, touching=None):
    return plan(
        "data",
        found,
        targets=[Weights(class_weights="inverse"), Border(), Distance(distance_per="class")],
        instances=rules.instances,
        split=rules.split,
        data=data,
        reading=rules.reading,
        touching=touching,
    )


def rules_of(*, split=None, **settings):
    return run_rules(settings, (), split)[1]


def assert_recalled(data, settings, root):
    """The plan from a store is, in all, the plan from its input."""
    segprep.preprocess(data, root, targets=(), **settings, workers=ONE)
    rules = rules_of(**settings)
    masks = find(data, format=rules.format, options=rules.reading)
    known = stats_from_store(read_state(root), masks, rules.instances, rules.reading)
    with open_executor(ONE, len(masks.refs)) as executor:
        loaded = scan(executor, masks, rules.instances, no_progress)
        found = scan(executor, masks, rules.instances, no_progress, known)
    assert list(known) == [ref.key for ref in loaded.masks.refs]
    assert found.problems() == loaded.problems()
    expected = planned(data, loaded, rules)
    made = planned(data, found, rules, read_info(root).touching_pairs)
    assert (made.info, made.layout, made.targets) == (expected.info, expected.layout, expected.targets)
    assert made.tables.keys() == expected.tables.keys()
    for name, table in expected.tables.items():
        assert made.tables[name].dtype == table.dtype
        np.testing.assert_array_equal(made.tables[name][:], table[:], err_msg=name)


def test_the_plan_from_a_store_with_a_warning_is_that_from_the_masks(tmp_path):
    square = {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]], "area": 16}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 9}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"id": number, "iscrowd": int(number < 3), **square} for number in (1, 2, 3)],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert not any(problem.left_out for _, problem in find(tmp_path / "a.json").problems)
    assert_recalled(tmp_path / "a.json", {}, tmp_path / "out.zarr")


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_the_plan_from_a_store_is_that_from_its_masks(rules, varied, tmp_path):
    assert_recalled(varied, rules, tmp_path / "out.zarr")


def test_the_plan_from_the_store_of_the_coins_is_that_from_their_masks(tmp_path):
    assert_recalled(COINS, {}, tmp_path / "out.zarr")


def test_the_plan_from_a_store_without_instances_is_that_from_the_masks(tmp_path):
    (tmp_path / "data").mkdir()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "data" / "a.png")
    assert_recalled(tmp_path / "data", {}, tmp_path / "out.zarr")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("taco/annotations_small.json", {}),
        ("panoptic/sample_data/panoptic_examples.json", {}),
        ("cityscapes_style/data/testdata/gtFine", {}),
        ("formats/voc_dataset/voc_dataset1", {}),
    ],
)
def test_the_plan_from_a_store_of_real_masks_is_that_from_the_masks(name, rules, data_dir, tmp_path):
    assert_recalled(data_dir / name, rules, tmp_path / "out.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("rules", [{}, {"instances_from": "components", "separate": "falk2019"}])
def test_the_plan_from_a_store_of_real_nuclei_is_that_from_the_masks(rules, data_dir, tmp_path):
    for image in sorted((data_dir / "dsb2018" / "stage1_train").iterdir())[:8]:
        shutil.copytree(image, tmp_path / "nuclei" / image.name)
    assert_recalled(tmp_path / "nuclei", rules, tmp_path / "out.zarr")


@pytest.mark.parametrize(
    "other",
    [
        {"segprep": "0.0.1"},
        {"source_format": "instance-png"},
        {"input": "0" * 64},
        {"reading": ReadOptions(crowd="instance")},
        {"instance_rule": InstanceRule(separate=1)},
        {"classes": ()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nothing_is_known_of_masks_that_were_read_otherwise(other, cells, made):
    masks, state = find(cells), read_state(made)
    assert len(stats_from_store(state, masks, InstanceRule(), ReadOptions())) == 3
    state = replace(state, info=msgspec.structs.replace(state.info, **other))
    assert stats_from_store(state, masks, InstanceRule(), ReadOptions()) == {}


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_again_loads_no_mask_and_one_that_compares_contents_does(cells, made):
    spoil(cells / "b.png")
    assert told(cells, made) == []
    with pytest.raises(InputError, match=r"b\.png: cannot be read as PNG"):
        segprep.preprocess(cells, made, workers=ONE, reread=True)


def test_a_change_that_keeps_size_and_time_is_noticed_by_contents(cells, tmp_path):
    file, root = cells / "d.npy", tmp_path / "out.zarr"
    np.save(file, np.zeros((12, 15), np.uint8))
    segprep.preprocess(cells, root, workers=ONE)
    in_place(file, file.read_bytes()[:-1] + b"\1")
    assert told(cells, root) == []
    with pytest.raises(OutputError, match=r"1 changed \(d\.npy\)"):
        segprep.preprocess(cells, root, workers=ONE, reread=True)


def test_a_file_that_has_only_another_time_is_loaded_once_more(cells, made, files_of):
    before = files_of(made)
    times = {made / name: (made / name).stat().st_mtime_ns for name in before}
    later(cells / "b.png")
    assert told(cells, made) == [("scan", 0, 1), ("scan", 1, 1)]
    assert told(cells, made) == []
    assert files_of(made) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def _change(cells):
    Image.fromarray(np.ones((12, 15), np.uint8)).save(cells / "b.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_change, r"1 changed \(b\.png\)"),
        (lambda cells: shutil.copy2(cells / "a.png", cells / "d.png"), r"1 new \(d\.png\)"),
        (lambda cells: (cells / "c.png").unlink(), r"1 missing \(c\.png\)"),
        (lambda cells: (cells / "a.png").rename(cells / "d.png"), r"1 new \(d\.png\), 1 missing \(a\.png\)"),
    ],
    ids=["changed", "new", "missing", "renamed"],
)
def test_a_file_that_has_changed_is_refused_by_name(change, said, cells, made, files_of):
    before = files_of(made)
    change(cells)
    for _ in range(2):
        with pytest.raises(OutputError, match=f"exists with other masks: .*{said}"):
            segprep.preprocess(cells, made, workers=ONE)
    assert files_of(made) == before


def test_masks_that_replace_others_are_known_from_then_on(cells, made, tmp_path, files_of):
    _change(cells)
    assert stages(cells, made, overwrite=True) == ["scan", "write"]
    assert told(cells, made, overwrite=True) == []
    segprep.preprocess(cells, tmp_path / "fresh.zarr", workers=ONE)
    assert files_of(made) == files_of(tmp_path / "fresh.zarr")


def test_targets_are_added_without_a_scan(varied, tmp_path, files_of):
    targets = (Weights(class_weights="enet"), Border(), Distance(distance_per="class"))
    segprep.preprocess(varied, tmp_path / "at once", targets=targets, workers=ONE)
    segprep.preprocess(varied, tmp_path / "in turn", targets=targets[:1], workers=ONE)
    assert stages(varied, tmp_path / "in turn", targets=targets[1:]) == ["write"]
    assert files_of(tmp_path / "in turn") == files_of(tmp_path / "at once")


def test_only_the_first_part_loads_masks_that_it_does_not_write(varied, varied_store, tmp_path, files_of):
    root = tmp_path / "out.zarr"
    assert stages(varied, root, part=Part(1, 3)) == ["scan", "write"]
    assert [stages(varied, root, part=Part(number, 3)) for number in (2, 3)] == [["write"], ["write"]]
    assert told(varied, root) == [("write", 13, 13)]
    assert read_info(root).status == "complete"
    assert files_of(root) == files_of(varied_store)


class _StoppedError(Exception):
    """Raised by the tests' progress."""


@pytest.fixture
def unfinished(cells, tmp_path):
    """Store whose run was ended after its first shard."""

    def end(stage, done, masks):  # noqa: ARG001 - as Progress has it
        if stage == "write" and done:
            raise _StoppedError

    root = tmp_path / "unfinished.zarr"
    with pytest.raises(_StoppedError):
        segprep.preprocess(cells, root, workers=ONE, progress=end)
    return root


def test_an_ended_run_is_resumed_without_a_scan(cells, made, unfinished, files_of):
    assert told(cells, unfinished) == [("write", 2, 3), ("write", 3, 3)]
    assert files_of(unfinished) == files_of(made)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", mostly_slow([Path.unlink, _cut, _flip], _flip), ids=["missing", "cut", "flipped"])
@pytest.mark.parametrize(
    "name", [INPUT_STAMP, MANIFEST, "height/c/0", "height/zarr.json", "digest/c/0/0", "instances/area/c/0"]
)
def test_a_damaged_store_is_not_trusted_and_the_run_resumes(name, damage, cells, made, unfinished, files_of):
    damage(unfinished / name)
    assert told(cells, unfinished) == [("scan", 0, 3), ("scan", 3, 3), ("write", 2, 3), ("write", 3, 3)]
    assert files_of(unfinished) == files_of(made)
    assert told(cells, unfinished) == []


def test_the_stamp_of_other_masks_is_not_trusted(cells, made):
    note = read_stamp(made)
    put_stamp(made, msgspec.structs.replace(note, masks="0" * 64))
    assert told(cells, made) == [("scan", 0, 3), ("scan", 3, 3)]
    assert read_stamp(made) == note


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"separate": 1}, "separate=1 instead of separate=0"),
        ({"overlap": "last"}, "overlap='last' instead of overlap='smallest'"),
        ({"crowd": "instance"}, r"1 changed \(größe/05\.jpg\)"),
        ({"canvas": (1500, 1500)}, "canvases 1500x1500 instead of 64x56, 1280x1536"),
        ({"split": SplitRule((1.0, 0.0, 0.0))}, r"split=\(1\.0, 0\.0, 0\.0\) instead of split=None"),
    ],
    ids=["separate", "overlap", "crowd", "canvas", "split"],
)
def test_other_settings_are_refused_as_ever(rules, said, varied, varied_store, files_of):
    before = files_of(varied_store)
    with pytest.raises(OutputError, match=f"exists with other settings: .*{said}"):
        segprep.preprocess(varied, varied_store, **rules, workers=ONE)
    assert files_of(varied_store) == before


def test_a_store_without_a_count_of_touching_pairs_stays_as_it_is_until_its_masks_are_loaded(
    cells, tmp_path, files_of, monkeypatch
):
    Image.fromarray(np.array([[1, 2, 0, 3]], np.uint8)).save(cells / "d.png")
    root = tmp_path / "out.zarr"
    with monkeypatch.context() as patch:
        patch.setattr("segprep.masks.stats.touching_pairs", lambda _: None)  # as an earlier version
        segprep.preprocess(cells, root, workers=ONE)
    before = files_of(root)
    assert "touching_pairs" not in json.loads(before["zarr.json"])["attributes"]
    assert segprep.preprocess(cells, root, workers=ONE).touching_pairs is None
    assert files_of(root) == before
    assert segprep.preprocess(cells, root, reread=True, workers=ONE).touching_pairs == 1
    assert segprep.preprocess(cells, root, workers=ONE).touching_pairs == 1
    assert segprep.verify(root, deep=True, workers=ONE).findings == ()


def test_other_limits_are_asked_of_every_mask(cells, made):
    assert stages(cells, made, max_instances=100) == ["scan"]
    with pytest.raises(InputError, match="more than max_instances=1"):
        segprep.preprocess(cells, made, max_instances=1, workers=ONE)


def test_a_mask_that_was_left_out_is_tried_again_and_no_other(cells, tmp_path):
    whole, root, rules = (cells / "b.png").read_bytes(), tmp_path / "out.zarr", {"on_error": "skip-mask"}
    spoil(cells / "b.png")
    info = segprep.preprocess(cells, root, **rules, workers=ONE)
    spoil(cells / "a.png")
    assert told(cells, root, **rules) == [("scan", 0, 1), ("scan", 1, 1)]
    assert segprep.preprocess(cells, root, **rules, workers=ONE) == info
    assert [(problem.kind, problem.key) for problem in info.problems] == [(LEFT_OUT, "b.png")]
    in_place(cells / "b.png", whole)
    with pytest.raises(OutputError, match=r"1 new \(b\.png\)"):
        segprep.preprocess(cells, root, **rules, workers=ONE)


def test_what_may_not_be_bad_is_remembered(varied, tmp_path):
    segprep.preprocess(varied, tmp_path / "out.zarr", workers=ONE)
    with pytest.raises(InputError, match=r"06\.jpg: .*polygon"):
        segprep.preprocess(varied, tmp_path / "out.zarr", on_error="fail", workers=ONE)


@pytest.mark.parametrize("name", ["out.zarr", "out"])
def test_a_store_may_lie_among_its_data(name, varied, tmp_path):
    data = Path(shutil.copytree(varied, tmp_path / "data"))
    assert stages(data, data / name) == ["scan", "write"]
    assert told(data, data / name) == []


def test_a_single_coco_file_is_not_loaded_again_and_its_change_is_noticed(varied, tmp_path):
    file, root = Path(shutil.copy2(varied / "annotations.json", tmp_path / "coco.json")), tmp_path / "out.zarr"
    segprep.preprocess(file, root, workers=ONE)
    assert told(file, root) == []
    document = json.loads(file.read_text(encoding="utf-8"))
    del document["annotations"][0]
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(OutputError, match=r"1 changed \(größe/00\.jpg\)"):
        segprep.preprocess(file, root, workers=ONE)


def test_a_single_file_that_names_others_is_always_loaded(data_dir, tmp_path):
    file = data_dir / "panoptic" / "sample_data" / "panoptic_examples.json"
    segprep.preprocess(file, tmp_path / "out.zarr", workers=ONE)
    assert stages(file, tmp_path / "out.zarr") == ["scan"]


def test_a_resplit_store_is_still_recognised(cells, made):
    resplit(made, SplitRule((0.5, 0.5, 0.0), stratify=True), refit=True, workers=ONE)
    assert told(cells, made) == []


def test_a_file_with_splits_is_read_by_every_run(cells, tmp_path):
    file, root = tmp_path / "splits.csv", tmp_path / "out.zarr"
    rules = {"split": SplitRule(file=str(file))}
    file.write_text("a.png,train\nb.png,train\nc.png,val\n")
    segprep.preprocess(cells, root, **rules, workers=ONE)
    assert told(cells, root, **rules) == []
    file.write_text("a.png,train\nb.png,val\nc.png,train\n")
    assert "scan" not in stages(cells, root, **rules, overwrite=True)
    assert read_table(root, read_info(root), "split").tolist() == [0, 1, 0]
