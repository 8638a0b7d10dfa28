"""How kernels are compiled: once on a machine where that is possible."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` to machine code that runs without the interpreter's lock, kept on disk for the next process.

    A container may have no folder to keep it in, and a home no room: then each process compiles for itself.
    """
    try:
        kernel = njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return cast("F", njit(nogil=True)(function))
    kept = kernel._cache  # Numba has no other way to say that keeping is no must
    save = kept.save_overload

    def save_if_there_is_room(*overload: Any) -> None:
        with suppress(OSError):
            save(*overload)

    kept.save_overload = save_if_there_is_room
    return cast("F", kernel)
