"""JSON files of any size: mapped, recognised cheaply, decoded once into typed structs.

Deep nesting needs no extra limit: msgspec (0.22) raises RecursionError at Python's limit of 1000 levels, also in parts
that it skips or keeps raw. It took 0.1 ms, measured with 200,000 and with 20 million brackets.
"""

import logging
import mmap
from typing import TypeVar

import msgspec
import numpy as np

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.paths.bucket import BucketPath
from segprep.paths.files import storage
from segprep.readers._text import BOM, decode

logger = logging.getLogger(__name__)
T = TypeVar("T")

_LARGE = 2**25
"""Bytes of a file whose decoding is a step in the log: it may take a second."""
_END = 2**18
"""Bytes at the start and at the end of a large text in which the keys of its format are looked for first."""
_ONE_IMAGE = 2**26
"""Bytes of the largest file about one image; a search of every COCO file for the keys of each format would take seconds."""


def mapped(path: AnyPath) -> mmap.mmap | bytes:
    """Content of a file, not yet read; of an object in a bucket, read."""
    try:
        return storage(path).mapped()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _read(path: AnyPath) -> memoryview:
    """Content of a file, read; NumPy takes large pages of memory, which cost half the time of small ones."""
    if isinstance(path, BucketPath):
        return memoryview(path.read_bytes())
    try:
        return np.fromfile(path, np.uint8).data
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def first_character(text: mmap.mmap | bytes) -> bytes:
    """First character of a JSON text."""
    return text[:64].removeprefix(BOM).lstrip()[:1]


def has_keys(text: mmap.mmap | bytes, *keys: str) -> bool:
    """True if all of these strings occur in a JSON text; much cheaper than decoding it."""
    return all(text.find(f'"{key}"'.encode()) >= 0 for key in keys)


def is_object_with(text: mmap.mmap | bytes, *keys: str) -> bool:
    """True if a JSON text looks like an object in which all of these keys occur; much cheaper than decoding it."""
    return first_character(text) == b"{" and has_keys(text, *keys)


def is_object_about(text: mmap.mmap | bytes, *keys: str) -> bool:
    """True as by `is_object_with`, for keys of which one occurs near the start or the end of a large text.

    So a large file of another format is not searched completely.
    """
    return (len(text) <= _ONE_IMAGE or any(_is_at_end(text, key) for key in keys)) and is_object_with(text, *keys)


def is_image_with(path: AnyPath, *keys: str) -> bool:
    """True if a file looks like a JSON object about one image in which all of these keys occur; larger files are not read."""
    if path.suffix.lower() != ".json":
        return False
    text = mapped(path)
    return len(text) <= _ONE_IMAGE and is_object_with(text, *keys)


def _is_at_end(text: mmap.mmap | bytes, key: str) -> bool:
    """True if a key occurs near the start or the end of a text."""
    sought = f'"{key}"'.encode()
    return text.find(sought, 0, _END) >= 0 or text.find(sought, max(0, len(text) - _END)) >= 0


def is_json(path: AnyPath) -> bool:
    """True if a file is JSON of any kind, to its end."""
    try:
        decode_file(path, msgspec.Raw, "JSON file")
    except InputError:
        return False
    return True


def decode_file(path: AnyPath, kind: type[T], content: str, *, keep: bool = False) -> T:
    """Content of a JSON file; raw parts are views of its map, or of its bytes if the parts are kept after this call."""
    text = _read(path) if keep else memoryview(mapped(path))
    if len(text) >= _LARGE:
        logger.info("reading %s (%.0f MB)", path, len(text) / 1e6)
    return decode(path, text[len(BOM) :] if text[: len(BOM)] == BOM else text, kind, content)
