"""Splitting a store again, with and without fitting the class weights again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs
from PIL import Image

import segprep
from segprep.cli.commands import main
from segprep.errors import IntegrityError, OptionError, OutputError, SegprepWarning
from segprep.masks.splits import SplitRule
from segprep.runs.preprocess import preprocess
from segprep.runs.resplit import resplit
from segprep.store.metadata import put_info, read_info
from segprep.store.tables import read_table
from segprep.targets import Border, Distance, Weights
from segprep.workers.jobs import Workers

ONE = Workers(processes=1)

HALVES = SplitRule(fractions=(0.5, 0.5, 0.0))
OTHER_HALVES = SplitRule(fractions=(0.5, 0.5, 0.0), seed=3)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Twenty label images with more and more foreground; some instances touch."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for index in range(20):
        values = np.zeros((24, 30), np.uint8)
        values[2 : 3 + index, 2:10] = 1
        values[2 : 3 + index, 10 : 12 + index // 2] = 2
        Image.fromarray(values).save(folder / f"{index:02}.png")
    return folder


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("separate", [0, 1])
def test_refit_gives_the_store_that_a_run_with_this_split_gives(labels: Path, tmp_path: Path, separate: int) -> None:
    targets = (Weights(class_weights="inverse"), Border(), Distance(distance_per="instance"))
    for name, rule in (("again", HALVES), ("direct", OTHER_HALVES)):
        preprocess(labels, tmp_path / name, targets=targets, separate=separate, split=rule, workers=ONE)
    before = files(tmp_path / "again")
    resplit(tmp_path / "again", OTHER_HALVES, refit=True, workers=ONE)
    after = files(tmp_path / "again")
    assert after == files(tmp_path / "direct")
    assert {path for path in after if after[path] != before[path]} > {"zarr.json", "24x32/weights/c/0/0/0"}
    unchanged = ("labels/c/0/0/0", "classes/c/0/0/0", "border/c/0/0/0", "distance/c/0/0/0")
    assert all(after[f"24x32/{path}"] == before[f"24x32/{path}"] for path in unchanged)


def test_without_refit_only_the_split_and_its_counts_change(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    preprocess(labels, root, split=HALVES, class_weights="inverse", workers=ONE)
    before, info = files(root), read_info(root)
    resplit(root, OTHER_HALVES)
    changed = {path for path, data in files(root).items() if data != before.get(path)}
    assert changed == {"zarr.json", "split/c/0", "key/records/manifest.json", "key/records/root.json"}
    now = read_info(root)
    assert now.targets == info.targets
    assert now.split_rule.seed == 3
    train = segprep.open(root, split="train")
    assert now.classes[1].train.pixels == train.class_pixels[:, 1].sum() != info.classes[1].train.pixels
    assert now.classes[1].all == info.classes[1].all


def test_the_split_command_warns_of_stale_weights_with_the_remedy(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    preprocess(labels, root, split=HALVES, class_weights="inverse", workers=ONE)
    result = CliRunner().invoke(main, ["split", str(root), "--split", "0.5,0.5", "--seed", "3", "--workers", "1"])
    assert result.exit_code == 0
    assert "fitted to the former train split" in result.stderr
    assert "--refit" in result.stderr
    again = CliRunner().invoke(
        main, ["split", str(root), "--split", "0.5,0.5", "--seed", "3", "--workers", "1", "--refit"]
    )
    assert again.exit_code == 0
    assert "former" not in again.stderr


def test_refit_needs_labels_and_classes(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    preprocess(labels, root, split=HALVES, workers=ONE)
    (root / "24x32" / "labels" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(IntegrityError, match="24x32/labels lacks shard 0"):
        resplit(root, OTHER_HALVES, refit=True, workers=ONE)
    assert read_info(root).split_rule.seed == 0


def test_the_split_of_a_store_is_kept_when_targets_are_added(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    preprocess(labels, root, workers=ONE)
    resplit(root, HALVES)
    keys = segprep.open(root, split="train").keys
    preprocess(labels, root, targets=(Distance(),), workers=ONE)
    assert segprep.open(root, split="train").keys == keys
    assert [target.name for target in read_info(root).targets] == ["labels", "classes", "weights", "distance"]


def split_sizes(root: Path) -> list[int]:
    return np.bincount(read_table(root, read_info(root), "split"), minlength=3).tolist()


def test_split_options_that_are_not_given_keep_their_values(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    rule = SplitRule((0.5, 0.25, 0.25), group=r"(\d)\.png", stratify=True)
    preprocess(labels, root, split=rule, workers=ONE)
    before, sizes = files(root), split_sizes(root)
    assert min(sizes) > 0
    resplit(root, SplitRule(), workers=ONE)
    assert files(root) == before
    resplit(root, SplitRule(folds=3), workers=ONE)
    assert split_sizes(root) == sizes
    assert read_info(root).split_rule == replace(rule, folds=3)
    folds, splits = read_table(root, read_info(root), "fold"), read_table(root, read_info(root), "split")
    assert set(folds[splits != 2].tolist()) == {0, 1, 2}
    assert all(len(set(folds[digit::10].tolist())) == 1 for digit in range(10))


@pytest.mark.parametrize("rule", [SplitRule(group="x"), SplitRule(seed=4)])
def test_options_of_splits_need_a_split(labels: Path, tmp_path: Path, rule: SplitRule) -> None:
    preprocess(labels, tmp_path / "out.zarr", workers=ONE)
    with pytest.raises(OptionError, match="takes effect only with new splits; add shares"):
        resplit(tmp_path / "out.zarr", rule, workers=ONE)
    with pytest.raises(OptionError, match="there is nothing to split; add shares, as split="):
        preprocess(labels, tmp_path / "other.zarr", split=SplitRule(seed=4), workers=ONE)


def test_targets_are_added_to_the_splits_that_a_store_has(labels: Path, tmp_path: Path) -> None:
    root, file = tmp_path / "out.zarr", tmp_path / "splits.csv"
    file.write_text(
        "name,split\n" + "".join(f"{index:02}.png,{'val' if index > 9 else 'train'}\n" for index in range(20))
    )
    by_file = {"split": SplitRule(file=str(file))}
    preprocess(labels, root, **by_file, workers=ONE)
    file.write_text(file.read_text().replace("03.png,train", "03.png,test"))
    with pytest.raises(OutputError, match=r"1 masks are in another split \(first: '03\.png'\)"):
        preprocess(labels, root, **by_file, workers=ONE)
    file.unlink()
    info = preprocess(labels, root, targets=[Distance()], workers=ONE)
    assert [each.name for each in info.targets] == ["labels", "classes", "weights", "distance"]
    assert split_sizes(root) == [10, 10, 0]


def test_weights_of_a_class_that_leaves_the_train_split_are_stale(labels: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(labels / "20.png")
    root, file = tmp_path / "out.zarr", tmp_path / "splits.csv"
    preprocess(labels, root, targets=[Weights(class_weights="inverse", absent_class="error")], workers=ONE)
    file.write_text("".join(f"{index:02}.png,{'train' if index == 20 else 'val'}\n" for index in range(21)))
    ended = CliRunner().invoke(main, ["split", str(root), "--split", str(file)])
    assert (ended.exit_code, split_sizes(root)) == (0, [1, 20, 0])
    assert "weights: class weights were fitted to the former train split" in ended.stderr


def test_a_resumed_run_keeps_the_splits_of_a_file_that_is_gone(labels: Path, tmp_path: Path) -> None:
    root, file = tmp_path / "out.zarr", tmp_path / "splits.csv"
    file.write_text("".join(f"{index:02}.png,{'val' if index > 9 else 'train'}\n" for index in range(20)))
    preprocess(labels, root, split=SplitRule(file=str(file)), workers=ONE)
    before = preprocess(labels, root, targets=[Distance()], workers=ONE)
    file.unlink()
    put_info(root, structs.replace(before, status="incomplete"))
    (root / "24x32/distance/records/0.json").unlink()
    assert preprocess(labels, root, targets=[Distance()], workers=ONE) == before
    assert split_sizes(root) == [10, 10, 0]


def test_splits_of_a_run_before_the_one_that_was_ended_are_not_kept(labels: Path, tmp_path: Path) -> None:
    root, other = tmp_path / "out.zarr", tmp_path / "other.zarr"
    for path, rule in ((root, HALVES), (other, OTHER_HALVES)):
        preprocess(labels, path, split=rule, class_weights="inverse", workers=ONE)
    put_info(root, structs.replace(read_info(other), status="incomplete"))  # the tables are still the former ones
    with pytest.warns(SegprepWarning, match="was incomplete; this run completes it"):
        resplit(root, SplitRule(), refit=True, workers=ONE)
    assert files(root) == files(other)


def test_an_incomplete_store_is_not_split_in_another_way(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    put_info(root, structs.replace(preprocess(labels, root, split=HALVES, workers=ONE), status="incomplete"))
    before = files(root)
    with pytest.raises(IntegrityError, match="is incomplete; first run weights again to complete it"):
        resplit(root, OTHER_HALVES, workers=ONE)
    assert files(root) == before


def test_folds_of_a_store_are_stratified_on_request(labels: Path, tmp_path: Path) -> None:
    root = tmp_path / "out.zarr"
    preprocess(labels, root, workers=ONE)
    resplit(root, folds=4, stratify=True, workers=ONE)
    assert read_info(root).split_rule == SplitRule(folds=4, stratify=True)
    pixels = segprep.open(root).class_pixels[:, 1]
    in_folds = [int(pixels[read_table(root, read_info(root), "fold") == fold].sum()) for fold in range(4)]
    assert max(in_folds) < 1.2 * min(in_folds)
    resplit(root, HALVES, workers=ONE)
    with pytest.raises(OptionError, match="stratify=True: takes effect only with new splits"):
        resplit(root, folds=4, stratify=True, workers=ONE)


def test_splits_that_are_damaged_and_of_no_rule_are_refused(labels: Path, tmp_path: Path) -> None:
    preprocess(labels, tmp_path / "out.zarr", workers=ONE)
    (tmp_path / "out.zarr/split/c/0").write_bytes(b"")
    with pytest.raises(IntegrityError, match="the table of splits is damaged, and no rule gives them; add shares"):
        resplit(tmp_path / "out.zarr", SplitRule(folds=2), workers=ONE)
