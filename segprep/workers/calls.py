"""Calls for worker processes, which do not import the main script.

The main script may be a notebook or come from standard input, or start a run when it is imported. What it defines is
therefore sent by value, as Dask does.
"""

import io
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from segprep.errors import OptionError

_MSGSPEC = "__msgspec_cache__"
"""Attribute in which msgspec keeps what it knows of a class; it cannot be pickled, and msgspec makes it when it needs it."""
_FAILURES = (pickle.PicklingError, AttributeError, TypeError, ValueError)
"""Errors of pickling; AttributeError for a class that a function has made."""


def pickled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Call to be made by `call` in another process, with what the main script defines by value.

    Raises
    ------
    OptionError
        If something in the call cannot be sent to another process, such as an open file.
    """
    with suppress(*_FAILURES):
        job = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        if b"__main__" not in job:
            return job
    try:
        return _by_value((function, arguments))
    except _FAILURES as error:
        raise OptionError(
            f"what the masks or targets need cannot be sent to workers: {error}; use workers=1"
        ) from error


def call(job: bytes) -> Any:
    """Result of a call that `pickled` has made; an error of a class of the main script becomes a RuntimeError."""
    function, arguments = pickle.loads(job)  # noqa: S301 - from the process that started this one
    try:
        return function(*arguments)
    except Exception as error:
        if type(error).__module__ == "__main__":  # such an error cannot be sent back
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise


def _by_value(value: Any) -> bytes:
    """Value, pickled with the classes and functions of the main script."""
    import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415 - only for what a main script defines

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, type) and _MSGSPEC in vars(value):
                delattr(value, _MSGSPEC)
            return super().reducer_override(value)

    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()
