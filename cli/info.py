"""`segprep info`: what is in a store."""

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_result


@click.command()
@options.store
@options.as_json
@options.debug
def info(store: AnyPath, as_json: bool) -> None:
    """Say what is in STORE."""
    from segprep.store.metadata import read_info  # noqa: PLC0415 - half a second, not for --help

    from . import summary  # noqa: PLC0415

    found = read_info(store)
    print_result(summary.as_json(store, found) if as_json else summary.as_text(store, found))
