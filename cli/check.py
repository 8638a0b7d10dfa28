"""`segprep check`: all problems of a data set in one pass."""

from typing import Any

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_result

FINDINGS = 1
"""Exit code where something is wrong."""


@click.command()
@options.data
@options.instances
@options.reading
@options.running
@options.as_json
@options.debug
def check(data: AnyPath, as_json: bool, **chosen: Any) -> int:
    """Read all masks in DATA, write nothing, and report what is there and all that is wrong with it.

    Ends with exit code 1 if anything is.
    """
    from segprep.runs.check import check as checked  # noqa: PLC0415 - half a second, not for --help

    from . import choices, summary  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        report = checked(data, rules=choices.reading_rules(chosen), workers=choices.workers(chosen), progress=progress)
    print_result(summary.report_json(report) if as_json else summary.report_text(report))
    return FINDINGS if report.problems else 0
