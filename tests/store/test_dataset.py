"""Rebuilding instances from a store."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

import segprep
from segprep.errors import InputError, IntegrityError, OptionError
from segprep.masks.instances import InstanceRule
from segprep.masks.mask import InstanceMask
from segprep.masks.rle import runs_bitmap, string_runs
from segprep.masks.splits import SplitRule
from segprep.readers import find
from segprep.runs.describe import describe
from segprep.runs.preprocess import preprocess
from segprep.runs.settings import setting_names
from segprep.store.dataset import Dataset
from segprep.store.tables import encode_keys


def whole_instances(mask: InstanceMask) -> np.ndarray:
    """One mask per instance, from the planes."""
    numbers = range(1, len(mask.classes))
    return np.array([(mask.planes == number).any(axis=0) for number in numbers]).reshape(-1, *mask.shape)


def check_rebuilt(data: Path, out: Path, instances: InstanceRule, every: int = 1) -> None:
    preprocess(data, out, **{name: getattr(instances, name) for name in setting_names(InstanceRule)})
    refs = find(data).refs
    dataset = segprep.open(out)
    assert len(dataset) == len(refs)
    for index in range(0, len(refs), every):
        mask = refs[index].load()
        rebuilt = dataset.instances(index)
        masks = whole_instances(mask)
        np.testing.assert_array_equal(rebuilt.masks, masks)
        np.testing.assert_array_equal(rebuilt.classes, mask.classes[1:])
        for (x, y, width, height), each in zip(rebuilt.boxes, masks, strict=True):
            ys, xs = np.nonzero(each)
            assert (x, y, width, height) == (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1)


@pytest.mark.slow
def test_rebuilds_every_instance_that_was_cut_apart(data_dir: Path, tmp_path: Path) -> None:
    data = data_dir / "dsb2018" / "stage1_train"
    check_rebuilt(data, tmp_path / "out.zarr", InstanceRule(separate=2), every=4)


@pytest.mark.slow
def test_rebuilds_hidden_pixels_and_planes(data_dir: Path, tmp_path: Path) -> None:
    data = data_dir / "taco" / "annotations_small.json"
    check_rebuilt(data, tmp_path / "out.zarr", InstanceRule(overlap="first"), every=4)
    dataset = segprep.open(tmp_path / "out.zarr")
    for index, ref in enumerate(find(data).refs[:12]):
        mask, rebuilt = ref.load(), dataset.mask(index)
        np.testing.assert_array_equal(rebuilt.planes, mask.planes)
        np.testing.assert_array_equal(rebuilt.classes, mask.classes)


def test_rle_is_that_of_the_full_image(tmp_path: Path) -> None:
    dataset = coins(tmp_path)
    instances = dataset.instances(0)
    for mask, rle in zip(instances.masks, instances.rle(), strict=True):
        assert rle["size"] == [303, 384]
        np.testing.assert_array_equal(runs_bitmap(string_runs(rle["counts"]), (303, 384)), mask)


def test_mask_without_instances_has_none(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "empty.png")
    preprocess(tmp_path / "empty.png", tmp_path / "out.zarr")
    instances = segprep.open(tmp_path / "out.zarr").instances(0)
    assert len(instances) == 0
    assert instances.masks.shape == (0, 5, 7)
    assert instances.boxes.shape == (0, 4)


def test_folds_part_the_masks(tmp_path: Path) -> None:
    many(tmp_path / "labels", 40)
    rules = {"split": SplitRule(fractions=(0.8, 0.0, 0.2), folds=4)}
    preprocess(tmp_path / "labels", tmp_path / "out.zarr", **rules)
    keys = {fold: set(segprep.open(tmp_path / "out.zarr", split="val", fold=fold).keys) for fold in range(4)}
    test = set(segprep.open(tmp_path / "out.zarr", split="test").keys)
    everything = set(segprep.open(tmp_path / "out.zarr").keys)
    assert set.union(*keys.values(), test) == everything
    assert sum(map(len, keys.values())) + len(test) == 40
    for fold in range(4):
        train = set(segprep.open(tmp_path / "out.zarr", split="train", fold=fold).keys)
        assert train == everything - keys[fold] - test
    with pytest.raises(OptionError, match=r"fold=4: .* has 4 folds, counted from 0"):
        segprep.open(tmp_path / "out.zarr", fold=4)


def test_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="split='dev': choose one of train, val, test"):
        coins(tmp_path).select(split="dev")


def test_a_mask_is_found_by_its_key(tmp_path: Path) -> None:
    many(tmp_path / "labels", 4)
    preprocess(tmp_path / "labels", tmp_path / "out.zarr")
    dataset = segprep.open(tmp_path / "out.zarr")
    for index, key in enumerate(dataset.keys):
        assert dataset[key]["key"] == key
        np.testing.assert_array_equal(dataset[key]["labels"], dataset[index]["labels"])
    with pytest.raises(KeyError, match="no mask 'nothing'"):
        dataset["nothing"]


def test_each_is_shown_on_one_line(tmp_path: Path) -> None:
    many(tmp_path / "labels", 40)
    info = preprocess(tmp_path / "labels", tmp_path / "out.zarr", split=(0.8, 0.0, 0.2))
    dataset = segprep.open(tmp_path / "out.zarr")
    train, test = (len(dataset.select(split=name)) for name in ("train", "test"))
    contents = f"40 masks, {info.instances} instances; labels, classes, weights, distance"
    assert repr(dataset) == f"<segprep store 'out.zarr': {contents}; train {train}, val 0, test {test}>"
    assert repr(dataset.select(split="test")).endswith(f"test {test} ({test} selected)>")
    assert repr(describe(tmp_path / "out.zarr")) == f"<StoreInfo of 'labels': {contents}; complete>"
    assert repr(dataset.instances(0)) == f"<{len(dataset.instances(0))} instances in 12 x 16 pixels; classes 1>"


def test_a_dataset_travels_without_what_it_has_read(tmp_path: Path) -> None:
    dataset = coins(tmp_path)
    before = len(pickle.dumps(dataset))
    first = dataset[0]["labels"]
    data = pickle.dumps(dataset)
    assert len(data) == before
    np.testing.assert_array_equal(pickle.loads(data)[0]["labels"], first)  # noqa: S301 - from this test


def test_missing_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not a segprep store"):
        segprep.open(tmp_path / "nothing.zarr")


def coins(folder: Path) -> Dataset:
    preprocess(Path(__file__).parents[2] / "examples" / "coins", folder / "coins.zarr")
    return segprep.open(folder / "coins.zarr")


def many(folder: Path, count: int) -> None:
    """Label images with one to four instances."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        labels = np.zeros((12, 16), np.uint8)
        for number in range(1, 2 + index % 4):
            y, x = rng.integers(0, 9), rng.integers(0, 13)
            labels[y : y + 3, x : x + 3] = number
        Image.fromarray(labels).save(folder / f"{index:02}.png")


READS = {
    "item": lambda dataset, index: dataset[index],
    "instances": lambda dataset, index: dataset.instances(index),
    "mask": lambda dataset, index: dataset.mask(index),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_missing_shard_is_an_error_with_the_remedy(coins_copy: Path, read: Callable[[Dataset, int], object]) -> None:
    shard = next(coins_copy.glob("*x*/labels/c/0/0/0"))
    shard.unlink()
    named = re.escape(f"{shard.relative_to(coins_copy)} is missing; run verify, and repair with the data set")
    with pytest.raises(IntegrityError, match=f"{coins_copy}: {named}"):
        read(segprep.open(coins_copy), 0)
    read(segprep.open(coins_copy, incomplete=True), 0)


def weights_or_error(dataset: Dataset, index: int) -> np.ndarray | str:
    try:
        return dataset.array(index, "weights")
    except IntegrityError as error:
        return str(error)


def test_only_the_missing_shard_is_an_error(varied_store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))
    shard = next(copy.glob("*x*/weights/c/1")) / "0" / "0"
    shard.unlink()
    dataset, complete = segprep.open(copy), segprep.open(varied_store)
    read = [weights_or_error(dataset, index) for index in range(len(dataset))]
    errors = [error for error in read if isinstance(error, str)]
    assert 0 < len(errors) < len(dataset)
    assert all(str(shard.relative_to(copy)) in error for error in errors)
    for index, weights in enumerate(read):
        if not isinstance(weights, str):
            np.testing.assert_array_equal(weights, complete.array(index, "weights"))


def test_missing_shards_read_as_fill_values_if_the_store_may_be_incomplete(coins_copy: Path) -> None:
    next(coins_copy.glob("*x*/weights/c/0/0/0")).unlink()
    opened = segprep.open(coins_copy, incomplete=True)
    assert np.isnan(opened.select(split="train").array(0, "weights")).all()
    assert np.isnan(pickle.loads(pickle.dumps(opened)).array(0, "weights")).all()  # noqa: S301 - it is ours


def changed(path: Path, **values: object) -> None:
    """Change the metadata of an array."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("shape", "dtype"), [([2], "uint32"), ([1], "float64")])
def test_a_table_of_another_shape_or_type_is_damaged(coins_copy: Path, shape: list[int], dtype: str) -> None:
    changed(coins_copy / "height/zarr.json", shape=shape, data_type=dtype)
    with pytest.raises(IntegrityError, match=r"table height cannot be read: has shape .* instead of \(1,\) and uint32"):
        segprep.open(coins_copy)[0]


@pytest.mark.parametrize("change", [{"shape": [1, 320, 1 << 40]}, {"data_type": "int32"}])
def test_an_array_of_another_shape_or_type_than_its_bucket_is_damaged(coins_copy: Path, change: dict) -> None:
    changed(coins_copy / "320x384/labels/zarr.json", **change)
    with pytest.raises(IntegrityError, match=r"has shape .* instead of \(1, 320, 384\) and uint16"):
        segprep.open(coins_copy)[0]


def test_keys_longer_than_any_path_are_refused_before_they_are_read(coins_copy: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [1, 1 << 40]}}
    changed(coins_copy / "key/zarr.json", shape=[1, 1 << 40], chunk_grid=grid)
    with pytest.raises(
        IntegrityError, match=r"table key .* dimension 'byte' has length 1,099,511,627,776; the limit is 4,096"
    ):
        segprep.open(coins_copy)[0]


def test_keys_that_could_not_be_read_back_are_not_written() -> None:
    with pytest.raises(InputError, match=r"name 'aaa.*has 4,097 bytes; .* at most 4,096"):
        encode_keys(["b", "a" * 4097])
    assert encode_keys(["b", "a" * 4096]).shape == (2, 4096)


def test_more_runs_than_pixels_are_refused_before_they_are_read(coins_copy: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [65536]}}
    changed(coins_copy / "instances/runs/zarr.json", shape=[1 << 40], chunk_grid=grid)
    with pytest.raises(
        IntegrityError, match=r"table instances/runs .* dimension 'run' has length 1,099,511,627,776; the"
    ):
        segprep.open(coins_copy).instances(0)


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("runs", 2**32 - 1, r"instances/runs: those of instance \d+ have \d{10,} pixels instead of \d+ x \d+"),
        ("height", 2**30, r"instances: instance \d+ has 1073741824 x \d+ pixels from .*, in an image of 1100 x 1300"),
        ("width", -1, r"instances: instance \d+ has \d+ x -1 pixels from \(\d+, \d+\), in an image of 1100 x 1300"),
        ("run_count", 2**31, r"instances/run_count: sums to \d+, but instances/runs has \d+ rows"),
    ],
)
def test_instances_that_do_not_fit_their_image_are_refused(
    varied_store: Path, tmp_path: Path, table: str, value: int, message: str
) -> None:
    copy = Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))
    counts = zarr.open_array(copy / "instances/run_count", mode="r")[:]
    array = zarr.open_array(copy / "instances" / table, mode="r+")
    first = int(np.argmax(counts > 0))
    array[0 if table == "runs" else first] = value
    mask = int(zarr.open_array(copy / "instances/mask", mode="r")[first])
    with pytest.raises(IntegrityError, match=message):
        segprep.open(copy).instances(mask)


@pytest.mark.parametrize("path", ["height", "320x384/labels"])
def test_an_array_whose_chunks_are_not_those_of_its_store_is_refused(coins_copy: Path, path: str) -> None:
    file = coins_copy / path / "zarr.json"
    chunks = [1 << 40, *([320, 384] if "/" in path else [])]
    changed(file, chunk_grid={"name": "regular", "configuration": {"chunk_shape": chunks}})
    with pytest.raises(IntegrityError, match=rf"{path}.* cannot be read: has chunks .*{1 << 40}.* instead of "):
        segprep.open(coins_copy)[0]


@pytest.mark.parametrize("path", ["height", "320x384/labels"])
def test_an_array_of_zarr_2_is_not_read(coins_copy: Path, path: str) -> None:
    (coins_copy / path / "zarr.json").unlink()
    zarr.create_array(coins_copy / path, shape=(1, 320, 384) if "/" in path else (1,), dtype="uint16", zarr_format=2)
    with pytest.raises(IntegrityError, match="cannot be read"):
        segprep.open(coins_copy)[0]


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no target 'boundaries', only labels, classes, weights, distance"):
        coins(tmp_path).array(0, "boundaries")


def test_a_mask_is_named_by_its_index_or_key(coins_store):
    dataset = segprep.open(coins_store)
    key = dataset.keys[0]
    assert key in dataset
    assert "nothing" not in dataset
    assert len(dataset.instances(key)) == len(dataset.instances(0)) == len(dataset.instances(-1))
    np.testing.assert_array_equal(dataset.mask(key).planes, dataset.mask(np.int64(0)).planes)
    np.testing.assert_array_equal(dataset.array(key, "weights"), dataset[key]["weights"])
    assert len(list(dataset)) == 1


def test_an_index_that_names_no_mask_is_an_error(coins_store):
    dataset = segprep.open(coins_store)
    for read in (dataset.__getitem__, dataset.mask, dataset.instances):
        with pytest.raises(IndexError, match="no mask 1: there are 1, counted from 0"):
            read(1)
        with pytest.raises(KeyError, match="no mask 'a'"):
            read("a")
        with pytest.raises(OptionError, match=r"index=slice\(0, 1, None\): must be an integer or a key"):
            read(slice(0, 1))


def test_a_fold_of_a_store_without_folds_is_an_error(coins_store):
    for split in (None, "test"):
        with pytest.raises(OptionError, match=r"fold=0: .* has no folds; make them by resplit"):
            segprep.open(coins_store, split=split, fold=0)
