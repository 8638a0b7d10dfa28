"""Who does the work: this process, processes on this machine, or a Dask cluster. The only module that knows Dask.

Work goes through futures of the standard library, a bounded number in flight. `distributed` hands them out for a
cluster; on one machine a pool of processes does, as in Dask's own scheduler for processes. A `LocalCluster` is not used
there: on two cores it took 1.5 s to its first result and 0.4 s to close, and the pool 0.8 to 1.3 s in all. Tiny inputs
run in this process.

A job carries small arguments and brings back a small result; arrays stay in the worker.
"""

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from segprep.errors import OptionError, SegprepError, SegprepWarning, StorageError
from segprep.mask import MaskRef
from segprep.places import Place, place

IN_PROCESS = 8
"""Up to this many masks, starting processes costs more than they save."""
DEATHS = 3
"""How often workers may die of a job before it is given up; a cluster counts as one as many as it tries by itself."""
FUTILE = 8
"""Where so many jobs are given up and none is done, the run ends."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask for the end."""
CONNECT_SECONDS = 10
"""How long to wait for a scheduler."""
LOOK_SECONDS = 5
"""How often to look how many workers a cluster has."""
WORKERLESS_SECONDS = 300
"""How long a cluster may be without a worker that takes jobs: those that were lost may be on their way back."""

ENCRYPTED = ("tls://", "wss://")
"""How addresses begin to which everything is sent encrypted, and where both ends show certificates."""
EXPOSED = (
    "is not on this machine, and what is sent there is neither encrypted nor authenticated: "
    "who reaches that port can read it all and run code; use tls://, or an ssh tunnel"
)
MORE_MEMORY = (
    "give each more (dask worker --memory-limit), with one thread (--nthreads 1), or write fewer --products at a time"
)
TLS_SETTINGS = "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration"
GONE = "the cluster is gone; start it, and run the same again to go on"
UNGUARDED = "worker processes die as soon as they start: a script of your own needs `if __name__ == '__main__':`"


@dataclass(frozen=True)
class Workers:
    """Where the work is done.

    Attributes
    ----------
    processes : int or None
        Worker processes on this machine; None takes one per core, or none at all for a few masks.
    scheduler : str or None
        Address of a running `dask.distributed` scheduler (``tcp://host:8786``, or ``tls://`` with Dask's own settings of
        certificates), or the path of its scheduler file; its workers are used instead. A `SegprepWarning` says where what
        is sent there could be read by others.
    """

    processes: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise OptionError(f"--workers {self.processes}: must be at least 1")
        if self.processes is not None and self.scheduler is not None:
            raise OptionError("--workers and --scheduler exclude each other: the cluster has its own workers")

    def place(self, path: str | os.PathLike[str] | Place) -> Place:
        """Place as the workers must be told it: those of a cluster run in folders of their own."""
        return place(path) if self.scheduler is None else place(path).absolute()


class Progress(Protocol):
    """Called with the stage of the run and how many of all masks have passed it."""

    def __call__(self, stage: Literal["scan", "write", "verify"], done: int, masks: int) -> None:
        """See the class."""
        ...


def silent(stage: Literal["scan", "write", "verify"], done: int, masks: int) -> None:
    """Progress that nobody watches."""


class Job(NamedTuple):
    """A call to make somewhere, and what a person would call it."""

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Died(NamedTuple):
    """What comes of a job that workers died of.

    Attributes
    ----------
    message : str
        Which job, and what to do about it.
    """

    message: str


class Team(Protocol):
    """Those who do jobs."""

    def places(self) -> int:
        """How many jobs they are to have at once, now."""
        ...

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give them a job."""
        ...

    def cause(self, error: BaseException) -> str | None:
        """What a job's worker died of, and what to do about it; None where the error is another."""
        ...


class Crew(NamedTuple):
    """Who does the jobs of a run."""

    team: Team

    def completed(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
        """Index and result of every job, in the order in which they end.

        Raises
        ------
        SegprepError
            As soon as a job fails: what the job raised, or an error that names the job. No further job is begun.
        StorageError
            At the end, where workers died of some jobs: all are named, and the others are done.
        """
        died = []
        for index, result in self.attempted(jobs):
            if isinstance(result, Died):
                died.append(result.message)
            else:
                yield index, result
        if died:
            raise StorageError("; ".join(died))

    def attempted(self, jobs: Sequence[Job], times: int = DEATHS) -> Iterator[tuple[int, Any]]:
        """As `completed`, but for a job that workers died of so many times the result is `Died`.

        It is tried again when all others are done and no longer need the memory, and the last time it is alone: then no
        other job can be what its worker dies of.
        """
        waiting, alone = deque(range(len(jobs))), deque[int]()
        deaths = Counter[int]()
        given_up = done = 0
        running: dict[Future[Any], int] = {}
        try:
            while waiting or alone or running:
                for index in self._next(waiting, alone, len(running)):
                    running[self.team.submit(jobs[index].function, *jobs[index].arguments)] = index
                ended, _ = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                for future in ended:
                    index = running.pop(future)
                    result = self._result(future, jobs[index].what)
                    if isinstance(result, Died):
                        deaths[index] += 1
                        if deaths[index] < times:
                            (alone if deaths[index] == times - 1 else waiting).append(index)
                            continue
                        given_up += 1
                        _check_use(result, given_up, done)
                    else:
                        done += 1
                    yield index, result
        finally:
            for future in running:
                future.cancel()

    def _next(self, waiting: deque[int], alone: deque[int], running: int) -> list[int]:
        """Jobs to begin now, taken from those that wait, and then from those that are to be alone."""
        if waiting:
            return [waiting.popleft() for _ in range(min(len(waiting), self.team.places() - running))]
        self.team.places()  # to see whether there are any workers still
        return [alone.popleft()] if alone and not running else []

    def _result(self, future: Future[Any], what: str) -> Any:
        """Result of a job, or an error that says which; `Died` where its worker did."""
        try:
            return future.result()
        except SegprepError:
            raise
        except (Exception, CancelledError) as error:
            if cause := self.team.cause(error):
                return Died(f"{what}: {cause}")
            name = type(error).__name__
            if name in {"CancelledError", "FutureCancelledError", "CommClosedError"}:  # of distributed
                raise StorageError(f"{what}: {GONE}") from error
            raise SegprepError(f"{what}: {name}: {error}") from error


def _check_use(death: Died, given_up: int, done: int) -> None:
    """Raise StorageError where workers die of whatever they are given, before all of it has been tried."""
    if not done and given_up == FUTILE:
        raise StorageError(f"{death.message}; and they die of whatever else they are given")


@contextmanager
def crew(workers: Workers, masks: int) -> Iterator[Crew]:
    """Those who do a run over so many masks; sent home at the end, and their unfinished jobs dropped."""
    if workers.scheduler is not None:
        with _cluster(workers.scheduler) as found:
            yield found
        return
    processes = workers.processes or (1 if masks <= IN_PROCESS else _cores())
    if processes == 1:
        yield Crew(_InProcess())
        return
    team = _Processes(min(processes, masks))
    try:
        yield Crew(team)
    finally:
        team.shutdown()


class _Processes:
    """Processes of this machine, one job each; where one dies, its job alone is lost, and another takes its place.

    Processes are spawned, because a fork would copy the threads' locks, and a server of forks would import from the
    working directory. They leave signals to their parent from the start, and end when it does, whatever ends it: then the
    pipe that they watch is closed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context = multiprocessing.get_context("spawn")
        self._watched, self._held = self._context.Pipe(duplex=False)
        self._pools = [self._pool() for _ in range(count)]
        self._latest: list[Future[Any] | None] = [None] * count
        self._tried = False

    def _pool(self) -> ProcessPoolExecutor:
        """Pool of one process."""
        return ProcessPoolExecutor(1, self._context, initializer=_follow, initargs=(self._watched,))

    def places(self) -> int:
        """One job for each process."""
        return self.count

    def cause(self, error: BaseException) -> str | None:
        """See `Team`.

        Raises
        ------
        StorageError
            At the first death, where processes do not even start: those of a script that starts itself again do not.
        """
        if not isinstance(error, BrokenProcessPool):
            return None
        if not self._tried:
            self._tried = True
            if self.submit(os.getpid).exception() is not None:
                raise StorageError(UNGUARDED) from error
        return "a worker process died, perhaps for want of memory: try fewer --workers"

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give a job to a process that has none; there are never more jobs than processes."""
        index = next(index for index, latest in enumerate(self._latest) if latest is None or latest.done())
        try:
            future = _submit(self._pools[index], fn, *args)
        except BrokenProcessPool:
            self._pools[index].shutdown()
            self._pools[index] = self._pool()
            future = _submit(self._pools[index], fn, *args)
        self._latest[index] = future
        return future

    def shutdown(self) -> None:
        """End all processes, in the middle of a job if they have one."""
        self._held.close()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        self._watched.close()


def _submit(pool: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
    """Give a job to a pool; the process that it may start for it is born deaf to signals."""
    if os.name == "nt":
        return pool.submit(fn, *args)
    with _heard_later():
        return pool.submit(fn, *args)


@contextmanager
def _heard_later() -> Iterator[None]:
    """Hear signals when the context ends: one in the middle of a start would leave a process without what it was to do.

    To block them is not enough, since they may reach a thread of some library: then Python calls the handler all the same.
    """
    heard: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    taken = [each for each in SIGNALS if is_main and signal.getsignal(each) not in {signal.SIG_IGN, None}]
    handlers = {each: signal.signal(each, lambda number, _: heard.append(number)) for each in taken}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number in heard[:1]:
            signal.raise_signal(signal.Signals(number))


def _follow(parent: Connection) -> None:
    """Make this process one that ends with its parent, and not before."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Connection) -> None:
    """End this process at once when the parent closes its end of a pipe, as it also does when it dies."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)


class _InProcess:
    """Runs each job at once, where it is submitted."""

    def places(self) -> int:
        """One."""
        return 1

    def cause(self, error: BaseException) -> str | None:  # noqa: ARG002 - the worker is this process
        """None: nobody would be left to ask."""
        return None

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Do a job."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args))
        except Exception as error:  # noqa: BLE001 - the future carries it, as any executor's does
            future.set_exception(error)
        return future


def _cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _cluster(scheduler: str) -> Iterator[Crew]:
    """Connection to a running cluster; it opens no port on this machine."""
    from distributed import Client  # noqa: PLC0415 - half a second, for those who use a cluster

    try:
        address = _address(scheduler)
        _check_security(address)
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(f"--scheduler {scheduler}: cannot be reached: {error}") from error
    with _unlogged(), client:
        if not client.nthreads():
            raise OptionError(f"--scheduler {scheduler}: has no workers; start some, then run this again")
        if is_exposed(address):
            warnings.warn(f"--scheduler {scheduler}: {EXPOSED}", SegprepWarning, stacklevel=2)
        yield Crew(_Cluster(client))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep Dask from logging, with tracebacks, what becomes one line of ours or comes right by itself."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Cluster:
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

    def places(self) -> int:
        """Two jobs for each thread, so that none has to wait for its next.

        Raises
        ------
        StorageError
            Where there has long been no worker that takes jobs.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
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

    def cause(self, error: BaseException) -> str | None:
        """See `Team`; the scheduler has tried such a job several times."""
        from distributed import KilledWorker  # noqa: PLC0415 - as in `_cluster`

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
    from distributed.comm import parse_address, parse_host_port  # noqa: PLC0415 - as in `_cluster`
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
    from distributed import Security  # noqa: PLC0415 - as in `_cluster`

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
    from distributed.comm import get_address_host  # noqa: PLC0415 - as in `_cluster`
    from distributed.utils import ensure_ip  # noqa: PLC0415

    return not (address.startswith(ENCRYPTED) or ip_address(ensure_ip(get_address_host(address))).is_loopback)


def names(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"
