"""Data in buckets and stores in buckets are what they are in folders."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from endurance.runs import start, write_data
from helpers.buckets import SECRET, make_bucket, objects_in, upload
from helpers.commands import COMMAND, allow_interrupts, ended_after, has_ended, segprep_
from zarr.storage import ObjectStore

import segprep
from segprep import Workers, preprocess
from segprep.errors import InputError, IntegrityError, OutputError, StorageError
from segprep.paths import lease
from segprep.paths.anypath import parse_path
from segprep.paths.client import client, map_requests
from segprep.paths.files import LOCK
from segprep.paths.lock import write_lock
from segprep.readers import find
from segprep.runs.repair import repair
from segprep.runs.verify import verify
from segprep.store.metadata import bytes_on_disk

COINS = Path(__file__).parents[2] / "examples" / "coins"
ONE = Workers(processes=1)
SECONDS = 60


@pytest.fixture
def bucket(object_store, request):  # noqa: ARG001 - a fixture needs another by its name alone
    """Empty bucket of the test's own."""
    return make_bucket(f"bucket-{abs(hash(request.node.nodeid))}")


@pytest.fixture
def coins(bucket, coins_store):
    """Store of the coins in a bucket."""
    return upload(coins_store, bucket / "coins.zarr")


@pytest.mark.slow
def test_stores_are_byte_identical_with_data_or_store_in_a_bucket(bucket, varied, varied_store, files_of, tmp_path):
    data = upload(varied, bucket / "varied")
    preprocess(data, f"{bucket}/out.zarr", workers=Workers(processes=2))
    preprocess(f"{bucket}/varied", tmp_path / "out.zarr", workers=ONE)
    preprocess(varied, bucket / "other.zarr", workers=ONE)
    expected = files_of(varied_store)
    assert (
        objects_in(bucket / "out.zarr")
        == files_of(tmp_path / "out.zarr")
        == objects_in(bucket / "other.zarr")
        == expected
    )


def outcome(path, root):
    """All that is known of a data set, or why it is none."""
    try:
        masks = find(path)
        return masks.format, [(ref.key, loaded(ref)) for ref in masks.refs], masks.classes, masks.problems
    except InputError as error:
        return str(error).replace(str(root), "ROOT")


def loaded(ref):
    try:
        mask = ref.load()
    except InputError as error:
        return str(error).rpartition("/")[2]
    return mask.labels.tobytes(), mask.classes.tolist(), mask.problems


@pytest.mark.slow
def test_every_layout_is_read_from_a_bucket_as_from_a_folder(bucket, data_dir):
    folder = data_dir / "formats"
    root = upload(folder, bucket / "formats")
    several = [path for depth in ("*", "*/*") for path in sorted(folder.glob(depth)) if path.is_dir()]
    read = Counter()
    for path in several:
        here, there = outcome(path, folder), outcome(root / path.relative_to(folder).as_posix(), root)
        assert there == here, path
        read[here[0] if isinstance(here, tuple) else "refused"] += 1
    assert len(read) >= 12


def test_tiffs_and_arrays_are_read_from_a_bucket_as_from_a_folder(bucket, data_dir, tmp_path):
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / "a.npy", np.array([[0, 1], [2, 2]], np.uint16))
    for folder in (tmp_path / "labels", data_dir / "stardist"):
        root = upload(folder, bucket / folder.name)
        for path in sorted(folder.iterdir()):
            assert outcome(root / path.name, root) == outcome(path, folder)


def test_stacks_and_ome_zarr_are_read_from_a_bucket_as_from_a_folder(bucket, tmp_path):
    labels = np.zeros((3, 6, 7), np.uint16)
    labels[1:, 2:, 3:] = 5
    for name, save in (("plain", np.savez), ("compressed", np.savez_compressed)):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "a.npz", X=labels, y=labels)
    (tmp_path / "ome").mkdir()
    scales = {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]}
    own = zarr.create_group(tmp_path / "ome/a.zarr").create_group("labels", attributes={"ome": {"labels": ["cells"]}})
    own.create_group("cells", attributes={"ome": scales}).create_array("0", data=labels[1])
    for folder in (tmp_path / "plain", tmp_path / "compressed", tmp_path / "ome"):
        root = upload(folder, bucket / folder.name)
        there = outcome(root, root)
        assert there == outcome(folder, folder)
        assert isinstance(there, tuple)


def test_what_is_not_there_is_one_line_as_for_folders(bucket):
    with pytest.raises(InputError, match=f"{bucket}/nothing: no such file or folder"):
        preprocess(f"{bucket}/nothing", bucket / "out.zarr")
    with pytest.raises(StorageError, match=r"s3://nowhere/out\.zarr: cannot be written: .*bucket does not exist"):
        preprocess(COINS, "s3://nowhere/out.zarr", workers=ONE)


def test_a_store_in_a_bucket_is_opened_by_segprep_and_by_zarr(coins, coins_store):
    mask, expected = segprep.open(str(coins))[0], segprep.open(coins_store)[0]
    assert mask.keys() == expected.keys()
    assert all(np.array_equal(mask[name], expected[name]) for name in expected)
    labels = zarr.open_array(ObjectStore(client(str(coins)), read_only=True), path="320x384/labels", mode="r")
    assert np.array_equal(labels[0, :303, :384], expected["labels"])


def test_a_missing_shard_in_a_bucket_is_an_error_unless_the_store_may_be_incomplete(coins, bucket):
    for name, data in objects_in(coins).items():
        if name != "320x384/labels/c/0/0/0":
            (bucket / "copy.zarr" / name).write_bytes(data)
    remedy = r"copy\.zarr: 320x384/labels/c/0/0/0 is missing; run verify, and repair with the data set"
    with pytest.raises(IntegrityError, match=remedy):
        segprep.open(bucket / "copy.zarr")[0]
    assert (segprep.open(bucket / "copy.zarr", incomplete=True).array(0, "labels") == 65535).all()


def test_a_forked_process_that_reads_a_bucket_gets_an_error(coins):
    masks = segprep.open(coins)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            masks.array(0, "labels")
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        assert "this process was forked from one that reads buckets; start it by spawn or forkserver" in told.read()


def test_what_a_store_in_a_bucket_lacks_is_written_and_nothing_else(coins, coins_store, files_of):
    (coins / "320x384/labels/c/0/0/0").unlink()
    before = dict((coins / "320x384/weights").walk())
    preprocess(COINS, coins, workers=ONE)
    assert objects_in(coins) == files_of(coins_store)
    after = dict((coins / "320x384/weights").walk())
    assert all(after[path] == before[path] for path in before if "/c/" in str(path))


def test_a_finished_store_in_a_bucket_is_left_as_it_is(coins):
    before = dict(coins.walk())
    assert preprocess(COINS, coins, workers=ONE).status == "complete"
    assert dict(coins.walk()) == before


def test_damage_of_a_store_in_a_bucket_is_found_and_repaired(coins, coins_store, files_of):
    (coins / "320x384/weights/c/0/0/0").unlink()
    path = coins / "320x384/labels/c/0/0/0"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [each.what for each in verify(coins).findings] == ["is missing"]
    assert len(verify(coins, deep=True).findings) == 2
    assert not repair(coins, COINS).findings
    assert objects_in(coins) == files_of(coins_store)


def test_a_store_in_a_bucket_can_be_resplit(coins, coins_store, files_of, tmp_path):
    here = Path(shutil.copytree(coins_store, tmp_path / "here.zarr"))
    for root in (here, coins):
        segprep.resplit(root, segprep.SplitRule((1.0, 0.0, 0.0)))
    assert objects_in(coins) == files_of(here)


def test_other_settings_are_refused_in_words_and_replaced_on_request(coins, varied, varied_store, files_of):
    with pytest.raises(OutputError, match="the store has 1 mask of coins"):
        preprocess(varied, coins, workers=ONE)
    preprocess(varied, coins, workers=ONE, overwrite=True)
    assert objects_in(coins) == files_of(varied_store)


def test_a_folder_of_other_things_is_refused_and_untouched(bucket):
    (bucket / "letters/a.txt").write_bytes(b"dear")
    with pytest.raises(OutputError, match="exists and is not a segprep store"):
        preprocess(COINS, bucket / "letters", workers=ONE, overwrite=True)
    assert objects_in(bucket) == {"letters/a.txt": b"dear"}


def wait_for_shards(process, root, count):
    deadline = time.monotonic() + SECONDS
    while sum("/records/" in str(path) for path, _ in root.walk()) < count:
        assert not has_ended(process), process.stderr.read()
        assert time.monotonic() < deadline, f"no {count} shards are written"


@pytest.mark.slow
def test_a_killed_run_can_be_resumed_and_a_second_writer_is_refused(bucket, tmp_path, files_of):
    data = write_data(tmp_path)
    root = bucket / "out.zarr"
    process = start(data, root)
    wait_for_shards(process, root, 4)
    os.killpg(process.pid, signal.SIGSTOP)  # it shall not end before the second
    second = start(data, root)
    _, said = second.communicate(timeout=SECONDS)
    assert second.returncode == 4
    assert f"is being written by process {process.pid} on {socket.gethostname()}" in said
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = start(data, root)
    _, said = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, said
    preprocess(data, tmp_path / "here.zarr", workers=Workers(processes=2))
    assert objects_in(root) == files_of(tmp_path / "here.zarr")


@pytest.mark.slow
def test_a_signal_releases_the_lease(bucket, tmp_path):
    root = bucket / "out.zarr"
    process = start(write_data(tmp_path, 24), root)
    wait_for_shards(process, root, 1)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 143, said
    assert not (root / LOCK).exists()


def test_no_credential_is_ever_printed(bucket, tmp_path):
    for data, root, status in (
        (COINS, "s3://nowhere/out.zarr", 6),
        (bucket / "none", tmp_path / "out", 3),
        (COINS, bucket / "out.zarr", 0),
    ):
        process = start(data, root, "--debug")
        said = "".join(process.communicate(timeout=SECONDS))
        assert (process.returncode, SECRET in said) == (status, False)
    assert objects_in(bucket)
    assert not any(SECRET.encode() in content for content in objects_in(bucket).values())


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL": "localhost:9000"}, "AWS_ENDPOINT_URL: must begin with http:// or https://"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "nope"}, "The config profile (nope) could not be found"),
    ],
)
def test_settings_that_make_no_sense_are_a_usage_error_of_one_line(variables, said):
    ended = segprep_("check", "s3://cells/coins", **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr


@pytest.mark.usefixtures("object_store")
def test_a_bucket_that_cannot_be_listed_is_a_storage_error_that_names_it():
    with pytest.raises(StorageError, match=r"s3://nowhere/out\.zarr: cannot be listed: .*bucket does not exist"):
        bytes_on_disk(parse_path("s3://nowhere/out.zarr"))


def test_many_calls_at_once_bring_their_results_in_order_and_their_errors():
    assert map_requests(lambda number: number * number, range(100)) == [number * number for number in range(100)]
    with pytest.raises(ZeroDivisionError):
        map_requests(lambda number: 1 / number, range(100))


def test_a_signal_interrupts_concurrent_calls():
    script = (
        "import time; from segprep.paths.client import map_requests; "
        "map_requests(lambda seconds: (print(flush=True), time.sleep(seconds)), [600] * 40)"
    )
    allow_interrupts()
    command = [sys.executable, "-c", script]
    with ended_after(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGINT


def test_credentials_of_a_profile_are_those_of_the_tools_of_aws(bucket, tmp_path):
    root = upload(COINS, bucket / "coins")
    (tmp_path / "credentials").write_text(f"[other]\naws_access_key_id = someone\naws_secret_access_key = {SECRET}\n")
    rest = {
        name: value for name, value in os.environ.items() if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    profile = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "other"}
    ended = subprocess.run(
        [COMMAND, "check", str(root)], env=rest | profile, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, SECRET in ended.stdout + ended.stderr) == (0, False)


def owned_by(host, process):
    return json.dumps({"host": host, "process": process}).encode()


def test_the_lease_of_another_machine_is_kept_until_it_expires(coins, monkeypatch):
    (coins / LOCK).write_bytes(owned_by("elsewhere", 1))
    with pytest.raises(OutputError, match=r"process 1 on elsewhere; .* expires after 60 s"), write_lock(coins):
        pass
    monkeypatch.setattr(lease, "EXPIRY", 0)
    monkeypatch.setattr(lease, "RENEW_INTERVAL", 0.1)
    with write_lock(coins):
        assert json.loads((coins / LOCK).read_bytes())["process"] == os.getpid()
    assert not (coins / LOCK).exists()


def test_the_lease_of_a_container_that_counts_processes_for_itself_is_kept(coins):
    owner = {"host": socket.gethostname(), "process": 99999999, "pid_namespace": "pid:[1]"}
    (coins / LOCK).write_bytes(json.dumps(owner).encode())
    with pytest.raises(OutputError, match="expires after 60 s"), write_lock(coins):
        pass


def test_the_lease_of_an_ended_process_with_our_number_is_taken_over(coins):
    (coins / LOCK).write_bytes(owned_by(socket.gethostname(), os.getpid()))
    with write_lock(coins):
        assert json.loads((coins / LOCK).read_bytes())["run"]


def test_a_signal_interrupts_waiting_for_a_server():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(SECONDS)
        variables = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "AWS_ALLOW_HTTP": "true"}
        keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        allow_interrupts()
        started = subprocess.Popen(
            [COMMAND, "weights", COINS, "s3://cells/out.zarr"],
            env=os.environ | variables | keys,
            stderr=subprocess.PIPE,
            text=True,
        )
        with ended_after(started) as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=SECONDS)
            connection.close()
    assert (process.returncode, said.strip()) == (130, "segprep: interrupted; run the same command again to resume")


def wait_for_renewal(root):
    before, deadline = (root / LOCK).stat().tag, time.monotonic() + SECONDS
    while (root / LOCK).stat().tag == before:
        assert time.monotonic() < deadline, "the lease is not renewed"


def test_a_renewed_lease_does_not_expire(coins, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_INTERVAL", 0.1)
    with write_lock(coins):
        clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=lambda _: wait_for_renewal(coins))
        monkeypatch.setattr(lease, "time", clock)
        monkeypatch.setattr(lease, "EXPIRY", 0)
        with pytest.raises(OutputError, match=f"process {os.getpid()}"), write_lock(coins):
            pass


def check_until(check_sole, deadline):
    while time.monotonic() < deadline:
        check_sole()


def test_a_run_whose_lease_was_taken_over_ends(coins, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_INTERVAL", 0.05)
    with write_lock(coins) as check_sole:
        check_sole()
        (coins / LOCK).write_bytes(owned_by("elsewhere", 1))
        deadline = time.monotonic() + SECONDS
        with pytest.raises(StorageError, match="was taken over by another run"):
            check_until(check_sole, deadline)
    assert (coins / LOCK).read_bytes() == owned_by("elsewhere", 1)


def test_parts_share_a_bucket_and_keep_a_run_of_all_away(coins):
    with write_lock(coins, "1-of-2"), write_lock(coins, "2-of-2"):
        for part in ("", "1-of-2"):
            with pytest.raises(OutputError, match="is being written by"), write_lock(coins, part):
                pass
    with write_lock(coins), pytest.raises(OutputError, match="is being written by"), write_lock(coins, "1-of-2"):
        pass
    with write_lock(coins):
        pass


def test_masks_in_a_bucket_are_reloaded_only_if_an_object_changed(bucket, varied, tmp_path):
    data = upload(varied, bucket / "varied")
    stages = []
    preprocess(data, tmp_path / "out.zarr", workers=ONE)
    preprocess(data, tmp_path / "out.zarr", workers=ONE, progress=lambda stage, *_: stages.append(stage))
    assert not stages
    (data / "annotations.json").write_bytes((data / "annotations.json").read_bytes() + b" ")
    preprocess(data, tmp_path / "out.zarr", workers=ONE, progress=lambda stage, *_: stages.append(stage))
    assert not stages  # the annotations are the same
    text = (data / "annotations.json").read_text(encoding="utf-8").replace("[[1, 2, 3]]", "[[1, 2]]")
    (data / "annotations.json").write_bytes(text.encode())
    preprocess(data, tmp_path / "out.zarr", workers=ONE, progress=lambda stage, *_: stages.append(stage))
    assert set(stages) == {"scan"}
