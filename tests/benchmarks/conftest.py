"""A table of CPU times, and of their ratios to OpenCV, after the benchmarks."""

import pytest

REFERENCE = "one OpenCV pass"
"""Way of each benchmark that the others are compared with."""
CPU_TIMES = pytest.StashKey()


@pytest.fixture
def cpu_times(pytestconfig):
    """Seconds by image and way, printed when all are measured."""
    return pytestconfig.stash.setdefault(CPU_TIMES, {})


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    cpu_times = config.stash.get(CPU_TIMES, {})
    if cpu_times:
        terminalreporter.section(f"least CPU time on one thread, and ratio to {REFERENCE}")
    for image, times in cpu_times.items():
        terminalreporter.write_line(image)
        for way, seconds in times.items():
            ratio = seconds / times.get(REFERENCE, float("nan"))
            terminalreporter.write_line(f"    {way:<28}{1000 * seconds:>9.2f} ms{ratio:>9.2f}")
