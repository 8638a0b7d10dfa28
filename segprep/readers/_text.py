"""Small text files: read within a limit, decoded as UTF-8 or as typed JSON, with errors that name the file."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from segprep.errors import InputError
from segprep.masks.rle import BadRegionError
from segprep.paths.anypath import AnyPath
from segprep.paths.listing import start_of

T = TypeVar("T")

BOM = b"\xef\xbb\xbf"
"""Byte order mark of UTF-8, with which some editors begin a file."""
_PLACE = re.compile(r"\(byte ([0-9]+)\)$")
"""End of msgspec's message."""
_NO_NUMBER = re.compile(rb"-?(NaN|Infinity)")
MALFORMED = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""Errors of msgspec about a text that is not JSON of the expected type."""


def read_bytes(file: AnyPath, max_bytes: int, content: str) -> bytes:
    """Bytes of a file without a byte order mark."""
    data = start_of(file, max_bytes + 1)
    if len(data) > max_bytes:
        raise InputError(f"{file}: more than {max_bytes} bytes, which is too large for {content}")
    check_utf8(file, data)
    return data.removeprefix(BOM)


def read_text(file: AnyPath, max_bytes: int, content: str, *, fallback: str | None = None) -> str:
    """Text of a file in UTF-8, or in the encoding `fallback`; otherwise as `read_bytes`."""
    data = read_bytes(file, max_bytes, content)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback)
        raise InputError(f"{file}: not text in UTF-8: {error.reason}; save it as UTF-8") from error


def read_lines(file: AnyPath, max_bytes: int, content: str) -> list[str]:
    """Lines of a text in UTF-8 without empty ones and the space around them."""
    lines = map(str.strip, read_text(file, max_bytes, content).splitlines())
    return [line for line in lines if line]


def check_utf8(file: AnyPath, start: bytes) -> None:
    """Raise an InputError if a file begins as a text in UTF-16 or UTF-32 does."""
    if b"\0" in start[:4] or start[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise InputError(f"{file}: begins with {start[:4]!r}, as text in UTF-16 does; save it as UTF-8")


def decode(file: AnyPath, data: bytes | memoryview | str, kind: type[T], content: str) -> T:
    """JSON of a type; raw parts are views of `data`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except MALFORMED as error:
        raise InputError(f"{file}: not a valid {content}: {_reason(error, data)}; fix it or export it again") from error


def _reason(error: Exception, data: bytes | memoryview | str) -> str:
    """Text of an error; if it is about NaN or an infinity, which Python's json writes, that and its place."""
    found = _PLACE.search(str(error))
    if found is None:
        return str(error)
    start = bytes(memoryview(data.encode() if isinstance(data, str) else data)[: int(found[1]) + len("Infinity")])
    at = int(found[1]) - start[: int(found[1])].endswith(b"-")
    if not (word := _NO_NUMBER.match(start, at)):
        return str(error)
    line, column = start.count(b"\n", 0, at) + 1, at - start.rfind(b"\n", 0, at)
    return f"JSON is malformed: {word[0].decode()} at line {line}, column {column} is no JSON number"


def decodable(texts: Iterable[msgspec.Raw], kind: type[T]) -> Iterator[T]:
    """Those of several JSON texts that are of a type; the others become problems when they are loaded."""
    for text in texts:
        with suppress(*MALFORMED):
            yield msgspec.json.decode(text, type=kind)


def decode_region(data: msgspec.Raw, kind: type[T], problem: str) -> T:
    """JSON of a type, which describes one instance."""
    try:
        return msgspec.json.decode(data, type=kind)
    except MALFORMED as error:
        raise BadRegionError(problem, error) from error
