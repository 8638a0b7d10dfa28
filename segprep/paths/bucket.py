"""Paths of objects in buckets: they have the methods of `pathlib.Path` that segprep calls, and raise the same errors."""

import errno
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from segprep.paths.client import as_os_errors, client, interruptible

_WHOLE = 256 << 20
"""Objects of up to so many bytes are fetched whole when they are opened; of larger ones only what is read."""
_KEPT = 1 << 30
"""Bytes of objects that are kept while a data set is recognised."""


class Tag(NamedTuple):
    """What tells contents of an object apart: Google's conditions are about the version, those of others about the e_tag."""

    e_tag: str | None
    version: str | None


class BucketStat(NamedTuple):
    """What a listing says of an object; the names are those of `os.stat_result`."""

    st_size: int
    st_mtime_ns: int
    tag: Tag | None


@dataclass(frozen=True, order=True)
class BucketPath:
    """An object in a bucket, or all whose names begin with this one and a slash: a folder.

    Attributes
    ----------
    bucket : str
        With its scheme: ``s3://name``.
    key : PurePosixPath
        Name in the bucket; ``.`` for all of it.

    Examples
    --------
    >>> path = BucketPath("s3://cells", PurePosixPath("train/a.png"))
    >>> str(path), path.name, path.suffix, str(path.parent / "b.png")
    ('s3://cells/train/a.png', 'a.png', '.png', 's3://cells/train/b.png')
    """

    bucket: str
    key: PurePosixPath

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key.parts else self.bucket

    def __truediv__(self, name: str | PurePosixPath) -> "BucketPath":
        return BucketPath(self.bucket, self.key / name)

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
    def parent(self) -> "BucketPath":
        """Folder around it; of a whole bucket, itself."""
        return BucketPath(self.bucket, self.key.parent)

    @property
    def parents(self) -> Sequence["BucketPath"]:
        """All folders around it, the nearest first."""
        return [BucketPath(self.bucket, each) for each in self.key.parents]

    def with_name(self, name: str) -> "BucketPath":
        """Neighbour of this name."""
        return BucketPath(self.bucket, self.key.with_name(name))

    def with_suffix(self, suffix: str) -> "BucketPath":
        """Neighbour with another suffix."""
        return BucketPath(self.bucket, self.key.with_suffix(suffix))

    def absolute(self) -> "BucketPath":
        """Itself: there is no working directory in a bucket."""
        return self

    resolve = absolute

    def stat(self) -> BucketStat:
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
        return BucketStat(0, 0, None)

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
        with as_os_errors(str(self)):
            return bool(interruptible(next, client(self.bucket).list(self._prefix, chunk_size=1), ()))

    def is_symlink(self) -> bool:
        """No: buckets have no links."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Content, to be read; a large object is fetched piece by piece."""
        if mode != "rb":
            raise ValueError(f"{self}: mode {mode}: objects are opened to be read")
        if _tree_of(self) and self.stat().st_size <= _WHOLE:
            return io.BytesIO(self.read_bytes())
        with as_os_errors(str(self)):
            found = interruptible(client(self.bucket).get, str(self.key))
            if found.meta["size"] <= _WHOLE:
                return io.BytesIO(memoryview(interruptible(found.bytes)))
            from obstore import open_reader  # noqa: PLC0415 - an extra

            reader = interruptible(open_reader, client(self.bucket), str(self.key))
        return cast("BinaryIO", io.BufferedReader(_Raw(str(self), reader)))

    def read_bytes(self) -> bytes:
        """Content, whole."""
        tree = _tree_of(self)
        if tree and self.key in tree.contents:
            return tree.contents[self.key]
        with as_os_errors(str(self)):
            content = bytes(memoryview(interruptible(interruptible(client(self.bucket).get, str(self.key)).bytes)))
        if tree:
            tree.keep(self.key, content)
        return content

    def read_text(self, encoding: str) -> str:
        """Content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        """Put the object in place: whole or not at all."""
        with as_os_errors(str(self)):
            interruptible(client(self.bucket).put, str(self.key), data)

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
        with as_os_errors(str(self)):
            try:
                found = interruptible(client(self.bucket).put, str(self.key), data, mode=mode, use_multipart=False)
                return Tag(found["e_tag"], found["version"])
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return None

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the object."""
        with as_os_errors(str(self)):
            try:
                interruptible(client(self.bucket).delete, str(self.key))
            except FileNotFoundError:  # S3 does not say so
                if not missing_ok:
                    raise

    def iterdir(self) -> Iterator["BucketPath"]:
        """Objects and folders in this folder."""
        folders, files = self.listed()
        yield from (*folders, *files)

    def listed(self) -> tuple[list["BucketPath"], list["BucketPath"]]:
        """Folders and objects in this folder, by one listing."""
        if tree := _tree_of(self):
            return tree.folders.get(self.key, ([], []))
        with as_os_errors(str(self)):
            found = interruptible(client(self.bucket).list_with_delimiter, self._prefix)
        folders = [BucketPath(self.bucket, PurePosixPath(each)) for each in found["common_prefixes"]]
        files = [BucketPath(self.bucket, PurePosixPath(each["path"])) for each in found["objects"]]
        return folders, [file for file in files if file != self]

    def walk(self) -> Iterator[tuple["BucketPath", BucketStat]]:
        """Every object in this folder and below, with what the listing says of it."""
        with as_os_errors(str(self)):
            batches = client(self.bucket).list(self._prefix, chunk_size=1000)
            while batch := interruptible(next, batches, ()):
                for each in batch:
                    yield BucketPath(self.bucket, PurePosixPath(each["path"])), _stat(each)

    def remove_tree(self) -> None:
        """Remove all objects in this folder and below."""
        with as_os_errors(str(self)):
            interruptible(client(self.bucket).delete, [str(path.key) for path, _ in self.walk()])

    @property
    def _prefix(self) -> str | None:
        """What the names of all objects in this folder begin with."""
        return f"{self.key}/" if self.key.parts else None

    def _head(self) -> BucketStat:
        """What the bucket says of the object."""
        if tree := _tree_of(self):
            if self.key not in tree.stats:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
            return tree.stats[self.key]
        with as_os_errors(str(self)):
            return _stat(interruptible(client(self.bucket).head, str(self.key)))


@dataclass
class _Tree:
    """All that is in a folder of a bucket: what is in every folder and known of every object, and what was read."""

    root: BucketPath
    folders: dict[PurePosixPath, tuple[list[BucketPath], list[BucketPath]]] = field(default_factory=dict)
    stats: dict[PurePosixPath, BucketStat] = field(default_factory=dict)
    contents: dict[PurePosixPath, bytes] = field(default_factory=dict)
    kept: int = 0

    def keep(self, key: PurePosixPath, content: bytes) -> None:
        """Keep what was read, while there is room."""
        if self.kept + len(content) <= _KEPT:
            self.contents[key] = content
            self.kept += len(content)


_TREE: ContextVar[_Tree | None] = ContextVar("tree", default=None)


def _tree_of(path: BucketPath) -> _Tree | None:
    """Listing that is kept of a folder around this place."""
    tree = _TREE.get()
    inside = tree is not None and path.bucket == tree.root.bucket and path.key.is_relative_to(tree.root.key)
    return tree if inside else None


@contextmanager
def tree_kept(folder: BucketPath) -> Iterator[None]:
    """List all of a bucket's folder now, and answer from that, and from what is read, until the context ends.

    A thousand objects come with each request. Every reader looks into the folders and at the beginnings of files, and each
    look would take tens of milliseconds.
    """
    token = _TREE.set(_listed_tree(folder))
    try:
        yield
    finally:
        _TREE.reset(token)


def _listed_tree(root: BucketPath) -> _Tree:
    """Listing of a folder and all below, or of a single object.

    Consoles of providers make a folder by an empty object, whose name is then that of the folder: it is passed over.
    """
    tree = _Tree(root)
    found = list(root.walk()) or [(root, root.stat())]
    around = {each for path, _ in found for each in path.key.parents}
    for path, stat in found:
        if path.key not in around:
            tree.stats[path.key] = stat
            if path != root:
                _folder_in(tree, path.parent)[1].append(path)
    return tree


def _folder_in(tree: _Tree, folder: BucketPath) -> tuple[list[BucketPath], list[BucketPath]]:
    """Content of a folder in a tree, with all folders around it."""
    if folder.key not in tree.folders:
        tree.folders[folder.key] = ([], [])
        if folder != tree.root:
            _folder_in(tree, folder.parent)[0].append(folder)
    return tree.folders[folder.key]


class _Raw(io.RawIOBase):
    """Object that is read piece by piece, as a file of Python's own."""

    def __init__(self, path: str, reader: Any) -> None:
        super().__init__()
        self._path = path
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with as_os_errors(self._path):
            data = memoryview(interruptible(self._reader.read, len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def _stat(meta: Mapping[str, Any]) -> BucketStat:
    return BucketStat(meta["size"], int(meta["last_modified"].timestamp() * 1e9), Tag(meta["e_tag"], meta["version"]))
