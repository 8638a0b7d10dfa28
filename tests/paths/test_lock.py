"""One writer at a time, and nothing left of those that were killed."""

import errno
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
from endurance.runs import start, write_data
from helpers.commands import has_ended

from segprep import Workers, preprocess
from segprep.errors import OutputError, StorageError
from segprep.paths.files import LOCK, PARTIAL
from segprep.paths.lock import write_lock

SECONDS = 60


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """COCO file of 24 masks in several shards, each of which takes a moment."""
    return write_data(tmp_path_factory.mktemp("many"), 24)


@pytest.fixture(scope="module")
def undisturbed(many, files_of, tmp_path_factory):
    """Files of the store of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed") / "out.zarr"
    preprocess(many, root, workers=Workers(processes=2))
    return files_of(root)


def wait_for_shards(process, root, count):
    deadline = time.monotonic() + SECONDS
    while len(list(root.glob("*/*/records/*.json"))) < count:
        assert not has_ended(process), process.stderr.read()
        assert time.monotonic() < deadline, f"no {count} shards are written"


def spawned(process):
    """Worker processes of a run."""
    found = []
    for each in psutil.Process(process.pid).children():
        with suppress(psutil.Error):
            found += [each] if "spawn_main" in " ".join(each.cmdline()) else []
    return found


def assert_all_end(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_a_second_writer_is_refused_with_the_name_of_the_first(coins_copy):
    with write_lock(coins_copy), pytest.raises(OutputError) as refused, write_lock(coins_copy):
        pass
    assert f"is being written by process {os.getpid()} on {socket.gethostname()}" in str(refused.value)
    assert not (coins_copy / LOCK).exists()


def test_a_lock_that_nobody_holds_is_taken_over(coins_copy):
    (coins_copy / LOCK).write_text('{"host": "elsewhere", "process": 1}')
    with write_lock(coins_copy):
        assert json.loads((coins_copy / LOCK).read_text())["process"] == os.getpid()


@pytest.mark.parametrize("left", ["", f'{{"host": "{socket.gethostname()}", "process": 99999999}}'])
def test_the_writer_is_named_also_where_it_has_only_just_begun(left, coins_copy):
    lock = coins_copy / LOCK
    lock.write_text(left)
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        late = threading.Timer(0.2, lock.write_text, ['{"host": "here", "process": 5}'])
        late.start()
        with pytest.raises(OutputError, match="process 5 on here"), write_lock(coins_copy):
            pass


def test_partial_files_are_removed(coins_copy, coins_store, files_of):
    (coins_copy / "320x384" / "labels" / f".0.1234{PARTIAL}").touch()
    with write_lock(coins_copy):
        pass
    assert files_of(coins_copy) == files_of(coins_store)


def test_parts_share_a_store_and_exclude_a_run_of_all(coins_copy):
    with write_lock(coins_copy, "1-of-2"), write_lock(coins_copy, "2-of-2"):
        for part in ("", "1-of-2"):
            with pytest.raises(OutputError, match=f"written by process {os.getpid()}"), write_lock(coins_copy, part):
                pass
    with (
        write_lock(coins_copy),
        pytest.raises(OutputError, match="is being written by"),
        write_lock(coins_copy, "1-of-2"),
    ):
        pass
    assert not list(coins_copy.glob(f"{LOCK}*"))


@pytest.fixture
def without_flock(monkeypatch):
    """File system that has no locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize(("first", "second"), [("", ""), ("", "1-of-2"), ("1-of-2", ""), ("1-of-2", "1-of-2")])
def test_without_locks_of_the_file_system_the_files_decide(first, second, coins_copy):
    said = f"written by process {os.getpid()}"
    with write_lock(coins_copy, first), pytest.raises(OutputError, match=said), write_lock(coins_copy, second):
        pass
    with write_lock(coins_copy, second):
        pass


@pytest.mark.usefixtures("without_flock")
def test_without_locks_of_the_file_system_an_owner_that_is_gone_is_replaced(coins_copy):
    (coins_copy / LOCK).write_text(f'{{"host": "{socket.gethostname()}", "process": 99999999}}')
    with write_lock(coins_copy):
        assert json.loads((coins_copy / LOCK).read_text())["process"] == os.getpid()


@pytest.mark.parametrize("part", ["", "1-of-2"])
def test_an_empty_folder_is_left_as_it_was(part, tmp_path):
    with write_lock(tmp_path, part):
        assert (tmp_path / LOCK).exists()
    assert not list(tmp_path.iterdir())


def test_folders_of_a_run_that_wrote_nothing_are_gone_again(tmp_path):
    with write_lock(tmp_path / "a" / "b" / "out.zarr"):
        pass
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_lock_that_cannot_be_written(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with (
            pytest.raises(StorageError, match=r"out\.zarr: cannot be written: File too large"),
            write_lock(tmp_path / "a" / "out.zarr"),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_leaves_no_process_and_can_be_resumed(many, undisturbed, files_of, tmp_path):
    root = tmp_path / "out.zarr"
    process = start(many, root)
    wait_for_shards(process, root, 4)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert_all_end(children)
    before = {path: path.stat().st_mtime_ns for path in root.glob("*/*/records/*.json")}
    again = start(many, root)
    assert again.wait(SECONDS) == 0
    again.communicate()
    assert files_of(root) == undisturbed
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())


def test_where_a_worker_is_killed_another_takes_its_place(many, undisturbed, files_of, tmp_path):
    root = tmp_path / "out.zarr"
    process = start(many, root)
    wait_for_shards(process, root, 2)
    spawned(process)[0].kill()
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert files_of(root) == undisturbed


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_and_all_its_processes(number, status, many, undisturbed, files_of, tmp_path):
    root = tmp_path / "out.zarr"
    process = start(many, root)
    wait_for_shards(process, root, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)  # as terminals and schedulers of clusters do: to all processes
    stdout, stderr = process.communicate(timeout=10)
    assert (process.returncode, stdout) == (status, "")
    assert stderr.splitlines()[-1].endswith("; run the same command again to resume")
    assert_all_end(children)
    assert not list(root.rglob(f"*{PARTIAL}"))
    assert not (root / LOCK).exists()
    preprocess(many, root)
    assert files_of(root) == undisturbed


@pytest.mark.slow
def test_a_signal_while_processes_start_is_reported_in_one_line(many, tmp_path):
    process = start(many, tmp_path / "out.zarr")
    deadline = time.monotonic() + SECONDS
    while not spawned(process):
        assert not has_ended(process), process.stderr.read()
        assert time.monotonic() < deadline, "no process is started"
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    lines = [line for line in said.splitlines() if line and not re.fullmatch(r"segprep: read \d+/\d+ masks", line)]
    assert lines == ["segprep: interrupted; run the same command again to resume"]


@contextmanager
def mounted(place, options):
    """File system of its own in a folder that is made for it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a file system of its own needs root and mount")
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode:  # noqa: S607
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


def test_a_folder_that_cannot_be_written_is_a_storage_error_that_names_it(many, tmp_path):
    place = tmp_path / "frozen"
    with mounted(place, "ro"):
        process = start(many, place / "out.zarr")
        _, said = process.communicate(timeout=SECONDS)
    assert said == f"segprep: {place}/out.zarr: cannot be written: Read-only file system\n"
    assert process.returncode == 6


def test_a_full_disk_is_a_storage_error_and_the_run_can_be_resumed(many, tmp_path):
    place = tmp_path / "full"
    with mounted(place, "size=300k"):
        process = start(many, place / "out.zarr")
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 6
        line = said.splitlines()[-1]
        assert re.search(r"No space left on device: [\d,]+ bytes were to be written, [\d,]+ are free$", line)
        assert str(place) in line
        subprocess.run(["mount", "-o", "remount,size=200m", place], check=True)  # noqa: S607
        again = start(many, place / "out.zarr")
        assert again.wait(SECONDS) == 0
        again.communicate()
