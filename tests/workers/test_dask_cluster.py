"""Dask clusters that are real, and what becomes of a run on one when something is wrong with it."""

import importlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import psutil
import pytest
from distributed import Security
from endurance.cluster_kills import kill_one, outlived, write_data
from helpers.buckets import make_bucket
from helpers.clusters import address_in, scheduler, wait_for_workers, workers_of
from helpers.commands import COMMAND, SECONDS, has_ended, segprep_

from segprep import Workers, preprocess
from segprep.errors import StorageError
from segprep.readers import READERS
from segprep.runs.scan import LEFT_OUT
from segprep.store.metadata import read_info
from segprep.workers import dask_cluster as cluster_module
from segprep.workers import jobs as workers
from segprep.workers.dask_cluster import is_exposed
from segprep.workers.jobs import Job, open_executor, run_jobs, try_jobs

COINS = Path(__file__).parents[2] / "examples" / "coins"


def weights(data, store, scheduler, *options, **environment):
    """The command as it is installed, run to its end on a cluster."""
    return segprep_("weights", data, store, "--scheduler", scheduler, *options, **environment)


def said(ended):
    """What stderr says besides progress and the commands to run next, without the command's name."""
    lines = [line.removeprefix("segprep: ") for line in ended.stderr.splitlines()]
    return [line for line in lines if not re.match(r"(read|write) \d+/\d+ masks|(look|use): ", line)]


# --- who can listen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://192.0.2.1:8786", True),
        ("tcp://[2001:db8::1]:8786", True),
        ("ws://192.0.2.1:8786", True),
        ("tls://192.0.2.1:8786", False),
        ("wss://192.0.2.1:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://127.9.9.9:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
    ],
)
def test_an_unencrypted_address_of_another_machine_is_exposed(address, exposed):
    assert is_exposed(address) == exposed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes this address for its own")
def test_a_scheduler_with_an_exposed_connection_draws_one_warning(cluster, tmp_path):
    exposed = address_in(cluster).replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - to connect to, and it is the loopback
    ended = weights(COINS, tmp_path / "out.zarr", exposed)
    (warning,) = said(ended)
    assert ended.returncode == 0
    assert exposed in warning
    assert "not on this machine, and traffic is neither encrypted nor authenticated" in warning
    assert "use tls://, or an ssh tunnel" in warning


def test_a_scheduler_on_this_machine_draws_no_warning(cluster, tmp_path):
    ended = weights(COINS, tmp_path / "out.zarr", cluster)
    assert (ended.returncode, said(ended)) == (0, [])


def test_a_run_on_a_cluster_opens_no_port(cluster):
    with open_executor(Workers(scheduler=str(cluster)), 1):
        mine = psutil.Process().net_connections("inet")
    assert any(each.status == psutil.CONN_ESTABLISHED for each in mine)
    assert [each.laddr for each in mine if each.status == psutil.CONN_LISTEN] == []


def test_processes_of_these_tests_listen_on_the_loopback_alone(cluster):
    port = int(address_in(cluster).rpartition(":")[2])
    everyone = psutil.Process().children(recursive=True)
    listening = {
        each.laddr for process in everyone for each in process.net_connections("inet") if each.status == "LISTEN"
    }
    assert port in {place.port for place in listening}
    assert {place.ip for place in listening} == {"127.0.0.1"}


# --- certificates -----------------------------------------------------------------------------------------------------


def certificate(folder, name):
    """Files of a certificate that vouches for itself, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    files = folder / f"{name}.crt", folder / f"{name}.key"
    key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run(["openssl", *key, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)  # noqa: S607
    return files


def tls(authority, own, *roles):
    """Environment of a process that trusts an authority and shows a certificate of its own."""
    settings = {"CA_FILE": authority[0]}
    for role in roles:
        settings |= {f"{role}__CERT": own[0], f"{role}__KEY": own[1]}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(value) for name, value in settings.items()}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Scheduler file of a scheduler that speaks only TLS, with two workers, and the certificate of all three."""
    folder = tmp_path_factory.mktemp("tls")
    own = certificate(folder, "dask")
    servers = tls(own, own, "SCHEDULER", "WORKER") | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    with (
        scheduler(folder, "--protocol", "tls", **servers) as (_, file),
        workers_of(file, folder, "--protocol", "tls", **servers),
    ):
        mine = Security(tls_ca_file=str(own[0]), tls_client_cert=str(own[0]), tls_client_key=str(own[1]))
        wait_for_workers(file, 2, security=mine)
        yield file, own


def test_a_cluster_that_speaks_tls_makes_the_same_store(encrypted, varied, varied_store, tmp_path, files_of):
    file, own = encrypted
    assert address_in(file).startswith("tls://127.0.0.1:")
    ended = weights(varied, tmp_path / "out.zarr", file, **tls(own, own, "CLIENT"))
    assert ended.returncode == 0, ended.stderr
    assert [line for line in said(ended) if "scheduler" in line] == []
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


def refused(ended, store, status=2):
    """What is said of a scheduler that cannot be used."""
    (message,) = said(ended)
    assert (ended.returncode, ended.stdout, store.exists()) == (status, "", False)
    return message


def test_tls_without_certificates_is_refused_with_the_settings_to_make(encrypted, tmp_path):
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0]), tmp_path / "out.zarr")
    assert "needs certificates: set distributed.comm.tls.ca-file, .client.cert and .client.key" in message


def test_a_certificate_that_is_not_there_is_named(encrypted, tmp_path):
    settings = tls(("nowhere.crt",), encrypted[1], "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr")
    assert re.search(r"certificates nowhere\.crt, .*dask\.crt, .*dask\.key cannot be read: .*No such file", message)


def test_a_certificate_that_the_scheduler_does_not_trust_is_refused(encrypted, tmp_path):
    settings = tls(encrypted[1], certificate(tmp_path, "stranger"), "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr", 6)
    assert "cannot be reached" in message


def test_a_scheduler_with_a_certificate_we_do_not_trust_is_refused(encrypted, tmp_path):
    stranger = certificate(tmp_path, "stranger")
    settings = tls(stranger, stranger, "CLIENT")
    message = refused(weights(COINS, tmp_path / "out.zarr", encrypted[0], **settings), tmp_path / "out.zarr", 6)
    assert "TLS certificate does not match" in message


def test_an_unencrypted_address_is_refused_if_encryption_is_required(cluster, tmp_path):
    settings = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    message = refused(weights(COINS, tmp_path / "out.zarr", cluster, **settings), tmp_path / "out.zarr")
    assert "distributed.comm.require-encryption is set in Dask's configuration; use a tls:// address" in message


# --- workers that are lost --------------------------------------------------------------------------------------------


def kill_as_it_goes(process, nannies, root):
    """Kill a worker each time that some shards more are written; how many were killed."""
    kills, chance = 0, Random(0)  # noqa: S311 - which of the workers
    while not has_ended(process):
        if written(root) >= 4 * (kills + 1):
            kills += kill_one(nannies, chance)
    return kills


def written(root):
    """Shards that have their record."""
    paths = root.rglob("*.json") if hasattr(root, "rglob") else (path for path, _ in root.walk())
    return sum("/weights/records/" in str(path) for path in paths)


@pytest.mark.slow
def test_a_store_is_byte_identical_if_workers_are_killed(tmp_path):
    assert outlived(tmp_path, 24, kill_as_it_goes) > 1


@pytest.mark.slow
@pytest.mark.usefixtures("object_store")
def test_a_store_in_a_bucket_is_byte_identical_if_workers_are_killed(tmp_path):
    assert outlived(tmp_path, 24, kill_as_it_goes, make_bucket("killed-workers")) > 1


READER = '''
"""A reader of 26 masks, of which n kills its worker after some loads; each load leaves a mark in the folder."""

import os
import signal
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask
from segprep.readers import MaskSet, Reader


@dataclass(frozen=True)
class PoisonRef:
    key: str
    marks: Path
    loads: int
    split: str | None = None

    def load(self):
        if self.key == "n":
            loaded = len(list(self.marks.iterdir()))
            if loaded == self.loads:
                os.kill(os.getpid(), signal.SIGKILL)
            (self.marks / str(loaded)).touch()
        height, width = divmod(ord(self.key) - ord("a"), 8)  # so that every mask is a shard of its own
        return InstanceMask(np.ones((1, height + 1, width + 1), np.int32), np.array([0, 1], np.int32))


def find(path, options):
    """Find a folder called poison-N, whose mask n kills its worker after N loads."""
    if not path.name.startswith("poison-"):
        return None
    refs = tuple(PoisonRef(key, path, int(path.name[-1])) for key in string.ascii_lowercase)
    return MaskSet("poison", class_table([(None, "thing")]), refs)


READER = Reader("poison", find)
'''


@pytest.fixture
def poison(tmp_path, monkeypatch):
    """Reader of a mask that its workers die of, and a cluster as it is by default whose workers can import it."""
    (tmp_path / "poison_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(READERS, "poison", importlib.import_module("poison_reader").READER)
    with scheduler(tmp_path) as (_, file), workers_of(file, tmp_path, count=3, PYTHONPATH=str(tmp_path)):
        wait_for_workers(file, 3)
        yield Workers(scheduler=str(file))
    del sys.modules["poison_reader"]


def test_a_mask_that_workers_of_a_cluster_die_of_is_left_out_on_request(poison, tmp_path):
    (tmp_path / "poison-0").mkdir()
    rules = {"format": "poison", "on_error": "skip-mask"}
    info = preprocess(tmp_path / "poison-0", tmp_path / "out.zarr", **rules, workers=poison)
    assert [(problem.kind, problem.key) for problem in info.problems] == [(LEFT_OUT, "n")]
    assert info.problems[0].where.startswith("scan of n: workers died repeatedly")
    assert (info.masks, info.status) == (25, "complete")


def test_a_shard_that_kills_workers_is_named_after_all_others_are_written(poison, tmp_path, monkeypatch):
    monkeypatch.setattr("segprep.runs.journal.MOST_KEPT", 0)  # so that masks are read a second time
    (tmp_path / "poison-1").mkdir()
    with pytest.raises(
        StorageError,
        match=r"^shard 0 of 2x6, n: workers died repeatedly on this job \(out of memory,",
    ):
        preprocess(tmp_path / "poison-1", tmp_path / "out.zarr", format="poison", workers=poison)
    assert len(list((tmp_path / "out.zarr").glob("*/weights/records/*.json"))) == 25
    assert read_info(tmp_path / "out.zarr").status == "incomplete"


def large(folder, side):
    """COCO file of a large mask and of a small one."""
    images = [
        {"id": number, "file_name": f"{size}.jpg", "height": size, "width": size}
        for number, size in enumerate((side, 64))
    ]
    square = [[2, 2, 40, 2, 40, 40, 2, 40]]
    annotations = [{"image_id": number, "category_id": 1, "segmentation": square} for number in range(2)]
    file = folder / "large.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "s"}]}))
    return file


@pytest.mark.slow
def test_a_shard_too_large_for_a_worker_is_named_with_the_remedy(tmp_path):
    data, out = large(tmp_path, 6000), tmp_path / "out.zarr"
    with (
        scheduler(tmp_path, allowed_failures=0) as (_, file),
        workers_of(file, tmp_path, "--memory-limit", "500MB", count=1),
    ):
        wait_for_workers(file, 1)
        ended = weights(data, out, file, "--targets", "weights,border,boundaries,distance")
    (message,) = said(ended)
    assert ended.returncode == 6
    assert message.startswith("shard 0 of 6144x6144, 6000.jpg: its workers ran out of memory: give each more")
    assert "--memory-limit" in message
    assert "--nthreads 1" in message
    assert [path.parts[-4] for path in out.glob("*/weights/records/*.json")] == ["64x64"]


def test_a_run_gives_up_if_every_job_kills_its_worker(cluster, monkeypatch):
    monkeypatch.setattr(workers, "GIVE_UP_AFTER", 2)
    with (
        open_executor(Workers(scheduler=str(cluster)), 9) as executor,
        pytest.raises(StorageError, match="2 jobs in a row killed their worker; giving up"),
    ):
        list(try_jobs(executor, [Job(str(number), os._exit, (1,)) for number in range(9)], 1))


@pytest.fixture
def impatient(monkeypatch):
    """Runs that look often how many workers there are, and do not wait long for them."""
    monkeypatch.setattr(cluster_module, "POLL_INTERVAL", 0.1)
    monkeypatch.setattr(cluster_module, "WORKERLESS_SECONDS", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_cluster_that_loses_all_its_workers_is_an_error(tmp_path):
    with scheduler(tmp_path) as (_, file), ExitStack() as stack:
        stack.enter_context(workers_of(file, tmp_path, count=1))
        wait_for_workers(file, 1)
        with open_executor(Workers(scheduler=str(file)), 1) as executor:
            assert list(run_jobs(executor, [Job("one", divmod, (7, 2))])) == [(0, (3, 1))]
            stack.close()
            with pytest.raises(
                StorageError, match=r"there have been no workers for 1 s; start some and run the same command again"
            ):
                list(run_jobs(executor, [Job("one", divmod, (7, 2))]))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_workers_whose_memory_is_full_are_an_error_with_the_remedy(tmp_path):
    paused = {"PAUSE": "0.0001", "TERMINATE": "False"}
    environment = {f"DASK_DISTRIBUTED__WORKER__MEMORY__{name}": value for name, value in paused.items()}
    with scheduler(tmp_path) as (_, file), workers_of(file, tmp_path, count=1, **environment):
        wait_for_workers(file, 1)
        with (
            open_executor(Workers(scheduler=str(file)), 9) as executor,
            pytest.raises(StorageError, match="give each more memory"),
        ):
            list(run_jobs(executor, [Job("nap", time.sleep, (1,))] * 9))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_workers_that_join_a_run_get_jobs_too(tmp_path):
    (tmp_path / "second").mkdir()
    with scheduler(tmp_path) as (_, file), workers_of(file, tmp_path, count=1):
        wait_for_workers(file, 1)
        with open_executor(Workers(scheduler=str(file)), 1) as executor:
            assert executor.capacity() == 2
            with workers_of(file, tmp_path / "second", count=1):
                wait_for_workers(file, 2)
                list(run_jobs(executor, [Job("nap", time.sleep, (0.2,))]))
                assert executor.capacity() == 4


def test_dask_logs_nothing_during_a_run_and_as_before_after_it(cluster):
    names = ("distributed", "distributed.batched", "distributed.client", "distributed.core")
    before = [logging.getLogger(name).getEffectiveLevel() for name in names]
    with open_executor(Workers(scheduler=str(cluster)), 1):
        assert {logging.getLogger(name).getEffectiveLevel() for name in names} == {logging.CRITICAL}
    assert [logging.getLogger(name).getEffectiveLevel() for name in names] == before


# --- a scheduler that is lost -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_whose_scheduler_ends_fails_in_one_line_and_can_be_resumed(ending, tmp_path, files_of):
    data, out = write_data(tmp_path, 24), tmp_path / "out.zarr"
    with scheduler(tmp_path) as (process, file), workers_of(file, tmp_path):
        wait_for_workers(file, 2)
        command = [COMMAND, "weights", data, out, "--scheduler", file]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + SECONDS
        while not list(out.glob("*/*/records/*.json")):
            assert not has_ended(run), run.stderr.read()
            assert time.monotonic() < deadline, "no shard is written"
        process.send_signal(ending)
        _, text = run.communicate(timeout=SECONDS)
    ended = subprocess.CompletedProcess(command, run.returncode, stderr=text)
    (message,) = said(ended)
    assert (ended.returncode, read_info(out).status) == (6, "incomplete")
    assert message.endswith("lost the scheduler; restart it and run the same command again to resume")
    assert re.match(r"(shard \d+ of \d+x\d+, .*\d+\.jpg: )?lost the scheduler", message)  # it may have had no job
    done = {path: path.stat().st_mtime_ns for path in out.glob("*/weights/records/*.json")}
    assert preprocess(data, out).status == "complete"
    preprocess(data, tmp_path / "whole.zarr")
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
