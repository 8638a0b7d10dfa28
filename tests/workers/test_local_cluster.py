"""Dask's LocalCluster, started for a run, used by it and closed with it."""

import re
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from helpers.commands import COMMAND, SECONDS, allow_interrupts, ended_after, segprep_

import segprep
from segprep import Workers
from segprep.errors import OptionError, StorageError
from segprep.workers.jobs import Job, open_executor, run_jobs

COINS = Path(__file__).parents[2] / "examples" / "coins"
LOCAL = Workers(2, "local")


def test_local_may_have_a_number_of_workers_and_an_address_may_not():
    assert Workers.of("local") == Workers(None, "local")
    with pytest.raises(OptionError, match="exclude each other"):
        Workers(2, "tcp://127.0.0.1:8786")


@pytest.mark.slow
def test_a_local_cluster_makes_the_same_store_and_prints_the_address_of_its_dashboard(
    varied, varied_store, files_of, tmp_path
):
    ended = segprep_("weights", varied, tmp_path / "out.zarr", "--scheduler", "local", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    expected = r"dashboard: http://127\.0\.0\.1:\d+/status" if find_spec("bokeh") else "no dashboard; pip install bokeh"
    assert re.search(f"^segprep: {expected}", ended.stderr, re.MULTILINE)
    assert files_of(tmp_path / "out.zarr") == files_of(varied_store)


@pytest.mark.slow
def test_a_local_cluster_has_the_number_of_workers_listens_on_the_loopback_alone_and_ends(capfd):
    others = set(psutil.Process().children())  # clusters of other tests
    with open_executor(LOCAL, 1) as executor:
        assert sorted(run_jobs(executor, [Job(str(n), divmod, (n, 7)) for n in range(9)]))[8] == (8, (1, 1))
        assert executor.capacity() == 2 * 2
        started = set(psutil.Process().children()) - others
        processes = [*started, *(child for process in started for child in process.children(recursive=True))]
        listening = {each.laddr.ip for one in processes for each in connections(one) if each.status == "LISTEN"}
        if find_spec("bokeh"):
            address = capfd.readouterr().err.split()[-1]
            with urllib.request.urlopen(address, timeout=SECONDS) as page:  # noqa: S310 - of the cluster
                assert b"Dask" in page.read()
    assert listening == {"127.0.0.1"}
    assert psutil.wait_procs(processes, SECONDS)[1] == []


def connections(process):
    """Connections of a process; none if it has just ended."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "seconds"),
    [(signal.SIGINT, 130, 0.0), (signal.SIGINT, 130, 1.5), (signal.SIGTERM, 143, 1.0), (signal.SIGKILL, -9, 1.0)],
)
def test_a_local_cluster_ends_with_a_command_that_a_signal_ends(number, status, seconds, varied, tmp_path):
    allow_interrupts()
    command = [COMMAND, "weights", varied, tmp_path / "out.zarr", "--scheduler", "local", "--workers", "2"]
    with ended_after(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        while not (children := psutil.Process(process.pid).children(recursive=True)):
            assert process.poll() is None
        time.sleep(seconds)  # into its start, or beyond
        children += psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, printed = process.communicate(timeout=SECONDS)
    assert process.returncode in {status, 0}  # it may have been faster
    assert "Traceback" not in printed
    assert psutil.wait_procs(set(children), SECONDS)[1] == []


@pytest.mark.slow
def test_a_local_cluster_that_cannot_start_is_a_storage_error_with_the_reason(monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "True")
    with pytest.raises(StorageError, match=r"scheduler='local': cannot be started: .*Scheduler failed to start"):
        segprep.check(COINS, workers=LOCAL)


@pytest.mark.slow
def test_a_script_on_standard_input_starts_a_local_cluster(tmp_path):
    script = f"import segprep; print(segprep.check({str(COINS)!r}, workers=segprep.Workers(2, 'local')).masks)"
    ended = subprocess.run(
        [sys.executable, "-"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
