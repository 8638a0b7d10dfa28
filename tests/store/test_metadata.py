import hashlib
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorstore
import xarray
import zarr
from helpers.shards import chunks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import zstd_encode
from numcodecs.checksum32 import CRC32C
from PIL import Image

import segprep
from segprep.errors import IntegrityError, OutputError, StorageError
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SPLITS, SplitRule
from segprep.readers import ReadOptions, find
from segprep.store.encoding import encode_shard
from segprep.store.layout import Layout
from segprep.store.metadata import bytes_on_disk, create, open_existing, put_info, read_info
from segprep.store.schema import FORMAT, UPDATED, BucketInfo, StoreInfo
from segprep.store.shards import TargetShard, array_spec, encode_row, is_written, write_shards
from segprep.store.tables import decode_keys, encode_keys, read_table
from segprep.targets import TARGETS, Classes, Labels, Weights
from segprep.targets.target import pad_of

EVERY_PRODUCT = (Labels(), Classes(), Weights())
STORES = ["coins_store", "varied_store", "dsb2018_store"]
MISSING = 2**64 - 1
"""Offset of a chunk that is not in its shard."""


@pytest.fixture(params=STORES)
def root(request):
    return request.getfixturevalue(request.param)


def metadata(path):
    return json.loads((path / "zarr.json").read_text(encoding="utf-8"))


def arrays(root):
    """Paths of all arrays of a store, relative to it."""
    folders = (path.parent for path in root.rglob("zarr.json"))
    return sorted(path.relative_to(root).as_posix() for path in folders if metadata(path)["node_type"] == "array")


def product_arrays(root):
    """Bucket, target and path of every array of pixels."""
    info = read_info(root)
    return [(bucket, target, f"{bucket.name}/{target.name}") for bucket in info.buckets for target in info.targets]


def shards(root, path):
    return sorted(file for file in (root / path / "c").rglob("*") if file.is_file())


def shard_name(number):
    return f"c/{number}/0/0"


def read_zarr(root, path):
    return zarr.open_array(root, path=path, mode="r")[:]


def read_tensorstore(root, path):
    kvstore = {"driver": "file", "path": str(root / path)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result().read().result()


def read_xarray(root, path):
    group, _, name = path.rpartition("/")
    with xarray.open_dataset(root, engine="zarr", group=group, consolidated=False, decode_cf=False) as dataset:
        return dataset[name].values


READERS = [read_zarr, read_tensorstore, read_xarray]


def new_store(root, sizes, targets=EVERY_PRODUCT):
    """Store of masks of these sizes, without a shard."""
    layout = Layout.fit(sizes)
    info = StoreInfo(
        format=FORMAT,
        status="incomplete",
        segprep="0",
        source="none",
        source_format="none",
        input="none",
        reading=ReadOptions(),
        instance_rule=InstanceRule(),
        split_rule=SplitRule(),
        masks=len(sizes),
        instances=0,
        ignored_pixels=0,
        hidden_pixels=0,
        classes=(),
        splits=SPLITS,
        buckets=tuple(
            BucketInfo(bucket.name, *bucket.canvas, len(bucket.masks), bucket.shard_shape[0])
            for bucket in layout.buckets
        ),
        targets=(),
        problems=(),
    )
    create(root, info, layout, targets, {"key": encode_keys([str(size) for size in sizes])})
    return info, layout


@pytest.mark.parametrize("read", READERS[1:])
def test_other_zarr_readers_see_the_values_that_zarr_python_sees(root, read):
    for path in arrays(root):
        expected, values = read_zarr(root, path), read(root, path)
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected, err_msg=path)


@pytest.mark.parametrize(("name", "data"), [("coins_store", "coins"), ("varied_store", None)])
def test_rows_are_the_targets_of_their_masks_and_padding(name, data, request):
    root = request.getfixturevalue(name)
    refs = find(Path(__file__).parents[2] / "examples" / data if data else request.getfixturevalue("varied")).refs
    types = {target.name: target for target in TARGETS}
    places = {column: read_table(root, read_info(root), column) for column in ("bucket", "row", "height", "width")}
    info = read_info(root)
    for target in info.targets:
        made = msgspec.convert(target.parameters, types[target.name])
        stored = [read_zarr(root, f"{bucket.name}/{target.name}") for bucket in info.buckets]
        for mask, ref in enumerate(refs):
            bucket, row, height, width = (int(column[mask]) for column in places.values())
            expected = np.full(stored[bucket].shape[1:], pad_of(made), made.dtype)
            expected[:height, :width] = made.compute(ref.load())
            np.testing.assert_array_equal(stored[bucket][row], expected, err_msg=f"{ref.key} {target.name}")


@pytest.mark.parametrize("target", [*EVERY_PRODUCT, Labels("uint32"), Weights(dtype="float32")])
@pytest.mark.parametrize("sizes", [[(1, 1)], [(5, 9)] * 3, [(1030, 1100)] * 5])
def test_what_is_written_is_read_back(tmp_path, sizes, target):
    _, layout = new_store(tmp_path, sizes, [target])
    (bucket,) = layout.buckets
    spec = array_spec(bucket, target)
    rows = np.random.default_rng(0).integers(0, 250, spec.shape).astype(spec.dtype)
    for shard in layout.shards():
        first, count = shard.masks[0], len(shard.masks)
        chunks = chunks_of(spec.form, rows[first : first + count])
        write_shards(tmp_path, [(TargetShard(target, spec, shard.number, count, "f"), chunks)])
    for read in READERS:
        np.testing.assert_array_equal(read(tmp_path, spec.path), rows)


def test_every_array_names_its_dimensions(root):
    for path in arrays(root):
        special = {
            "key": ["mask", "byte"],
            "image": ["mask", "image_byte"],
            "class_pixels": ["mask", "class"],
            "digest": ["mask", "digest_byte"],
            "instances/runs": ["run"],
        }
        table = ["instance"] if path.startswith("instances/") else ["mask"]
        expected = ["row", "y", "x"] if path[0].isdigit() else special.get(path, table)
        assert metadata(root / path)["dimension_names"] == expected, path


def test_fill_values_cannot_be_mistaken_for_data(root):
    for _, _, path in product_arrays(root):
        array = zarr.open_array(root, path=path, mode="r")
        if array.dtype.kind == "f":
            assert math.isnan(array.fill_value), path
        else:
            assert array.fill_value == np.iinfo(array.dtype).max, path


def test_pixels_are_sharded_zstd_with_a_checksum_and_nothing_else(root):
    for bucket, _, path in product_arrays(root):
        chunk_grid, codecs = (metadata(root / path)[key] for key in ("chunk_grid", "codecs"))
        assert [codec["name"] for codec in codecs] == ["sharding_indexed"]
        inner = codecs[0]["configuration"]
        assert [codec["name"] for codec in inner["codecs"]] == ["bytes", "zstd", "crc32c"]
        assert inner["codecs"][1]["configuration"]["level"] == 3
        assert [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
        assert (chunk_grid["configuration"]["chunk_shape"][0], inner["chunk_shape"][0]) == (bucket.shard_rows, 1)


def test_tables_are_zstd_with_a_checksum_and_nothing_else(root):
    for path in set(arrays(root)) - {path for _, _, path in product_arrays(root)}:
        assert [codec["name"] for codec in metadata(root / path)["codecs"]] == ["bytes", "zstd", "crc32c"]


def test_a_shard_is_one_object(root):
    for bucket, _, path in product_arrays(root):
        count = -(-bucket.rows // bucket.shard_rows)
        expected = [root / path / shard_name(number) for number in range(count)]
        assert shards(root, path) == sorted(expected)


def test_varied_store_has_several_shards_and_several_chunks_in_a_canvas(varied_store):
    (large,) = [bucket for bucket in read_info(varied_store).buckets if bucket.rows == 4]
    assert len(shards(varied_store, f"{large.name}/labels")) == 2
    assert zarr.open_array(varied_store, path=f"{large.name}/labels", mode="r").chunks == (1, 512, 512)


def test_records_match_their_shards(root):
    for _, target, path in product_arrays(root):
        for number, shard in enumerate(shards(root, path)):
            record = json.loads((root / path / f"records/{number}.json").read_bytes())
            assert record == {
                "bytes": shard.stat().st_size,
                "sha256": hashlib.sha256(shard.read_bytes()).hexdigest(),
                "fingerprint": target.fingerprint,
            }


def test_every_shard_has_a_record_and_every_record_a_shard(root):
    for _, _, path in product_arrays(root):
        records = {file.name for file in (root / path / "records").iterdir()}
        assert records == {f"{number}.json" for number in range(len(shards(root, path)))}


def test_a_store_holds_nothing_but_metadata_chunks_and_records(root, files_of):
    for name in files_of(root):
        path = Path(name)
        assert path.name == "zarr.json" or "c" in path.parts or path.parent.name == "records", name
        assert not path.name.startswith("."), name


def test_the_sum_of_all_objects_is_the_size_of_the_store(root, files_of):
    assert bytes_on_disk(root) == sum(len(data) for data in files_of(root).values())


def chunks_written(shard, count):
    """How many of the `count` chunks that a shard has room for are in it, by the index at its end."""
    offsets = np.frombuffer(shard[-16 * count - 4 : -4], "<u8")[::2]
    return np.count_nonzero(offsets != MISSING)


def test_every_chunk_of_every_mask_is_written(root):
    for bucket, _, path in product_arrays(root):
        array = zarr.open_array(root, path=path, mode="r")
        in_row = math.prod(-(-side // part) for side, part in zip(array.shape[1:], array.chunks[1:], strict=True))
        in_shard = math.prod(side // part for side, part in zip(array.shards, array.chunks, strict=True))
        rows = Counter(row // bucket.shard_rows for row in range(bucket.rows))
        for number, count in rows.items():
            shard = (root / path / shard_name(number)).read_bytes()
            assert chunks_written(shard, in_shard) == count * in_row, path


@pytest.mark.parametrize("target", EVERY_PRODUCT, ids=lambda target: target.name)
@pytest.mark.parametrize("of", ["fill", "pad"])
def test_chunks_of_nothing_but_fill_or_padding_are_written_too(target, of):
    (bucket,) = Layout.fit([(1024, 2048)] * 2).buckets
    spec = array_spec(bucket, target)
    shard = encode_shard(spec.form, chunks_of(spec.form, np.full(spec.shape, getattr(spec, of), spec.dtype)))
    assert chunks_written(shard, 16) == 16


def test_tables_of_nothing_but_zeros_are_written_too(coins_store):
    for name in ("split", "row", "hidden", "instances/plane"):
        assert not read_table(coins_store, read_info(coins_store), name).any()
        assert (coins_store / name / "c" / "0").is_file()


@pytest.mark.parametrize("read", READERS)
def test_a_missing_shard_reads_as_the_fill_value(coins_copy, read):
    for _, _, path in product_arrays(coins_copy):
        (shard,) = shards(coins_copy, path)
        shard.unlink()
        values = read(coins_copy, path)
        fill = np.nan if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        np.testing.assert_array_equal(values, np.full(values.shape, fill, values.dtype))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Store of one mask of 6 x 7 pixels, to be damaged and repaired."""
    folder = tmp_path_factory.mktemp("tiny")
    labels = np.zeros((6, 7), np.uint8)
    labels[1:3, 1:3], labels[1:3, 4:6] = 1, 2
    Image.fromarray(labels).save(folder / "tiny.png")
    segprep.preprocess(folder / "tiny.png", folder / "tiny.zarr")
    return folder / "tiny.zarr"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["labels", "classes", "weights"])
def test_each_flipped_bit_in_a_shard_is_an_error(tiny, target):
    path = f"6x7/{target}"
    (shard,) = shards(tiny, path)
    whole = shard.read_bytes()
    try:
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            shard.write_bytes(damaged)
            with pytest.raises(ValueError, match="checksum"):
                read_zarr(tiny, path)
    finally:
        shard.write_bytes(whole)


@pytest.mark.parametrize("target", ["labels", "classes", "weights"])
def test_a_shard_that_was_cut_short_never_reads_as_data(tiny, target):
    path = f"6x7/{target}"
    (shard,) = shards(tiny, path)
    whole = shard.read_bytes()
    try:
        for size in range(1, len(whole)):
            shard.write_bytes(whole[:size])
            with pytest.raises(ValueError):  # noqa: PT011 - what is missed first depends on where the cut is
                read_zarr(tiny, path)
        shard.write_bytes(b"")
        empty = zarr.open_array(tiny, path=path, mode="r")
        np.testing.assert_array_equal(empty[:], np.full(empty.shape, empty.fill_value, empty.dtype))
    finally:
        shard.write_bytes(whole)


def test_a_damaged_table_is_an_integrity_error_that_names_it(coins_copy):
    chunk = coins_copy / "height" / "c" / "0"
    chunk.write_bytes(chunk.read_bytes()[::-1])
    with pytest.raises(IntegrityError, match="table height"):
        read_table(coins_copy, read_info(coins_copy), "height")


@pytest.mark.parametrize(("size", "reason"), [(2**25, "buffer is too small"), (3, "a chunk has 3 bytes instead of 4")])
def test_a_chunk_of_a_table_takes_no_more_memory_than_a_chunk_has(coins_copy, size, reason):
    chunk = zstd_encode(bytes(size), 3)
    (coins_copy / "height/c/0").write_bytes(bytes(CRC32C(location="end").encode(chunk)))
    with pytest.raises(IntegrityError, match=rf"table height cannot be read: .*{reason}"):
        read_table(coins_copy, read_info(coins_copy), "height")


def test_a_table_without_a_data_type_is_an_integrity_error(coins_copy):
    metadata = json.loads((coins_copy / "height/zarr.json").read_text())
    del metadata["data_type"]
    (coins_copy / "height/zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(IntegrityError, match="table height cannot be read"):
        read_table(coins_copy, read_info(coins_copy), "height")


def test_a_table_that_is_not_there_is_an_integrity_error(coins_store):
    with pytest.raises(IntegrityError, match="table nothing"):
        read_table(coins_store, read_info(coins_store), "nothing")


def test_a_store_is_incomplete_until_it_is_committed(tmp_path):
    info, _ = new_store(tmp_path, [(4, 4)])
    assert read_info(tmp_path).status == "incomplete"
    complete = msgspec.structs.replace(info, status="complete")
    put_info(tmp_path, complete)
    assert read_info(tmp_path) == complete


def _left_by_a_kill(path):
    path.mkdir()
    (path / f".zarr.json.{'0' * 32}.partial").write_text("{")


@pytest.mark.parametrize(
    "make", [lambda _: None, Path.mkdir, _left_by_a_kill], ids=["nothing", "empty folder", "what a kill left"]
)
def test_a_place_is_free_where_there_is(tmp_path, make):
    make(tmp_path / "out.zarr")
    assert open_existing(tmp_path / "out.zarr") is None


def _folder_of_something_else(path):
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def _zarr_of_something_else(path):
    zarr.create_group(path, attributes={"title": "mine"})


TAKEN = {
    "file": lambda path: path.write_text("mine"),
    "folder of something else": _folder_of_something_else,
    "Zarr group of something else": _zarr_of_something_else,
    "dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_a_place_is_taken_by(tmp_path, make, files_of):
    make(tmp_path / "out.zarr")
    before = files_of(tmp_path)
    with pytest.raises(OutputError, match=r"out\.zarr: exists"):
        open_existing(tmp_path / "out.zarr")
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_store_with_a_damaged_root_is_an_error_with_the_remedy(coins_copy, damage):
    damage(coins_copy / "zarr.json")
    with pytest.raises(OutputError, match=r"zarr\.json is damaged; verify and repair it with the data set"):
        open_existing(coins_copy)


def test_a_store_that_exists_is_found(coins_store, tmp_path):
    assert open_existing(coins_store) == read_info(coins_store)
    info, _ = new_store(tmp_path / "out.zarr", [(4, 4)])
    assert open_existing(tmp_path / "out.zarr") == info


def test_a_table_whose_chunk_is_missing_is_an_integrity_error(coins_copy):
    (coins_copy / "height" / "c" / "0").unlink()
    with pytest.raises(IntegrityError, match="table height"):
        read_table(coins_copy, read_info(coins_copy), "height")


def test_a_shard_is_written_only_with_a_record_of_its_size_and_fingerprint(tmp_path):
    _, layout = new_store(tmp_path, [(4, 4)])
    shard = TargetShard(Labels(), array_spec(layout.buckets[0], Labels()), 0, 1, "f")
    assert not is_written(tmp_path, shard)
    write_shards(tmp_path, [(shard, encode_row(shard.spec, 0, []))])
    assert is_written(tmp_path, shard)
    assert not is_written(tmp_path, shard._replace(fingerprint="g"))
    assert not is_written(tmp_path, shard._replace(number=1))
    path = tmp_path / shard.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert not is_written(tmp_path, shard)
    path.write_bytes(whole)
    for damaged in (b"{", b'{"sha256":"\xb3"}'):
        (tmp_path / shard.record_path).write_bytes(damaged)
        assert not is_written(tmp_path, shard)


@pytest.mark.parametrize("name", ["below a file", "too long a name"])
def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path, name):
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "out.zarr" if name == "below a file" else tmp_path / ("a" * 300)
    with pytest.raises(StorageError, match="cannot be"):
        new_store(root, [(4, 4)])


def test_a_shard_that_cannot_be_written_leaves_no_file_and_no_record(tmp_path, files_of):
    _, layout = new_store(tmp_path, [(4, 4)])
    shard = TargetShard(Labels(), array_spec(layout.buckets[0], Labels()), 0, 1, "f")
    (tmp_path / shard.path).mkdir(parents=True)
    before = files_of(tmp_path)
    with pytest.raises(StorageError, match="cannot be written"):
        write_shards(tmp_path, [(shard, encode_row(shard.spec, 0, []))])
    assert files_of(tmp_path) == before


NO_STORE = {
    "no JSON": b"\xff\xfe{}",
    "nothing": b"",
    "cut short": b'{"attributes": {"format": 1, "sta',
    "a list": b"[]",
    "no attributes": b"{}",
    "attributes of something else": b'{"zarr_format": 3, "node_type": "group", "attributes": {"format": "tiff"}}',
    "a string that is no UTF-8": b'{"attributes": {"format": 1, "status": "\xb3"}}',
    "attributes that are not all there": b'{"attributes": {"format": 1}}',
    "endless nesting": b'{"attributes": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("text", NO_STORE.values(), ids=NO_STORE)
def test_info_is_an_integrity_error_where_zarr_json_holds(tmp_path, text):
    (tmp_path / "zarr.json").write_bytes(text)
    with pytest.raises(IntegrityError, match="not a segprep store"):
        read_info(tmp_path)


@pytest.mark.parametrize(("name", "reason"), [("nowhere", "no such file or folder"), (".", r"it has no zarr\.json")])
def test_info_is_an_integrity_error_where_there_is_no_store(tmp_path, name, reason):
    with pytest.raises(IntegrityError, match=f"not a segprep store: {reason}"):
        read_info(tmp_path / name)


def test_a_newer_format_is_an_error_that_advises_to_update(coins_copy):
    attributes = metadata(coins_copy)
    attributes["attributes"] = {"format": UPDATED + 1, "segprep": "9.0", "status": "who knows"}
    (coins_copy / "zarr.json").write_text(json.dumps(attributes))
    for read, kind in ((read_info, IntegrityError), (open_existing, OutputError)):
        with pytest.raises(kind, match=f"has store format {UPDATED + 1}, newer .*update segprep"):
            read(coins_copy)


def _link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("read", [open_existing, read_info])
def test_a_root_that_the_storage_does_not_give_is_a_storage_error(coins_copy, read):
    _link_to_itself(coins_copy / "zarr.json")
    with pytest.raises(StorageError, match=r"copy\.zarr: cannot be read: Too many levels of symbolic links"):
        read(coins_copy)


def test_a_table_that_the_storage_does_not_give_is_a_storage_error(coins_copy):
    _link_to_itself(coins_copy / "height" / "c" / "0")
    with pytest.raises(StorageError, match="table height cannot be read: Too many levels of symbolic links"):
        read_table(coins_copy, read_info(coins_copy), "height")


def test_a_folder_in_place_of_the_root_is_damage(coins_copy):
    (coins_copy / "zarr.json").unlink()
    (coins_copy / "zarr.json").mkdir()
    with pytest.raises(OutputError, match=r"zarr\.json is damaged; verify and repair it with the data set"):
        open_existing(coins_copy)


def test_a_store_of_the_former_format_says_that_it_must_be_made_again(coins_copy):
    attributes = metadata(coins_copy)
    attributes["attributes"]["format"] = 1
    (coins_copy / "zarr.json").write_text(json.dumps(attributes))
    for read, kind in ((segprep.open, IntegrityError), (open_existing, OutputError)):
        with pytest.raises(kind, match=r"made by an earlier version of segprep .* make it again"):
            read(coins_copy)


def test_a_target_whose_name_is_a_path_is_none_of_a_store(coins_copy):
    text = (coins_copy / "zarr.json").read_text()
    (coins_copy / "zarr.json").write_text(text.replace('"name": "labels"', '"name": "../labels"'))
    with pytest.raises(IntegrityError, match=r"'\.\./labels' is no name of a target"):
        read_info(coins_copy)


@pytest.mark.parametrize(("masks", "rows"), [(10**15, [10**15]), (2, [1]), (1, [2, -1]), (0, [])])
def test_a_number_of_masks_that_no_store_has_is_an_error_before_memory_is_allocated(coins_copy, masks, rows):
    root = metadata(coins_copy)
    (bucket,) = root["attributes"]["buckets"]
    root["attributes"] |= {"masks": masks, "buckets": [bucket | {"rows": number} for number in rows]}
    (coins_copy / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(IntegrityError, match=f"not a segprep store: zarr.json: has {masks:,} masks, and buckets of"):
        segprep.open(coins_copy)


def test_info_does_not_depend_on_where_the_store_lies(coins_store, tmp_path):
    moved = Path(shutil.copytree(coins_store, tmp_path / "elsewhere"))
    assert read_info(moved) == read_info(coins_store)


PRINTABLE = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.isprintable)


@settings(deadline=None)
@given(st.lists(PRINTABLE, min_size=1))
def test_keys_are_decoded_to_what_was_encoded(keys):
    table = encode_keys(keys)
    assert table.dtype == np.uint8
    assert table.shape == (len(keys), max(len(key.encode()) for key in keys))
    assert decode_keys(table) == keys


def test_keys_that_are_no_ascii_survive_the_store(varied, varied_store):
    assert decode_keys(read_zarr(varied_store, "key")) == [ref.key for ref in find(varied).refs]
