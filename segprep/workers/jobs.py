"""Who does the work: this process, processes on this machine, or a Dask cluster.

Work goes through futures of the standard library, a bounded number in flight. `distributed` hands them out for a
cluster; on one machine a pool of processes does, as in Dask's own scheduler for processes. A `LocalCluster` is not used
there: on two cores it took 1.5 s to its first result and 0.4 s to close, and the pool 0.8 to 1.3 s in all. Tiny inputs
run in this process.

A job carries small arguments and brings back a small result; arrays stay in the worker.
"""

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from segprep.errors import IS_A_BUG, JobError, OptionError, SegprepError, StorageError
from segprep.paths.anypath import AnyPath, parse_path
from segprep.workers.dask_cluster import GONE, POLL_INTERVAL, cluster
from segprep.workers.processes import Processes

MAX_IN_PROCESS = 8
"""Up to this many masks, starting processes costs more than they save."""
MAX_ATTEMPTS = 3
"""How often workers may die of a job before it is given up; a cluster counts as one as many as it tries by itself."""
OUT_OF_MEMORY = "there is not enough memory: try fewer --workers, or fewer --targets at a time"
GIVE_UP_AFTER = 8
"""Where so many jobs are given up and none is done, the run ends."""


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

    def place(self, path: str | os.PathLike[str] | AnyPath) -> AnyPath:
        """Place as the workers must be told it: those of a cluster run in folders of their own."""
        return parse_path(path) if self.scheduler is None else parse_path(path).absolute()


Stage: TypeAlias = Literal["scan", "write", "verify"]
"""What a run does with the masks."""


class Progress(Protocol):
    """Called with the stage of the run and how many of all masks have passed it."""

    def __call__(self, stage: Stage, done: int, masks: int) -> None:
        """See the class."""
        ...


def no_progress(stage: Stage, done: int, masks: int) -> None:
    """Progress that nobody watches."""


class Job(NamedTuple):
    """A call to make somewhere, and what a person would call it."""

    what: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class WorkerDied(NamedTuple):
    """What comes of a job that workers died of.

    Attributes
    ----------
    message : str
        Which job, and what to do about it.
    """

    message: str


class Executor(Protocol):
    """Those who do jobs."""

    def capacity(self) -> int:
        """How many jobs they are to have at once, now."""
        ...

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give them a job."""
        ...

    def explain_death(self, error: BaseException) -> str | None:
        """What a job's worker died of, and what to do about it; None where the error is another."""
        ...


class Jobs(NamedTuple):
    """Who does the jobs of a run."""

    executor: Executor

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
            if isinstance(result, WorkerDied):
                died.append(result.message)
            else:
                yield index, result
        if died:
            raise StorageError("; ".join(died))

    def attempted(self, jobs: Sequence[Job], times: int = MAX_ATTEMPTS) -> Iterator[tuple[int, Any]]:
        """As `completed`, but for a job that workers died of so many times the result is `WorkerDied`.

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
                    running[self.executor.submit(jobs[index].function, *jobs[index].arguments)] = index
                ended, _ = wait(running, POLL_INTERVAL, return_when=FIRST_COMPLETED)
                for future in ended:
                    index = running.pop(future)
                    result = self._result(future, jobs[index].what)
                    if isinstance(result, WorkerDied):
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
            return [waiting.popleft() for _ in range(min(len(waiting), self.executor.capacity() - running))]
        self.executor.capacity()  # to see whether there are any workers still
        return [alone.popleft()] if alone and not running else []

    def _result(self, future: Future[Any], what: str) -> Any:
        """Result of a job, or an error that says which; `WorkerDied` where its worker did."""
        try:
            return future.result()
        except SegprepError:
            raise
        except (Exception, CancelledError) as error:
            if cause := OUT_OF_MEMORY if isinstance(error, MemoryError) else self.executor.explain_death(error):
                return WorkerDied(f"{what}: {cause}")
            name = type(error).__name__
            if name in {"CancelledError", "FutureCancelledError", "CommClosedError"}:  # of distributed
                raise StorageError(f"{what}: {GONE}") from error
            raise JobError(f"{what}: {name}: {error}: {IS_A_BUG}") from error


def _check_use(death: WorkerDied, given_up: int, done: int) -> None:
    """Raise StorageError where workers die of whatever they are given, before all of it has been tried."""
    if not done and given_up == GIVE_UP_AFTER:
        raise StorageError(f"{death.message}; and they die of whatever else they are given")


@contextmanager
def open_executor(workers: Workers, masks: int) -> Iterator[Jobs]:
    """Those who do a run over so many masks; sent home at the end, and their unfinished jobs dropped."""
    if workers.scheduler is not None:
        with cluster(workers.scheduler) as executor:
            yield Jobs(executor)
        return
    processes = workers.processes or (1 if masks <= MAX_IN_PROCESS else _cores())
    if processes == 1:
        yield Jobs(_InProcess())
        return
    local = Processes(min(processes, masks))
    try:
        yield Jobs(local)
    finally:
        local.shutdown()


class _InProcess:
    """Runs each job at once, where it is submitted."""

    def capacity(self) -> int:
        """One."""
        return 1

    def explain_death(self, error: BaseException) -> str | None:  # noqa: ARG002 - the worker is this process
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
