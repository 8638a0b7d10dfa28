"""`segprep schema`: JSON Schemas of what ``--json`` prints."""

import inspect
from collections.abc import Sequence
from typing import Any

import click
from click.formatting import HelpFormatter

from . import documents, fields, options
from .documents import DOCUMENTS
from .output import print_result

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command(cls=options.Command)
@click.argument("name", required=False, type=options.Choice(list(DOCUMENTS)), metavar="[NAME]")
@options.output
def schema(name: str | None = None, as_json: bool = False) -> None:
    """Print the JSON Schema of what a command prints with --json.

    NAME is the name of the command, or error: a command that fails prints that document. Without NAME, list the schemas.
    """
    from .contents import Schemas  # noqa: PLC0415 - half a second, not for --help

    summaries = {key: document.summary for key, document in DOCUMENTS.items()}
    if name is not None:
        print_result(documents.as_json(schema_of(name)))
    elif as_json:
        print_result(documents.as_document("schema", Schemas(summaries)))
    else:
        formatter = HelpFormatter(width=100)
        formatter.write_dl(list(summaries.items()))
        print_result(formatter.getvalue().rstrip())


def schema_of(name: str) -> dict[str, Any]:
    """JSON Schema of the document of this name, from the types of its content.

    Examples
    --------
    >>> made = schema_of("classes")
    >>> made["properties"]["schema"], made["required"]
    ({'const': 'classes'}, ['schema', 'schema_version', 'formula', 'vector', 'weights'])
    """
    import msgspec  # noqa: PLC0415 - not for --help

    document = DOCUMENTS[name]
    (content,), definitions = msgspec.json.schema_components(
        [document.content_type()], schema_hook=_path_schema, ref_template="#/$defs/{name}"
    )
    made = {key: _described(definition) for key, definition in definitions.items()}
    own = made.pop(content["$ref"].rpartition("/")[2])
    properties = {"schema": {"const": name}, "schema_version": {"const": document.version}, **own["properties"]}
    head = {"$schema": DIALECT, "title": f"segprep {name}", "description": document.summary}
    return head | _object(properties) | ({"$defs": made} if made else {})


def _described(definition: dict[str, Any]) -> dict[str, Any]:
    """Definition of a type whose keys are all there, with the descriptions of its docstring."""
    if "properties" not in definition:  # as a tuple with names
        return definition
    text = inspect.cleandoc(definition.get("description", ""))
    properties = {key: _without_default(value) for key, value in definition["properties"].items()}
    for names, description in fields.entries(text):
        for name in filter(properties.__contains__, names):
            properties[name] = {"description": description} | properties[name]
    summary = " ".join(text.partition("\n\nAttributes\n")[0].replace("`", "").split())
    unset = [
        key
        for key, value in definition["properties"].items()
        if key not in definition["required"] and "default" not in value
    ]
    return {"title": definition["title"]} | ({"description": summary} if summary else {}) | _object(properties, unset)


def _object(properties: dict[str, Any], unset: Sequence[str] = ()) -> dict[str, Any]:
    """Schema of an object that has these properties, but may lack those of `unset`, and perhaps some of a later version."""
    return {"type": "object", "properties": properties, "required": [key for key in properties if key not in unset]}


def _without_default(value: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key != "default"}


def _path_schema(kind: type) -> dict[str, Any]:
    """Schema of a path, which is written as text."""
    if not documents.is_path(kind):
        raise NotImplementedError
    return {"type": "string"}
