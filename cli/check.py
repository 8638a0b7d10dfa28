"""`segprep check`: all problems of a data set."""

from typing import Any

import click

import segprep
from segprep.masks.downsampling import Downsampling
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import RegionRule
from segprep.paths.anypath import AnyPath
from segprep.readers import ReadOptions
from segprep.runs.settings import Rules

from . import fields, options
from .documents import as_document
from .output import print_result
from .spelling import in_options


@click.command(cls=options.Command)
@options.data
@fields.settings("Input", Rules, ReadOptions, RegionRule, without=("canvas", "on_error"))
@fields.settings("Instances", InstanceRule, Downsampling)
@options.running
@options.output
def check(data: AnyPath, as_json: bool = False, **chosen: Any) -> int:
    """Report problems in DATA without writing anything.

    All masks are read. The exit code is 1 if there are problems.
    """
    from . import problems  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        report = segprep.check(data, workers=options.workers(chosen), progress=progress, **chosen)
    print_result(as_document("check", report) if as_json else in_options(problems.report_text(report)))
    return int(bool(report.problems))
