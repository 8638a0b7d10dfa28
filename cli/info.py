"""`segprep info`: contents of a store."""

import click

import segprep
from segprep.paths.anypath import AnyPath

from . import options
from .output import print_result


@click.command(cls=options.Command)
@options.store
@options.output
def info(store: AnyPath, as_json: bool = False) -> None:
    """Summarise STORE: masks, classes, splits, targets."""
    from . import problems, render  # noqa: PLC0415 - half a second, not for --help

    contents = segprep.describe(store)
    if as_json:
        print_result(render.store_json(store, contents))
    else:
        print_result(render.store_text(store, contents, problems.store_warnings(store, contents)))
