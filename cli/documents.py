"""Documents that ``--json`` prints: their names, versions and contents, from which also their schemas are made.

A document is an object of JSON with ``schema``, ``schema_version`` and the fields of its content. The content is always an
object of the class that is registered here, so a document and its schema cannot differ.

Within a version keys may be added; none is removed, renamed or given another type.
"""

import json
import math
import re
from importlib import import_module
from pathlib import PurePath
from typing import Any, NamedTuple

import msgspec

_NOT_ASCII = re.compile(r"[^\n -~]")


class Document(NamedTuple):
    """Document: a summary, the class of its content as ``module:Class``, and the version of its schema."""

    summary: str
    content: str
    version: int = 1

    def content_type(self) -> Any:
        """Class of the content, a frozen struct or dataclass."""
        module, _, name = self.content.partition(":")
        return getattr(import_module(module, __package__), name)


DOCUMENTS = {
    "demo": Document("Contents and mistakes of a demo data set.", "segprep.runs.demo:DemoInfo"),
    "weights": Document("Contents of the store that was written.", ".contents:RunContents"),
    "estimate": Document("What weights --dry-run expects a run to write and need.", "segprep.runs.estimate:Estimate"),
    "check": Document("Contents and problems of a data set.", "segprep.runs.check:CheckReport"),
    "preview": Document("The report that was written.", "segprep.report.preview:Preview"),
    "info": Document("Contents of a store.", ".contents:StoreContents"),
    "recipe": Document("The command or file that makes a store again.", ".contents:Recipe"),
    "verify": Document("Damage found in a store, and what was repaired.", "segprep.runs.verify:VerifyReport"),
    "classes": Document("Class weights of a store.", ".contents:ClassWeights"),
    "split": Document("Contents of the store whose split was changed.", ".contents:StoreContents"),
    "evaluate": Document("Scores of predictions.", ".contents:Scores"),
    "completion": Document("Script that completes commands in a shell.", ".contents:Completion"),
    "formats": Document("Formats that are read.", ".contents:Formats"),
    "doctor": Document("State of the installation and of the machine.", "segprep.runs.doctor:DoctorReport"),
    "schema": Document("Names of all schemas.", ".contents:Schemas"),
    "error": Document("Error that ended a command, instead of its result.", ".failures:Failure"),
}
"""Documents by name, mostly that of the command. A new document needs a line here, and one in docs/json.md."""


def as_document(name: str, content: Any) -> str:
    """Document of this name as text."""
    document = DOCUMENTS[name]
    if type(content) is not document.content_type():
        raise TypeError(f"the document {name!r} is of {document.content}, not of {type(content).__qualname__}")
    fields = msgspec.to_builtins(content, enc_hook=_path, str_keys=True)
    return as_json({"schema": name, "schema_version": document.version} | fields)


def as_json(value: Any) -> str:
    r"""Value as indented JSON, in which the characters are escaped that terminals could obey.

    A number that JSON does not have is null. Only parameters of a target that is not part of segprep can have one.

    Examples
    --------
    >>> print(as_json({"größe\n": [float("nan"), 0.5]}))
    {
      "größe\n": [
        null,
        0.5
      ]
    }
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=2)
    return _NOT_ASCII.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text)


def _finite(value: Any) -> Any:
    """Value with None for the numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def is_path(kind: type) -> bool:
    """True for a class of paths, which are written as text."""
    return issubclass(kind, PurePath)


def _path(value: Any) -> str:
    """Path as text."""
    if not is_path(type(value)):
        raise NotImplementedError(f"{type(value).__qualname__} in a document")
    return str(value)
