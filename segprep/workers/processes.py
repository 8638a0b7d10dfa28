"""Worker processes on this machine, which end with the one that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from segprep.errors import StorageError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask for the end."""
NO_MAIN_GUARD = "worker processes die as soon as they start: a script of your own needs `if __name__ == '__main__':`"


class Processes:
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
        return ProcessPoolExecutor(1, self._context, initializer=_init_worker, initargs=(self._watched,))

    def capacity(self) -> int:
        """One job for each process."""
        return self.count

    def explain_death(self, error: BaseException) -> str | None:
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
                raise StorageError(NO_MAIN_GUARD) from error
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
    with _defer_signals():
        return pool.submit(fn, *args)


@contextmanager
def _defer_signals() -> Iterator[None]:
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


def _init_worker(parent: Connection) -> None:
    """Make this process one that ends with its parent, and not before."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: Connection) -> None:
    """End this process at once when the parent closes its end of a pipe, as it also does when it dies."""
    with suppress(EOFError, OSError):
        parent.recv_bytes()
    os._exit(1)
