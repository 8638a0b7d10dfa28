"""Least times of several ways, measured in turn, and tables of their ratios to the first."""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import psutil

SCRATCH = "scratch"
"""Word of a command that stands for a folder that does not exist yet, and is deleted afterwards."""

LONG = 20
"""Seconds."""


class Comparison(NamedTuple):
    """Figures of one case by way, of which the first is the reference; less is better."""

    title: str
    case: str
    unit: str
    figures: dict[str, float]


class Figures(NamedTuple):
    """Figures of one case that are not compared, as text by their names."""

    title: str
    case: str
    figures: dict[str, str]


class Times(NamedTuple):
    """Wall and CPU time of a command and of the processes that it started, in seconds."""

    wall: float
    cpu: float


def least_cpu(ways: dict[str, Callable[[], object]], *, rounds=7, least=0.005):
    """Least CPU time of each call in milliseconds, of rounds in turn that each take at least `least` seconds."""
    times = {}
    repeats = {way: max(1, round(least / max(_cpu_of(call, 1), 1e-6))) for way, call in ways.items()}
    for _ in range(rounds):
        for way, call in ways.items():
            times[way] = min(_cpu_of(call, repeats[way]), times.get(way, float("inf")))
    return {way: 1000 * seconds for way, seconds in times.items()}


def _cpu_of(call, repeats):
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def least_of_commands(ways: dict[str, list], folder: Path, *, rounds=3):
    """Least wall and CPU time of each command, of rounds in turn; a command that takes more than `LONG` seconds runs once."""
    times = {way: _times_of(command, folder) for way, command in ways.items()}
    for _ in range(rounds - 1):
        for way in [way for way, each in times.items() if each.wall < LONG]:
            times[way] = Times(*map(min, times[way], _times_of(ways[way], folder)))
    return times


def _times_of(command, folder):
    scratch = folder / SCRATCH
    words = [str(scratch if word == SCRATCH else word) for word in command]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    if ended.returncode:
        sys.exit(f"{' '.join(words)}: exit code {ended.returncode}: {ended.stderr}")
    shutil.rmtree(scratch, ignore_errors=True)
    return Times(wall, sum(after[:2]) - sum(before[:2]))


def in_new_process(function, *args):
    """Result of a call in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def cpu_and_peak(function, *args):
    """CPU seconds of a call, and bytes by which the peak memory of this process exceeds its memory before."""
    memory, start = psutil.Process().memory_info().rss, time.process_time()
    _kept = function(*args)
    return time.process_time() - start, peak_memory() - memory


def peak_memory():
    """Peak memory of this process in bytes; `getrusage` has that of the process which started it, if that was larger."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def tables(comparisons):
    """Lines of a Markdown table for each title and its ways: `Figures` as they are, or the first and ratios to it."""
    lines = []
    for title, *ways in dict.fromkeys((each.title, *each.figures) for each in comparisons):
        rows = [each for each in comparisons if (each.title, *each.figures) == (title, *ways)]
        cells = [[title, *ways], *map(_cells, rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["", _line(cells[0], widths), _rule(widths)]
        lines += [_line(row, widths) for row in cells[1:]]
    return lines


def _cells(comparison):
    if isinstance(comparison, Figures):
        return [comparison.case, *comparison.figures.values()]
    reference, *others = comparison.figures.values()
    return [comparison.case, f"{reference:,.4g} {comparison.unit}", *(f"{value / reference:.2f}" for value in others)]


def _rule(widths):
    return "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])


def _line(cells, widths):
    first, *others = zip(cells, widths, strict=True)
    return " | ".join(["| " + first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"
