"""Reading windows of masks, compared with zarr-python, and damage of shards."""

import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import google_crc32c
import numpy as np
import pytest
import zarr
from helpers.buckets import counted_requests, make_bucket, upload
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd
from PIL import Image
from zarr.codecs import BytesCodec, ShardingCodec, ZstdCodec
from zarr.storage import LocalStore

import segprep
from segprep.errors import IntegrityError, OptionError
from segprep.store.chunks import open_chunks
from segprep.store.shards import ArraySpec, encode_array

DTYPES = ["uint8", "uint16", "uint32", "float16", "float32", "float64"]
NO_CHUNK = 2**64 - 1


@st.composite
def arrays(draw):
    """Form of an array, a row and a window in it."""
    rows, shard_rows = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    canvas = draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    chunk = tuple(draw(st.integers(1, side)) for side in canvas)
    shard = (shard_rows, *channels, *(-(-side // part) * part for side, part in zip(canvas, chunk, strict=True)))
    dtype = draw(st.sampled_from(DTYPES))
    fill = float("nan") if dtype.startswith("f") else 7
    spec = ArraySpec("array", (rows, *channels, *canvas), shard, (1, *[1] * len(channels), *chunk), dtype, fill, 0)
    corner = [draw(st.integers(0, side - 1)) for side in canvas]
    size = [draw(st.integers(1, side - first)) for side, first in zip(canvas, corner, strict=True)]
    return spec, draw(st.integers(0, rows - 1)), (*corner, *size)


def same(first, second):
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


@given(arrays(), st.integers(0, 2**32), st.booleans())
def test_a_window_is_bit_for_bit_that_of_zarr(array, seed, partly_written):
    spec, row, (y, x, height, width) = array
    values = np.random.default_rng(seed).integers(0, 256, (*spec.shape, np.dtype(spec.dtype).itemsize), np.uint8)
    with TemporaryDirectory() as folder:
        stored = encode_array(LocalStore(folder), spec)
        if not partly_written:
            stored[:] = values.view(spec.dtype)[..., 0]
        elif seed % 2:
            stored[row, ..., : spec.chunk[-2], : spec.chunk[-1]] = 1
        chunks = open_chunks(Path(folder), spec._replace(fill=0), incomplete=partly_written)
        read = chunks.read(row, (y, x, height, width))
        assert same(read, np.asarray(stored[row, ..., y : y + height, x : x + width]))
        assert read.flags.c_contiguous
        assert read.flags.writeable


def zarr_arrays(root):
    dataset = segprep.open(root)
    paths = [f"{bucket.name}/{target.name}" for bucket in dataset.info.buckets for target in dataset.info.targets]
    return {path: zarr.open_array(root, path=path, mode="r") for path in paths}


def expected(dataset, stored, index):
    """Arrays of a mask by zarr-python."""
    tables = {name: int(zarr.open_array(dataset.root, path=name, mode="r")[index]) for name in ("bucket", "row")}
    height, width = dataset.sizes[index]
    bucket = dataset.info.buckets[tables["bucket"]].name
    names = [target.name for target in dataset.info.targets]
    return {name: np.asarray(stored[f"{bucket}/{name}"][tables["row"], ..., :height, :width]) for name in names}


@pytest.fixture(scope="module")
def channels_store(varied, tmp_path_factory):
    """Store of `varied` with distances per class."""
    root = tmp_path_factory.mktemp("channels") / "channels.zarr"
    segprep.preprocess(varied, root, targets="distance", distance_per="class", workers=1)
    return root


@pytest.mark.parametrize("store", ["varied_store", "channels_store"])
def test_each_mask_and_a_window_of_it_are_those_of_zarr(request, store):
    dataset = segprep.open(request.getfixturevalue(store), dtype="stored")
    stored, rng = zarr_arrays(dataset.root), np.random.default_rng(0)
    for index in range(len(dataset)):
        arrays, read = expected(dataset, stored, index), dataset[index]
        assert all(same(read[name], values) for name, values in arrays.items())
        (y, x), (height, width) = rng.integers(0, dataset.sizes[index] - 20), rng.integers(1, 20, 2)
        part = dataset.read(index, (y, x, height, width), ["labels", "distance"])
        assert list(part) == ["key", "labels", "distance"]
        for name in ("labels", "distance"):
            assert same(part[name], np.ascontiguousarray(arrays[name][..., y : y + height, x : x + width]))


def test_sizes_and_splits_are_those_of_the_selected_masks(varied_store):
    dataset = segprep.open(varied_store)
    assert dataset.sizes.tolist() == [list(dataset[index]["labels"].shape) for index in range(len(dataset))]
    assert dataset.splits == ["train"] * len(dataset)
    assert dataset.select(split="val").sizes.shape == (0, 2)


@pytest.mark.parametrize(
    "window", [(0, 0, 304, 1), (-1, 0, 2, 2), (0, 380, 1, 5), (0, 0, 0, 1), (0, 0, 1.5, 1), (0, 0, 5), 3]
)
def test_a_window_beyond_the_mask_is_refused(coins_store, window):
    with pytest.raises(OptionError, match="window="):
        segprep.open(coins_store).read(0, window)


# --- what is opened and read -----------------------------------------------------------------------------------------

OPENED = []
sys.addaudithook(lambda event, arguments: OPENED.append(str(arguments[0])) if event == "open" else None)


def test_one_file_is_opened_per_array_once_the_shard_is_known(varied_store):
    dataset = segprep.open(varied_store)
    dataset.read(0)
    OPENED.clear()
    dataset.read(0, (5, 5, 600, 600))
    shards = [name for name in OPENED if str(varied_store) in name]
    assert len(shards) == len(set(shards)) == len(dataset.info.targets)


def damage(root, change):
    """Change the offsets and lengths in the index of a shard of 1100 x 1300 pixels, and its checksum."""
    path = root / "1280x1536/labels/c/0/0/0"
    data = path.read_bytes()
    count = 16 * int(np.prod(zarr.open_array(path.parents[3], mode="r").shards)) // 512**2 + 4
    index = np.frombuffer(data[-count:-4], "<u8").reshape(-1, 3, 3, 2).copy()
    chunks = change(index, data[:-count])
    body = index.tobytes()
    path.write_bytes((chunks or data[:-count]) + body + google_crc32c.value(body).to_bytes(4, "little"))


@pytest.fixture
def varied_copy(varied_store, tmp_path):
    return Path(shutil.copytree(varied_store, tmp_path / "copy.zarr"))


def test_a_window_takes_its_own_chunks_only(varied_store, varied_copy):
    before = segprep.open(varied_store).array(0, "labels")

    def spoil(index, data):
        spoiled, (offset, length) = bytearray(len(data)), index[0, 1, 1].tolist()
        spoiled[offset : offset + length] = data[offset : offset + length]
        return bytes(spoiled)

    damage(varied_copy, spoil)
    dataset = segprep.open(varied_copy)
    read = dataset.read(0, (600, 520, 256, 256), ["labels"])["labels"]
    np.testing.assert_array_equal(read, before[600:856, 520:776])
    with pytest.raises(IntegrityError, match="is damaged"):
        dataset.read(0, (500, 520, 256, 256), ["labels"])


# --- damage ----------------------------------------------------------------------------------------------------------


def replaced(content):
    """Change that puts another content, with its checksum, in place of the first chunk."""

    def change(index, data):
        offset = len(data)
        index[0, 0, 0] = offset, len(content) + 4
        return data + content + google_crc32c.value(content).to_bytes(4, "little")

    return change


def entry(offset, length):
    def change(index, _):
        index[0, 0, 0] = offset, length

    return change


PIXELS = 2 * 512**2
INDEXED = {
    "chunk beyond the end": (entry(10**6, 50), "index points beyond"),
    "chunk of a terabyte": (entry(0, 2**40), "index points beyond"),
    "offset and length that overflow": (entry(2**64 - 20, 40), "index points beyond"),
    "half of a missing chunk": (entry(NO_CHUNK, 40), "index points beyond"),
    "chunk shorter than its checksum": (entry(0, 2), "index points beyond"),
    "missing chunk": (entry(NO_CHUNK, NO_CHUNK), "a chunk is missing"),
    "chunk that decodes to more": (replaced(zstd.compress(bytes(PIXELS + 1))), f"not decode to {PIXELS:,} bytes"),
    "chunk that decodes to less": (replaced(zstd.compress(bytes(PIXELS - 1))), f"not decode to {PIXELS:,} bytes"),
    "chunk of two frames": (replaced(zstd.compress(bytes(PIXELS)) + zstd.compress(b"more")), "cannot be decoded"),
    "empty chunk": (replaced(b""), "not decode to"),
    "start of a chunk": (replaced(zstd.compress(bytes(PIXELS))[:9]), "cannot be decoded"),
    "no zstd": (replaced(b"something else"), "not decode to"),
}


@pytest.mark.parametrize(("change", "message"), INDEXED.values(), ids=INDEXED)
def test_a_shard_whose_chunks_are_not_those_of_segprep_is_damaged(varied_copy, change, message):
    damage(varied_copy, change)
    text = rf"copy.zarr: 1280x1536/labels/c/0/0/0 is damaged: .*{message}.*; run verify, and repair with the data set"
    with pytest.raises(IntegrityError, match=text):
        segprep.open(varied_copy)[0]


REGIONS = {
    "first chunk": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
    "last chunk's checksum": lambda data: data[: -16 - 5] + bytes([data[-16 - 5] ^ 1]) + data[-16 - 4 :],
    "index": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "index's checksum": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut by a byte": lambda data: data[:-1],
    "cut in half": lambda data: data[: len(data) // 2],
    "cut to less than its index": lambda data: data[:7],
    "empty": lambda _: b"",
    "byte added": lambda data: data + b"\0",
    "all zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("incomplete", [False, True])
@pytest.mark.parametrize("spoil", REGIONS.values(), ids=REGIONS)
def test_damage_in_any_part_of_a_shard_is_an_error_until_it_is_repaired(coins_copy, spoil, incomplete):
    shard = coins_copy / "320x384/weights/c/0/0/0"
    data, before = shard.read_bytes(), segprep.open(coins_copy).array(0, "weights")
    shard.write_bytes(spoil(data))
    dataset = segprep.open(coins_copy, incomplete=incomplete)
    with pytest.raises(
        IntegrityError, match=r"weights/c/0/0/0 is damaged: .*; run verify, and repair with the data set"
    ):
        dataset[0]
    shard.write_bytes(data)
    np.testing.assert_array_equal(dataset.array(0, "weights"), before)


@pytest.mark.parametrize("spoil", REGIONS.values(), ids=REGIONS)
def test_a_shard_that_is_damaged_after_its_index_was_read_gives_no_wrong_values(coins_copy, spoil):
    shard = coins_copy / "320x384/weights/c/0/0/0"
    data, dataset = shard.read_bytes(), segprep.open(coins_copy)
    before = dataset.array(0, "weights")
    shard.write_bytes(spoil(data))
    with suppress(IntegrityError):  # its chunks may be intact
        np.testing.assert_array_equal(dataset.array(0, "weights"), before)
    shard.write_bytes(data)
    np.testing.assert_array_equal(dataset.array(0, "weights"), before)


def test_a_shard_that_disappears_or_cannot_be_read_while_open_is_an_error(coins_copy):
    dataset = segprep.open(coins_copy)
    dataset.array(0, "labels")
    shard = coins_copy / "320x384/labels/c/0/0/0"
    shard.unlink()
    with pytest.raises(IntegrityError, match="320x384/labels/c/0/0/0 is missing"):
        dataset[0]
    shard.mkdir()
    with pytest.raises(IntegrityError, match="320x384/labels/c/0/0/0 is missing"):
        dataset[0]


@pytest.mark.parametrize(
    "codec",
    [
        ShardingCodec(chunk_shape=(1, 4, 4), codecs=[BytesCodec(), ZstdCodec()]),
        ShardingCodec(chunk_shape=(1, 4, 4), index_location="start"),
        ShardingCodec(chunk_shape=(1, 4, 4), codecs=[BytesCodec(endian="big"), ZstdCodec()]),
    ],
)
def test_an_array_of_other_codecs_is_not_read(tmp_path, codec):
    spec = ArraySpec("array", (2, 8, 8), (1, 8, 8), (1, 4, 4), "uint16", 0, 0)
    zarr.create_array(
        tmp_path / "array", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="uint16", serializer=codec, compressors=None
    )
    with pytest.raises(ValueError, match="has codecs"):
        open_chunks(tmp_path, spec, incomplete=False)


def overwrite(root, table, value):
    zarr.open_array(root, path=table, mode="r+")[0] = value


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("bucket", 7, "table bucket: mask 0 is in bucket 7, which does not exist"),
        ("row", 4, "mask 0 has 1100 x 1300 pixels in row 4 of 4 of the bucket 1280x1536"),
        ("height", 1281, "mask 0 has 1281 x 1300 pixels in row 0 of 4"),
        ("width", 2**31, f"mask 0 has 1100 x {2**31} pixels in row 0 of 4"),
    ],
)
def test_tables_that_point_beyond_the_arrays_are_damaged(varied_copy, table, value, message):
    overwrite(varied_copy, table, value)
    dataset = segprep.open(varied_copy)
    for read in (dataset.__getitem__, dataset.instances, lambda index: dataset.array(index, "labels")):
        with pytest.raises(IntegrityError, match=message):
            read(0)
    assert dataset[12]["labels"].shape == (61, 50)


def test_a_split_that_does_not_exist_is_damage(varied_copy):
    overwrite(varied_copy, "split", 9)
    with pytest.raises(IntegrityError, match="table split: 9 is no index of"):
        _ = segprep.open(varied_copy).splits


# --- threads and processes -------------------------------------------------------------------------------------------


def test_threads_share_a_dataset(varied_store):
    single, shared = segprep.open(varied_store), segprep.open(varied_store)
    order = np.random.default_rng(0).integers(0, len(single), 160).tolist()
    arrays = [{name: value for name, value in single[index].items() if name != "key"} for index in range(len(single))]
    with ThreadPoolExecutor(8) as executor:
        for index, read in zip(order, executor.map(shared.__getitem__, order), strict=True):
            assert all(same(read[name], values) for name, values in arrays[index].items())


def test_a_forked_process_keeps_reading(varied_store):
    dataset = segprep.open(varied_store)
    dataset[0]  # of one bucket only
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            sums = [int(dataset[index]["labels"].sum()) for index in range(len(dataset))]
            os.write(writer, repr(sums).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        sums = pipe.read()
    os.waitpid(child, 0)
    assert sums == repr([int(dataset[index]["labels"].sum()) for index in range(len(dataset))])


def test_a_dataset_of_many_masks_is_small_when_pickled(tmp_path):
    (tmp_path / "labels").mkdir()
    for index in range(600):
        Image.fromarray(np.full((2, 2), index % 3, np.uint8)).save(tmp_path / "labels" / f"{index:03}.png")
    segprep.preprocess(tmp_path / "labels", tmp_path / "out.zarr", split=(0.5, 0.25, 0.25), workers=1)
    for split in (None, "train"):
        dataset = segprep.open(tmp_path / "out.zarr", split=split)
        dataset[0]
        data = pickle.dumps(dataset)
        assert len(data) < 4096
        assert pickle.loads(data).keys == dataset.keys  # noqa: S301 - it is ours


# --- buckets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def requests(object_store):  # noqa: ARG001 - the environment has its address
    """Requests to the object store, by clients made in this test."""
    with counted_requests() as requests:
        yield requests


def test_a_sample_in_a_bucket_takes_one_request_per_array(requests, varied_store):
    root = upload(varied_store, make_bucket("chunks") / "varied.zarr")
    dataset, here = segprep.open(root), segprep.open(varied_store)
    targets = [target.name for target in dataset.info.targets]
    dataset.array(dataset.keys[0], "labels")
    requests.clear()
    first = dataset.read(1, targets=["labels"])
    assert [(method, path.partition("varied.zarr/")[2]) for method, path, _ in requests] == [
        ("GET", "1280x1536/labels/c/0/0/0")
    ]
    dataset[0]
    requests.clear()
    read = dataset[0]
    assert all(same(read[name], here[0][name]) for name in targets)
    assert same(first["labels"], here[1]["labels"])
    assert sorted(path.split("/")[-5] for _, path, _ in requests) == sorted(targets)
    requests.clear()
    part = dataset.read(0, (700, 700, 100, 100), ["weights"])["weights"]
    assert same(part, np.ascontiguousarray(here[0]["weights"][700:800, 700:800]))
    ((_, _, span),) = requests
    start, stop = map(int, span.removeprefix("bytes=").split("-"))
    assert stop - start < (root / "1280x1536/weights/c/0/0/0").stat().st_size // 10


def test_the_index_of_a_shard_in_a_bucket_takes_one_request(requests, coins_store):
    root = upload(coins_store, make_bucket("indices") / "coins.zarr")
    dataset = segprep.open(root)
    dataset.array(0, "labels")
    dataset._arrays._reader(dataset.info.buckets[0], "weights")
    requests.clear()
    dataset.array(0, "weights")
    assert (requests[0][0], requests[0][2]) == ("GET", "bytes=-20")
    # A shard that is not older than the attributes makes sure that these have not changed.
    assert [method for method, path, _ in requests if not path.endswith("/zarr.json")] == ["GET", "GET"]


@pytest.mark.parametrize("spoil", REGIONS.values(), ids=REGIONS)
@pytest.mark.usefixtures("object_store")
def test_damage_of_a_shard_in_a_bucket_is_an_error(coins_store, spoil):
    bucket = make_bucket("damaged")
    root = upload(coins_store, bucket / "coins.zarr")
    shard = root / "320x384/weights/c/0/0/0"
    data, dataset = shard.read_bytes(), segprep.open(root)
    shard.write_bytes(spoil(data))
    with pytest.raises(
        IntegrityError, match=r"weights/c/0/0/0 is damaged: .*; run verify, and repair with the data set"
    ):
        dataset.array(0, "weights")
    shard.write_bytes(data)
    before = dataset.array(0, "weights")
    shard.write_bytes(spoil(data))
    with suppress(IntegrityError):
        np.testing.assert_array_equal(dataset.array(0, "weights"), before)
