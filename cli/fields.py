"""Options made from the fields of targets and rules.

An option has the name, the default and the type of its field; its help is the first paragraph of the field's entry under
"Attributes" in the docstring of the class.
"""

import inspect
import re
from collections.abc import Iterable
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click

from .options import Decorator, choice, group, metavar_of, option
from .values import completed_names

METAVARS = {
    "canvas": "HxW",
    "class_pattern": "REGEX",
    "class_weights": "NAME|FILE",
    "clip_class_weights": "LOW,HIGH",
    "format": "NAME",
    "group": "REGEX",
    "roi": "CLASS|PATH",
    "tile": "HxW",
    "tile_overlap": "PX",
    "keep_empty": "SHARE",
    "separate": "PX|falk2019",
    "downsample": "N",
    "max_pixels": "N",
    "background": "VALUE",
    "ignore": "VALUE",
}
"""Forms of values, where the type and the unit of the field do not show them."""


class Text(click.ParamType):  # type: ignore[type-arg]  # as above
    """Text, or a table of a file of settings."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """Table as it is, anything else as text."""
        return value if isinstance(value, dict) else str(value)


def settings(heading: str, *kinds: Any, without: Iterable[str] = ()) -> Decorator:
    """Options for the settings of targets or rules; a field that several have is one option.

    Those of class weights have a heading of their own.
    """
    from segprep.runs.settings import setting_names, settings_of  # noqa: PLC0415 - not for `segprep --help`
    from segprep.targets import TARGETS  # noqa: PLC0415
    from segprep.targets.class_weights import Shaping  # noqa: PLC0415

    of_classes = {"class_weights", *setting_names(Shaping)}

    decorators: dict[str, Decorator] = {}
    for kind in kinds:
        hints = get_type_hints(kind)
        for field in settings_of(kind):
            if field.name not in decorators and field.name not in without:
                text = help_text(field.name, [kind for kind in (*kinds, *TARGETS) if field.name in setting_names(kind)])
                own = "Class weights" if field.name in of_classes else heading
                decorators[field.name] = _field_option(field.name, hints[field.name], field.default, text, own)
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
    texts = [text for kind in kinds for names, text in entries(inspect.getdoc(kind) or "") if name in names]
    return next((text for text in texts if not text.startswith("As in ")), "")


def entries(doc: str) -> list[tuple[list[str], str]]:
    """Names and first paragraph of each entry under "Attributes" in the docstring of a class."""
    section = doc.partition("Attributes\n----------\n")[2]
    found = re.findall(r"^(\w[\w, ]*) : .*\n((?: +.*(?:\n|$))+)", section, re.MULTILINE)
    return [(names.split(", "), " ".join(text.replace("`", "").split())) for names, text in found]


def _field_option(name: str, annotation: Any, default: object, text: str, heading: str) -> Decorator:
    """Option for a field."""
    spelled = f"--{name.replace('_', '-')}"
    types = [kind for kind in get_args(annotation) if kind is not NoneType]
    if annotation is bool:
        return option(spelled, heading, text, is_flag=True, default=default)
    if get_origin(annotation) is not Literal and len(types) == 1:
        (annotation,) = types
    choices = list(get_args(annotation)) if get_origin(annotation) is Literal else _registered(name)
    metavar = METAVARS.get(name)
    if choices and metavar is None:
        return choice(spelled, heading, text, choices, default=default)
    kind: Any = annotation if annotation in (int, float) else Text() if name == "class_weights" else str
    if name == "class_weights":
        text += f" Names: {', '.join(choices)}."
    if metavar is None and len(types) > 1 and kind is str:
        metavar = "|".join(form for kind in types for form in get_args(kind) or [kind.__name__.upper()])
    metavar = metavar or metavar_of(kind, text)
    own: dict[str, Any] = {"shell_complete": completed_names(choices)} if choices else {}
    if default is not None:
        own |= {"default": default, "show_default": True}
    return option(spelled, heading, text, type=kind, metavar=metavar, **own)


def _registered(name: str) -> list[str]:
    """Names that a setting may have, if the library keeps a register of them."""
    from segprep.readers import READERS  # noqa: PLC0415 - not for `segprep --help`
    from segprep.targets.class_weights import FORMULAS  # noqa: PLC0415
    from segprep.targets.weights import IMAGE_RULES  # noqa: PLC0415

    return {"format": [*READERS], "class_weights": [*FORMULAS, *IMAGE_RULES]}.get(name, [])
