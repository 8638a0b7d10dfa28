"""Who does the work: this process, processes on this machine, or a Dask cluster. The only module that knows Dask.

Work goes through futures of the standard library, a bounded number in flight. `distributed` hands them out for a
cluster; on one machine a pool of processes does, as in Dask's own scheduler for processes. A `LocalCluster` is not used
there: on two cores it took 1.5 s to its first result and 0.4 s to close, and the pool 0.8 to 1.3 s in all. Tiny inputs
run in this process.

A job carries small arguments and brings back a small result; arrays stay in the worker.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from segprep.errors import OptionError, SegprepError, SegprepWarning, StorageError
from segprep.mask import MaskRef

IN_PROCESS = 8
"""Up to this many masks, starting processes costs more than they save."""
DEATHS = 3
"""How many workers may die of a job before it is given up."""
CONNECT_SECONDS = 10
"""How long to wait for a scheduler."""

ENCRYPTED = ("tls://", "wss://")
"""How addresses begin to which everything is sent encrypted, and where both ends show certificates."""
EXPOSED = (
    "is not on this machine, and what is sent there is neither encrypted nor authenticated: "
    "who reaches that port can read it all and run code; use tls://, or an ssh tunnel"
)
TLS_SETTINGS = "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's configuration"
_UNGUARDED = "; they do not even start: a script of your own needs `if __name__ == '__main__':`"


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

    def place(self, path: str | os.PathLike[str]) -> Path:
        """Path as the workers must be told it: those of a cluster run in folders of their own."""
        return Path(path) if self.scheduler is None else Path(path).absolute()


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


class Crew(NamedTuple):
    """An executor, and how many jobs it is given at once."""

    executor: Executor
    in_flight: int

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

    def attempted(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
        """As `completed`, but for a job that workers died of, again and again, the result is `Died`."""
        waiting = deque(range(len(jobs)))
        deaths = Counter[int]()
        running: dict[Future[Any], int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.in_flight:
                    index = waiting.popleft()
                    running[self.executor.submit(jobs[index].function, *jobs[index].arguments)] = index
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    index = running.pop(future)
                    result = _result(future, jobs[index].what)
                    if not isinstance(result, Died):
                        yield index, result
                        continue
                    deaths[index] += 1
                    if deaths.total() == 1:
                        self._check_start(result)
                    if deaths[index] < DEATHS:
                        waiting.append(index)  # at the end, when others no longer need the memory
                    else:
                        yield index, result
        finally:
            for future in running:
                future.cancel()

    def _check_start(self, death: Died) -> None:
        """Raise StorageError where workers die of nothing at all, as those of a script that starts itself again do."""
        if isinstance(_result(self.executor.submit(os.getpid), "start"), Died):
            raise StorageError(death.message + _UNGUARDED)


def _result(future: Future[Any], what: str) -> Any:
    """Result of a job, or an error that says which; `Died` where its worker did."""
    try:
        return future.result()
    except SegprepError:
        raise
    except BrokenProcessPool:
        return Died(f"{what}: a worker process died, perhaps for want of memory: try fewer --workers")
    except (Exception, CancelledError) as error:
        name = type(error).__name__  # of distributed, which is imported for clusters alone
        if name == "KilledWorker":
            return Died(f"{what}: workers died of it, perhaps for want of memory: give them more")
        if name in {"CancelledError", "FutureCancelledError", "CommClosedError"}:
            raise StorageError(f"{what}: the cluster is gone; start it, and run the same again to go on") from error
        raise SegprepError(f"{what}: {name}: {error}") from error


@contextmanager
def crew(workers: Workers, masks: int) -> Iterator[Crew]:
    """Executor for a run over so many masks; closed at the end, and its unfinished jobs dropped."""
    if workers.scheduler is not None:
        with _cluster(workers.scheduler) as found:
            yield found
        return
    processes = workers.processes or (1 if masks <= IN_PROCESS else _cores())
    if processes == 1:
        yield Crew(_InProcess(), 1)
        return
    executor = _Processes(min(processes, masks))
    try:
        yield Crew(executor, executor.count)
    finally:
        executor.shutdown()


class _Processes(Executor):
    """Processes of this machine, one job each; where one dies, its job alone is lost, and another takes its place.

    Processes are spawned, because a fork would copy the threads' locks, and a server of forks would import from the
    working directory. They leave signals to their parent, and end when it does, whatever ends it: then the pipe that they
    watch is closed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context = multiprocessing.get_context("spawn")
        self._watched, self._held = self._context.Pipe(duplex=False)
        self._pools = [self._pool() for _ in range(count)]
        self._latest: list[Future[Any] | None] = [None] * count

    def _pool(self) -> ProcessPoolExecutor:
        """Pool of one process."""
        return ProcessPoolExecutor(1, self._context, initializer=_follow, initargs=(self._watched,))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Give a job to a process that has none; there are never more jobs than processes."""
        index = next(index for index, latest in enumerate(self._latest) if latest is None or latest.done())
        try:
            future = self._pools[index].submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pools[index].shutdown()
            self._pools[index] = self._pool()
            future = self._pools[index].submit(fn, *args, **kwargs)
        self._latest[index] = future
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all processes, in the middle of a job if they have one."""
        self._held.close()
        for pool in self._pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)
        self._watched.close()


def _follow(parent: Connection) -> None:
    """Make this process one that ends with its parent, and not before."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: Connection) -> None:
    """End this process at once when the parent closes its end of a pipe, as it also does when it dies."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)


class _InProcess(Executor):
    """Runs each job at once, where it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
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
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise OptionError(f"--scheduler {scheduler}: has no workers; start some, then run this again")
        if is_exposed(address):
            warnings.warn(f"--scheduler {scheduler}: {EXPOSED}", SegprepWarning, stacklevel=2)
        with client.get_executor(pure=False) as executor:
            yield Crew(executor, 2 * threads)


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
