"""`segprep formats`: formats that are read."""

import click
from click.formatting import HelpFormatter

from . import options
from .documents import as_document
from .output import print_result


@click.command(cls=options.Command)
@options.output
def formats(as_json: bool = False) -> None:
    """List the formats and layouts of DATA that are read.

    The name of a format is the value of --format.
    """
    from segprep.readers import READERS  # noqa: PLC0415 - half a second

    from .contents import Formats  # noqa: PLC0415

    layouts = {reader.name: reader.layout for reader in READERS.values()}
    formatter = HelpFormatter(width=100)
    formatter.write_dl(list(layouts.items()))
    print_result(as_document("formats", Formats(layouts)) if as_json else formatter.getvalue().rstrip())
