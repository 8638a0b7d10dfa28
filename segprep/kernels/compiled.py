"""Compilation of kernels: by Numba, at the first call, once per machine where the result can be kept on disk.

Importing Numba takes 0.4 s, which a command that computes nothing should not spend; so it is imported here alone, when the
first kernel runs.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, update_wrapper
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


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
        cache = kernel._cache  # Numba has no public way to make a failing cache harmless
        save = cache.save_overload

        def save_if_there_is_room(*overload: Any) -> None:
            with suppress(OSError):
                save(*overload)

        cache.save_overload = save_if_there_is_room
        return kernel


def compiled(function: F) -> F:
    """Compile `function` to machine code that releases the interpreter's lock.

    The machine code is kept on disk for the next process. Without a folder for it, or without room, each process compiles
    for itself.
    """
    return cast("F", _Kernel(function))
