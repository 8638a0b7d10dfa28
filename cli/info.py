"""`segprep info`: contents of a store."""

import click

import segprep
from segprep.paths.anypath import AnyPath

from . import options
from .documents import as_document
from .output import print_result


@click.command(cls=options.Command)
@options.store
@options.output
def info(store: AnyPath, as_json: bool = False) -> None:
    """Summarise STORE: masks, classes, splits, targets."""
    from . import render  # noqa: PLC0415 - half a second, not for --help
    from .contents import store_contents  # noqa: PLC0415

    found = segprep.describe(store)
    print_result(as_document("info", store_contents(store, found)) if as_json else render.store_text(store, found))
