"""A table of CPU times, and of their ratios to the first way, after the benchmarks."""

import pytest
from benchmarks.measure import Comparison, tables

CPU_TIMES = pytest.StashKey()


@pytest.fixture
def cpu_times(pytestconfig):
    """Seconds by image and way, printed when all are measured."""
    return pytestconfig.stash.setdefault(CPU_TIMES, {})


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    cpu_times = config.stash.get(CPU_TIMES, {})
    comparisons = [
        Comparison("least CPU time on one thread", image, "ms", {way: 1000 * seconds for way, seconds in times.items()})
        for image, times in cpu_times.items()
    ]
    for line in tables(comparisons):
        terminalreporter.write_line(line)
