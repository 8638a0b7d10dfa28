import errno
import inspect
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from helpers.commands import commands_by_name
from helpers.damage import FAULTS, KINDS, SAME_SIZE, any_fault, kinds_of, swap
from helpers.examples import mostly_slow
from helpers.shards import chunks_of
from PIL import Image

import segprep
from segprep import Border, Boundaries, Distance, SplitRule, Weights, Workers
from segprep.cli.commands import main
from segprep.errors import InputError, IntegrityError, OptionError, SegprepError, StorageError
from segprep.runs.audit import read_state
from segprep.runs.repair import repair
from segprep.runs.verify import verify
from segprep.store.metadata import MANIFEST, ROOT_COPY, put_info, read_info
from segprep.store.schema import FORMAT, UPDATED, Manifest, ManifestEntry, decode_manifest, manifest_digest
from segprep.store.shards import write_shards
from segprep.targets.class_weights import FORMULAS
from segprep.targets.target import MaskFacts, check, pad_of
from segprep.targets.weights import IMAGE_RULES, PRESETS

EXAMPLES = Path(__file__).parents[2] / "examples"
ONE = Workers(processes=1)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Folder of label images of two sizes, one of them empty."""
    folder = tmp_path_factory.mktemp("labels") / "cells"
    folder.mkdir()
    random_ = np.random.default_rng(0)
    for number, shape in enumerate([(6, 7), (12, 9), (6, 7), (5, 5)]):
        pixels = random_.integers(0, 4, shape).astype(np.uint8) * (number != 2)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def whole(labels, tmp_path_factory):
    """Store of `labels`."""
    root = tmp_path_factory.mktemp("whole") / "whole.zarr"
    rules = {"split": SplitRule((0.5, 0.5, 0.0))}
    segprep.preprocess(labels, root, **rules, targets=[Weights(class_weights="inverse"), Distance()], workers=ONE)
    return root


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


def damaged_of(root, **options):
    """Paths of what is damaged."""
    return {each.path for each in verify(root, workers=ONE, **options).findings}


# --- whole stores ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coins_store", "varied_store", "whole"])
@pytest.mark.parametrize("deep", [False, True])
def test_an_intact_store_has_no_finding(name, deep, request, files_of):
    root = request.getfixturevalue(name)
    report = verify(root, deep=deep, workers=ONE)
    files = files_of(root)
    shards = sum("/c/" in path and path[0].isdigit() for path in files)
    assert (report.findings, report.shards, report.objects) == ((), shards, len(files) - 2 * shards)
    assert report.bytes == sum(map(len, files.values()))


@pytest.mark.parametrize(("name", "sample"), [("coins", 16), ("varied", 16), ("varied", 3)])
def test_a_store_is_what_its_input_gives(name, sample, request):
    data = EXAMPLES / "coins" if name == "coins" else request.getfixturevalue(name)
    root = request.getfixturevalue(f"{name}_store")
    report = verify(root, against=data, sample=sample, workers=ONE)
    assert (report.findings, report.compared) == ((), min(sample, read_info(root).masks))


@pytest.mark.parametrize("workers", [Workers(processes=2), ONE])
def test_workers_of_any_kind_find_the_same(varied_store, varied, tmp_path, workers):
    root = Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))
    FAULTS["flip a bit"](root / "64x56/labels/c/0/0/0")
    report = verify(root, deep=True, against=varied, workers=workers)
    (first, *others) = report.findings
    assert (first.path, first.masks) == ("64x56/labels/c/0/0/0", "größe/04.jpg to größe/12.jpg")
    assert all(each.path == first.path and "is damaged" in each.what for each in others)
    assert report.compared == 13


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        {"separate": 1},
        {"separate": "falk2019", "overlap": "last"},
        {"overlap": "first", "split": SplitRule((0.5, 0.3, 0.2))},
        {"crowd": "instance"},
    ],
)
def test_values_are_within_their_ranges_whatever_the_rules(varied, rules, tmp_path):
    targets = [
        Weights(),
        Border(border_between="same-class", border_on="all", single_instance="d1"),
        Boundaries(),
        Distance("class", distance_clip=9.3, mantissa_bits=2),
    ]
    segprep.preprocess(varied, tmp_path / "out.zarr", targets=targets, **rules, workers=ONE)
    assert damaged_of(tmp_path / "out.zarr", deep=True, against=varied, sample=4) == set()


@pytest.mark.parametrize(
    "weights",
    [
        *PRESETS.values(),
        *(Weights(class_weights=name, absent_class="cap", dtype="float32") for name in FORMULAS),
        *(Weights(class_weights=name) for name in IMAGE_RULES),
        Weights(class_weights="per-image", border_between="same-class"),
        Weights(w0=1000, class_weights="inverse", normalise=True, clip_class_weights=(0.1, 2)),
    ],
)
def test_weights_are_within_their_ranges_whatever_the_formula(labels, weights, tmp_path):
    segprep.preprocess(labels, tmp_path / "out.zarr", targets=[weights], workers=ONE)
    assert damaged_of(tmp_path / "out.zarr", deep=True) == set()


def test_a_comparison_finds_instances_again_by_the_same_rule(labels, tmp_path):
    rules = {"instances_from": "components"}
    segprep.preprocess(labels, tmp_path / "out.zarr", **rules, workers=ONE)
    assert damaged_of(tmp_path / "out.zarr", against=labels) == set()


@pytest.mark.parametrize("refit", [False, True])
def test_a_resplit_or_extended_store_is_intact_and_can_be_repaired(copy, labels, refit, files_of):
    segprep.resplit(copy, SplitRule((0.25, 0.5, 0.25), seed=4), refit=refit, workers=ONE)
    segprep.preprocess(labels, copy, targets=[Boundaries()], workers=ONE)
    assert damaged_of(copy, deep=True, against=labels) == set()
    before = files_of(copy)
    for path in ("split/c/0", "zarr.json", "12x10/boundaries/c/0/0/0", "6x7/weights/zarr.json"):
        FAULTS["flip a bit"](copy / path)
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == before


# --- damage ----------------------------------------------------------------------------------------------------------


def test_the_kinds_of_objects_are_all_that_there_are(whole, files_of):
    assert set(kinds_of(whole)) == set(KINDS)
    assert sorted(path for paths in kinds_of(whole).values() for path in paths) == sorted(files_of(whole))


@pytest.mark.parametrize("problem", mostly_slow(FAULTS, "delete", "flip a bit"))
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_found_and_repaired_to_the_byte(copy, labels, kind, problem, files_of):
    before = files_of(copy)
    path = kinds_of(copy)[kind][-1]
    FAULTS[problem](copy / path)
    assert files_of(copy) != before
    suspects = {path} | ({path.replace("records/0.json", "c/0/0/0")} if kind == "record" else set())
    if problem not in SAME_SIZE or kind not in ("shard", "record"):
        found = damaged_of(copy)
        assert found
        assert found <= suspects
    report = repair(copy, labels, workers=ONE)
    repaired = {each.path for each in report.repaired}  # what a deep pass has found
    assert repaired
    assert repaired <= suspects
    assert report.findings == ()
    assert files_of(copy) == before


def test_newer_attributes_of_another_program_are_damage_that_a_repair_removes(copy, labels, files_of):
    before = files_of(copy)
    bucket = next(copy.glob("[0-9]*x*"))
    zarr.open_group(bucket, mode="r+").attrs["note"] = "mine"
    assert damaged_of(copy) == {f"{bucket.name}/zarr.json"}
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == before


@pytest.mark.parametrize("target", ["labels", "classes", "weights"])
def test_two_shards_of_an_array_that_were_swapped_are_found_and_repaired(
    varied_store, varied, tmp_path, target, files_of
):
    root = Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))
    before = files_of(root)
    both = [root / f"1280x1536/{target}/c/{number}/0/0" for number in (0, 1)]
    swap(*both)
    assert files_of(root) != before
    assert damaged_of(root, deep=True) == {path.relative_to(root).as_posix() for path in both}
    assert repair(root, varied, workers=ONE).findings == ()
    assert files_of(root) == before


@pytest.mark.parametrize("seed", mostly_slow(range(100), *range(10)))
def test_a_random_fault_is_found_and_repaired(copy, labels, seed, files_of):
    before = files_of(copy)
    what = any_fault(copy, random.Random(seed))  # noqa: S311 - the same problems each time
    report = repair(copy, labels, workers=ONE)
    assert report.repaired, what
    assert report.findings == ()
    assert files_of(copy) == before, what


def test_all_faults_are_listed_and_repaired_together(copy, labels, files_of):
    before = files_of(copy)
    damaged = {
        "6x7/labels/c/0/0/0",
        "12x10/weights/records/0.json",
        "height/c/0",
        "key/zarr.json",
        "instances/zarr.json",
    }
    for path in damaged:
        (copy / path).unlink()
    assert damaged_of(copy) == damaged
    assert {each.path for each in repair(copy, labels, workers=ONE).repaired} == damaged
    assert files_of(copy) == before


def test_all_shards_are_repaired(copy, labels, files_of):
    before = files_of(copy)
    for path in kinds_of(copy)["shard"]:
        (copy / path).unlink()
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == before


def test_a_repair_leaves_an_intact_store_as_it_is(copy, labels):
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert repair(copy, labels, workers=ONE).repaired == ()
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == times


def test_a_mask_that_was_left_out_is_left_out_again(labels, tmp_path, files_of):
    data, root = Path(shutil.copytree(labels, tmp_path / "cells")), tmp_path / "out.zarr"
    (data / "1.png").write_bytes((data / "1.png").read_bytes()[:40])
    segprep.preprocess(data, root, on_error="skip-mask", workers=ONE)
    before = files_of(root)
    assert damaged_of(root, deep=True, against=data) == set()
    (root / "6x7/labels/c/0/0/0").unlink()
    assert repair(root, data, workers=ONE).findings == ()
    assert files_of(root) == before


@pytest.mark.parametrize("lost", ["6x7/labels/c/0/0/0", "split/c/0"])
def test_a_split_by_a_file_that_is_gone_stays_unless_it_is_damaged_too(labels, tmp_path, files_of, lost):
    file, root = tmp_path / "splits.json", tmp_path / "out.zarr"
    file.write_text('{"train": ["0.png", "1.png"], "val": ["2.png", "3.png"]}')
    segprep.preprocess(labels, root, split=SplitRule(file=str(file)), workers=ONE)
    before = files_of(root)
    file.unlink()
    (root / lost).unlink()
    if lost == "split/c/0":
        with pytest.raises(SegprepError, match=r"splits\.json"):
            repair(root, labels, workers=ONE)
    else:
        assert repair(root, labels, workers=ONE).findings == ()
        assert files_of(root) == before


def test_a_repair_from_other_data_is_refused_and_changes_nothing(copy, labels, tmp_path, files_of):
    others = Path(shutil.copytree(labels, tmp_path / "cells"))
    Image.fromarray(np.ones((6, 7), np.uint8)).save(others / "0.png")
    (copy / "6x7/labels/c/0/0/0").unlink()
    before = files_of(copy)
    with pytest.raises(InputError, match=r"is not the data set of .*copy\.zarr"):
        repair(copy, others, workers=ONE)
    assert files_of(copy) == before


def test_a_repair_from_data_of_other_sizes_is_refused_as_well(labels, tmp_path):
    root = tmp_path / "out.zarr"
    segprep.preprocess(labels / "0.png", root, workers=ONE)
    (root / "6x7/labels/c/0/0/0").unlink()
    with pytest.raises(InputError, match=r"is not the data set of .*out\.zarr"):
        repair(root, labels / "1.png", workers=ONE)


@pytest.mark.parametrize("lost", ["6x7/labels/c/0/0/0", "split/c/0", MANIFEST])
def test_an_incomplete_store_is_completed_by_a_repair(copy, labels, lost, files_of):
    before = files_of(copy)
    put_info(copy, msgspec.structs.replace(read_info(copy), status="incomplete"))
    (copy / lost).unlink()
    report = repair(copy, labels, workers=ONE)
    assert report.findings == ()
    assert {lost} <= {each.path for each in report.repaired}
    assert files_of(copy) == before


def test_a_repair_ignores_the_splits_of_an_earlier_run(copy, labels, tmp_path, files_of):
    other = Path(shutil.copytree(copy, tmp_path / "other.zarr"))
    segprep.resplit(other, SplitRule((0.25, 0.5, 0.25)), workers=ONE)
    put_info(copy, msgspec.structs.replace(read_info(other), status="incomplete"))
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == files_of(other)


def test_data_that_differ_are_found_by_a_comparison(whole, labels, tmp_path):
    others = Path(shutil.copytree(labels, tmp_path / "cells"))
    Image.fromarray(np.ones((6, 7), np.uint8)).save(others / "0.png")
    with pytest.raises(
        InputError, match=r"the data have changed since .*: 1 of \d+ masks that were compared differ \(0\.png\)"
    ):
        verify(whole, against=others, workers=ONE)
    (others / "0.png").rename(others / "7.png")
    with pytest.raises(InputError, match=r"has no mask '0\.png'"):
        verify(whole, against=others, workers=ONE)


def test_a_root_that_is_damaged_with_its_copy_cannot_be_repaired(copy, labels, files_of):
    for path in ("zarr.json", ROOT_COPY):
        FAULTS["flip a bit"](copy / path)
    before = files_of(copy)
    for call in (lambda: verify(copy), lambda: repair(copy, labels)):
        with pytest.raises(IntegrityError, match=r"zarr\.json"):
            call()
    assert files_of(copy) == before


def test_a_root_of_a_later_version_is_not_damage(copy, labels, files_of):
    text = (copy / "zarr.json").read_text()
    (copy / "zarr.json").write_text(text.replace(f'"format": {FORMAT}', f'"format": {UPDATED + 1}', 1))
    before = files_of(copy)
    for call in (lambda: verify(copy), lambda: repair(copy, labels)):
        with pytest.raises(IntegrityError, match=f"has store format {UPDATED + 1}, newer .*update segprep"):
            call()
    assert files_of(copy) == before


@pytest.mark.parametrize("code", [errno.EACCES, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ESTALE])
def test_an_object_that_the_storage_does_not_give_is_a_storage_error(copy, labels, code, monkeypatch):
    read = Path.read_bytes

    def read_bytes(path):
        if path == copy / "height/c/0":
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for call in (lambda: verify(copy), lambda: repair(copy, labels, workers=ONE)):
        with pytest.raises(StorageError, match=f"height/c/0: cannot be read: {os.strerror(code)}"):
            call()


def test_a_circular_link_in_place_of_an_object_is_damage(copy):
    (copy / "height/c/0").unlink()
    (copy / "height/c/0").symlink_to("0")
    assert damaged_of(copy) == {"height/c/0"}


@pytest.mark.parametrize("path", ["../elsewhere/zarr.json", "/dev/null", "key/../../elsewhere/zarr.json", "key//c"])
def test_a_list_of_objects_outside_of_the_store_is_damage(copy, path):
    objects = decode_manifest((copy / MANIFEST).read_bytes()) | {path: ManifestEntry(0, "")}
    (copy / MANIFEST).write_bytes(msgspec.json.encode(Manifest(objects, manifest_digest(objects))))
    assert damaged_of(copy) == {MANIFEST}


def test_a_repair_adds_the_checksums_that_an_earlier_segprep_lacks(copy, labels, files_of):
    before = files_of(copy)
    for path in (MANIFEST, ROOT_COPY):
        (copy / path).unlink()
    (finding,) = verify(copy).findings
    assert finding.path == MANIFEST
    assert "is missing" in finding.what
    assert "repair with the data set" in finding.what
    (copy / "fold/zarr.json").unlink()
    assert damaged_of(copy) == {MANIFEST, "fold/zarr.json"}
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == before


@pytest.mark.parametrize("lost", ["6x7/labels/records/0.json", "none"])
def test_an_incomplete_store_is_an_error_with_the_way_to_resume(copy, lost):
    (copy / lost).unlink(missing_ok=True)
    info = read_info(copy)
    put_info(copy, msgspec.structs.replace(info, status="incomplete"))
    missing = "all shards are written" if lost == "none" else "1 of 12 shards are missing"
    with pytest.raises(IntegrityError, match=f"is incomplete: {missing}; rerun"):
        verify(copy)


def test_no_store_is_an_integrity_error(tmp_path):
    with pytest.raises(IntegrityError, match="not a segprep store"):
        verify(tmp_path)


def test_a_sample_of_none_is_an_option_error(whole, labels):
    with pytest.raises(OptionError, match="sample=0"):
        verify(whole, against=labels, sample=0)


# --- kills -----------------------------------------------------------------------------------------------------------

KILLED = """
import os, shutil, sys
import segprep
from segprep import Boundaries, SplitRule, Workers
from segprep.runs.repair import repair

call, labels, whole, places = sys.argv[1:]
one = Workers(processes=1)
calls = {
    "new": lambda root: segprep.preprocess(labels, root, workers=one),
    "extended": lambda root: segprep.preprocess(labels, root, targets=[Boundaries()], workers=one),
    "split": lambda root: segprep.resplit(root, SplitRule((0.25, 0.5, 0.25)), workers=one),
    "refitted": lambda root: segprep.resplit(root, SplitRule((0.25, 0.5, 0.25)), refit=True, workers=one),
    "replaced": lambda root: segprep.preprocess(labels + "/0.png", root, split=(1.0, 0.0, 0.0), overwrite=True, workers=one),
    "repaired": lambda root: repair(root, labels, workers=one),
}

def ended_after(most, root):
    # In a child that ends before it would put one object too many in place; returns how many it did.
    child = os.fork()
    if child == 0:
        done = [0]
        def count(event, arguments):
            # Of the store alone: compiled kernels are put in place so too.
            if event == "os.rename" and os.fspath(arguments[0]).startswith(root):
                done[0] += 1
                if done[0] > most:
                    os._exit(most)
        sys.addaudithook(count)
        calls[call](root)
        os._exit(done[0])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def place(name):
    root = os.path.join(places, name)
    if call != "new":
        shutil.copytree(whole, root)
    if call == "repaired":
        for lost in ("6x7/labels/c/0/0/0", "12x10/weights/records/0.json", "split/c/0", "key/records/manifest.json"):
            os.unlink(os.path.join(root, lost))
    return root

count = ended_after(250, place("ended"))
for most in sorted({*range(3), *range(3, count, 6), *range(count - 12, count)}):
    root = place(f"killed {most}")
    assert ended_after(most, root) == most
    shutil.copytree(root, os.path.join(places, f"again {most}"))
    calls[call](os.path.join(places, f"again {most}"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("call", ["new", "extended", "split", "refitted", "replaced", "repaired"])
def test_a_run_can_be_resumed_wherever_it_is_killed(call, labels, whole, tmp_path, files_of):
    subprocess.run([sys.executable, "-c", KILLED, call, labels, whole, tmp_path], check=True, timeout=300)

    def objects_of(root):
        return {path: data for path, data in files_of(root).items() if not path.endswith(".partial")}

    ended = objects_of(tmp_path / "ended")
    if call == "repaired":
        assert ended == objects_of(whole)
    killed = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 20
    for root in killed:
        assert objects_of(root.with_name(root.name.replace("killed", "again"))) == ended
        if not (root / "zarr.json").exists():
            assert root.name == "killed 0"
        elif read_info(root).status == "complete" and (call, root.name) != ("repaired", "killed 0"):
            assert verify(root, deep=True, workers=ONE).findings == ()
        elif read_info(root).status == "incomplete":
            with pytest.raises(IntegrityError, match=r"is incomplete: .* rerun"):
                verify(root)


# --- ranges ----------------------------------------------------------------------------------------------------------

TRUTH = MaskFacts("a", (2, 3), np.array([2, 3]), np.array([0, 1]), n_classes=2)
NOTHING = np.zeros((2, 3))
RIGHT = [[1, 1, 2], [0, 0, 0]]
BOUND = Weights(vector=(0.5, 4.0))


@pytest.mark.parametrize(
    ("target", "values", "said"),
    [
        (segprep.Labels(), RIGHT, None),
        (segprep.Labels(), [[1, 1, 2], [2, 2, 2]], "instance 2 has 4 pixels instead of 3"),
        (segprep.Labels(), [[1, 0, 2], [2, 2, 0]], "instance 1 has 1 pixels instead of 2"),
        (segprep.Labels(), [[1, 1, 3], [0, 0, 0]], "label 3 of 2"),
        (segprep.Labels("uint32"), [[2**32 - 1, 1, 3], [0, 0, 0]], "label 4294967295 of 2"),
        (segprep.Classes(), [[1, 0, 255], [0, 0, 0]], None),
        (segprep.Classes(), [[2, 0, 255], [0, 0, 0]], "class code 2 of 2"),
        (BOUND, NOTHING + 14, None),
        (BOUND, NOTHING + 14.1, "holds 14.1"),
        (BOUND, NOTHING - 0.1, "holds -0.09"),
        (BOUND, NOTHING + np.nan, "NaN"),
        (BOUND, NOTHING + np.inf, "infinity"),
        (Weights(class_weights="per-image"), NOTHING + 1000, None),
        (Border(w0=3), NOTHING + 3, None),
        (Border(w0=3), NOTHING + 3.1, "beyond 0 to 3"),
        (Border(w0=3, border_between="same-class"), NOTHING + 6, None),
        (Distance(), NOTHING - 3.5, None),
        (Distance(), NOTHING - 4, "beyond"),
        (Distance(distance_clip=2.0), NOTHING + 2.5, "beyond -2 to 2"),
        (Boundaries(), [[0, 1, 2], [3, 255, 0]], None),
        (Boundaries(), [[0, 1, 4], [3, 255, 0]], "holds 4"),
    ],
)
def test_values_out_of_range_are_found(target, values, said):
    canvas = np.full((4, 4), pad_of(target), target.dtype)
    canvas[:2, :3] = values
    found = check(target, canvas, TRUTH)
    assert found is None if said is None else said in found
    canvas[3, 3] = 1
    assert check(target, canvas, TRUTH) is not None


def test_values_out_of_range_are_found_despite_a_valid_checksum(copy, labels, files_of):
    before = files_of(copy)
    state = read_state(copy)
    layout, _ = state.places()
    shard = next(each for each in state.shards(layout, list(layout.shards())[-1]) if each.target.name == "weights")
    write_shards(copy, [(shard, chunks_of(shard.spec.form, np.full(shard.spec.shape, -1, np.float16)))])
    assert damaged_of(copy) == set()
    (finding,) = verify(copy, deep=True, workers=ONE).findings
    assert (finding.path, finding.masks) == (shard.path, "1.png")
    assert finding.what.startswith("1.png: ")
    assert repair(copy, labels, workers=ONE).findings == ()
    assert files_of(copy) == before


# --- the command -----------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], standalone_mode=False)


def test_the_command_reports_an_intact_store(whole):
    ended = run(whole)
    assert ended.return_value == 0
    assert ended.stdout.startswith(f"{whole}: undamaged: 12 shards, ")


def test_the_command_names_each_damaged_object_and_repairs_it(copy, labels):
    (copy / "6x7/labels/c/0/0/0").unlink()
    ended = run(copy)
    assert ended.return_value == 5
    first, last = ended.stdout.splitlines()
    assert first == "6x7/labels/c/0/0/0: is missing (masks: 0.png to 2.png)"
    assert f"segprep verify {copy} --repair DATA" in last
    ended = run(copy, "--json")
    assert ended.return_value == 5
    assert msgspec.json.decode(ended.stdout)["findings"] == [
        {"path": "6x7/labels/c/0/0/0", "what": "is missing", "masks": "0.png to 2.png"}
    ]
    ended = run(copy, "--repair", labels)
    assert ended.return_value == 0
    assert ended.stdout.splitlines()[0] == f"repaired: {first}"
    assert run(copy, "--deep", "--against", labels, "--sample", "2").stdout.endswith(", 2 masks computed again\n")


def test_options_have_the_defaults_of_the_library():
    defaults = {name: each.default for name, each in inspect.signature(verify).parameters.items()}
    options = {each.name: each.default for each in commands_by_name()["verify"].params}
    assert {name: options[name] for name in ("sample", "seed")}.items() <= defaults.items()


def test_the_command_does_not_repair_and_compare_at_once(whole, labels):
    ended = CliRunner().invoke(main, ["verify", str(whole), "--repair", str(labels), "--against", str(labels)])
    assert ended.exit_code == 2
    assert "exclude each other" in ended.output


def test_the_command_refuses_a_sample_without_data_to_compare(whole):
    ended = CliRunner().invoke(main, ["verify", str(whole), "--sample", "3", "--seed", "1"])
    assert ended.exit_code == 2
    assert "--sample and --seed: no effect without --against DATA" in ended.output


def test_a_repair_needs_its_data_set_also_where_nothing_is_damaged(whole, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        repair(whole, tmp_path / "nowhere", workers=ONE)
