"""Workers of a Dask cluster. The only module that knows Dask, which takes half a second to import: for those who use one."""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from segprep.errors import OptionError, SegprepWarning, StorageError

CONNECT_SECONDS = 10
"""How long to wait for a scheduler."""
POLL_INTERVAL = 5
"""How often to look how many workers a cluster has."""
WORKERLESS_SECONDS = 300
"""How long a cluster may be without a worker that takes jobs: those that were lost may be on their way back."""

LOGGERS = ("distributed", "distributed.client")
"""Dask's loggers of connections: one for all of its modules, but for the client, whose logger has a level of its own."""

ENCRYPTED = ("tls://", "wss://")
"""How addresses begin to which everything is sent encrypted, and where both ends show certificates."""
EXPOSED = (
    "is not on this machine, and what is sent there is neither encrypted nor authenticated: "
    "who reaches that port can read it all and run code; use tls://, or an ssh tunnel"
)
MORE_MEMORY = (
    "give each more (dask worker --memory-limit), with one thread (--nthreads 1), or write fewer --targets at a time"
)
TLS_SETTINGS = "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration"
GONE = "the cluster is gone; start it, and run the same again to go on"


@contextmanager
def cluster(scheduler: str) -> Iterator["Cluster"]:
    """Connection to a running cluster; it opens no port on this machine."""
    from distributed import Client  # noqa: PLC0415 - half a second, for those who use a cluster

    try:
        address = _address(scheduler)
        _check_security(address)
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(f"--scheduler {scheduler}: cannot be reached: {error}") from error
    with _silence_dask(), client:
        if not client.nthreads():
            raise OptionError(f"--scheduler {scheduler}: has no workers; start some, then run this again")
        if is_exposed(address):
            warnings.warn(f"--scheduler {scheduler}: {EXPOSED}", SegprepWarning, stacklevel=2)
        yield Cluster(client)


@contextmanager
def _silence_dask() -> Iterator[None]:
    """Keep Dask from logging, with tracebacks, what becomes one line of ours or comes right by itself."""
    levels = {logger: logger.level for logger in map(logging.getLogger, LOGGERS)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


class Cluster:
    """Workers of a Dask cluster, who may come and go."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._threads = 0
        self._looked = self._manned = float("-inf")

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give the scheduler a job.

        Dask's own executor is not used: a result that is lost with the scheduler leaves its future waiting for ever.
        """
        self._check_open()
        theirs = self._client.submit(fn, *args, pure=False)
        ours: Future[Any] = Future()
        ours.set_running_or_notify_cancel()  # what is under way at the end is dropped with the connection
        self._client.loop.add_callback(self._pass_on, theirs, ours)
        return ours

    async def _pass_on(self, theirs: Any, ours: Future[Any]) -> None:
        """Give one future the result, or the error, of another."""
        try:
            ours.set_result(await self._client.gather(theirs, asynchronous=True))
        except BaseException as error:  # noqa: BLE001 - among them that it was cancelled; the future carries it
            ours.set_exception(error)

    def capacity(self) -> int:
        """Two jobs for each thread, so that none has to wait for its next.

        Raises
        ------
        StorageError
            Where there has long been no worker that takes jobs.
        """
        now = time.monotonic()
        if now - self._looked >= POLL_INTERVAL:
            self._looked = now
            self._look(now)
        return max(1, 2 * self._threads)

    def _look(self, now: float) -> None:
        """Count threads; workers take no more jobs when they are paused, because their memory is full."""
        self._check_open()
        try:
            workers = self._client.sync(self._client.scheduler.identity)["workers"].values()
        except OSError:  # if the scheduler is gone, the jobs under way will say so
            return
        self._threads = sum(each["nthreads"] for each in workers)
        if self._manned < 0 or any(each["status"] == "running" for each in workers):
            self._manned = now
        elif now - self._manned >= WORKERLESS_SECONDS:
            state = "all workers are paused, because their memory is full" if workers else "there are no workers"
            remedy = "give each more memory" if workers else "start some"
            raise StorageError(f"{state}, and have been for long; {remedy}, and run the same again to go on")

    def _check_open(self) -> None:
        """Raise StorageError where Dask has given up to find the scheduler again."""
        if self._client.status in {"closing", "closed"}:
            raise StorageError(GONE)

    def explain_death(self, error: BaseException) -> str | None:
        """See `Team`; the scheduler has tried such a job several times."""
        from distributed import KilledWorker  # noqa: PLC0415 - as in `cluster`

        if not isinstance(error, KilledWorker):
            return None
        full: Sequence[tuple[float, dict[str, Any]]] = ()
        with suppress(OSError):
            full = self._client.get_events("worker-restart-memory")
        if any(event["worker"] == error.last_worker.address for _, event in full):
            return f"its workers ran out of memory: {MORE_MEMORY}"
        return f"workers died of it, of a mask that crashes them or for want of memory: {MORE_MEMORY}"


def _address(scheduler: str) -> str:
    """Address of a scheduler, checked: a client that is given a bad one hangs for 20 s.

    Raises
    ------
    ValueError
        Where it is none.
    """
    from distributed.comm import parse_address, parse_host_port  # noqa: PLC0415 - as in `cluster`
    from distributed.comm.registry import get_backend  # noqa: PLC0415

    address = scheduler
    if Path(scheduler).is_file():
        content = json.loads(Path(scheduler).read_bytes())
        if not (isinstance(content, dict) and isinstance(content.get("address"), str)):
            raise ValueError("no scheduler file: it holds no address")
        address = content["address"]
    scheme, location = parse_address(address)
    get_backend(scheme)
    parse_host_port(location)
    return f"{scheme}://{location}"


def _check_security(address: str) -> None:
    """Refuse an address that does not go with Dask's settings: a client would try it again and again.

    Raises
    ------
    ValueError
        Where certificates are missing or cannot be read, or the settings want encryption and the address has none.
    """
    from distributed import Security  # noqa: PLC0415 - as in `cluster`

    security = Security()
    if not address.startswith(ENCRYPTED):
        if security.require_encryption:
            raise ValueError("distributed.comm.require-encryption is set in Dask's configuration; use a tls:// address")
        return
    files = [security.tls_ca_file, security.tls_client_cert, security.tls_client_key]
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except OSError as error:  # does not say of which file
        named = ", ".join(file for file in files if file and "\n" not in file)  # else it is the certificate itself
        raise ValueError(f"one of the certificates {named} cannot be read: {error}") from error
    if context is None:
        raise ValueError(f"{address} wants certificates: set {TLS_SETTINGS}")


def is_exposed(address: str) -> bool:
    """Whether what goes to a scheduler's address can be read, and changed, by others on its way.

    Examples
    --------
    >>> [is_exposed(address) for address in ("tcp://192.0.2.1:8786", "tls://192.0.2.1:8786", "tcp://127.0.0.1:8786")]
    [True, False, False]
    """
    from distributed.comm import get_address_host  # noqa: PLC0415 - as in `cluster`
    from distributed.utils import ensure_ip  # noqa: PLC0415

    return not (address.startswith(ENCRYPTED) or ip_address(ensure_ip(get_address_host(address))).is_loopback)
