"""Compilation of kernels: by Numba, at the first call, once per machine where the result can be kept on disk.

Importing Numba takes 0.4 s, which a command that computes nothing should not spend; so it is imported here alone, when the
first kernel runs.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial, update_wrapper
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_HELD: set[str] = set()
"""Folders whose lock this process holds; changed under Numba's lock alone."""
_SAVED: set[str] = set()
"""Folders in which machine code was kept since the last compilation began."""
_kept_seconds = 0.0
"""Seconds that this process has compiled what is kept on disk, or waited for another one that did."""


def compile_seconds() -> float:
    """Seconds that this process has spent on the compilation of kernels, which later processes only load."""
    return _kept_seconds


class _Kernel:
    """Function that is compiled when it is first called, from Python or from another kernel."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self._dispatcher(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """Type by which Numba resolves a call from another kernel."""
        return self._dispatcher._numba_type_

    @cached_property
    def _dispatcher(self) -> Any:
        from numba import njit  # noqa: PLC0415 - slow to import

        try:
            kernel = njit(nogil=True, cache=True)(self._function)
        except RuntimeError:  # no folder for the cache, as in some containers
            return njit(nogil=True)(self._function)
        cache = kernel._cache  # Numba has no public way to make a failing cache harmless, nor a quick one
        save = cache.save_overload

        def save_if_there_is_room(*overload: Any) -> None:
            with suppress(OSError):
                save(*overload)
                _SAVED.add(cache.cache_path)

        cache.save_overload = save_if_there_is_room
        if hasattr(cache, "_load_overload"):  # else another version of Numba
            cache.load_overload = partial(_load_kept, cache, cache.load_overload)
        kernel.compile = partial(_compile_once, kernel.compile, cache.cache_path)
        return kernel


def _compile_once(compile_kernel: Callable[..., Any], folder: str, *signature: Any) -> Any:
    """Machine code of a kernel, loaded or compiled; while another process compiles for the same folder, wait for its result.

    Otherwise all workers would compile the same kernels in the first run: 12 s of each core.
    """
    from numba.core.compiler_lock import global_compiler_lock  # noqa: PLC0415 - slow to import

    global _kept_seconds  # noqa: PLW0603 - of the process
    asked = time.perf_counter()
    with global_compiler_lock, _locked(folder) as is_outer:
        began = time.perf_counter()
        try:
            return compile_kernel(*signature)
        finally:
            if is_outer:  # with the wait for another process, and without the time in which this one only loaded
                _kept_seconds += (time.perf_counter() if _SAVED else began) - asked
                _SAVED.clear()


@contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Hold the lock on a folder, if it can be locked; a kernel that calls others is compiled with them, under one lock.

    False if it was held already.
    """
    if folder in _HELD:
        yield False
        return
    with ExitStack() as stack:
        with suppress(OSError):
            Path(folder).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _HELD.add(folder)
        stack.callback(_HELD.discard, folder)
        yield True


def _load_kept(cache: Any, load: Callable[..., Any], signature: Any, context: Any) -> Any:
    """Kept machine code of a kernel; None if there is none.

    Numba's own way, `load`, first registers all that it can compile, for which it imports half of itself and `scipy.linalg`:
    0.7 s in each process. Machine code needs only the run-time functions. Where this fails, as a newer Numba may have other
    internals, `load` remains.
    """
    with suppress(Exception):
        return _load_quickly(cache, signature, context)
    return load(signature, context)


def _load_quickly(cache: Any, signature: Any, context: Any) -> Any:
    """Result of `_load_kept`, by internals of Numba."""
    from numba.core import environment, runtime  # noqa: PLC0415 - slow to import

    runtime.rtsys.initialize(context)
    rebuild, environment._rebuild_env = environment._rebuild_env, _rebuild_environment  # Numba's lock is held
    try:
        return cache._load_overload(signature, context)
    finally:
        environment._rebuild_env = rebuild


def _rebuild_environment(module: str, constants: list[Any], name: str) -> Any:
    """Environment of a compiled function without its module, whose names only code for Python objects looks up."""
    from numba.core.environment import Environment, lookup_environment  # noqa: PLC0415 - slow to import

    found = lookup_environment(name)
    if found is None:
        found = Environment(vars(sys.modules[module]) if module in sys.modules else {"__name__": module})
        found.consts[:] = constants
        found.env_name = name
        Environment._memo[name] = found
    return found


def cache_folder(kernel: Callable[..., Any]) -> Path | None:
    """Folder in which the machine code of a kernel and of those beside it is kept; None if each process compiles them."""
    path = cast("_Kernel", kernel)._dispatcher.stats.cache_path
    return None if path is None else Path(path)


def compiled(function: F) -> F:
    """Compile `function` to machine code that releases the interpreter's lock.

    The machine code is kept on disk for the next process. Without a folder for it, or without room, each process compiles
    for itself.
    """
    return cast("F", _Kernel(function))
