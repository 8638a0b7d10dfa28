"""Connections to buckets by obstore, the Python interface of Apache's object_store: an extra, imported only for buckets.

It is one package without dependencies, has conditional writes, which the lease of a store needs, and keeps no listings that
could be out of date.

Each process finds its credentials where the provider's tools look for them: none is ever part of a path, a job or a message.
"""

import errno
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from segprep.errors import OptionError
from segprep.paths.version import ReplacedError

T = TypeVar("T")
R = TypeVar("R")

_OBSTORE_READS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
"""Environment variables by which obstore itself finds credentials."""
_REQUESTS = 32
"""Requests at the same time: latency is most of the time that each takes."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Environment variables that name another server than the provider's, by the scheme of addresses."""


def client(address: str) -> Any:
    """Connection to a bucket, or to a folder in it; each process makes its own.

    A process that was forked from one with connections lacks their threads, and would wait for ever: OSError.
    """
    _OWNER.setdefault("process", os.getpid())
    if _OWNER["process"] != os.getpid():
        raise OSError(
            errno.EPERM, "this process was forked from one that reads buckets; start it by spawn or forkserver", address
        )
    return _connected(address)


_OWNER: dict[str, int] = {}
"""Process that made the first connection."""


@lru_cache(maxsize=64)
def _connected(address: str) -> Any:
    from obstore.store import from_url  # noqa: PLC0415 - an extra

    for name in _ENDPOINTS.get(address.partition("://")[0], ()):
        value = os.environ.get(name)
        if value and not value.lower().startswith(("http://", "https://")):  # would end obstore by a panic
            raise OptionError(f"{name}: must begin with http:// or https://")
    return from_url(address, **_credentials(address))


def _credentials(address: str) -> dict[str, Any]:
    """Credentials from AWS's configuration files, which obstore does not read, where boto3 is installed."""
    if not address.startswith("s3://") or any(os.environ.get(name) for name in _OBSTORE_READS):
        return {}
    try:
        from boto3 import Session  # type: ignore[import-untyped]  # noqa: PLC0415 - part of the extra
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]  # noqa: PLC0415
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError:
        return {}
    try:
        session = Session()
        if session.get_credentials() is None:
            return {}
    except BotoCoreError as error:  # such as a missing profile
        raise OptionError(f"{address}: AWS's configuration: {error}") from error
    region = {"region": session.region_name} if session.region_name else {}
    return {"credential_provider": Boto3CredentialProvider(session), **region}


def interruptible(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Result of a call that waits for the network, which signals can interrupt.

    Python handles signals in its main thread, and only after a call into native code has returned, which may try for minutes
    to reach a server. So the main thread has another thread call, and waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments, **options)
    return map_requests(lambda _: function(*arguments, **options), [None])[0]


def map_requests(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Results of a call for each item, at most `_REQUESTS` at the same time; signals can interrupt it.

    The threads end with the process, whatever they wait for; it would wait for those of an executor.
    """
    calls: list[tuple[Future[R], T]] = [(Future(), item) for item in items]
    waiting = deque(calls)

    def call() -> None:
        while waiting:
            try:
                future, item = waiting.popleft()
            except IndexError:  # another thread has taken it
                return
            try:
                future.set_result(function(item))
            except BaseException as error:  # noqa: BLE001 - the future carries it
                future.set_exception(error)

    for _ in range(min(_REQUESTS, len(calls))):
        threading.Thread(target=call, daemon=True).start()
    return [future.result() for future, _ in calls]


@contextmanager
def as_os_errors(path: object) -> Iterator[None]:
    """Turn errors of obstore into those that the system raises for files; others pass.

    Zarr calls obstore too, where a store is in a bucket.
    """
    try:
        yield
    except FileNotFoundError as error:
        if error.errno is not None:
            raise
        raise missing(path) from None
    except Exception as error:
        if type(error).__module__ != "obstore.exceptions":
            raise
        is_denied = type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}
        raise OSError(errno.EACCES if is_denied else errno.EHOSTUNREACH, _reason(error), str(path)) from None


@contextmanager
def replaced_errors(path: object) -> Iterator[None]:
    """Turn errors of a request for a version that an object no longer has into ReplacedError."""
    from obstore.exceptions import PreconditionError  # noqa: PLC0415 - an extra

    try:
        yield
    except PreconditionError:
        raise ReplacedError(str(path)) from None


def missing(path: object) -> FileNotFoundError:
    """Error of the system for a file that is not there."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _reason(error: Exception) -> str:
    """Reason in a message of obstore, without queries, which may contain signatures, and without passwords of servers.

    >>> _reason(Exception("Generic S3 error: Error performing PUT http://h/b in 9ms - Server returned non-2xx status code: "
    ...                   "404 Not Found: <?xml?><Error><Message>There is no such bucket</Message></Error>"))
    '404 Not Found: There is no such bucket'
    >>> _reason(Exception("Error performing GET http://me:pw@h/b?signature=x in 9ms - HTTP error: error sending request"))
    'Error performing GET http://h/b in 9ms - HTTP error: error sending request'
    """
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d+[A-Za-z ]*)", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    reason = ": ".join(" ".join(match[1].split()) for match in (status, message) if match)
    return re.sub(r"\?[^\s\"']*|(?<=://)[^/\s@]*@", "", reason or text.partition("\n")[0])
