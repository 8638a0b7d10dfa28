from dataclasses import dataclass

import numpy as np
import pytest

from segprep.errors import InputError
from segprep.masks.classes import class_table
from segprep.masks.mask import InstanceMask, Problem
from segprep.masks.stats import mask_stats
from segprep.readers import MaskSet
from segprep.runs.scan import Scan, require_readable


@dataclass(frozen=True)
class ToyRef:
    key: str = "a"
    split: str | None = None


MASK = InstanceMask(np.ones((1, 2, 2), np.int32), np.array([0, 1], np.int32))


def found(*problems):
    """Scan of one mask in a data set with these problems."""
    masks = MaskSet(
        "toy", class_table([(None, "cell")]), (ToyRef(),), tuple(("a.json", problem) for problem in problems)
    )
    return Scan(masks, (mask_stats(MASK, 2, MASK),), {}, {})


def test_a_mere_warning_does_not_fail_a_run_that_is_to_leave_nothing_out():
    warned = found(Problem("most regions are odd", "3 of 4", left_out=False))
    assert require_readable(warned, "fail") is warned
    assert [problem.left_out for problem in warned.problems()] == [False]


def test_something_left_out_fails_such_a_run():
    with pytest.raises(InputError, match=r"a\.json: no foreground: 1\.png"):
        require_readable(found(Problem("no foreground", "1.png")), "fail")
