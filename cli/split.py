"""`segprep split`: other splits for a store."""

from typing import Any

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_message, print_result


@click.command()
@options.store
@options.splitting
@click.option("--refit", is_flag=True, help="Fit class weights on the new train split, and write the weights again.")
@options.running
@options.as_json
@options.debug
def split(store: AnyPath, refit: bool, as_json: bool, **chosen: Any) -> None:
    """Split the masks of STORE anew into train, val and test.

    Weights stay as they were fitted on the former train split, unless --refit writes them again.
    """
    from segprep.runs.resplit import resplit  # noqa: PLC0415 - half a second, not for --help

    from . import choices, summary  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        info = resplit(
            store, choices.split_rule(chosen), refit=refit, workers=choices.workers(chosen), progress=progress
        )
    for line in summary.stale(store, info):
        print_message(f"warning: {line}")
    print_result(summary.as_json(store, info) if as_json else summary.split_line(store, info))
