"""`segprep doctor`: state of the installation and of the machine."""

import click

import segprep

from . import options
from .documents import as_document
from .output import print_message, print_result


@click.command(cls=options.Command)
@options.output
def doctor(as_json: bool = False) -> int:
    """Check the installation and this machine; print versions, cores, memory and caches.

    Paste the result into a bug report; it names no home folder. The exit code is 1 if there are problems.
    """
    from .health import report_text  # noqa: PLC0415 - half a second, not for --help

    print_message("checking packages, kernels and processes; this takes some seconds")
    report = segprep.doctor()
    print_result(as_document("doctor", report) if as_json else report_text(report))
    return int(bool(report.problems))
