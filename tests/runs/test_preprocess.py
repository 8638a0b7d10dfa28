import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zarr
from helpers.examples import mostly_slow
from PIL import Image

import segprep
from segprep.errors import (
    InputError,
    IntegrityError,
    JobError,
    OptionError,
    OutputError,
    SegprepError,
    SegprepWarning,
    StorageError,
)
from segprep.masks.splits import SPLITS, SplitRule
from segprep.readers import READERS, find
from segprep.runs import write
from segprep.runs.scan import LEFT_OUT
from segprep.runs.verify import verify
from segprep.store.layout import Part
from segprep.store.metadata import ROOT_COPY, delete, put_info, read_info
from segprep.store.tables import MASK_COLUMNS, TILE_TABLES, decode_keys, read_table
from segprep.targets import TARGETS, Border, Boundaries, Distance, Weights
from segprep.workers import dask_cluster as cluster_module
from segprep.workers.jobs import Job, Workers, open_executor, run_jobs

ONE = Workers(processes=1)
COINS = Path(__file__).parents[2] / "examples" / "coins"

READER = '''
"""A reader of masks a, b, c, of which b kills its worker after some loads; each load leaves a mark in the folder."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.readers import MaskSet, Reader


@dataclass(frozen=True)
class DeadlyRef:
    key: str
    marks: Path
    loads: int
    split: str | None = None

    def load(self):
        if self.key == "b":
            loaded = len(list(self.marks.iterdir()))
            if loaded == self.loads:
                os._exit(1)
            (self.marks / str(loaded)).touch()
        return InstanceMask(np.ones((1, 2, 2), np.int32), np.array([0, 1], np.int32))


def find(path, options):
    """Find a folder called deadly-N, whose mask b kills its worker after N loads."""
    if not path.name.startswith("deadly-"):
        return None
    refs = tuple(DeadlyRef(key, path, int(path.name[-1])) for key in "abc")
    return MaskSet("deadly", class_table([(None, "thing")]), refs)


READER = Reader("deadly", find)
'''


@pytest.fixture(params=["1 process", "2 processes", "cluster"])
def anywhere(request):
    """Workers of each kind."""
    if request.param == "cluster":
        return Workers(scheduler=str(request.getfixturevalue("cluster")))
    return Workers(processes=int(request.param[0]))


# --- the same bytes, wherever the work is done -----------------------------------------------------------------------


def test_store_is_the_same_to_the_byte_with_workers_of_any_kind(anywhere, varied, varied_store, tmp_path, files_of):
    segprep.preprocess(varied, tmp_path / "out.zarr", workers=anywhere)
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


def test_store_of_real_masks_is_the_same_to_the_byte_with_one_process(data_dir, dsb2018_store, tmp_path, files_of):
    segprep.preprocess(data_dir / "dsb2018" / "stage1_train", tmp_path / "out.zarr", workers=Workers(processes=1))
    assert files_of(tmp_path / "out.zarr") == files_of(dsb2018_store)


def test_store_is_the_same_to_the_byte_wherever_the_input_lies(coins_store, tmp_path, files_of):
    shutil.copytree(COINS, tmp_path / "coins")
    segprep.preprocess(tmp_path / "coins", tmp_path / "elsewhere.zarr")
    assert files_of(tmp_path / "elsewhere.zarr") == files_of(coins_store)


def test_relative_paths_mean_the_same_to_every_worker(anywhere, varied, varied_store, tmp_path, files_of, monkeypatch):
    shutil.copytree(varied, tmp_path / "varied")
    monkeypatch.chdir(tmp_path)
    segprep.preprocess("varied", "out.zarr", workers=anywhere)
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


def test_source_has_a_name_even_if_it_is_the_working_directory(tmp_path, monkeypatch):
    shutil.copytree(COINS, tmp_path / "coins")
    monkeypatch.chdir(tmp_path / "coins")
    assert segprep.preprocess(".", tmp_path / "out.zarr").source == "coins"


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_scheduler_that_is_not_there_is_an_option_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    with pytest.raises(StorageError, match=r"scheduler='tcp://127\.0\.0\.1:1': cannot be reached"):
        segprep.preprocess(COINS, tmp_path / "out.zarr", workers=Workers(scheduler="tcp://127.0.0.1:1"))
    assert not (tmp_path / "out.zarr").exists()


def test_a_scheduler_without_workers_is_an_option_error(lonely_scheduler, tmp_path):
    with pytest.raises(OptionError, match="has no workers"):
        segprep.preprocess(COINS, tmp_path / "out.zarr", workers=Workers(scheduler=str(lonely_scheduler)))
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("processes", [0, -1])
def test_fewer_than_one_process_is_an_option_error(processes):
    with pytest.raises(OptionError, match=f"workers={processes}: must be at least 1"):
        Workers(processes=processes)


def test_processes_beside_a_scheduler_are_an_option_error():
    with pytest.raises(OptionError, match="exclude each other"):
        Workers(processes=1, scheduler="tcp://127.0.0.1:1")


@pytest.fixture
def one_of_many_corrupt(tmp_path):
    """Twenty masks of three PNG files each, one of which is cut short."""
    labels = np.zeros((16, 16), np.uint8)
    labels[2:9, 3:12] = 255
    for image in range(20):
        folder = tmp_path / "data" / f"image{image:02}" / "masks"
        folder.mkdir(parents=True)
        for instance in range(3):
            Image.fromarray(np.roll(labels, instance)).save(folder / f"{instance}.png")
    corrupt = tmp_path / "data" / "image13" / "masks" / "1.png"
    corrupt.write_bytes(corrupt.read_bytes()[:50])
    return corrupt


def test_a_mask_that_cannot_be_read_is_an_input_error_that_names_the_file(anywhere, one_of_many_corrupt, tmp_path):
    with pytest.raises(InputError, match=r"image13/masks/1\.png: cannot be read as PNG"):
        segprep.preprocess(tmp_path / "data", tmp_path / "out.zarr", workers=anywhere)
    assert one_of_many_corrupt.exists()
    assert not (tmp_path / "out.zarr").exists()


@pytest.fixture
def deadly_reader(tmp_path, monkeypatch):
    """Reader whose refs kill their worker; a module of its own, for the workers to import."""
    (tmp_path / "deadly_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("deadly_reader")
    monkeypatch.setitem(READERS, "deadly", module.READER)
    yield
    del sys.modules["deadly_reader"]


@pytest.mark.slow
@pytest.mark.usefixtures("deadly_reader")
@pytest.mark.parametrize(
    ("loads", "error", "named"), [(0, InputError, "scan of b"), (1, StorageError, "shard 0 of 2x2, a to c")]
)
def test_a_mask_that_its_workers_die_of_is_an_error_that_names_it(loads, error, named, tmp_path, monkeypatch):
    monkeypatch.setattr("segprep.runs.journal.MOST_KEPT", 0)  # so that masks are read a second time
    data, out = tmp_path / f"deadly-{loads}", tmp_path / "out.zarr"
    data.mkdir()
    with pytest.raises(error, match=f"{named}: a worker process died"):
        segprep.preprocess(data, out, format="deadly", workers=Workers(processes=2))
    assert out.exists() == (loads == 1)
    assert not out.exists() or read_info(out).status == "incomplete"


@pytest.mark.slow
@pytest.mark.usefixtures("deadly_reader")
def test_a_mask_that_its_workers_die_of_is_left_out_on_request(tmp_path):
    data = tmp_path / "deadly-0"
    data.mkdir()
    rules = {"format": "deadly", "on_error": "skip-mask"}
    info = segprep.preprocess(data, tmp_path / "out.zarr", **rules, workers=Workers(processes=2))
    assert [(problem.kind, problem.key) for problem in info.problems] == [(LEFT_OUT, "b")]
    assert (info.masks, info.status) == (2, "complete")


def test_a_worker_of_a_cluster_that_dies_is_an_error_that_names_the_job(cluster):
    with (
        open_executor(Workers(scheduler=str(cluster)), 1) as executor,
        pytest.raises(SegprepError, match="shard 7 of 5x5: "),
    ):
        list(run_jobs(executor, [Job("shard 7 of 5x5", os._exit, (1,))]))


def test_an_error_that_nobody_foresaw_names_the_job(anywhere):
    with (
        open_executor(anywhere, 1) as executor,
        pytest.raises(JobError, match=r"shard 7 of 5x5: ValueError: .*'seven'.*: this is a bug in segprep"),
    ):
        list(run_jobs(executor, [Job("shard 7 of 5x5", int, ("seven",))]))


def full(_):
    raise MemoryError


def test_a_job_without_enough_memory_is_a_storage_error_after_the_others(tmp_path):
    jobs = [Job("shard 7 of 5x5", full, (1,)), Job("follows", Path.touch, (tmp_path / "done",))]
    message = "shard 7 of 5x5: there is not enough memory; use fewer workers"
    with open_executor(ONE, 2) as executor, pytest.raises(StorageError, match=message):
        list(run_jobs(executor, jobs))
    assert (tmp_path / "done").exists()


def test_an_error_that_was_foreseen_arrives_as_it_was_raised(anywhere, tmp_path):
    with (
        open_executor(anywhere, 1) as executor,
        pytest.raises(IntegrityError, match=f"^{tmp_path}: not a segprep store"),
    ):
        list(run_jobs(executor, [Job("shard 7 of 5x5", read_info, (tmp_path,))]))


def test_no_job_is_begun_after_one_has_failed(tmp_path):
    jobs = [Job("fails", int, ("seven",)), Job("follows", Path.touch, (tmp_path / "begun",))]
    with open_executor(Workers(processes=1), 2) as executor, pytest.raises(SegprepError, match="fails: ValueError"):
        list(run_jobs(executor, jobs))
    assert not (tmp_path / "begun").exists()


def test_every_job_is_done_once(anywhere):
    jobs = [Job(str(number), divmod, (number, 7)) for number in range(50)]
    with open_executor(anywhere, len(jobs)) as executor:
        assert sorted(run_jobs(executor, jobs)) == [(number, divmod(number, 7)) for number in range(50)]


def test_an_output_that_is_no_store_is_refused_before_the_input_is_read(tmp_path):
    (tmp_path / "out.zarr").touch()
    with pytest.raises(OutputError, match="exists and is not a segprep store"):
        segprep.preprocess("nowhere", tmp_path / "out.zarr")


def test_a_finished_store_is_left_as_it_is(coins_copy, coins_store):
    times = {path: path.stat().st_mtime_ns for path in coins_copy.rglob("*")}
    assert segprep.preprocess(COINS, coins_copy) == read_info(coins_store)
    assert {path: path.stat().st_mtime_ns for path in coins_copy.rglob("*")} == times


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"targets": (Weights(sigma=4),)}, r"sigma=4 instead of sigma=5\.0; choose"),
        ({"class_weights": "inverse"}, "class_weights='inverse' instead of class_weights='none'; choose"),
        ({"separate": 1}, "separate=1 instead of separate=0; choose"),
        ({"canvas": (500, 500)}, "canvases 500x500 instead of 320x384; choose"),
        ({"split": SplitRule((1.0, 0.0, 0.0))}, r"split=\(1\.0, 0\.0, 0\.0\) instead of split=None; choose"),
    ],
)
def test_a_store_of_other_settings_is_refused_in_words_and_untouched(coins_store, files_of, changed, said):
    before = files_of(coins_store)
    with pytest.raises(OutputError, match=f"exists with other settings: {said}"):
        segprep.preprocess(COINS, coins_store, **changed)
    assert files_of(coins_store) == before


def test_a_store_of_other_masks_is_refused(coins_store, varied, files_of):
    before = files_of(coins_store)
    words = (
        r"the store has 1 mask of coins, and varied has 13: 13 new \(.*\), 1 missing \(labels/coins.png\); add update=True "
        r"to follow the data \(writes .* of 16 shards, computes 13 of 13 masks\), overwrite=True to replace the store, or"
    )
    with pytest.raises(OutputError, match=words):
        segprep.preprocess(varied, coins_store, workers=Workers(processes=1))
    assert files_of(coins_store) == before


EVERYTHING = (Weights(class_weights="enet"), Border(), Boundaries(), Distance(distance_per="class"))


@pytest.mark.parametrize("separate", mostly_slow([0, 1], 1))
def test_targets_added_in_a_second_run_are_those_of_a_single_run(separate, varied, tmp_path, files_of):
    how = {"separate": separate, "workers": ONE}
    segprep.preprocess(varied, tmp_path / "at once", targets=EVERYTHING, **how)
    segprep.preprocess(varied, tmp_path / "in turn", targets=EVERYTHING[2:], **how)
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "in turn").rglob("c/*/0/0") if path.is_file()}
    segprep.preprocess(varied, tmp_path / "in turn", targets=EVERYTHING[:2], **how)
    assert files_of(tmp_path / "in turn") == files_of(tmp_path / "at once")
    assert {path: path.stat().st_mtime_ns for path in first} == first


def test_an_ended_run_is_resumed(unfinished, varied, varied_store, tmp_path, files_of):
    root = Path(shutil.copytree(unfinished, tmp_path / "out.zarr"))
    done = {path: path.stat().st_mtime_ns for path in root.rglob("c/*/0/0") if path.is_file()}
    segprep.preprocess(varied, root, workers=Workers(processes=1))
    assert files_of(root) == files_of(varied_store)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_target_named_twice_is_an_option_error(tmp_path):
    with pytest.raises(OptionError, match="weights is named twice"):
        segprep.preprocess(COINS, tmp_path / "out.zarr", targets=(Weights(), Weights(sigma=4)))


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_rises_to_all_masks_in_the_scan_and_then_in_the_writing(anywhere, varied, tmp_path):
    calls = []
    segprep.preprocess(varied, tmp_path / "out.zarr", workers=anywhere, progress=lambda *call: calls.append(call))
    stages = [stage for stage, _, _ in calls]
    assert stages == sorted(stages)
    assert {total for _, _, total in calls} == {13}
    for stage, least in (("scan", 3), ("write", 4)):
        counts = [done for each, done, _ in calls if each == stage]
        assert len(counts) >= least
        assert counts == sorted(set(counts))
        assert (counts[0], counts[-1]) == (0, 13)


class _StoppedError(Exception):
    """Raised by the tests' progress."""


@pytest.fixture(scope="module")
def unfinished(varied, tmp_path_factory):
    """Store whose run was ended after its first shard, the small masks."""

    def end(stage, done, masks):  # noqa: ARG001 - as Progress has it
        if stage == "write" and done:
            raise _StoppedError

    root = tmp_path_factory.mktemp("unfinished") / "out.zarr"
    with pytest.raises(_StoppedError):
        segprep.preprocess(varied, root, workers=Workers(processes=1), progress=end)
    return root


# --- segprep.open ----------------------------------------------------------------------------------------------------


def test_an_incomplete_store_is_not_opened_unless_asked_for(unfinished):
    assert read_info(unfinished).status == "incomplete"
    with pytest.raises(IntegrityError, match="is incomplete"):
        segprep.open(unfinished)
    assert len(segprep.open(unfinished, incomplete=True)) == 13


def test_missing_shards_of_an_incomplete_store_read_as_the_fill_value(unfinished, varied_store):
    whole, part = segprep.open(varied_store), segprep.open(unfinished, incomplete=True)
    np.testing.assert_equal(part[12], whole[12])
    assert np.isnan(part[0]["weights"]).all()
    assert (part[0]["labels"] == np.iinfo(np.uint16).max).all()


def test_no_store_is_not_opened(tmp_path):
    with pytest.raises(IntegrityError, match="not a segprep store"):
        segprep.open(tmp_path)


@pytest.mark.parametrize("name", ["coins", "varied"])
def test_open_gives_the_targets_of_each_mask_in_true_size_and_order(name, request):
    dataset = segprep.open(request.getfixturevalue(f"{name}_store"), dtype="stored")
    refs = find(COINS if name == "coins" else request.getfixturevalue("varied")).refs
    types = {target.name: target for target in TARGETS}
    targets = [msgspec.convert(target.parameters, types[target.name]) for target in dataset.info.targets]
    assert dataset.keys == [ref.key for ref in refs]
    for ref, found in zip(refs, dataset, strict=True):
        expected = {target.name: target.compute(ref.load()) for target in targets}
        assert found.keys() == {"key", *expected}
        assert found["key"] == ref.key
        for target, array in expected.items():
            assert found[target].dtype == array.dtype
            np.testing.assert_array_equal(found[target], array)


@pytest.mark.parametrize("overlap", ["smallest", "first", "last"])
def test_the_ground_truth_of_a_mask_shows_what_its_labels_show(varied, overlap, tmp_path):
    rules = {"overlap": overlap}
    segprep.preprocess(varied, tmp_path / "out.zarr", targets=(), **rules, workers=ONE)
    dataset = segprep.open(tmp_path / "out.zarr")
    for index in (0, 5, 9):
        np.testing.assert_array_equal(dataset.mask(index).labels, dataset[index]["labels"])


@pytest.fixture(scope="module")
def divided(varied_store, tmp_path_factory):
    """Store whose masks 0, 3, 6, ... are train, 1, 4, ... val and 2, 5, ... test."""
    root = Path(shutil.copytree(varied_store, tmp_path_factory.mktemp("divided") / "out.zarr"))
    zarr.open_array(root, path="split", mode="r+")[:] = np.arange(13) % 3
    return root


@pytest.mark.parametrize(("split", "first"), [("train", 0), ("val", 1), ("test", 2)])
def test_a_split_gives_its_masks_in_their_order(divided, split, first):
    everything, part = segprep.open(divided), segprep.open(divided, split=split)
    assert len(part) == len(range(first, 13, 3))
    assert part.keys == everything.keys[first::3]
    for own, index in enumerate(range(first, 13, 3)):
        np.testing.assert_equal(part[own], everything[index])


def test_all_splits_together_are_all_masks(divided):
    keys = [key for split in SPLITS for key in segprep.open(divided, split=split).keys]
    assert sorted(keys) == sorted(segprep.open(divided).keys)


def test_a_split_that_is_unknown_is_an_error_that_lists_the_splits(divided):
    with pytest.raises(SegprepError, match="split='trian': choose one of train, val, test; did you mean 'train'"):
        segprep.open(divided, split="trian")


@pytest.mark.parametrize("index", [13, -14])
def test_an_index_beyond_the_masks_is_an_index_error(varied_store, index):
    with pytest.raises(IndexError):
        segprep.open(varied_store)[index]


def test_a_negative_index_counts_from_the_end(varied_store):
    dataset = segprep.open(varied_store)
    np.testing.assert_equal(dataset[-1], dataset[12])


def test_a_dataset_can_be_sent_to_another_process(varied_store):
    dataset = segprep.open(varied_store)
    sent = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    np.testing.assert_equal(sent[4], dataset[4])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_dataset_can_be_read_in_a_forked_child_like_a_data_loader(varied_store):
    script = """
import os, sys, segprep
dataset = segprep.open(sys.argv[1])
parent = dataset[4]["labels"]
child = os.fork()
if child == 0:
    os._exit(int((dataset[4]["labels"] == parent).all()) + 41)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ended = subprocess.run([sys.executable, "-c", script, varied_store], check=False, timeout=60)
    assert ended.returncode == 42


# --- real data, counted by others ------------------------------------------------------------------------------------


def visible_pixels(root):
    """Pixels of instances and all pixels of each mask, by its key."""
    counts = {}
    for bucket in read_info(root).buckets:
        labels = zarr.open_array(root, path=f"{bucket.name}/labels", mode="r")
        counts[bucket.name] = [np.count_nonzero(labels[row]) for row in range(bucket.rows)]
    places = [read_table(root, read_info(root), name).tolist() for name in ("bucket", "row", "height", "width")]
    buckets = list(counts)
    keys = decode_keys(read_table(root, read_info(root), "key"))
    return {
        key: (counts[buckets[bucket]][row], height * width)
        for key, bucket, row, height, width in zip(keys, *places, strict=True)
    }


def facts(data_dir, name):
    return json.loads((data_dir / "facts" / name).read_text(encoding="utf-8"))


def test_dsb2018_has_the_masks_instances_and_pixels_that_others_count(data_dir, dsb2018_store):
    expected, info = facts(data_dir, "dsb2018.json"), read_info(dsb2018_store)
    assert (info.masks, info.instances) == (48, 2889) == (expected["images"], expected["instances"])
    assert info.hidden_pixels == expected["overlap_pixels"]
    assert [each.all.pixels for each in info.classes] == [expected["background_pixels"], expected["union_pixels"]]
    assert visible_pixels(dsb2018_store) == {
        key: (image["union_pixels"], image["h"] * image["w"]) for key, image in expected["per_image"].items()
    }


def test_dsb2018_has_the_areas_that_others_count(data_dir, dsb2018_store):
    expected = facts(data_dir, "dsb2018.json")["per_image"]
    areas, mask = (
        read_table(dsb2018_store, read_info(dsb2018_store), f"instances/{name}") for name in ("area", "mask")
    )
    for index, key in enumerate(decode_keys(read_table(dsb2018_store, read_info(dsb2018_store), "key"))):
        own, image = areas[mask == index], expected[key]
        assert (len(own), own.sum()) == (image["instances"], image["sum_instance_pixels"])
        assert (own.min(), own.max()) == (image["min_area"], image["max_area"])


@pytest.fixture(scope="module")
def taco_store(data_dir, tmp_path_factory):
    root = tmp_path_factory.mktemp("taco") / "taco.zarr"
    segprep.preprocess(data_dir / "taco" / "annotations_small.json", root)
    return root


def test_taco_has_the_masks_instances_and_pixels_that_others_count(data_dir, taco_store):
    # Both follow COCO's rule for polygons, so not a pixel differs.
    expected, info = facts(data_dir, "taco_small.json"), read_info(taco_store)
    assert (info.masks, info.instances) == (54, 185) == (expected["images"], expected["rasterised_instances"])
    assert [(problem.kind, problem.left_out) for problem in info.problems] == [("annotation id occurs twice", False)]
    assert info.hidden_pixels == expected["overlap_pixels"]
    assert sum(each.all.pixels for each in info.classes) == expected["total_pixels"]
    images = expected["per_image"].values()
    assert visible_pixels(taco_store) == {
        image["file_name"]: (image["union_pixels"], image["h"] * image["w"]) for image in images
    }


def test_taco_has_the_classes_that_others_count(data_dir, taco_store):
    expected, info = facts(data_dir, "taco_small.json"), read_info(taco_store)
    assert len(info.classes) == 1 + expected["categories"]
    counted = {str(each.id): (each.name, each.all.instances) for each in info.classes[1:] if each.all.instances}
    assert counted == {id_: (each["name"], each["annotations"]) for id_, each in expected["per_class"].items()}


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_written_side_by_side_make_the_same_store(parts, varied, varied_store, tmp_path, files_of):
    root = tmp_path / "out.zarr"
    with ThreadPoolExecutor() as threads:
        runs = [
            threads.submit(segprep.preprocess, varied, root, workers=ONE, part=Part(number, parts))
            for number in range(1, parts + 1)
        ]
    assert {run.result().status for run in runs} == {"incomplete"}
    with pytest.raises(IntegrityError, match="incomplete"):
        segprep.open(root)
    written = {path: path.stat().st_mtime_ns for path in root.glob("*/*/records/*")}
    assert segprep.preprocess(varied, root, workers=ONE).status == "complete"
    assert files_of(root) == files_of(varied_store)
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/records/*")} == written


def test_overwrite_replaces_a_target_of_other_parameters_alone(varied, tmp_path, files_of):
    root, fresh = tmp_path / "out.zarr", tmp_path / "fresh.zarr"
    wide, whole = segprep.Distance(), segprep.Distance(distance_per="class")
    segprep.preprocess(varied, root, targets=[segprep.Weights(), wide], workers=ONE)
    times = {path: path.stat().st_mtime_ns for path in root.glob("*/weights/c/**/*") if path.is_file()}
    with pytest.raises(
        OutputError, match=r"settings: distance_per='class' instead of distance_per='foreground'; choose"
    ):
        segprep.preprocess(varied, root, targets=[whole], workers=ONE)
    segprep.preprocess(varied, root, targets=[whole], workers=ONE, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    segprep.preprocess(varied, fresh, targets=[segprep.Weights(), whole], workers=ONE)
    assert files_of(root) == files_of(fresh)


def test_overwrite_replaces_a_store_of_other_masks_and_nothing_else(varied, varied_store, tmp_path, files_of):
    root = tmp_path / "out.zarr"
    segprep.preprocess(COINS, root, targets=[segprep.Distance()])
    (root / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"13 new \(.*and 10 more\), 1 missing \(labels/coins.png\)"):
        segprep.preprocess(varied, root, workers=ONE)
    segprep.preprocess(varied, root, workers=ONE, overwrite=True)
    assert (root / "notes.txt").read_text() == "mine"
    (root / "notes.txt").unlink()
    assert files_of(root) == files_of(varied_store)


def test_overwrite_with_other_masks_keeps_no_split_rule(three, tmp_path, files_of):
    root, fresh = tmp_path / "out.zarr", tmp_path / "fresh.zarr"
    segprep.preprocess(three, root, folds=2, workers=ONE)
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(three / "d.png")
    segprep.preprocess(three, root, workers=ONE, overwrite=True)
    segprep.preprocess(three, fresh, workers=ONE)
    assert files_of(root) == files_of(fresh)


def test_overwrite_with_other_masks_needs_no_class_of_a_former_target(three, tmp_path, files_of):
    root, fresh = tmp_path / "out.zarr", tmp_path / "fresh.zarr"
    info = segprep.preprocess(COINS, root, workers=ONE)
    unknown = msgspec.structs.replace(info.targets[0], name="flows")
    put_info(root, msgspec.structs.replace(info, status="incomplete", targets=(*info.targets, unknown)))
    with pytest.raises(OutputError, match="the store has 1 mask of coins, and data has 3"):
        segprep.preprocess(three, root, workers=ONE)
    with pytest.warns(SegprepWarning, match="dropped flows, which is not part of segprep"):
        segprep.preprocess(three, root, workers=ONE, overwrite=True)
    segprep.preprocess(three, fresh, workers=ONE)
    assert files_of(root) == files_of(fresh)


def test_overwrite_leaves_what_is_no_store(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not a segprep store"):
        segprep.preprocess(COINS, tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwrite_of_the_same_leaves_a_finished_store_as_it_is(coins_copy):
    times = {path: path.stat().st_mtime_ns for path in coins_copy.rglob("*")}
    segprep.preprocess(COINS, coins_copy, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in coins_copy.rglob("*")} == times


def test_parts_cannot_overwrite(tmp_path):
    with pytest.raises(OptionError, match="exclude each other"):
        segprep.preprocess(COINS, tmp_path / "out.zarr", overwrite=True, part=Part(1, 2))


def test_a_store_of_other_masks_is_refused_with_the_masks_that_differ(tmp_path):
    data, root = tmp_path / "data", tmp_path / "out.zarr"
    data.mkdir()
    for name in "abc":
        Image.fromarray(np.array([[1, 0, 2]], np.uint8)).save(data / f"{name}.png")
    segprep.preprocess(data, root, workers=ONE)
    (data / "a.png").rename(data / "d.png")
    Image.fromarray(np.array([[1, 0, 0]], np.uint8)).save(data / "b.png")
    with pytest.raises(OutputError, match=r"1 new \(d.png\), 1 missing \(a.png\), 1 changed \(b.png\)"):
        segprep.preprocess(data, root, workers=ONE)


def test_the_tables_of_a_store_are_those_that_its_plan_makes(varied_store):
    mask_tables = {column.name for column in MASK_COLUMNS} - {*TILE_TABLES}
    assert all((varied_store / name / "zarr.json").is_file() for name in mask_tables)
    groups = {bucket.name for bucket in read_info(varied_store).buckets}
    folders = {path.name for path in varied_store.iterdir() if path.is_dir()}
    assert folders == {*mask_tables, "instances"} | groups


def test_a_job_whose_worker_died_when_it_had_done_it_is_not_done_again(varied, varied_store, tmp_path, monkeypatch):
    root = Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))
    for record in root.glob("*/*/records/*.json"):
        record.rename(record.with_suffix(".kept"))
    jobs = []

    def again(executor, todo):
        jobs.extend(todo)
        for record in root.glob("*/*/records/*.kept"):
            record.rename(record.with_suffix(".json"))
        return run_jobs(executor, todo)

    monkeypatch.setattr(write, "run_jobs", again)
    times = {path: path.stat().st_mtime_ns for path in root.glob("*x*/*/c/*/0/0")}
    assert segprep.preprocess(varied, root, workers=ONE).status == "complete"
    assert len(jobs) == 3
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_same_run_restores_a_lost_part_of_a_table(coins_copy, coins_store, files_of):
    (coins_copy / "height/c/0").unlink()
    (coins_copy / "320x384/labels/zarr.json").write_bytes(b"{}")
    assert segprep.preprocess(COINS, coins_copy, targets=[], workers=ONE).status == "complete"
    assert files_of(coins_copy) == files_of(coins_store)


# --- what changes meanwhile -------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    """Folder of three label images."""
    data = tmp_path / "data"
    data.mkdir()
    for name in "abc":
        Image.fromarray(np.array([[1, 0, 2], [1, 0, 0]], np.uint8)).save(data / f"{name}.png")
    return data


def write_and_edit(data, root, values):
    """Run that ends while `b.png` gets other values between the scan and the writing."""

    def edit(stage, done, masks):
        if (stage, done) == ("scan", masks):
            Image.fromarray(np.array(values, np.uint8)).save(data / "b.png")

    return segprep.preprocess(data, root, workers=ONE, progress=edit)


OTHERS = pytest.mark.parametrize(
    "values", [[[1, 1, 2], [1, 0, 0]], [[1, 0]], np.eye(90)], ids=["other", "smaller", "larger"]
)


@OTHERS
def test_a_mask_that_changes_during_the_run_is_written_as_it_was_scanned(three, values, tmp_path, files_of):
    write_and_edit(three, tmp_path / "a.zarr", [[1, 0, 2], [1, 0, 0]])
    root = tmp_path / "b.zarr"
    assert write_and_edit(three, root, values).status == "complete"
    assert {**files_of(root), "input.json": b""} == {**files_of(tmp_path / "a.zarr"), "input.json": b""}
    with pytest.raises(OutputError, match=r"1 changed \(b\.png\).*overwrite=True"):
        segprep.preprocess(three, root, workers=ONE)
    assert segprep.preprocess(three, root, workers=ONE, overwrite=True).status == "complete"
    assert verify(root, deep=True, against=three, workers=ONE).findings == ()


@OTHERS
def test_a_mask_too_large_to_keep_that_changes_during_the_run_is_an_input_error(three, values, tmp_path, monkeypatch):
    root = tmp_path / "out.zarr"
    monkeypatch.setattr("segprep.runs.scan.MOST_KEPT_OF_ONE", 0)
    with pytest.raises(InputError, match=r"b\.png: changed while the run was reading it"):
        write_and_edit(three, root, values)
    assert read_info(root).status == "incomplete"
    with pytest.raises(OutputError, match=r"1 changed \(b\.png\).*overwrite=True"):
        segprep.preprocess(three, root, workers=ONE)
    assert segprep.preprocess(three, root, workers=ONE, overwrite=True).status == "complete"
    assert verify(root, deep=True, against=three, workers=ONE).findings == ()


def test_a_stored_target_of_other_code_is_refused_even_if_not_requested(three, tmp_path, monkeypatch, files_of):
    root = tmp_path / "out.zarr"
    segprep.preprocess(three, root, targets=[Distance()], workers=ONE)
    monkeypatch.setattr(Distance, "version", 2, raising=False)
    before = files_of(root)
    with pytest.raises(OutputError, match=r"distance is version 2 instead of 1; choose"):
        segprep.preprocess(three, root, workers=ONE)
    assert files_of(root) == before
    segprep.preprocess(three, root, workers=ONE, overwrite=True)
    segprep.preprocess(three, tmp_path / "fresh.zarr", targets=[Weights(), Distance()], workers=ONE)
    assert files_of(root) == files_of(tmp_path / "fresh.zarr")


def test_a_target_that_only_another_segprep_knows_is_an_option_error(three, tmp_path):
    root = tmp_path / "out.zarr"
    info = segprep.preprocess(three, root, workers=ONE)
    unknown = msgspec.structs.replace(info.targets[0], name="flows")
    put_info(root, msgspec.structs.replace(info, status="incomplete", targets=(*info.targets, unknown)))
    with pytest.raises(OptionError, match=r"target 'flows' that is not part of .*targets=\[\.\.\.\]"):
        segprep.preprocess(three, root, workers=ONE)


def test_a_store_without_tables_is_refused_and_can_be_replaced(three, tmp_path):
    root = tmp_path / "out.zarr"
    info = segprep.preprocess(COINS, root, workers=ONE)
    delete(root, info)
    with pytest.raises(OutputError, match="the store has 1 mask of coins, and data has 3: some differ"):
        segprep.preprocess(three, root, workers=ONE)
    assert segprep.preprocess(three, root, workers=ONE, overwrite=True).status == "complete"


def test_a_store_that_names_folders_elsewhere_is_refused(coins_copy, three):
    victim = coins_copy.parent / "victim"
    victim.mkdir()
    (victim / "mine.txt").write_text("mine")
    (coins_copy / ROOT_COPY).unlink()
    attributes = (coins_copy / "zarr.json").read_text()
    (coins_copy / "zarr.json").write_text(attributes.replace('"320x384"', '"../victim"'))
    with pytest.raises(OutputError, match="is not a segprep store"):
        segprep.preprocess(three, coins_copy, workers=ONE, overwrite=True)
    assert (victim / "mine.txt").read_text() == "mine"


def test_a_target_with_channels_has_shards_of_fewer_rows(three, tmp_path, monkeypatch, files_of):
    for index in range(7):
        Image.fromarray(np.eye(10, 10, index, np.uint8)).save(three / f"more{index}.png")
    monkeypatch.setattr("segprep.store.layout.SHARD_PIXELS", 10 * 10 * 4)
    by_class, root, later = Distance(distance_per="class"), tmp_path / "out.zarr", tmp_path / "later.zarr"
    segprep.preprocess(three, root, targets=[Weights(), by_class], workers=ONE)
    before = files_of(root)
    shards = {name: len(list((root / "10x10" / name / "c").iterdir())) for name in ("weights", "distance")}
    assert shards["distance"] == 2 * shards["weights"] > 2
    assert verify(root, deep=True, against=three, workers=ONE).findings == ()
    (root / "10x10/distance/c/1/0/0/0").unlink()
    segprep.preprocess(three, root, targets=[by_class], workers=ONE)
    assert files_of(root) == before
    (root / "10x10/distance/c/2/0/0/0").write_bytes(b"damaged")
    assert {finding.path for finding in verify(root, against=three, workers=ONE).findings} == {
        "10x10/distance/c/2/0/0/0"
    }
    assert segprep.repair(root, three, workers=ONE).findings == ()
    segprep.preprocess(three, later, targets=[Weights()], workers=ONE)
    segprep.preprocess(three, later, targets=[by_class], workers=ONE)
    assert files_of(root) == files_of(later) == before
