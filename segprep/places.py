"""Places of data and stores: files and folders of this machine, or objects in a bucket (``s3://``, ``gs://``, ``az://``).

An object's path has the methods of `pathlib.Path` that segprep calls, and the same errors, so that a reader or the store needs
to know in a few lines alone which of the two it has. Buckets are reached by obstore, the Python face of Apache's object_store:
one package without dependencies, with conditional writes (the lock needs them) and without a cache of listings that could be
out of date (fsspec keeps one). It is an extra, and imported for buckets alone.

Credentials come from where the tools of each provider look for them, in every process anew: none is ever part of a path, a
job or a message.
"""

import errno
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from segprep.errors import OptionError

SCHEMES = ("s3", "gs", "az")
"""What an address of a bucket begins with."""

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<bucket>[^/]*)/*(?P<key>.*)", re.DOTALL)
_WHOLE = 256 << 20
"""Objects of up to so many bytes are fetched whole when they are opened; of larger ones only what is read."""

_OBSTORE_READS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
"""Variables of the environment that tell obstore itself who asks."""
_KEPT = 1 << 30
"""Bytes of objects that are kept while a data set is recognised."""


class Tag(NamedTuple):
    """What tells contents of an object apart: Google's conditions are about the version, those of others about the e_tag."""

    e_tag: str | None
    version: str | None


class ObjectStat(NamedTuple):
    """What a listing says of an object; the names are those of `os.stat_result`."""

    st_size: int
    st_mtime_ns: int
    tag: Tag | None


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object in a bucket, or all whose names begin with this one and a slash: a folder.

    Attributes
    ----------
    bucket : str
        With its scheme: ``s3://name``.
    key : PurePosixPath
        Name in the bucket; ``.`` for all of it.

    Examples
    --------
    >>> path = ObjectPath("s3://cells", PurePosixPath("train/a.png"))
    >>> str(path), path.name, path.suffix, str(path.parent / "b.png")
    ('s3://cells/train/a.png', 'a.png', '.png', 's3://cells/train/b.png')
    """

    bucket: str
    key: PurePosixPath

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key.parts else self.bucket

    def __truediv__(self, name: str | PurePosixPath) -> "ObjectPath":
        return ObjectPath(self.bucket, self.key / name)

    @property
    def name(self) -> str:
        """Last part of the name; that of the bucket for all of it."""
        return self.key.name or self.bucket.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """End of the name from its last point on."""
        return PurePosixPath(self.name).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """Bucket, and the parts of the name."""
        return (self.bucket, *self.key.parts)

    @property
    def parent(self) -> "ObjectPath":
        """Folder around it; of a whole bucket, itself."""
        return ObjectPath(self.bucket, self.key.parent)

    @property
    def parents(self) -> Sequence["ObjectPath"]:
        """All folders around it, the nearest first."""
        return [ObjectPath(self.bucket, each) for each in self.key.parents]

    def with_name(self, name: str) -> "ObjectPath":
        """Neighbour of this name."""
        return ObjectPath(self.bucket, self.key.with_name(name))

    def with_suffix(self, suffix: str) -> "ObjectPath":
        """Neighbour with another suffix."""
        return ObjectPath(self.bucket, self.key.with_suffix(suffix))

    def absolute(self) -> "ObjectPath":
        """Itself: there is no working directory in a bucket."""
        return self

    resolve = absolute

    def stat(self) -> ObjectStat:
        """Size and time of the last change; a folder has neither.

        Raises
        ------
        FileNotFoundError
            Where there is nothing.
        """
        try:
            if self.key.parts:
                return self._head()
        except FileNotFoundError:
            pass
        if not self.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return ObjectStat(0, 0, None)

    lstat = stat

    def exists(self) -> bool:
        """Whether there is an object of this name, or one in a folder of this name."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        try:
            return bool(self.key.parts) and self._head() is not None
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Whether there are objects in a folder of this name."""
        if tree := _tree_of(self):
            return self.key in tree.folders
        with translated(self):
            return any(len(batch) > 0 for batch in _client(self.bucket).list(self._prefix, chunk_size=1))

    def is_symlink(self) -> bool:
        """No: buckets have no links."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Content, to be read; a large object is fetched piece by piece."""
        if mode != "rb":
            raise ValueError(f"{self}: mode {mode}: objects are opened to be read")
        if _tree_of(self) and self.stat().st_size <= _WHOLE:
            return io.BytesIO(self.read_bytes())
        with translated(self):
            found = _client(self.bucket).get(str(self.key))
            if found.meta["size"] <= _WHOLE:
                return io.BytesIO(memoryview(found.bytes()))
            from obstore import open_reader  # noqa: PLC0415 - an extra

            return cast("BinaryIO", io.BufferedReader(_Raw(open_reader(_client(self.bucket), str(self.key)))))

    def read_bytes(self) -> bytes:
        """Content, whole."""
        tree = _tree_of(self)
        if tree and self.key in tree.contents:
            return tree.contents[self.key]
        with translated(self):
            content = bytes(memoryview(_client(self.bucket).get(str(self.key)).bytes()))
        if tree:
            tree.keep(self.key, content)
        return content

    def read_text(self, encoding: str) -> str:
        """Content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        """Put the object in place: whole or not at all."""
        with translated(self):
            _client(self.bucket).put(str(self.key), data)

    def put_if(self, data: bytes, tag: Tag | None) -> Tag | None:
        """Put the object in place if there is none, or only the very one with this tag; its new tag, or None.

        Raises
        ------
        OSError
            Where the bucket's provider has no conditional writes.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError  # noqa: PLC0415 - an extra

        mode: Any = "create"
        if tag is not None:
            mode = {name: value for name, value in tag._asdict().items() if value is not None}
        with translated(self):
            try:
                found = _client(self.bucket).put(str(self.key), data, mode=mode, use_multipart=False)
                return Tag(found["e_tag"], found["version"])
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the object."""
        with translated(self):
            try:
                _client(self.bucket).delete(str(self.key))
            except FileNotFoundError:  # S3 does not say so
                if not missing_ok:
                    raise

    def iterdir(self) -> Iterator["ObjectPath"]:
        """Objects and folders in this folder."""
        folders, files = self.listed()
        yield from (*folders, *files)

    def listed(self) -> tuple[list["ObjectPath"], list["ObjectPath"]]:
        """Folders and objects in this folder, by one listing."""
        if tree := _tree_of(self):
            return tree.folders.get(self.key, ([], []))
        with translated(self):
            found = _client(self.bucket).list_with_delimiter(self._prefix)
        folders = [ObjectPath(self.bucket, PurePosixPath(each)) for each in found["common_prefixes"]]
        files = [ObjectPath(self.bucket, PurePosixPath(each["path"])) for each in found["objects"]]
        return folders, [file for file in files if file != self]

    def walk(self) -> Iterator[tuple["ObjectPath", ObjectStat]]:
        """Every object in this folder and below, with what the listing says of it."""
        with translated(self):
            for batch in _client(self.bucket).list(self._prefix):
                for each in batch:
                    yield ObjectPath(self.bucket, PurePosixPath(each["path"])), _stat(each)

    @property
    def _prefix(self) -> str | None:
        """What the names of all objects in this folder begin with."""
        return f"{self.key}/" if self.key.parts else None

    def _head(self) -> ObjectStat:
        """What the bucket says of the object."""
        if tree := _tree_of(self):
            if self.key not in tree.stats:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            return tree.stats[self.key]
        with translated(self):
            return _stat(_client(self.bucket).head(str(self.key)))


@dataclass
class _Tree:
    """All that is in a folder of a bucket: what is in every folder and known of every object, and what was read."""

    root: ObjectPath
    folders: dict[PurePosixPath, tuple[list[ObjectPath], list[ObjectPath]]] = field(default_factory=dict)
    stats: dict[PurePosixPath, ObjectStat] = field(default_factory=dict)
    contents: dict[PurePosixPath, bytes] = field(default_factory=dict)
    kept: int = 0

    def keep(self, key: PurePosixPath, content: bytes) -> None:
        """Keep what was read, while there is room."""
        if self.kept + len(content) <= _KEPT:
            self.contents[key] = content
            self.kept += len(content)


_TREE: ContextVar[_Tree | None] = ContextVar("tree", default=None)


def _tree_of(path: ObjectPath) -> _Tree | None:
    """Listing that is kept of a folder around this place."""
    tree = _TREE.get()
    inside = tree is not None and path.bucket == tree.root.bucket and path.key.is_relative_to(tree.root.key)
    return tree if inside else None


Place: TypeAlias = Path | ObjectPath
"""Where something is, on this machine or in a bucket."""


def place(path: "str | os.PathLike[str] | ObjectPath") -> Place:
    """Place that the user means.

    Raises
    ------
    OptionError
        Where it is an address of no kind that is known, or has credentials in it, or obstore is not installed.

    Examples
    --------
    >>> place("data/a.png")
    PosixPath('data/a.png')
    >>> place("ftp://host/a.png")
    Traceback (most recent call last):
    segprep.errors.OptionError: ftp://host/a.png: segprep reads and writes s3://, gs:// and az:// alone
    """
    if isinstance(path, ObjectPath):
        return path
    text = os.fspath(path)
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, bucket, key = match["scheme"].lower(), match["bucket"], match["key"]
    if "@" in bucket or "?" in text:
        raise OptionError(
            f"{scheme}://...: has credentials or a query in it; give them as the provider's tools take them"
        )
    if scheme not in SCHEMES:
        raise OptionError(f"{text}: segprep reads and writes s3://, gs:// and az:// alone")
    if not bucket:
        raise OptionError(f"{text}: names no bucket")
    try:
        import obstore  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise OptionError(f"{text}: buckets need obstore; install it by: pip install 'segprep[cloud]'") from None
    found = ObjectPath(f"{scheme}://{bucket}", PurePosixPath(key))
    if any(part in {"..", "/"} for part in found.key.parts):
        raise OptionError(f"{text}: has .. in it; give the plain name")
    return found


def is_within(path: Place, folder: Place) -> bool:
    """Whether a place is a folder, or lies in it."""
    if isinstance(path, PurePath) and isinstance(folder, PurePath):
        return path.absolute().is_relative_to(folder.absolute())
    if isinstance(path, ObjectPath) and isinstance(folder, ObjectPath):
        return path.bucket == folder.bucket and path.key.is_relative_to(folder.key)
    return False


@contextmanager
def listed_once(folder: Place) -> Iterator[None]:
    """List all of a bucket's folder now, and answer from that, and from what is read, until the context ends.

    A thousand objects come with each request. Every reader looks into the folders and at the beginnings of files, and each
    look would take tens of milliseconds.
    """
    if not isinstance(folder, ObjectPath):
        yield
        return
    token = _TREE.set(_listed_tree(folder))
    try:
        yield
    finally:
        _TREE.reset(token)


def _listed_tree(root: ObjectPath) -> _Tree:
    """Listing of a folder and all below, or of a single object."""
    tree = _Tree(root)
    if root.is_file():
        tree.stats[root.key] = root.stat()
    for path, stat in root.walk():
        tree.stats[path.key] = stat
        _folder_in(tree, path.parent)[1].append(path)
    return tree


def _folder_in(tree: _Tree, folder: ObjectPath) -> tuple[list[ObjectPath], list[ObjectPath]]:
    """Content of a folder in a tree, with all folders around it."""
    if folder.key not in tree.folders:
        tree.folders[folder.key] = ([], [])
        if folder != tree.root:
            _folder_in(tree, folder.parent)[0].append(folder)
    return tree.folders[folder.key]


def name_in(folder: Place, path: Place) -> str:
    """Name of a place as seen from a folder around it, with slashes.

    Examples
    --------
    >>> name_in(Path("data"), Path("data/train/a.png"))
    'train/a.png'
    """
    if isinstance(path, ObjectPath) and isinstance(folder, ObjectPath):
        return path.key.relative_to(folder.key).as_posix()
    return path.relative_to(folder).as_posix()  # type: ignore[union-attr, arg-type]  # never one of each


def without_suffix(name: str) -> str:
    """Name without its suffix.

    Examples
    --------
    >>> without_suffix("train/a.b.png")
    'train/a.b'
    """
    return PurePosixPath(name).with_suffix("").as_posix()


def scanned(folder: Place) -> tuple[list[Place], list[Place]]:
    """Folders and files in a folder, without links, in no order."""
    if isinstance(folder, ObjectPath):
        folders, files = folder.listed()
        return [*folders], [*files]
    with os.scandir(folder) as scan:
        entries = list(scan)
    return (
        [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)],
        [folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False)],
    )


def remove_tree(folder: Place) -> None:
    """Remove a folder with all that is in it, if there is one."""
    if isinstance(folder, ObjectPath):
        with translated(folder):
            _client(folder.bucket).delete([str(path.key) for path, _ in folder.walk()])
    elif folder.exists():
        shutil.rmtree(folder)


def total_bytes(folder: Place) -> int:
    """Size of all files in a folder and below."""
    if isinstance(folder, ObjectPath):
        return sum(stat.st_size for _, stat in folder.walk())
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def client(path: ObjectPath) -> Any:
    """Obstore's connection to a folder in a bucket."""
    return _client(str(path))


class _Raw(io.RawIOBase):
    """Object that is read piece by piece, as a file of Python's own."""

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        data = memoryview(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def _stat(meta: Mapping[str, Any]) -> ObjectStat:
    return ObjectStat(meta["size"], int(meta["last_modified"].timestamp() * 1e9), Tag(meta["e_tag"], meta["version"]))


def _client(address: str) -> Any:
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
    named = (
        "AWS_ACCESS_KEY_ID",
        "AWS_SKIP_SIGNATURE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    )
    if not address.startswith("s3://") or any(os.environ.get(name) for name in named):
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


@contextmanager
def translated(path: Place) -> Iterator[None]:
    """Translate what obstore says into what the system says of files."""
    if not isinstance(path, ObjectPath):
        yield
        return
    from obstore import exceptions  # noqa: PLC0415 - an extra

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, _reason(error), str(path)) from None
    except exceptions.BaseError as error:
        raise OSError(errno.EIO, _reason(error), str(path)) from None


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
