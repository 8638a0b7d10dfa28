"""Dask's `LocalCluster`, in another process.

So the cluster does not need the main script, which its workers would import; Ctrl-C does not reach it, so that it can be
closed in order; and it ends when the process that uses it does, whatever ends that: the pipe that it reads is then closed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TextIO

from segprep.errors import StorageError

HOST = "127.0.0.1"
DASHBOARD = f"{HOST}:8787"
"""Where the dashboard is; on any free port if this one is used."""
CLOSE_SECONDS = 20
"""Seconds to wait until a cluster has closed before its process is killed; its workers then end, too."""


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Address of the scheduler of a new cluster, which is closed on exit; a line on stderr has that of its dashboard.

    Parameters
    ----------
    workers : int
        Number of worker processes, with one thread each.

    Raises
    ------
    StorageError
        If it cannot be started.
    """
    command = [sys.executable, "-P", "-m", __name__, str(workers)]
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)  # noqa: PTH100 - "" is the working directory
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(  # noqa: S603 - this module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,
        ) as process,
    ):
        try:
            address, dashboard = _places(process, log)
        except BaseException:
            process.kill()  # and its workers end with it
            raise
        try:
            _show(f"dashboard: {dashboard}" if find_spec("bokeh") else "no dashboard; pip install bokeh to have one")
            yield address
        finally:
            _close(process)


def _places(process: subprocess.Popen[str], log: TextIO) -> tuple[str, str]:
    """Addresses of the scheduler and of the dashboard that the process of a cluster prints when it has started."""
    printed = process.stdout.readline() if process.stdout else ""
    if not printed:
        process.wait()
        log.seek(0)
        reason = (log.read().split("\n") or [""])[-2:][0].strip() or f"it ended with exit code {process.returncode}"
        raise StorageError(f"scheduler='local': cannot be started: {reason}")
    address, dashboard = json.loads(printed)
    return address, dashboard


def _close(process: subprocess.Popen[str]) -> None:
    """Let the cluster end, and wait for it."""
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _show(text: str) -> None:
    """Write a line on stderr."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"segprep: {text}\n")
            sys.stderr.flush()


def _run(workers: int) -> None:
    """Start a cluster, print its addresses, and close it when standard input ends."""
    import logging  # noqa: PLC0415 - not for the process that uses the cluster
    import warnings  # noqa: PLC0415

    from distributed import LocalCluster  # noqa: PLC0415

    warnings.simplefilter("ignore")  # of a port that is used
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host=HOST,
        dashboard_address=DASHBOARD,
        worker_dashboard_address=f"{HOST}:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        print(json.dumps([cluster.scheduler_address, cluster.dashboard_link]), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _run(int(sys.argv[1]))
