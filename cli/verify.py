"""`segprep verify`: integrity of a store."""

from typing import Any

import click

import segprep
from segprep.errors import IntegrityError
from segprep.paths.anypath import AnyPath

from . import options
from .documents import as_document
from .output import print_result


@click.command(cls=options.Command)
@options.store
@options.option("--deep", "Checks", "Decode every shard, to detect damage that keeps its size.", is_flag=True)
@options.option(
    "--against",
    "Checks",
    "Compute some masks of DATA again, and compare all their arrays.",
    metavar="DATA",
    type=options.PathType(),
)
@options.option("--sample", "Checks", "Number of masks that --against computes.", default=16, show_default=True)
@options.option("--seed", "Checks", "Random seed of the choice that --against makes.", default=0, show_default=True)
@options.option(
    "--repair",
    "Checks",
    "Verify as with --deep, and replace damaged files by those computed from DATA, which made the store.",
    metavar="DATA",
    type=options.PathType(),
)
@options.running
@options.output
def verify(store: AnyPath, as_json: bool = False, repair: AnyPath | None = None, **chosen: Any) -> int:
    """Check that STORE is complete and undamaged; --repair rewrites what is not.

    The exit code is 5 if there is damage. Without --deep, the size of every shard and the checksum of everything else are
    checked.
    """
    from . import render  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    if repair is not None and "against" in chosen:
        raise click.UsageError("--repair and --against exclude each other; repair first")
    if unused := [f"--{name}" for name in ("sample", "seed") if name in chosen and "against" not in chosen]:
        raise click.UsageError(f"{' and '.join(unused)}: no effect without --against DATA")
    workers = options.workers(chosen)
    with ProgressBar() as progress:
        if repair is not None:
            report = segprep.repair(store, repair, workers=workers, progress=progress)
        else:
            report = segprep.verify(store, workers=workers, progress=progress, **chosen)
    print_result(as_document("verify", report) if as_json else render.findings_text(report))
    return IntegrityError.exit_code if report.findings else 0
