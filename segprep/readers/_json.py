"""JSON files of any size: mapped, recognised cheaply, decoded once into typed structs.

Deep nesting needs no limit of its own: msgspec (0.22) raises RecursionError at Python's limit of 1000 levels, also in parts
that it passes over or keeps raw. It took 0.1 ms, measured with 200,000 and with 20 million brackets.
"""

import mmap
from typing import TypeVar

import msgspec

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.files import storage

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"


def mapped(path: AnyPath) -> mmap.mmap | bytes:
    """Content of a file, not yet read; of an object in a bucket, read."""
    try:
        return storage(path).mapped()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def first_character(text: mmap.mmap | bytes) -> bytes:
    """First character of a JSON text."""
    return text[:64].removeprefix(_BOM).lstrip()[:1]


def has_keys(text: mmap.mmap | bytes, *keys: str) -> bool:
    """Whether all of these strings occur in a JSON text; much cheaper than decoding it."""
    return all(text.find(f'"{key}"'.encode()) >= 0 for key in keys)


def is_whole(path: AnyPath) -> bool:
    """Whether a file is JSON of any kind, to its end."""
    try:
        decoded(path, msgspec.Raw, "JSON")
    except InputError:
        return False
    return True


def decoded(path: AnyPath, kind: type[T], what: str) -> T:
    """Content of a file; raw parts are views of its map.

    Raises
    ------
    InputError
        Where the file cannot be read, or is not `what` it should be.
    """
    text = memoryview(mapped(path))
    try:
        return msgspec.json.decode(text[len(_BOM) :] if text[: len(_BOM)] == _BOM else text, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no valid {what}: {error}; mend or export it anew") from error
