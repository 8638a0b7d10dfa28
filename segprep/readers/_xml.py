"""XML files of annotations, parsed by expat alone, which builds no tree and opens no other file.

A document type is refused, since only there can entities be defined; defusedxml does the same, but a dependency for one
handler is not worth it.
"""

from collections.abc import Callable
from xml.parsers import expat

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.readers._text import read_bytes

_DEPTH = 32
"""Largest depth of elements; those of annotations have fewer than 10."""

Tags = tuple[str, ...]


def parse_xml(
    file: AnyPath,
    *,
    start: Callable[[Tags, dict[str, str]], None],
    end: Callable[[Tags, str], None],
    max_bytes: int,
    content: str,
) -> None:
    """Parse a file, calling functions for its elements.

    Parameters
    ----------
    start : callable
        Called at the start of each element with its tags, from the root on, and its attributes.
    end : callable
        Called at its end with its tags and the text in it, without that of elements in it.
    max_bytes : int
        Refuse larger files.
    content : str
        The content that is expected, for messages.

    Raises
    ------
    InputError
        If the file is too large, is no valid XML, has a document type, or is nested too deeply.
    """
    tags: list[str] = []
    texts: list[list[str]] = []

    def started(tag: str, attributes: dict[str, str]) -> None:
        if len(tags) == _DEPTH:
            raise InputError(f"{file}: elements are nested deeper than {_DEPTH}; export it again")
        tags.append(tag)
        texts.append([])
        start(tuple(tags), attributes)

    def read(text: str) -> None:
        texts[-1].append(text)

    def ended(_: str) -> None:
        end(tuple(tags), "".join(texts.pop()))
        tags.pop()

    def document_type(*_: object) -> None:
        raise InputError(f"{file}: has a document type, which may define entities; remove <!DOCTYPE ...>")

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = read
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(read_bytes(file, max_bytes, content), True)
    except expat.ExpatError as error:
        raise InputError(f"{file}: not valid XML: {error}; fix it or export it again") from error
