"""State of the installation and of the machine as text."""

from collections.abc import Sequence
from textwrap import wrap

from segprep.errors import escape_controls
from segprep.runs.doctor import DoctorReport, KernelFolder, Package, TemporaryFolder
from segprep.runs.memory import amount

INDENT, WIDTH = 13, 100
"""Columns before the values, and the most columns of a line of packages."""


def report_text(report: DoctorReport) -> str:
    """State in a few lines, and a line for each problem."""
    cores, memory = report.cores, report.memory
    variables = " ".join(f"{name}={value}" for name, value in report.variables.items())
    starts = "start" if report.do_workers_start else "do not start"
    limit = "none" if cores.limit is None else f"{cores.limit:g}"
    kept = _folder(report.kernels, f"{amount(report.kernels.bytes)} kept")
    free = _folder(report.temporary, f"{amount(report.temporary.free_bytes)} free")
    lines = [
        f"segprep      {report.segprep}",
        f"Python       {report.python}",
        f"platform     {report.platform}",
        f"cores        {cores.usable} of {cores.machine} usable; limit of control groups: {limit}",
        f"memory       {_amount(memory.available)} of {_amount(memory.machine)} available; "
        f"limit of control groups: {'none' if memory.limit is None else amount(memory.limit)}",
        f"kernels      {'correct' if report.are_kernels_correct else 'not correct'}; {kept}",
        f"temporary    {free}",
        f"workers      {starts} ({report.start_method})",
        f"variables    {_wrapped(variables or 'none')}",
        f"packages     {_versions([package for package in report.packages if package.extra is None])}",
        f"optional     {_versions([package for package in report.packages if package.extra is not None])}",
        "",
        *(f"problem: {problem.what}; {problem.remedy}" for problem in report.problems),
    ]
    text = "\n".join(lines if report.problems else [*lines, "no problems found"])
    return "\n".join(map(escape_controls, text.split("\n")))


def _amount(size: int | None) -> str:
    return "unknown" if size is None else amount(size)


def _folder(folder: KernelFolder | TemporaryFolder, size: str) -> str:
    """Size and path of a folder."""
    if folder.path is None:
        return "no folder"
    return f"{size} in {folder.path}" + ("" if folder.is_writable else " (cannot be written)")


def _versions(packages: Sequence[Package]) -> str:
    """Packages and their versions."""
    text = ", ".join(f"{package.name} {package.version or '(not installed)'}" for package in packages)
    return _wrapped(text)


def _wrapped(text: str) -> str:
    """Words in lines below each other; a long one stays in one piece."""
    return f"\n{' ' * INDENT}".join(wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))
