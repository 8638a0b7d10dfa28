"""`segprep split`: other splits for a store."""

from typing import Any

import click

import segprep
from segprep.masks.splits import SplitRule
from segprep.paths.anypath import AnyPath

from . import fields, options
from .documents import as_document
from .output import print_result, print_warning


@click.command(cls=options.Command)
@options.store
@options.split("splits of STORE as they are; only --folds may be added")
@fields.settings("Splits", SplitRule)
@options.option(
    "--refit", "Splits", "Fit class weights to the new train split, and write the weights again.", is_flag=True
)
@options.running
@options.output
def split(store: AnyPath, as_json: bool = False, **chosen: Any) -> None:
    """Change the train/val/test split of STORE.

    Weights stay as they were fitted to the former train split, unless --refit writes them again.
    """
    from . import contents, last_lines, render  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        info = segprep.resplit(store, workers=options.workers(chosen), progress=progress, **chosen)
    print_result(
        as_document("split", contents.store_contents(store, info))
        if as_json
        else f"{store}: {render.splits_text(store, info)}"
    )
    for line in (*render.stale(store, info), *render.split_warnings(store, info)):
        print_warning(line)
    if not as_json:
        last_lines.print_splits(store)
