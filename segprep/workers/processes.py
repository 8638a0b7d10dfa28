"""Worker processes on this machine, which end with the process that started them.

`pebble.ProcessPool` was tried: it also loses only the job whose worker dies, but its workers outlive a parent that is killed
until their job ends (25 s in the trial), so most of what is here would stay.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import spawn
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Literal

from segprep.workers.calls import call, pickled

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a run to end."""
START_METHOD: Literal["spawn"] = "spawn"
"""How processes are started; see `Processes`."""


_STARTING = threading.Lock()


class _Process(SpawnProcess):
    """Process that does not import the main script; see `segprep.workers.calls`."""

    @staticmethod
    def _Popen(process: Any) -> Any:  # noqa: N802 - the name in multiprocessing
        preparation = spawn.get_preparation_data

        def without_main(name: str) -> dict[str, Any]:
            return {key: value for key, value in preparation(name).items() if not key.startswith("init_main")}

        with _STARTING:
            spawn.get_preparation_data = without_main
            try:
                return SpawnProcess._Popen(process)
            finally:
                spawn.get_preparation_data = preparation


class _Context(SpawnContext):
    Process = _Process


class Processes:
    """Executor of processes on this machine, one job each; where one dies, only its job is lost, and another replaces it.

    Processes are spawned, because a fork would copy the locks of threads, and a fork server would import from the working
    directory. They ignore signals from the start, and end when their parent does, whatever ends it: the pipe that they watch
    is then closed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context = _Context()
        self._watched, self._held = self._context.Pipe(duplex=False)
        self._pools = [self._pool() for _ in range(count)]
        self._latest: list[Future[Any] | None] = [None] * count

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, initializer=_init_worker, initargs=(self._watched,))

    def capacity(self) -> int:
        """One job for each process."""
        return self.count

    def explain_death(self, error: BaseException) -> str | None:
        """Cause of a worker's death."""
        return (
            "a worker process died (out of memory?); use fewer workers"
            if isinstance(error, BrokenProcessPool)
            else None
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give a job to an idle process; there are never more jobs than processes."""
        job = pickled(fn, args)
        index = next(index for index, latest in enumerate(self._latest) if latest is None or latest.done())
        try:
            with _defer_signals():
                future = self._pools[index].submit(call, job)
        except BrokenProcessPool:
            self._pools[index].shutdown()
            self._pools[index] = self._pool()
            with _defer_signals():
                future = self._pools[index].submit(call, job)
        self._latest[index] = future
        return future

    def close(self) -> None:
        """End all processes, also in the middle of a job."""
        self._held.close()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        self._watched.close()


@contextmanager
def _defer_signals() -> Iterator[None]:
    """Handle signals when the context ends: in the middle of a start, one would leave a process that waits for its job.

    A process that is started meanwhile has them blocked. That is not enough for this one: a thread of some library may get
    them, and Python then calls the handler all the same.
    """
    received: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handled = [number for number in SIGNALS if is_main and signal.getsignal(number) not in {signal.SIG_IGN, None}]
    handlers = {number: signal.signal(number, lambda number, _: received.append(number)) for number in handled}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for first in received[:1]:
            signal.raise_signal(signal.Signals(first))


def _init_worker(parent: Connection) -> None:
    """Let this process end with its parent, and not before, and use one core."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for variable in ("OPENCV_FOR_THREADS_NUM", "OPENBLAS_NUM_THREADS"):  # read when OpenCV and NumPy are first used
        os.environ.setdefault(variable, "1")  # there is a process per core
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: Connection) -> None:
    """End this process when the parent's end of a pipe is closed, as it is when the parent dies."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)
