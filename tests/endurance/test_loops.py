"""Short versions of the long loops."""

import pytest
from endurance import damage, double_starts, failing_writes, kills, runs, signals, update_kills

pytestmark = pytest.mark.slow


def test_the_same_command_resumes_after_any_failed_write():
    if reason := failing_writes.hindrance():
        pytest.skip(reason)
    failing_writes.main(10)


def test_the_same_command_resumes_after_a_kill_at_any_moment():
    kills.main(5, masks=6, resume=runs.run_here)


def test_the_same_command_resumes_after_a_signal_at_any_moment():
    signals.main(3, masks=6, resume=runs.run_here)


def test_of_two_starts_at_once_one_completes_and_one_is_refused():
    double_starts.main(3, masks=6)


def test_whatever_is_damaged_is_found_and_repaired():
    assert damage.run(5, seed=1)


def test_an_update_resumes_after_a_kill_at_any_moment():
    update_kills.main(3, masks=20)
