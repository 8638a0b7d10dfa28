"""Short versions of the long loops."""

import pytest
from endurance import damage, double_starts, failing_writes, kills, runs, signals

pytestmark = pytest.mark.slow


def test_whatever_write_fails_the_same_command_goes_on():
    if reason := failing_writes.hindrance():
        pytest.skip(reason)
    failing_writes.main(20)


def test_whichever_moment_a_run_is_killed_at_the_same_command_goes_on():
    kills.main(20, masks=6, resume=runs.run_here)


def test_whichever_moment_a_signal_comes_at_a_run_ends_and_the_same_command_goes_on():
    signals.main(4, masks=6, resume=runs.run_here)


def test_of_two_starts_at_once_one_goes_on_and_the_other_is_refused():
    double_starts.main(3, masks=6)


def test_whatever_is_damaged_is_found_and_repaired():
    assert damage.run(5, seed=1)
