"""Options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Canvas(click.ParamType):  # type: ignore[type-arg] - generic in the newest click alone
    """Height and width in pixels, written HxW."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse ``512x640``."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
            self.fail(f"{value!r} is not of the form 512x640", param, ctx)
        return int(height), int(width)


data: Decorator = click.argument("data", type=click.Path(path_type=Path))
store: Decorator = click.argument("store", type=click.Path(path_type=Path))
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
debug: Decorator = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback for an error.")

READERS = ("coco", "instance-png", "label-image")


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """How masks are read."""
    for option in (
        click.option("--max-pixels", default=2**28, show_default=True, help="Refuse larger masks."),
        click.option(
            "--crowd",
            type=click.Choice(["ignore", "instance"]),
            default="ignore",
            show_default=True,
            help="What COCO's iscrowd regions are.",
        ),
        click.option("--format", type=click.Choice(READERS), help="Format of DATA.  [default: found out]"),
    ):
        command = option(command)
    return command


def running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the work is done."""
    for option in (
        click.option("--scheduler", metavar="ADDRESS|FILE", help="Use the Dask cluster of this scheduler."),
        click.option("--workers", type=int, help="Processes on this machine.  [default: one per core]"),
    ):
        command = option(command)
    return command
