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
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_OBSTORE_READS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
"""Variables of the environment that tell obstore itself who asks."""


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

    return from_url(address, **_credentials(address))


def _credentials(address: str) -> dict[str, Any]:
    """Credentials of AWS's configuration files, which obstore does not read, where boto3 is there to read them."""
    if not address.startswith("s3://") or any(os.environ.get(name) for name in _OBSTORE_READS):
        return {}
    try:
        from boto3 import Session  # type: ignore[import-untyped]  # noqa: PLC0415 - part of the extra
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ImportError:
        return {}
    session = Session()
    if session.get_credentials() is None:
        return {}
    region = {"region": session.region_name} if session.region_name else {}
    return {"credential_provider": Boto3CredentialProvider(session), **region}


def heard(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Result of a call that waits for the network; signals are heard meanwhile.

    Python hears them in its main thread alone, and not before a call into other code returns, which may try for minutes to
    reach a server. So the main thread has another one call, and waits for it.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments, **options)
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:  # noqa: BLE001 - the future carries it
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future.result()


@contextmanager
def translated(address: str) -> Iterator[None]:
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
    """What matters of what obstore says; without queries, which may hold what signs a request.

    Examples
    --------
    >>> _reason(Exception("Generic S3 error: Error performing PUT http://h/b in 9ms - Server returned non-2xx status code: "
    ...                   "404 Not Found: <?xml?><Error><Message>There is no such bucket</Message></Error>"))
    '404 Not Found: There is no such bucket'
    >>> _reason(Exception("Error performing GET http://h/b?signature=x in 9ms - HTTP error: error sending request"))
    'Error performing GET http://h/b in 9ms - HTTP error: error sending request'
    """
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d+[A-Za-z ]*)", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    found = ": ".join(" ".join(each[1].split()) for each in (status, message) if each)
    return re.sub(r"\?[^\s\"']*", "", found or text.partition("\n")[0])
