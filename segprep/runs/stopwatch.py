"""Time and memory of the jobs that read and compute a sample of masks."""

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heapreplace
from typing import Any, NamedTuple

from segprep.kernels.compiled import compile_seconds
from segprep.runs.memory import resident
from segprep.workers.jobs import Executor

LONG = 1.0
"""Seconds of a first call from which on it is not made again to learn what later ones take."""
_called: set[Callable[..., Any]] = set()
"""Functions of which this process has made the first call."""


class Timing(NamedTuple):
    """Time and memory of a job in its process.

    `seconds` are those of a call, `first` those that only the first call of a function takes beside, such as those of imports,
    without those of compilation, `compiled`; `total` are all. `cpu` is the CPU time of a call in seconds, and `cpu_first` that
    of the process until the first call, and of what only this does. `resident` is the memory of the process in bytes after
    the call, and `process` its number.
    """

    total: float
    seconds: float
    first: float
    compiled: float
    cpu: float
    cpu_first: float
    resident: int
    process: int


def timed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Timing]:
    """Result of a call and its timing; the first call of a function in a process is made twice."""
    before, cpu_before, start = compile_seconds(), time.process_time(), time.perf_counter()
    result = function(*arguments)
    total, compiled = time.perf_counter() - start, compile_seconds() - before
    cpu, seconds, first, cpu_first = time.process_time() - cpu_before, total - compiled, 0.0, 0.0
    if function not in _called and cpu - compiled < LONG:
        result = function(*arguments)
        again, cpu_again = time.perf_counter() - start - total, time.process_time() - cpu_before - cpu
        cpu_first = max(0.0, cpu - cpu_again - compiled) + (0 if _called else cpu_before)
        first, seconds, total, cpu = max(0.0, seconds - again), again, total + again, cpu_again
    _called.add(function)
    return result, Timing(total, seconds, first, compiled, cpu, cpu_first, resident(), os.getpid())


@dataclass(frozen=True, eq=False)
class Stopwatch:
    """Executor that measures the jobs of another one; `timings` has the function, arguments and timing of each."""

    executor: Executor
    timings: list[tuple[Callable[..., Any], tuple[Any, ...], Timing]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def capacity(self) -> int:
        """Capacity of the executor."""
        return self.executor.capacity()

    def explain_death(self, error: BaseException) -> str | None:
        """Explanation of the executor."""
        return self.executor.explain_death(error)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Start a job, whose future has the result alone."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it cannot be cancelled
        start = time.perf_counter()

        def end(inner: Future[Any]) -> None:
            try:
                result, timing = inner.result()
            except BaseException as error:  # noqa: BLE001 - the future carries it
                future.set_exception(error)
                return
            self.timings.append((fn, args, timing))
            self.waits.append(time.perf_counter() - start - timing.total)
            future.set_result(result)

        self.executor.submit(timed, fn, args).add_done_callback(end)
        return future

    @property
    def start_seconds(self) -> float:
        """Seconds until a worker is ready: its start, imports, and the loading of kernels."""
        return max(self.waits, default=0) + self._firsts("first")

    @property
    def start_cpu(self) -> float:
        """CPU seconds of the same, with those of this process until then if the jobs are done in it."""
        return self._firsts("cpu_first")

    def _firsts(self, name: str) -> float:
        """Sum of a figure of the first calls of a process, of the one that has most."""
        of_process: dict[int, float] = {}
        for _, _, timing in self.timings:
            of_process[timing.process] = of_process.get(timing.process, 0) + getattr(timing, name)
        return max(of_process.values(), default=0)

    @property
    def compile_seconds(self) -> float:
        """Seconds of compilation of the process that has compiled longest."""
        return max((timing.compiled for _, _, timing in self.timings), default=0)

    @property
    def resident(self) -> int:
        """Memory of an idle worker in bytes."""
        return min((timing.resident for _, _, timing in self.timings), default=resident())

    def seconds_of_masks(self, own: Callable[..., Any], name: str = "seconds") -> dict[str, float]:
        """Seconds for each mask, by its key, of the calls of a function, whose first argument is refs.

        `name` is ``seconds``, or ``cpu`` for CPU seconds.
        """
        seconds: dict[str, float] = {}
        for function, arguments, timing in self.timings:
            if function is own:
                for ref in (refs := arguments[0]):
                    seconds[ref.key] = seconds.get(ref.key, 0) + getattr(timing, name) / len(refs)
        return seconds


def makespan(jobs: Iterable[float], workers: int) -> float:
    """Seconds until workers have done jobs, which they take in their order.

    >>> makespan([3, 1, 1, 1], 2)
    3.0
    """
    ends = [0.0] * workers
    for seconds in jobs:
        heapreplace(ends, ends[0] + seconds)
    return max(ends)
