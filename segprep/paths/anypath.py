"""Paths of data and stores: files and folders of this machine, or objects in a bucket.

Readers and the store work on either by the methods of `pathlib.Path`; `segprep.paths.files.storage` has the operations that
`pathlib` lacks.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from segprep.errors import OptionError
from segprep.paths.bucket import BucketPath

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<bucket>[^/]*)/*(?P<key>.*)", re.DOTALL)

AnyPath: TypeAlias = Path | BucketPath
"""Path on this machine or in a bucket."""


def parse_path(path: "str | os.PathLike[str] | BucketPath", name: str = "path") -> AnyPath:
    """Path that a user gives as parameter `name`, without credentials, of a disk or a bucket that segprep knows.

    >>> parse_path("data/a.png")
    PosixPath('data/a.png')
    >>> parse_path("ftp://host/a.png")
    Traceback (most recent call last):
    segprep.errors.OptionError: ftp://host/a.png: segprep reads and writes only s3://, gs:// and az://
    """
    if isinstance(path, BucketPath):
        return path
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"{name}={path!r}: must be a path")
    text = os.fspath(path)
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return Path(text)
    scheme, bucket, key = match["scheme"].lower(), match["bucket"], match["key"]
    if "@" in bucket or "?" in text:
        raise OptionError(
            f"{scheme}://...: contains credentials or a query; give credentials as the provider's tools take them"
        )
    if scheme not in {"s3", "gs", "az"}:
        raise OptionError(f"{text}: segprep reads and writes only s3://, gs:// and az://")
    if not bucket:
        raise OptionError(f"{text}: names no bucket")
    try:
        import obstore  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise OptionError(f"{text}: buckets need obstore; install it with: pip install 'segprep[cloud]'") from None
    parsed = BucketPath(f"{scheme}://{bucket}", PurePosixPath(key))
    if any(part in {"..", "/"} for part in parsed.key.parts):
        raise OptionError(f"{text}: contains ..; give the path without it")
    return parsed


def is_within(path: AnyPath, folder: AnyPath) -> bool:
    """True if a path is a folder itself, or lies in it."""
    outer = folder.absolute().parts
    return path.absolute().parts[: len(outer)] == outer


def leads_out(name: str) -> bool:
    r"""True if a name would lead out of the folder of the data as a path: absolute, with a drive, or through ``..``.

    Examples
    --------
    >>> [leads_out(name) for name in ("a/b.png", "/a.png", "../a.png", r"C:\a.png", "a..png")]
    [False, True, True, True, False]
    """
    return name[:1] in {"/", "\\"} or name[1:2] == ":" or (".." in name and ".." in re.split(r"[/\\]", name))


def name_in(folder: AnyPath, path: AnyPath) -> str:
    """Path relative to a folder around it, with slashes.

    >>> name_in(Path("data"), Path("data/train/a.png"))
    'train/a.png'
    """
    return path.relative_to(folder).as_posix()  # type: ignore[arg-type]  # never one of each


def without_suffix(name: str) -> str:
    """Name without its suffix; folders stay.

    >>> without_suffix("train/a.b.png")
    'train/a.b'
    """
    return PurePosixPath(name).with_suffix("").as_posix()
