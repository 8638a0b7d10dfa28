"""Jobs of a run, and the executors that do them: this process, processes of this machine, or a Dask cluster.

An executor hands out futures of the standard library, and has a bounded number of jobs at once. A Dask `LocalCluster` is
used on one machine only where it is asked for: on two cores it took 1.5 s to its first result and 0.4 s to close, and the
processes here 0.8 to 1.3 s in all. A few masks are processed without any other process.

A job takes small arguments and returns a small result, at most a megabyte of compressed labels for a mask; other arrays stay
in the worker.
"""

import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from operator import index as as_integer
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from segprep.errors import (
    IS_A_BUG,
    JobError,
    OptionError,
    SegprepError,
    StorageError,
    check_fields,
    some,
)
from segprep.paths.anypath import AnyPath, parse_path
from segprep.workers.dask_cluster import LOST_SCHEDULER, POLL_INTERVAL, dask_cluster
from segprep.workers.local_cluster import local_cluster
from segprep.workers.processes import Processes

logger = logging.getLogger(__name__)
LOCAL = "local"
"""Scheduler that is started for the run, on this machine."""
MAX_IN_PROCESS = 8
"""Number of masks up to which starting processes takes longer than it saves."""
MAX_ATTEMPTS = 3
"""Number of workers that may die on a job before it is given up; the tries of a cluster count as one."""
OUT_OF_MEMORY = "there is not enough memory; use fewer workers, or fewer targets at a time"
GIVE_UP_AFTER = 8
"""Number of jobs given up, with none done, after which the run ends."""


@dataclass(frozen=True)
class Workers:
    """Where the jobs of a run are done.

    Attributes
    ----------
    processes : int or None
        Number of worker processes on this machine. By default one per core, or none for a few masks.
    scheduler : str or None
        Address of a running Dask scheduler (``tcp://host:8786``, or ``tls://`` with certificates from Dask's configuration),
        or path of its scheduler file; the cluster's workers are then used. A warning is shown where others could read what
        is sent there. ``local`` starts a Dask cluster of `processes` workers on this machine for the run, and shows the
        address of its dashboard; a file of this name is ``./local``.

    Examples
    --------
    >>> Workers.of(2), Workers.of("tcp://host:8786")
    (Workers(processes=2, scheduler=None), Workers(processes=None, scheduler='tcp://host:8786'))
    """

    processes: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.processes is not None and self.processes < 1:
            raise OptionError(f"workers={self.processes}: must be at least 1")
        if self.processes is not None and self.scheduler not in {None, LOCAL}:
            raise OptionError(
                f"workers={self.processes} and scheduler={self.scheduler!r} exclude each other: the cluster has its workers"
            )

    @classmethod
    def of(cls, value: "Workers | int | str | None") -> "Workers":
        """Workers from a number of processes, the address or file of a scheduler, ``local``, or None for the default."""
        if isinstance(value, Workers):
            return value
        if isinstance(value, str) and not value.isdecimal():
            return cls(scheduler=value)
        try:
            return cls(None if value is None else int(value) if isinstance(value, str) else as_integer(value))
        except TypeError:
            raise OptionError(
                f"workers={value!r}: must be a number of processes, 'local', or the address or file of a scheduler"
            ) from None

    def place(self, path: str | os.PathLike[str] | AnyPath, name: str = "store") -> AnyPath:
        """Path, the value of parameter `name`, as the workers need it: those of a cluster have other working directories."""
        return parse_path(path, name) if self.scheduler is None else parse_path(path, name).absolute()


Stage: TypeAlias = Literal["scan", "components", "write", "verify", "compare", "evaluate", "draw", "sample"]


class Progress(Protocol):
    """Callable that gets the stage of the run, and how many of all masks have passed it.

    The first call of a stage has the number that was done before, as by a run that was interrupted.
    """

    def __call__(self, stage: Stage, done: int, masks: int) -> None:
        """Show the progress."""
        ...


def no_progress(stage: Stage, done: int, masks: int) -> None:
    """Show nothing."""


class Job(NamedTuple):
    """Call for a worker to make, with a name for messages."""

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class WorkerDied(NamedTuple):
    """Result of a job that its workers died on; the message names the job and the remedy."""

    message: str


class Executor(Protocol):
    """Workers that do jobs."""

    def capacity(self) -> int:
        """Number of jobs that it should have at once, now."""
        ...

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Start a job."""
        ...

    def explain_death(self, error: BaseException) -> str | None:
        """Cause of a worker's death, and the remedy; None for an error of another kind."""
        ...


def run_jobs(executor: Executor, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
    """Index and result of every job, in the order in which they end.

    Raises SegprepError as soon as a job fails: what the job raised, or an error that names the job. Jobs on which workers
    died are named in a StorageError at the end, when the others are done.
    """
    died = []
    for index, result in try_jobs(executor, jobs):
        if isinstance(result, WorkerDied):
            died.append(result.message)
        else:
            yield index, result
    if died:
        raise StorageError(some(died, separator="; ", most=10))


def _never(_index: int) -> bool:
    return False


def try_jobs(
    executor: Executor, jobs: Sequence[Job], attempts: int = MAX_ATTEMPTS, *, is_done: Callable[[int], bool] = _never
) -> Iterator[tuple[int, Any]]:
    """As `run_jobs`, but for a job on which a worker died in each of `attempts` attempts the result is `WorkerDied`.

    A job is retried when all others are done and need no more memory, and the last time alone, so that no other job can be
    the cause. One of which `is_done` says by its index that another run has done it is not started, and has no result.
    """
    waiting, alone = deque(range(len(jobs))), deque[int]()
    deaths = Counter[int]()
    given_up = done = 0
    running: dict[Future[Any], int] = {}
    try:
        while waiting or alone or running:
            for index in _next_jobs(executor, waiting, alone, len(running), is_done):
                running[executor.submit(jobs[index].function, *jobs[index].arguments)] = index
            ended, _ = wait(running, POLL_INTERVAL, return_when=FIRST_COMPLETED)
            for future in ended:
                index = running.pop(future)
                result = _result(executor, future, jobs[index].what)
                if isinstance(result, WorkerDied):
                    deaths[index] += 1
                    if deaths[index] < attempts:
                        (alone if deaths[index] == attempts - 1 else waiting).append(index)
                        continue
                    given_up += 1
                    if not done and given_up == GIVE_UP_AFTER:
                        raise StorageError(
                            f"{result.message}; {GIVE_UP_AFTER} jobs in a row killed their worker; giving up"
                        )
                else:
                    done += 1
                yield index, result
    finally:
        for future in running:
            future.cancel()


def _next_jobs(
    executor: Executor, waiting: deque[int], alone: deque[int], running: int, is_done: Callable[[int], bool]
) -> list[int]:
    """Jobs to start now: those that wait, and then, one at a time, those that must be alone."""
    if waiting:
        free, chosen = executor.capacity() - running, list[int]()
        while waiting and len(chosen) < free:
            index = waiting.popleft()
            chosen += [] if is_done(index) else [index]
        return chosen
    executor.capacity()  # raises where there are no workers any more
    return [alone.popleft()] if alone and not running else []


def _result(executor: Executor, future: Future[Any], name: str) -> Any:
    """Result of a job, `WorkerDied`, or an error that names the job."""
    try:
        return future.result()
    except SegprepError:
        raise
    except (Exception, CancelledError) as error:
        if cause := OUT_OF_MEMORY if isinstance(error, MemoryError) else executor.explain_death(error):
            return WorkerDied(f"{name}: {cause}")
        kind = type(error).__name__
        if kind in {"CancelledError", "FutureCancelledError", "CommClosedError"}:  # of distributed
            raise StorageError(f"{name}: {LOST_SCHEDULER}") from error
        raise JobError(f"{name}: {kind}: {error}: {IS_A_BUG}") from error


@contextmanager
def open_executor(workers: Workers, masks: int) -> Iterator[Executor]:
    """Executor for a run over a number of masks, closed at the end; unfinished jobs are dropped."""
    if workers.scheduler == LOCAL:
        count = workers.processes or core_count()
        logger.info("starting a Dask cluster of %d workers on this machine", count)
        with local_cluster(count) as address, dask_cluster(address) as executor:
            yield executor
        return
    if workers.scheduler is not None:
        logger.info("connecting to the scheduler %s", workers.scheduler)
        with dask_cluster(workers.scheduler) as executor:
            yield executor
        return
    count = min(workers.processes or (1 if masks <= MAX_IN_PROCESS else core_count()), masks)
    if count <= 1:
        logger.info("working in one process")
        yield InProcess()
        return
    logger.info("starting %d worker processes", count)
    with closing(Processes(count)) as processes:
        yield processes


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class InProcess:
    """Executor that does each job in this process, when it is submitted."""

    def capacity(self) -> int:
        """One job."""
        return 1

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Do a job."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args))
        except Exception as error:  # noqa: BLE001 - the future carries it, as that of any executor
            future.set_exception(error)
        return future

    def explain_death(self, error: BaseException) -> str | None:  # noqa: ARG002 - the worker is this process
        """Return None: this process would have died too."""
        return None
