"""Connections to buckets, by obstore, the Python face of Apache's object_store: an extra, imported for buckets alone.

It is one package without dependencies, has conditional writes (the lease of a store needs them), and keeps no listings that
could be out of date, as fsspec does.

Credentials come from where the tools of each provider look for them, in every process anew: none is ever part of a path, a
job or a message.
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

T = TypeVar("T")
R = TypeVar("R")

_OBSTORE_READS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
"""Variables of the environment that tell obstore itself who asks."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Variables of the environment that name another server than the provider's, by the scheme of addresses."""


def client(address: str) -> Any:
    """Connection to a bucket, or to a folder in it; each process makes its own, since nothing of it is sent to others.

    Raises
    ------
    OSError
        In a process that was forked from one with connections: their threads are not in it, and it would wait for ever.
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
    """Connection to a bucket, or to a folder in it."""
    from obstore.store import from_url  # noqa: PLC0415 - an extra

    _check_endpoint(address)
    return from_url(address, **_credentials(address))


def _check_endpoint(address: str) -> None:
    """Raise OptionError where the address of the server is none, which obstore does not survive."""
    for name in _ENDPOINTS.get(address.partition("://")[0], ()):
        value = os.environ.get(name)
        if value and not value.lower().startswith(("http://", "https://")):
            raise OptionError(f"{name}: must begin with http:// or https://")


def _credentials(address: str) -> dict[str, Any]:
    """Credentials of AWS's configuration files, which obstore does not read, where boto3 is there to read them."""
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
    except BotoCoreError as error:  # such as a profile that is not there
        raise OptionError(f"{address}: AWS's configuration: {error}") from error
    region = {"region": session.region_name} if session.region_name else {}
    return {"credential_provider": Boto3CredentialProvider(session), **region}


def interruptible(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Result of a call that waits for the network; signals are heard meanwhile.

    Python hears them in its main thread alone, and not before a call into other code returns, which may try for minutes to
    reach a server. So the main thread has another one call, and waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments, **options)
    return map_requests(lambda _: function(*arguments, **options), [None], 1)[0]


def map_requests(function: Callable[[T], R], items: Sequence[T], most: int) -> list[R]:
    """Results of a call for each item, at most so many at once; signals are heard meanwhile.

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

    for _ in range(min(most, len(calls))):
        threading.Thread(target=call, daemon=True).start()
    return [future.result() for future, _ in calls]


@contextmanager
def as_os_errors(address: str) -> Iterator[None]:
    """Translate what obstore says into what the system says of files."""
    from obstore import exceptions  # noqa: PLC0415 - an extra

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, _reason(error), address) from None
    except exceptions.BaseError as error:
        raise OSError(errno.EIO, _reason(error), address) from None


def _reason(error: Exception) -> str:
    """What matters of what obstore says; without queries, which may hold what signs a request, and passwords of servers.

    Examples
    --------
    >>> _reason(Exception("Generic S3 error: Error performing PUT http://h/b in 9ms - Server returned non-2xx status code: "
    ...                   "404 Not Found: <?xml?><Error><Message>There is no such bucket</Message></Error>"))
    '404 Not Found: There is no such bucket'
    >>> _reason(Exception("Error performing GET http://me:pw@h/b?signature=x in 9ms - HTTP error: error sending request"))
    'Error performing GET http://h/b in 9ms - HTTP error: error sending request'
    """
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d+[A-Za-z ]*)", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    found = ": ".join(" ".join(each[1].split()) for each in (status, message) if each)
    return re.sub(r"\?[^\s\"']*|(?<=://)[^/\s@]*@", "", found or text.partition("\n")[0])
