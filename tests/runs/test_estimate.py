"""Estimates of runs: exact for a complete sample, close for a part, refused as the run, and nothing is written."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.commands import COMMAND, SECONDS, allow_interrupts, segprep_
from helpers.estimates import ONE, array_bytes, assert_exact, entries, label_images, objects, refused
from hypothesis import given
from hypothesis import strategies as st

import segprep
from segprep.errors import InputError, OptionError, OutputError
from segprep.paths.lock import write_lock
from segprep.runs.estimate import Estimate
from segprep.runs.scan import LEFT_OUT
from segprep.runs.spread import by_size, spread, stand_ins
from segprep.runs.stopwatch import makespan
from segprep.store.metadata import bytes_on_disk

COINS = Path(__file__).parents[2] / "examples" / "coins"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A hundred label images of two sizes."""
    return label_images(tmp_path_factory.mktemp("many") / "many", [(64, 64)] * 60 + [(90, 120)] * 40)


@pytest.mark.parametrize("options", [{}, {"targets": "border", "separate": 1}, {"distance_per": "class"}])
def test_a_complete_sample_is_exact(varied, tmp_path, options):
    root = tmp_path / "out.zarr"
    found = segprep.estimate(varied, root, workers=ONE, **options)
    assert (found.status, found.done, found.sampled, found.is_sample) == ("new", 0, 13, False)
    assert found.bytes_to_write == found.bytes
    segprep.preprocess(varied, root, workers=ONE, **options)
    assert_exact(found, root)
    shards = [path for path in root.glob("*/*/records/*.json") if path.parent.parent.parent.name[0].isdigit()]
    assert found.shards == found.shards_to_write == len(shards)


def test_nothing_is_written_not_even_folders(varied, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(varied, data)
    before = entries(tmp_path)
    segprep.estimate(data, tmp_path / "deep" / "out.zarr", workers=2)
    segprep.estimate(data, workers=ONE)
    assert entries(tmp_path) == before


def test_nothing_of_a_store_is_changed(varied, varied_store, tmp_path):
    root = tmp_path / "out.zarr"
    shutil.copytree(varied_store, root)
    before = entries(tmp_path)
    for options in ({}, {"targets": "weights,distance,border"}, {"sigma": 3, "overwrite": True}, {"reread": True}):
        segprep.estimate(varied, root, workers=ONE, **options)
    assert entries(tmp_path) == before


def test_a_sample_is_close(many, tmp_path):
    root = tmp_path / "out.zarr"
    found = segprep.estimate(many, root, workers=ONE, sample=32)
    assert (found.masks, found.sampled, found.is_sample) == (100, 32, True)
    segprep.preprocess(many, root, workers=ONE)
    assert found.bytes == pytest.approx(bytes_on_disk(root), rel=0.25)
    for target in found.targets:
        assert target.bytes == pytest.approx(array_bytes(root, target.name), rel=0.25)


def test_known_sizes_give_exact_shards(varied, tmp_path):
    root = tmp_path / "out.zarr"
    found = segprep.estimate(varied, root, workers=ONE, sample=4)
    info = segprep.preprocess(varied, root, workers=ONE)
    assert found.canvases == {bucket.name: bucket.rows for bucket in info.buckets}
    assert found.objects == len(objects(root))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["dsb2018/stage1_train", "taco/annotations_small.json", "panoptic/sample_data/panoptic_examples.json"]
)
def test_bytes_of_real_data_are_within_a_quarter(data_dir, tmp_path, name):
    found = segprep.estimate(data_dir / name, tmp_path / "out.zarr")
    info = segprep.preprocess(data_dir / name, tmp_path / "out.zarr")
    assert (found.masks, found.left_out) == (info.masks, 0)
    assert found.bytes == pytest.approx(bytes_on_disk(tmp_path / "out.zarr"), rel=0.25)


def test_a_finished_store_is_up_to_date(many, tmp_path):
    root = tmp_path / "out.zarr"
    segprep.preprocess(many, root, workers=ONE)
    found = segprep.estimate(many, root, workers=ONE)
    assert (found.status, found.done, found.shards_to_write, found.bytes_to_write) == ("up to date", 100, 0, 0)
    assert found.sampled == 0
    assert_exact(found, root)
    again = segprep.estimate(many, root, workers=ONE, reread=True)  # masks that are not read are taken to be the same
    assert (again.status, again.done, again.bytes, again.sampled) == ("up to date", 100, found.bytes, 64)


def test_a_target_that_is_added_is_the_only_one_to_write(varied, varied_store, tmp_path):
    root = tmp_path / "out.zarr"
    shutil.copytree(varied_store, root)
    found = segprep.estimate(varied, root, targets="border", workers=ONE)
    assert (found.status, found.done) == ("continued", 0)
    assert {target.name for target in found.targets if target.shards_to_write} == {"border"}
    segprep.preprocess(varied, root, targets="border", workers=ONE)
    assert_exact(found, root)


def test_shards_that_a_run_has_written_are_done(varied, varied_store, tmp_path):
    root = tmp_path / "out.zarr"
    shutil.copytree(varied_store, root)
    (root / "64x56" / "weights" / "records" / "0.json").unlink()
    found = segprep.estimate(varied, root, workers=ONE)
    assert (found.status, found.shards_to_write, found.done) == ("continued", 1, 4)


def test_a_part_writes_its_shards(varied):
    halves = [segprep.estimate(varied, workers=ONE, part=f"{number}/2") for number in (1, 2)]
    complete = segprep.estimate(varied, workers=ONE)
    assert sum(half.shards_to_write for half in halves) == complete.shards_to_write
    assert sum(half.masks for half in halves) == complete.masks
    assert {half.bytes for half in halves} == {complete.bytes}


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 3},
        {"canvas": (2000, 2000)},
        {"separate": 2},
        {"split": (0.5, 0.5)},
        {"canvas": (10, 10)},
        {"part": "1/2", "overwrite": True},
        {"images": "nowhere"},
        {"split": "nowhere.json"},
    ],
    ids=str,
)
def test_it_is_refused_as_the_run(varied, varied_store, options):
    assert refused(segprep.estimate, varied, varied_store, **options) == refused(
        segprep.preprocess, varied, varied_store, **options
    )


def test_other_masks_are_refused_as_by_the_run(many, tmp_path):
    data, root = tmp_path / "many", tmp_path / "out.zarr"
    shutil.copytree(many, data)
    segprep.preprocess(data, root, workers=ONE)
    (data / "000.png").unlink()
    shutil.copy(many / "000.png", data / "new.png")
    error = refused(segprep.estimate, data, root, sample=10)
    of_run = refused(segprep.preprocess, data, root)
    counted = " (writes 4 of 8 shards, computes 1 of 100 masks)"  # which a sample does not show
    assert counted in of_run[1][0]
    assert error == (of_run[0], [line.replace(counted, "") for line in of_run[1]])
    assert refused(segprep.estimate, data, root, sample=100) == of_run
    assert error[0] is OutputError
    assert "1 new (new.png)" in error[1][0]
    assert segprep.estimate(data, root, overwrite=True, workers=ONE).status == "replaced"


def test_what_is_no_store_is_refused_as_by_the_run(varied, tmp_path):
    (tmp_path / "file.txt").write_text("mine")
    assert refused(segprep.estimate, varied, tmp_path) == refused(segprep.preprocess, varied, tmp_path)


def test_a_store_that_is_being_written_is_refused(varied, tmp_path):
    with write_lock(tmp_path / "out.zarr"):
        before = entries(tmp_path)
        error = refused(segprep.estimate, varied, tmp_path / "out.zarr")
        assert entries(tmp_path) == before
    assert error[0] is OutputError
    assert "is being written by process" in error[1][0]


def test_a_sample_has_at_least_one_mask(varied):
    with pytest.raises(OptionError, match="sample=0: must be at least 1"):
        segprep.estimate(varied, sample=0)


@pytest.fixture
def broken(many, tmp_path):
    """Label images of which every tenth cannot be read."""
    data = tmp_path / "broken"
    shutil.copytree(many, data)
    for number in range(0, 100, 10):
        (data / f"{number:03}.png").write_bytes(b"no image")
    return data


def test_masks_that_cannot_be_read_are_counted(broken, tmp_path):
    found = segprep.estimate(broken, tmp_path / "out.zarr", workers=ONE, on_error="skip-mask", sample=100)
    info = segprep.preprocess(broken, tmp_path / "out.zarr", workers=ONE, on_error="skip-mask")
    assert found.left_out == sum(problem.kind == LEFT_OUT for problem in info.problems) == 10
    assert found.masks == info.masks == 90


def test_masks_that_cannot_be_read_are_estimated_from_a_sample(broken, tmp_path):
    found = segprep.estimate(broken, tmp_path / "out.zarr", workers=ONE, on_error="skip-mask", sample=50)
    assert found.masks + found.left_out == 100
    assert 2 <= found.left_out <= 25


def test_masks_that_cannot_be_read_end_it_as_the_run(broken, tmp_path):
    error = refused(segprep.estimate, broken, tmp_path / "out.zarr", sample=100)
    assert error == refused(segprep.preprocess, broken, tmp_path / "out.zarr")
    assert error[0] is InputError


def test_the_command_says_it_in_lines_and_ends_as_the_run_would(broken, tmp_path):
    store = tmp_path / "out.zarr"
    ended = segprep_("weights", broken, store, "--dry-run", "--on-error", "skip-mask", "--workers", "1")
    assert ended.returncode == 1
    assert not store.exists()
    names = [line.split()[0] for line in ended.stdout.splitlines()]
    arrays = ["labels", "classes", "weights", "distance", "tables"]
    assert names == ["data", "store", "canvas", "target", *arrays, "size", "memory", "time", "sample"]
    assert ended.stdout.endswith("nothing was written\n")
    ended = segprep_("weights", broken, store, "--dry-run", "--workers", "1")
    assert (ended.returncode, ended.stdout) == (InputError.exit_code, "")


def test_json_has_the_fields_of_the_estimate(tmp_path):
    ended = segprep_("weights", COINS, tmp_path / "out.zarr", "--dry-run", "--json")
    assert ended.returncode == 0
    found = msgspec.json.decode(ended.stdout, type=Estimate)
    envelope = {"schema": "estimate", "schema_version": 1}
    assert envelope | json.loads(msgspec.json.encode(found)) == json.loads(ended.stdout)
    assert (found.masks, found.status, found.format, found.processes) == (1, "new", "label-image", 1)
    assert found.bytes == found.other_bytes + sum(target.bytes for target in found.targets)
    assert 50e6 < found.memory < 1e9
    assert 0 < found.seconds < SECONDS


def test_a_file_of_problems_is_refused(tmp_path):
    ended = segprep_("weights", COINS, tmp_path / "out.zarr", "--dry-run", "--problems", tmp_path / "problems.jsonl")
    assert ended.returncode == OptionError.exit_code
    assert re.search("--dry-run and --problems .* exclude each other", ended.stderr)
    assert not any(tmp_path.iterdir())


def test_an_interrupt_leaves_nothing_behind(many, tmp_path):
    command = [COMMAND, "weights", many, tmp_path / "out.zarr", "--dry-run", "--workers", "2"]
    allow_interrupts()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "sample" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode in (0, 130)
    assert (out == "") == (process.returncode == 130)
    assert not any(tmp_path.iterdir())


def test_the_sample_does_not_depend_on_the_workers(many):
    one, two = (segprep.estimate(many, workers=workers, sample=20) for workers in (1, 2))
    assert (one.bytes, one.canvases) == (two.bytes, two.canvases)


@given(st.integers(1, 300), st.integers(1, 80))
def test_a_sample_is_spread_evenly_over_an_order(count, most):
    chosen = spread(range(count), most)
    assert len(set(chosen)) == len(chosen) == min(count, most)
    gaps = np.diff([-1, *sorted(chosen), count])
    assert gaps.max() <= 4 * count / len(chosen) + 1


@given(st.lists(st.integers(0, 50), unique=True, min_size=1), st.data())
def test_each_mask_of_a_sample_stands_for_about_as_many(order, data):
    sample = data.draw(st.lists(st.sampled_from(order), unique=True, min_size=1))
    found = stand_ins(order, sample)
    assert set(found) == set(order)
    assert all(found[mask] == mask for mask in sample)
    counts = np.bincount([sample.index(mask) for mask in found.values()], minlength=len(sample))
    assert np.ptp(counts) <= 1


def test_masks_are_ordered_by_their_pixels():
    sizes = [(3, 3), None, (2, 2), (9, 1), (5, 5)]
    assert [sizes[index] for index in by_size(sizes)][:2] == [None, (2, 2)]
    assert by_size(sizes)[-1] == 4


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 4))
def test_the_time_of_jobs_is_that_of_workers_that_take_them_in_turn(jobs, workers):
    free = [0] * workers
    for seconds in jobs:
        free[free.index(min(free))] += seconds
    assert makespan(jobs, workers) == max(free)
