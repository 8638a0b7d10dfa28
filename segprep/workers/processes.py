"""Worker processes on this machine, which end with the process that started them.

`pebble.ProcessPool` was tried: it also loses only the job whose worker dies, but its workers outlive a parent that is killed
until their job ends (25 s in the trial), so most of what is here would stay.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from segprep.errors import OptionError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a run to end."""
START_METHOD: Literal["spawn"] = "spawn"
"""How processes are started; see `Processes`."""


def can_spawn() -> bool:
    """True unless the main script has no file that a spawned process could import, as one from standard input."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    return getattr(main, "__spec__", None) is not None or path is None or Path(path).is_file()


class Processes:
    """Executor of processes on this machine, one job each; where one dies, only its job is lost, and another replaces it.

    Processes are spawned, because a fork would copy the locks of threads, and a fork server would import from the working
    directory. They ignore signals from the start, and end when their parent does, whatever ends it: the pipe that they watch
    is then closed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context = multiprocessing.get_context(START_METHOD)
        self._watched, self._held = self._context.Pipe(duplex=False)
        self._pools = [self._pool() for _ in range(count)]
        self._latest: list[Future[Any] | None] = [None] * count
        self._has_started = False

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, self._context, initializer=_init_worker, initargs=(self._watched,))

    def capacity(self) -> int:
        """One job for each process."""
        return self.count

    def explain_death(self, error: BaseException) -> str | None:
        """Cause of a worker's death; an OptionError where none can even start, as those of a script that calls itself."""
        if not isinstance(error, BrokenProcessPool):
            return None
        if not self._has_started:
            self._has_started = True
            if self.submit(os.getpid).exception() is not None:
                raise OptionError(
                    "worker processes could not import your script; put the call under if __name__ == '__main__':, "
                    "or use workers=1"
                ) from error
        return "a worker process died (out of memory?); use fewer workers"

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Give a job to an idle process; there are never more jobs than processes."""
        index = next(index for index, latest in enumerate(self._latest) if latest is None or latest.done())
        try:
            with _defer_signals():
                future = self._pools[index].submit(fn, *args)
        except BrokenProcessPool:
            self._pools[index].shutdown()
            self._pools[index] = self._pool()
            with _defer_signals():
                future = self._pools[index].submit(fn, *args)
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
