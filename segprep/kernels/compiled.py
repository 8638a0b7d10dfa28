"""How kernels are compiled: once on a machine where that is possible."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` to machine code that runs without the interpreter's lock, kept on disk for the next process.

    A container may have no folder to keep it in: then each process compiles for itself.
    """
    try:
        return cast("F", njit(nogil=True, cache=True)(function))
    except RuntimeError:
        return cast("F", njit(nogil=True)(function))
