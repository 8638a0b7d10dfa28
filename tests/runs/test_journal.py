"""A scan that was interrupted resumes, parts share one, and nothing of a damaged or foreign journal is used."""

import os
import time
from dataclasses import fields, replace
from itertools import pairwise

import imagecodecs
import msgspec
import numpy as np
import pytest
from endurance.runs import files
from helpers import logged_run
from helpers.buckets import make_bucket, objects_in
from helpers.strategies import masks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import segprep
from segprep.errors import InputError, IntegrityError, OutputError
from segprep.masks.mask import Problem, SourceValues
from segprep.masks.packed import PackedMask, packed
from segprep.masks.stats import CLASS_COUNT, INSTANCE_ROW, mask_digest, mask_stats
from segprep.paths.files import SCAN
from segprep.runs import journal
from segprep.runs.entries import MOST_BYTES, Entry, decode_entries, encode_entries
from segprep.runs.journal import Journal, open_journal
from segprep.runs.scan import SCAN_BATCH, in_order_of
from segprep.runs.verify import verify
from segprep.store.layout import Part
from segprep.store.metadata import INPUT_STAMP

CLASSES = 12
MASKS = 40


@pytest.fixture
def always(monkeypatch):
    """Journals that are written after each batch of masks."""
    monkeypatch.setattr(journal, "INTERVAL", 0)
    monkeypatch.setattr(journal, "SHARE", 0)


@pytest.fixture
def logged(tmp_path):
    """Data set of masks whose loads are logged."""
    return logged_run.write_masks(tmp_path / "masks", MASKS)


@pytest.fixture
def expected(logged, tmp_path):
    """Files of the store of an undisturbed run."""
    reader = segprep.Reader("logged", logged_run.find_logged)
    segprep.preprocess(logged, tmp_path / "undisturbed.zarr", format=reader, workers=1, targets="weights")
    assert {*logged_run.loads(logged).values()} == {1}
    logged_run.log_of(logged).unlink()
    return files(tmp_path / "undisturbed.zarr")


def values_of(stats):
    """Fields of statistics, comparable; arrays as lists."""
    return [
        [part.tolist() for part in value]
        if field.name == "runs"
        else np.asarray(value).tolist()
        if isinstance(value, np.ndarray)
        else value
        for field in fields(stats)
        for value in [getattr(stats, field.name)]
    ]


# --- killed runs, and runs side by side ------------------------------------------------------------------------------


def test_masks_that_were_scanned_before_a_kill_are_not_loaded_again(logged, expected, tmp_path):
    root = tmp_path / "killed.zarr"
    assert logged_run.run(logged, root, KILLED_AT="0030.npy")[0] == -9
    assert [path.name for path in root.iterdir() if not path.name.startswith(".lock")] == [SCAN]
    assert logged_run.run(logged, root) == (0, "")
    loads = logged_run.loads(logged)
    assert sorted(key for key, count in loads.items() if count > 1) == [f"{number:04}.npy" for number in range(24, 30)]
    assert len(loads) == MASKS
    assert files(root) == expected


def test_parts_that_start_side_by_side_share_one_scan(logged, expected, tmp_path):
    root, met = tmp_path / "parts.zarr", tmp_path / "met"
    met.mkdir()
    parts = [logged_run.start(logged, root, f"{number}/2", MET_AT=str(met), LOAD_SECONDS="0.01") for number in (1, 2)]
    for part in parts:
        assert part.communicate(timeout=logged_run.SECONDS)[1] == ""
    total = logged_run.loads(logged).total()
    assert MASKS <= total <= MASKS + 2 * SCAN_BATCH
    assert logged_run.run(logged, root, "2/2") == (0, "")
    assert logged_run.run(logged, root) == (0, "")
    assert logged_run.loads(logged).total() == total, "a late part, or the last run, has scanned again"
    assert files(root) == expected


@given(st.integers(1, 9), st.integers(0, 30))
def test_each_part_scans_all_batches_beginning_with_its_share(parts, count):
    orders = [in_order_of(Part(number, parts), range(count)) for number in range(1, parts + 1)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    edges = [count * number // parts for number in range(parts + 1)]
    assert all(
        order[: stop - start] == list(range(start, stop))
        for order, (start, stop) in zip(orders, pairwise(edges), strict=True)
    )


# --- interrupted runs ------------------------------------------------------------------------------------------------


def write_images(folder, second):
    """Label images of two rectangles, of which the second has this value."""
    folder.mkdir()
    for number in range(20):
        values = np.zeros((12, 15), np.uint8)
        values[2:6, 2 : 5 + number % 7] = 1
        values[8:11, 4:9] = second
        Image.fromarray(values).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def images(tmp_path):
    """Label images of two instances."""
    return write_images(tmp_path / "images", 2)


def interrupted(data, root, stage="write", **options):
    """Interrupt a run at the first progress of a stage after its start."""

    def interrupt(at, done, _masks):
        if at == stage and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segprep.preprocess(data, root, workers=1, progress=interrupt, **options)


def spoil(folder):
    """Make all PNG files but the first unreadable, with their sizes and times."""
    for path in sorted(folder.iterdir())[1:]:
        before, data = path.stat(), path.read_bytes()
        place = data.index(b"IDAT") + 8
        path.write_bytes(data[:place] + bytes(each ^ 255 for each in data[place : place + 8]) + data[place + 8 :])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def told(data, root, **options):
    """Progress of a run."""
    calls = []
    segprep.preprocess(data, root, workers=1, progress=lambda *call: calls.append(call), **options)
    return calls


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("second", [1, 2], ids=["foreground masks, which are scanned twice", "instances"])
def test_a_run_interrupted_while_it_writes_reads_no_file_again(second, tmp_path):
    images = write_images(tmp_path / "images", second)
    segprep.preprocess(images, tmp_path / "undisturbed.zarr", workers=1)
    interrupted(images, tmp_path / "a.zarr")
    spoil(images)
    segprep.preprocess(images, tmp_path / "a.zarr", workers=1)
    assert files(tmp_path / "a.zarr") == files(tmp_path / "undisturbed.zarr")


@pytest.mark.usefixtures("always", "object_store")
def test_a_scan_into_a_bucket_resumes(images, tmp_path):
    root = make_bucket("interrupted-scan") / "out.zarr"
    segprep.preprocess(images, tmp_path / "undisturbed.zarr", workers=1)
    interrupted(images, root)
    assert any(name.startswith(f"{SCAN}/") for name in objects_in(root))
    spoil(images)
    segprep.preprocess(images, root, workers=1)
    undisturbed = files(tmp_path / "undisturbed.zarr")
    del undisturbed[INPUT_STAMP]
    assert objects_in(root) == undisturbed


@pytest.mark.usefixtures("always")
def test_progress_begins_with_the_masks_that_were_scanned(images, tmp_path):
    interrupted(images, tmp_path / "a.zarr", "scan")
    assert told(images, tmp_path / "a.zarr")[0] == ("scan", SCAN_BATCH, 20)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("options", [{"separate": 1}, {"ignore": 255}, {"overlap": "error"}, {"reread": True}])
def test_other_options_of_reading_scan_again(options, images, tmp_path):
    interrupted(images, tmp_path / "a.zarr", "scan")
    spoil(images)
    with pytest.raises(InputError, match="nothing was written"):
        segprep.preprocess(images, tmp_path / "a.zarr", workers=1, **options)
    assert not list((tmp_path / "a.zarr").iterdir())


@pytest.mark.usefixtures("always")
def test_other_targets_and_splits_use_the_same_scan(images, tmp_path):
    interrupted(images, tmp_path / "a.zarr", "scan")
    first = told(images, tmp_path / "a.zarr", targets="distance", split=(0.5, 0.5))[0]
    assert first == ("scan", SCAN_BATCH, 20)


@pytest.mark.usefixtures("always")
def test_a_changed_file_makes_the_run_scan_again(images, tmp_path):
    interrupted(images, tmp_path / "a.zarr", "scan")
    Image.fromarray(np.ones((3, 3), np.uint8)).save(images / "00.png")
    assert told(images, tmp_path / "a.zarr")[0] != ("scan", 2 * SCAN_BATCH, 20)
    assert not (tmp_path / "a.zarr" / SCAN).exists()


@pytest.mark.usefixtures("always")
def test_nothing_is_left_where_masks_cannot_be_read(images, tmp_path):
    Image.fromarray(np.ones((3, 3), np.uint8)).save(images / "99.png")
    (images / "99.png").write_bytes((images / "99.png").read_bytes()[:50])
    with pytest.raises(InputError, match="nothing was written"):
        segprep.preprocess(images, tmp_path / "a.zarr", workers=1)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.usefixtures("always")
def test_nothing_is_left_in_a_store_that_is_refused(images, tmp_path):
    segprep.preprocess(images, tmp_path / "a.zarr", workers=1)
    before = files(tmp_path / "a.zarr")
    with pytest.raises(OutputError, match="other settings"):
        segprep.preprocess(images, tmp_path / "a.zarr", workers=1, sigma=3, reread=True)
    assert files(tmp_path / "a.zarr") == before


@pytest.mark.usefixtures("always")
def test_a_journal_in_a_complete_store_is_no_part_of_it(images, tmp_path):
    info = segprep.preprocess(images, tmp_path / "a.zarr", workers=1)
    before, size = files(tmp_path / "a.zarr"), verify(tmp_path / "a.zarr").bytes
    interrupted(images, tmp_path / "a.zarr", "scan", reread=True)
    assert any((tmp_path / "a.zarr" / SCAN).iterdir())
    report = verify(tmp_path / "a.zarr", deep=True)
    assert (report.findings, report.bytes) == ((), size)
    assert segprep.preprocess(images, tmp_path / "a.zarr", workers=1) == info
    assert files(tmp_path / "a.zarr") == before


def test_a_short_scan_stores_nothing(images, tmp_path):
    interrupted(images, tmp_path / "a.zarr", "scan")
    assert not (tmp_path / "a.zarr").exists()


# --- journals --------------------------------------------------------------------------------------------------------


class Ref:
    """Ref of a mask, as far as it is packed."""

    key, split = "a/b.png", "val"


def store_one(folder, mask):
    """Store one mask in a journal."""
    written = Journal(folder, CLASSES)
    written.add("auto", Ref.key, mask_stats(mask, CLASSES), packed(Ref(), mask))
    written._synced -= journal.INTERVAL
    written.sync("auto")
    assert Journal(folder, CLASSES).stats("auto").keys() == {Ref.key}
    assert not Journal(folder, CLASSES).stats("components")


@given(masks())
def test_results_come_back_as_they_were(mask):
    source = SourceValues(1, (255,), (255,), 0, True)
    stats = replace(
        mask_stats(mask, CLASSES), problems=(Problem("empty", "ä", False),), source=source, is_scattered=True
    )
    ((key, again, pack),) = decode_entries(encode_entries({Ref.key: (stats, packed(Ref(), mask))}), CLASSES)
    assert (key, values_of(again)) == (Ref.key, values_of(stats))
    assert mask_digest(replace(pack, n_classes=CLASSES).load()) == stats.digest


@pytest.fixture
def mask():
    """Mask of two instances."""
    return segprep.InstanceMask(np.array([[[0, 1, 1], [2, 2, 0]]], np.int32), np.array([0, 1, 4], np.int32))


def test_a_damaged_object_is_ignored(mask, tmp_path):
    store_one(tmp_path, mask)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not Journal(tmp_path, CLASSES).stats("auto")
    path.write_bytes(data[:-1])
    assert not Journal(tmp_path, CLASSES).stats("auto")


def test_what_is_no_object_of_a_journal_is_ignored(mask, tmp_path):
    store_one(tmp_path, mask)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f".{path.name}.partial")
    (tmp_path / path.name).mkdir()
    (tmp_path / "auto-1").write_bytes(b"")
    assert not Journal(tmp_path, CLASSES).stats("auto")


@given(st.binary(max_size=60))
def test_any_bytes_decode_to_nothing(data):
    assert not list(decode_entries(data, CLASSES))
    assert not list(decode_entries(imagecodecs.zstd_encode(data), CLASSES))


def test_a_bomb_is_not_decompressed():
    started = time.monotonic()
    assert not list(decode_entries(imagecodecs.zstd_encode(bytes(MOST_BYTES + 1)), CLASSES))
    assert time.monotonic() - started < 10


HOSTILE = {
    "pixels of other classes": {"class_counts": np.array((CLASSES, 1), CLASS_COUNT).tobytes()},
    "half a count": {"class_counts": bytes(5)},
    "instances of other classes": {"instance_rows": np.full(2, CLASSES, INSTANCE_ROW).tobytes()},
    "half an instance": {"instance_rows": bytes(5)},
    "an instance more": {"runs": (b"",) * 3},
    "half a run": {"runs": (b"", b"123")},
    "no pixel": {"shape": (0, 3)},
    "negative sides": {"shape": (-2, -3)},
    "too many pixels": {"shape": (2**20, 2**20)},
    "another size": {"shape": (3, 2)},
    "another digest": {"digest": b"1"},
    "another key": {"key": "b"},
}


def entry_of(mask):
    """Entry of a mask, as it is stored."""
    body = encode_entries({Ref.key: (mask_stats(mask, CLASSES), packed(Ref(), mask))})
    return msgspec.msgpack.decode(imagecodecs.zstd_decode(body), type=list[Entry])[0]


@pytest.mark.parametrize("what", HOSTILE)
def test_an_entry_is_ignored_that_has(what, mask):
    entry = entry_of(mask)
    assert entry.is_plausible(CLASSES)
    assert not msgspec.structs.replace(entry, **HOSTILE[what]).is_plausible(CLASSES)


def runs(*pairs):
    """Runs of a packed mask."""
    return {"planes": imagecodecs.zstd_encode(np.array(pairs, np.int32).tobytes())}


HOSTILE_MASKS = {
    "runs beyond the image": runs((1, 7), (2, 2)),
    "a negative run": runs((1, 8), (2, -2)),
    "a negative label": runs((-9, 3), (2, 3)),
    "a label without a class": runs((1, 3), (9, 3)),
    "an instance without a pixel": runs((1, 6)),
    "a class that the data lack": {"classes": imagecodecs.zstd_encode(np.array([0, 1, 77], np.int32).tobytes())},
    "more classes than pixels": {"classes": imagecodecs.zstd_encode(bytes(4 * 99))},
    "bytes that are not compressed": {"planes": b"12345678"},
    "ignored pixels of another size": {"ignore": imagecodecs.zstd_encode(bytes(5))},
    "stuff of a class that the data lack": {"stuff": imagecodecs.zstd_encode(np.full(6, 77, np.int32).tobytes())},
}


@pytest.mark.parametrize("what", HOSTILE_MASKS)
def test_a_mask_is_refused_that_has(what, mask):
    hostile: PackedMask = replace(packed(Ref(), mask), n_classes=CLASSES, **HOSTILE_MASKS[what])
    with pytest.raises(IntegrityError, match=r"^a/b.png: cannot be resumed .* delete this folder$"):
        hostile.load()


def test_names_that_cannot_be_stored_are_left_out(mask):
    stats = mask_stats(mask, CLASSES)
    odd = replace(stats, problems=(Problem("empty", "\udcff"),))
    body = encode_entries({"a": (odd, None), "b": (stats, None)})
    assert [key for key, _, _ in decode_entries(body, CLASSES)] == ["b"]


def test_only_a_run_without_a_part_removes_other_journals(mask, tmp_path):
    store_one(tmp_path / SCAN / "other", mask)
    with open_journal(tmp_path, "mine", CLASSES, Part(1, 2), fresh=False):
        assert (tmp_path / SCAN / "other").exists()
    with open_journal(tmp_path, "mine", CLASSES, Part(1, 1), fresh=False):
        assert not (tmp_path / SCAN / "other").exists()


def test_a_link_in_place_of_the_journals_is_removed_without_what_it_names(images, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / SCAN).symlink_to(tmp_path / "mine")
    segprep.preprocess(images, tmp_path / "a.zarr", workers=1)
    assert not (tmp_path / "a.zarr" / SCAN).is_symlink()
    assert (tmp_path / "mine" / "file").read_text() == "mine"
