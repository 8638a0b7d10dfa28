"""Executor on a Dask cluster. Only this module imports Dask, which takes half a second, and only where a cluster is used."""

import json
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

from segprep.errors import OptionError, SegprepWarning, StorageError
from segprep.workers.calls import call, pickled

CONNECT_SECONDS = 10
"""Seconds to wait for a scheduler."""
POLL_INTERVAL = 5
"""Seconds between two looks at the workers of a cluster."""
WORKERLESS_SECONDS = 300
"""Seconds that a cluster may be without a worker that takes jobs: lost ones may be restarting."""

ENCRYPTED = ("tls://", "wss://")
EXPOSED = (
    "not on this machine, and traffic is neither encrypted nor authenticated: "
    "whoever reaches that port can read everything and run code; use tls://, or an ssh tunnel"
)
MORE_MEMORY = (
    "give each more (dask worker --memory-limit), with one thread (--nthreads 1), or write fewer targets at a time"
)
LOST_SCHEDULER = "lost the scheduler; restart it and run the same command again to resume"


@contextmanager
def dask_cluster(scheduler: str) -> Iterator["DaskCluster"]:
    """Executor on a running cluster; it opens no port on this machine."""
    from distributed import Client  # noqa: PLC0415 - half a second, for those who use a cluster

    try:
        address = _address(scheduler)
        _check_security(address)
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise StorageError(f"scheduler={scheduler!r}: cannot be reached: {error}") from error
    except ValueError as error:
        raise OptionError(f"scheduler={scheduler!r}: cannot be used: {error}") from error
    with _silence_dask(), client:
        if not client.nthreads():
            raise OptionError(f"scheduler={scheduler!r}: has no workers; start some, then run the same command again")
        if is_exposed(address):
            warnings.warn(f"scheduler={scheduler!r}: {EXPOSED}", SegprepWarning, stacklevel=2)
        yield DaskCluster(client)


@contextmanager
def _silence_dask() -> Iterator[None]:
    """Keep Dask from logging, with tracebacks, what becomes a one-line error or is retried."""
    loggers = map(logging.getLogger, ("distributed", "distributed.client"))  # the client's has another level
    levels = {logger: logger.level for logger in loggers}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


class DaskCluster:
    """Executor on the workers of a Dask cluster, which may come and go."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._threads = 0
        self._last_poll = self._last_running = float("-inf")

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give the scheduler a job.

        Dask's own executor is not used: when a result is lost with the scheduler, its future never ends.
        """
        self._check_open()
        name = getattr(fn, "__name__", type(fn).__name__)  # shown on Dask's dashboard
        dask = self._client.submit(call, pickled(fn, args), pure=False, key=f"{name}-{uuid4()}")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # closing the connection drops what is running
        self._client.loop.add_callback(self._pass_on, dask, future)
        return future

    async def _pass_on(self, dask: Any, future: Future[Any]) -> None:
        """Give a future the result, or the error, of one of Dask's."""
        try:
            future.set_result(await self._client.gather(dask, asynchronous=True))
        except BaseException as error:  # noqa: BLE001 - a cancellation too; the future carries it
            future.set_exception(error)

    def capacity(self) -> int:
        """Two jobs for each thread, so that none waits for its next; looks for workers at each `POLL_INTERVAL`."""
        now = time.monotonic()
        if now - self._last_poll >= POLL_INTERVAL:
            self._last_poll = now
            self._poll(now)
        return max(1, 2 * self._threads)

    def _poll(self, now: float) -> None:
        """Count the threads; workers whose memory is full are paused and take no jobs."""
        self._check_open()
        try:
            workers = self._client.sync(self._client.scheduler.identity)["workers"].values()
        except OSError:  # a lost scheduler shows in the running jobs
            return
        self._threads = sum(worker["nthreads"] for worker in workers)
        if self._last_running < 0 or any(worker["status"] == "running" for worker in workers):
            self._last_running = now
        elif now - self._last_running >= WORKERLESS_SECONDS:
            state = "all workers have been paused, with full memory," if workers else "there have been no workers"
            remedy = "give each more memory" if workers else "start some"
            raise StorageError(f"{state} for {WORKERLESS_SECONDS} s; {remedy} and run the same command again to resume")

    def _check_open(self) -> None:
        """Raise StorageError where Dask has given up reconnecting to the scheduler."""
        if self._client.status in {"closing", "closed"}:
            raise StorageError(LOST_SCHEDULER)

    def explain_death(self, error: BaseException) -> str | None:
        """Cause of the deaths of a job's workers, on which the scheduler has tried it several times."""
        from distributed import KilledWorker  # noqa: PLC0415 - as in `dask_cluster`

        if not isinstance(error, KilledWorker):
            return None
        with suppress(OSError):
            restarts = self._client.get_events("worker-restart-memory")
            if any(event["worker"] == error.last_worker.address for _, event in restarts):
                return f"its workers ran out of memory: {MORE_MEMORY}"
        return f"workers died repeatedly on this job (out of memory, or a mask that crashes them): {MORE_MEMORY}"


def _address(scheduler: str) -> str:
    """Address of a scheduler; raises ValueError where it is invalid: a client would hang for 20 s."""
    from distributed.comm import parse_address, parse_host_port  # noqa: PLC0415 - as in `dask_cluster`
    from distributed.comm.registry import get_backend  # noqa: PLC0415

    if Path(scheduler).is_file():
        content = json.loads(Path(scheduler).read_bytes())
        if not (isinstance(content, dict) and isinstance(content.get("address"), str)):
            raise ValueError("not a scheduler file: it contains no address")
        scheduler = content["address"]
    elif "://" not in scheduler and not re.search(r":\d+$", scheduler):
        raise ValueError("no such file, and no address such as tcp://host:8786")
    scheme, location = parse_address(scheduler)
    get_backend(scheme)
    parse_host_port(location)
    return f"{scheme}://{location}"


def _check_security(address: str) -> None:
    """Raise ValueError where an address does not fit Dask's settings: a client would retry for ever."""
    from distributed import Security  # noqa: PLC0415 - as in `dask_cluster`

    security = Security()
    if not address.startswith(ENCRYPTED):
        if security.require_encryption:
            raise ValueError("distributed.comm.require-encryption is set in Dask's configuration; use a tls:// address")
        return
    files = [security.tls_ca_file, security.tls_client_cert, security.tls_client_key]
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except OSError as error:  # does not name the file
        named = ", ".join(file for file in files if file and "\n" not in file)  # else it is the certificate itself
        raise ValueError(f"one of the certificates {named} cannot be read: {error}") from error
    if context is None:
        settings = "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration"
        raise ValueError(f"{address} needs certificates: set {settings}")


def is_exposed(address: str) -> bool:
    """True if others could read or change the traffic to a scheduler.

    >>> [is_exposed(address) for address in ("tcp://192.0.2.1:8786", "tls://192.0.2.1:8786", "tcp://127.0.0.1:8786")]
    [True, False, False]
    """
    from distributed.comm import get_address_host  # noqa: PLC0415 - as in `dask_cluster`
    from distributed.utils import ensure_ip  # noqa: PLC0415

    return not (address.startswith(ENCRYPTED) or ip_address(ensure_ip(get_address_host(address))).is_loopback)
