"""Options of the commands, made from the fields of targets and rules.

An option has the name, the default and the type of its field; its help is the first paragraph of the field's entry under
"Attributes" in the docstring of the class. Options that are not given are not passed on: the library's defaults hold.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

import segprep
from segprep.paths.anypath import AnyPath, parse_path

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

METAVARS = {
    "canvas": "HxW",
    "class_pattern": "REGEX",
    "class_weights": "NAME|FILE",
    "clip_class_weights": "LOW,HIGH",
    "format": "NAME",
    "group": "REGEX",
    "tile": "HxW",
}
"""Forms of values, where the type of the field does not show them."""


class Option(click.Option):
    """Option under a heading of the help."""

    def __init__(self, *args: Any, heading: str = "Options", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading


class Command(click.Command):
    """Command whose help groups the options, and which passes on only those that are given."""

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command's function."""
        unset = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
        ctx.params = {name: value for name, value in ctx.params.items() if ctx.get_parameter_source(name) not in unset}
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class PathType(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """File or folder, or an address in a bucket."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AnyPath:  # noqa: ARG002
        """Parse ``data/`` or ``s3://bucket/data``."""
        return parse_path(value)


def option(name: str, heading: str, text: str, *, short: str = "", parameter: str = "", **settings: Any) -> Decorator:
    """Option with a heading and a help text; perhaps a short name such as ``-o``, and another name in Python."""
    names = filter(None, (short, name, parameter))
    return click.option(*names, cls=Option, heading=heading, help=text, **settings)


def group(*decorators: Decorator) -> Decorator:
    """Decorators as one; the first option comes first in the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def settings(heading: str, *kinds: Any, without: Iterable[str] = ()) -> Decorator:
    """Options for the settings of targets or rules; a field that several have is one option."""
    from segprep.runs.settings import setting_names, settings_of  # noqa: PLC0415 - not for `segprep --help`
    from segprep.targets import TARGETS  # noqa: PLC0415

    decorators: dict[str, Decorator] = {}
    for kind in kinds:
        hints = get_type_hints(kind)
        for field in settings_of(kind):
            if field.name not in decorators and field.name not in without:
                text = help_text(field.name, [kind for kind in (*kinds, *TARGETS) if field.name in setting_names(kind)])
                decorators[field.name] = _field_option(field.name, hints[field.name], field.default, text, heading)
    return group(*decorators.values())


def help_text(name: str, kinds: Iterable[Any]) -> str:
    """First paragraph of a field's entry, in the first class that does not point to another one.

    Examples
    --------
    >>> class Blur:
    ...     '''Blur.
    ...
    ...     Attributes
    ...     ----------
    ...     radius : int
    ...         Radius in ``pixels``.
    ...
    ...         Further remarks.
    ...     '''
    >>> help_text("radius", [Blur])
    'Radius in pixels.'
    """
    texts = [text for kind in kinds for names, text in _entries(kind) if name in names]
    return next((text for text in texts if not text.startswith("As in ")), "")


def _entries(kind: Any) -> list[tuple[list[str], str]]:
    """Names and first paragraph of each entry under "Attributes" in the docstring of a class."""
    section = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")[2]
    entries = re.findall(r"^(\w[\w, ]*) : .*\n((?: +.*(?:\n|$))+)", section, re.MULTILINE)
    return [(names.split(", "), " ".join(text.replace("`", "").split())) for names, text in entries]


def _field_option(name: str, annotation: Any, default: object, text: str, heading: str) -> Decorator:
    """Option for a field."""
    spelled = f"--{name.replace('_', '-')}"
    types = [kind for kind in get_args(annotation) if kind is not NoneType]
    if annotation is bool:
        return option(spelled, heading, text, is_flag=True, default=default)
    if get_origin(annotation) is not Literal and len(types) == 1:
        (annotation,) = types
    choices = list(get_args(annotation)) if get_origin(annotation) is Literal else _registered(name)
    if choices and name not in METAVARS:
        kind: Any = click.Choice(choices)
    else:
        kind = annotation if annotation in (int, float) else str
        text += f" Names: {', '.join(choices)}." if choices and name == "class_weights" else ""
    metavar = METAVARS.get(name)
    if metavar is None and len(types) > 1 and kind is str:
        metavar = "|".join(form for kind in types for form in get_args(kind) or [kind.__name__.upper()])
    has_default = default is not None
    return option(spelled, heading, text, type=kind, default=default, show_default=has_default, metavar=metavar)


def _registered(name: str) -> list[str]:
    """Names that a setting may have, if the library keeps a register of them."""
    from segprep.readers import READERS  # noqa: PLC0415 - not for `segprep --help`
    from segprep.targets.class_weights import FORMULAS  # noqa: PLC0415
    from segprep.targets.weights import IMAGE_RULES  # noqa: PLC0415

    return {"format": [*READERS], "class_weights": [*FORMULAS, *IMAGE_RULES]}.get(name, [])


def workers(chosen: dict[str, Any]) -> Any:
    """Workers of the options in `running`, which are taken out of those that are given."""
    return segprep.Workers(chosen.pop("workers", None), chosen.pop("scheduler", None))


data: Decorator = click.argument("data", type=PathType())
store: Decorator = click.argument("store", type=PathType())


def split(default: str) -> Decorator:
    """Option for the splits, with the words for its default."""
    text = f"Shares, or a JSON or CSV file.  [default: {default}]"
    return option("--split", "Splits", text, metavar="TRAIN,VAL,TEST|FILE")


running = group(
    option("--workers", "Running", "Processes on this machine.  [default: one per core]", type=int, metavar="N"),
    option(
        "--scheduler",
        "Running",
        "Use the Dask cluster of this scheduler, a tcp:// or tls:// address or its file.",
        metavar="ADDRESS|FILE",
    ),
)
output = group(
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    option("--debug", "Options", "Show a traceback for an error.", is_flag=True, expose_value=False),
)
