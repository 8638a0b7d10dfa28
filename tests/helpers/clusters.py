"""Schedulers and workers of Dask on the loopback interface, which end with the tests, even with killed ones."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

END_SECONDS = 30
"""Timeout of the start and the end of a process; far more than it needs."""
LOOPBACK = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
"""Even without a dashboard its server listens, and by default on all interfaces."""
IDLE_SECONDS = 1800
"""Time without work after which a scheduler ends."""


@contextmanager
def running(name, *arguments, folder, **environment):
    """Subprocess of ``dask``, ended on exit."""
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "dask", name, *arguments, *LOOPBACK]
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def scheduler(folder, *arguments, allowed_failures=3, **environment):
    """Process and scheduler file of a scheduler, which gives up a job that kills more than `allowed_failures` workers."""
    file = folder / "scheduler.json"
    places = ["--port", "0", "--scheduler-file", str(file), "--idle-timeout", f"{IDLE_SECONDS}s"]
    environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = str(allowed_failures)
    with running("scheduler", *places, *arguments, folder=folder, **environment) as process:
        deadline = time.monotonic() + END_SECONDS
        while address_in(file) is None:
            assert process.poll() is None, (folder / "scheduler.log").read_text()
            assert time.monotonic() < deadline, "the scheduler does not start"
        yield process, file


@contextmanager
def workers_of(file, folder, *arguments, count=2, **environment):
    """Process of the nannies of `count` workers with one thread each; nannies replace workers that die."""
    places = ["--scheduler-file", str(file), "--local-directory", str(folder)]
    numbers = ["--nworkers", str(count), "--nthreads", "1", "--death-timeout", str(END_SECONDS)]
    with running("worker", *places, *numbers, *arguments, folder=folder, **environment) as process:
        yield process


def wait_for_workers(file, count, *, security=None):
    """Wait until a scheduler has `count` workers."""
    from distributed import Client  # noqa: PLC0415 - half a second, for the tests that use a cluster

    with Client(scheduler_file=str(file), security=security, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=END_SECONDS)


def address_in(file):
    """Address in a scheduler file; None while the file is missing or incomplete."""
    try:
        return json.loads(file.read_bytes())["address"]
    except (FileNotFoundError, ValueError):
        return None
