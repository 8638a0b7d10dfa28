"""`segprep verify`: whether a store is whole."""

from typing import Any

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_result

DAMAGED = 5
"""Exit code where something is damaged, as of an IntegrityError."""


@click.command()
@options.store
@click.option("--deep", is_flag=True, help="Read and decode every shard: finds also damage that keeps its size.")
@click.option(
    "--against",
    metavar="DATA",
    type=options.PathType(),
    help="Compute some masks of DATA again, and compare all their arrays.",
)
@click.option("--sample", default=16, show_default=True, help="How many masks --against computes.")
@click.option("--seed", default=0, show_default=True, help="Another seed, another sample.")
@click.option(
    "--repair",
    metavar="DATA",
    type=options.PathType(),
    help="Look as --deep does, and write what is damaged anew from DATA.",
)
@options.running
@options.as_json
@options.debug
def verify(store: AnyPath, as_json: bool, repair: AnyPath | None, **chosen: Any) -> int:
    """Say whether STORE is whole, or what of it is damaged.

    Ends with exit code 5 if anything is. Without --deep the size of every shard is looked at, and the checksum of all else.
    """
    from segprep.runs.repair import repair as repaired  # noqa: PLC0415 - half a second, not for --help
    from segprep.runs.verify import verify as verified  # noqa: PLC0415

    from . import choices, summary  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    if repair is not None and chosen["against"] is not None:
        raise click.UsageError("--repair and --against exclude each other: repair first")
    workers = choices.workers(chosen)
    with ProgressBar() as progress:
        if repair is not None:
            report = repaired(store, repair, workers=workers, progress=progress)
        else:
            how = {name: chosen[name] for name in ("deep", "against", "sample", "seed")}
            report = verified(store, **how, workers=workers, progress=progress)
    print_result(summary.findings_json(report) if as_json else summary.findings_text(report))
    return DAMAGED if report.findings else 0
