"""Places of data and stores: files and folders of this machine, or objects in a bucket.

A reader or the store needs to know in a few lines alone which of the two it has: what differs is here.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeAlias

from segprep.errors import OptionError
from segprep.paths import client as connection
from segprep.paths.bucket import BucketPath, tree_kept

SCHEMES = ("s3", "gs", "az")
"""What an address of a bucket begins with."""

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<bucket>[^/]*)/*(?P<key>.*)", re.DOTALL)

AnyPath: TypeAlias = Path | BucketPath
"""Where something is, on this machine or in a bucket."""


def parse_path(path: "str | os.PathLike[str] | BucketPath") -> AnyPath:
    """Path that the user means.

    Raises
    ------
    OptionError
        Where it is an address of no kind that is known, or has credentials in it, or obstore is not installed.

    Examples
    --------
    >>> parse_path("data/a.png")
    PosixPath('data/a.png')
    >>> parse_path("ftp://host/a.png")
    Traceback (most recent call last):
    segprep.errors.OptionError: ftp://host/a.png: segprep reads and writes s3://, gs:// and az:// alone
    """
    if isinstance(path, BucketPath):
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
    found = BucketPath(f"{scheme}://{bucket}", PurePosixPath(key))
    if any(part in {"..", "/"} for part in found.key.parts):
        raise OptionError(f"{text}: has .. in it; give the plain name")
    return found


def is_within(path: AnyPath, folder: AnyPath) -> bool:
    """Whether a place is a folder, or lies in it."""
    if isinstance(path, PurePath) and isinstance(folder, PurePath):
        return path.absolute().is_relative_to(folder.absolute())
    if isinstance(path, BucketPath) and isinstance(folder, BucketPath):
        return path.bucket == folder.bucket and path.key.is_relative_to(folder.key)
    return False


@contextmanager
def listed_once(folder: AnyPath) -> Iterator[None]:
    """List all of a bucket's folder now, and answer from that until the context ends; see `segprep.paths.bucket.tree_kept`."""
    if isinstance(folder, BucketPath):
        with tree_kept(folder):
            yield
    else:
        yield


@contextmanager
def storage_words(root: AnyPath) -> Iterator[None]:
    """Translate what obstore says, where others than segprep call it, into what the system says of files."""
    if isinstance(root, BucketPath):
        with connection.as_os_errors(str(root)):
            yield
    else:
        yield


def name_in(folder: AnyPath, path: AnyPath) -> str:
    """Name of a place as seen from a folder around it, with slashes.

    Examples
    --------
    >>> name_in(Path("data"), Path("data/train/a.png"))
    'train/a.png'
    """
    if isinstance(path, BucketPath) and isinstance(folder, BucketPath):
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


def scanned(folder: AnyPath) -> tuple[list[AnyPath], list[AnyPath]]:
    """Folders and files in a folder, without links, in no order."""
    if isinstance(folder, BucketPath):
        folders, files = folder.listed()
        return [*folders], [*files]
    with os.scandir(folder) as scan:
        entries = list(scan)
    return (
        [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)],
        [folder / entry.name for entry in entries if entry.is_file(follow_symlinks=False)],
    )


def remove_tree(folder: AnyPath) -> None:
    """Remove a folder with all that is in it, if there is one."""
    if isinstance(folder, BucketPath):
        folder.remove_tree()
    elif folder.exists():
        shutil.rmtree(folder)


def total_bytes(folder: AnyPath) -> int:
    """Size of all files in a folder and below, but for hidden ones."""
    if isinstance(folder, BucketPath):
        return sum(stat.st_size for path, stat in folder.walk() if not path.name.startswith("."))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
