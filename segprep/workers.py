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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from segprep.errors import OptionError, SegprepError, StorageError
from segprep.mask import MaskRef

IN_PROCESS = 8
"""Up to this many masks, starting processes costs more than they save."""
CONNECT_SECONDS = 10
"""How long to wait for a scheduler."""


@dataclass(frozen=True)
class Workers:
    """Where the work is done.

    Attributes
    ----------
    processes : int or None
        Worker processes on this machine; None takes one per core, or none at all for a few masks.
    scheduler : str or None
        Address of a running `dask.distributed` scheduler (``tcp://host:8786``), or the path of its scheduler file; its
        workers are used instead.
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
        """
        waiting = iter(enumerate(jobs))
        running: dict[Future[Any], int] = {}
        try:
            while True:
                while len(running) < self.in_flight and (following := next(waiting, None)):
                    index, job = following
                    running[self.executor.submit(job.function, *job.arguments)] = index
                if not running:
                    return
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    index = running.pop(future)
                    yield index, _result(future, jobs[index].what)
        finally:
            for future in running:
                future.cancel()


def _result(future: Future[Any], what: str) -> Any:
    """Result of a job, or an error that says which."""
    try:
        return future.result()
    except SegprepError:
        raise
    except BrokenProcessPool as error:
        raise StorageError(
            f"{what}: a worker process died, perhaps for want of memory: try fewer --workers "
            "(and a script of your own needs `if __name__ == '__main__':`)"
        ) from error
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of distributed, which is imported for clusters alone
            raise StorageError(f"{what}: workers died of it, perhaps for want of memory: give them more") from error
        raise SegprepError(f"{what}: {type(error).__name__}: {error}") from error


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
    # Spawned, because a fork would copy the threads' locks, and a server of forks would import from the working directory.
    # The terminal interrupts every process; this one tells the user, and the workers stay silent.
    executor = ProcessPoolExecutor(
        min(processes, masks),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield Crew(executor, 2 * processes)
    finally:
        executor.shutdown(cancel_futures=True)


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
    """Connection to a running cluster."""
    from distributed import Client  # noqa: PLC0415 - half a second, for those who use a cluster

    try:
        client = Client(_address(scheduler), timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(f"--scheduler {scheduler}: cannot be reached: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if threads == 0:
            raise OptionError(f"--scheduler {scheduler}: has no workers; start some, then run this again")
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
    return str(address)


def names(refs: Sequence[MaskRef]) -> str:
    """First and last key."""
    return refs[0].key if len(refs) == 1 else f"{refs[0].key} to {refs[-1].key}"
