"""Examples that are few in the default run and complete in the slow one."""

import pytest
from hypothesis import HealthCheck, settings

QUICK_EXAMPLES = 100


def load_profile(name):
    """Load the profile `quick` or `thorough`; it must be loaded before test modules are imported."""
    settings.register_profile(name, deadline=None, max_examples=QUICK_EXAMPLES)  # the first may compile a kernel
    settings.load_profile(name)


def mostly_slow(values, *quick):
    """Values of a parameter, of which those that are not in `quick` are slow."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]


def fuzzed(examples):
    """Decorator of a test on `examples` random examples, the same ones each time.

    The default run takes the first few of them. The slow run takes all: there the test carries the marker `slow`.
    """
    thorough = settings.get_current_profile_name() == "thorough"
    repeat = settings(
        max_examples=examples if thorough else min(examples, QUICK_EXAMPLES),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.slow(repeat(test)) if thorough else repeat(test)
