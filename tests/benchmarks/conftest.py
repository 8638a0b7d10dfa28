"""A table of CPU times, and of their ratios to OpenCV or tensorstore, after the benchmarks."""

import pytest

REFERENCES = ("one OpenCV pass", "tensorstore")
"""Ways that the others of a benchmark are compared with."""
CPU_TIMES = pytest.StashKey()


@pytest.fixture
def cpu_times(pytestconfig):
    """Seconds by image and way, printed when all are measured."""
    return pytestconfig.stash.setdefault(CPU_TIMES, {})


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    cpu_times = config.stash.get(CPU_TIMES, {})
    if cpu_times:
        terminalreporter.section(f"least CPU time on one thread, and ratio to {' or '.join(REFERENCES)}")
    for image, times in cpu_times.items():
        terminalreporter.write_line(image)
        reference = next((times[way] for way in REFERENCES if way in times), float("nan"))
        for way, seconds in times.items():
            ratio = seconds / reference
            terminalreporter.write_line(f"    {way:<28}{1000 * seconds:>9.2f} ms{ratio:>9.2f}")
