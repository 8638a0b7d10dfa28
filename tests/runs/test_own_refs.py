"""Refs that are not part of segprep work wherever those of segprep do, and their failures are not bugs in segprep."""

from dataclasses import dataclass

import numpy as np
import pytest

import segprep
from segprep import InputError, InstanceMask, Workers

ONE = Workers(processes=1)


def mask_of(number=1):
    """Mask of two instances."""
    planes = np.zeros((1, 6, 8), np.int32)
    planes[0, 1:3, 1 : 4 + number], planes[0, 4:, 5:] = 1, 2
    return InstanceMask(planes, np.array([0, 1, 1], np.int32))


@dataclass(frozen=True)
class Ref:
    """Mask made by a function."""

    key: str
    make: object = mask_of
    split: str | None = None

    def load(self):
        return self.make()


def made(planes=((1, 2),), classes=(0, 1, 1), dtype=np.int32, **others):
    """Function that makes a mask."""
    return lambda: InstanceMask(np.array([planes], dtype), np.array(classes, np.int32), **others)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: None, "returned NoneType, not an InstanceMask"),
        (made(dtype=np.int64), r"planes is int64 of shape \(1, 1, 2\); must be a \(K, H, W\) int32 array"),
        (made(planes=(1, 2)), r"planes is int32 of shape \(1, 2\)"),
        (lambda: InstanceMask([[[1]]], np.array([0, 1], np.int32)), "planes is a list"),
        (made(classes=(1, 1, 1)), r"classes is .*; must be a \(N \+ 1,\) int32 array that begins with 0"),
        (made(classes=(0, 1)), "planes hold the instances 1 to 2, but classes has 1 to 1"),
        (made(planes=((-1, 1),)), "planes hold the instances -1 to 1"),
        (made(planes=((1, 1),)), "instance 2 has no pixel"),
        (made(classes=(0, 1, 2)), "instance 2 has the class code 2; must be from 1 to 1"),
        (made(ignore=np.zeros((1, 3), bool)), r"ignore is bool of shape \(1, 3\); must be a \(1, 2\) bool array"),
        (made(stuff=np.full((1, 2), 9, np.int32)), "stuff holds the class codes 9 to 9; must be from 0 to 1"),
        (made(problems=("a",)), "problems must be a tuple of Problem"),
        (
            lambda: InstanceMask(np.array([[[1, 2]], [[1, 0]]], np.int32), np.array([0, 1, 1], np.int32)),
            "instance 1 has pixels in 2 planes; must be one",
        ),
    ],
)
def test_a_failure_names_the_mask_and_the_ref(tmp_path, make, message):
    refs = [Ref("good"), Ref("bad", make)]
    with pytest.raises(InputError, match=rf"bad: load\(\) of Ref: {message}"):
        segprep.preprocess(refs, tmp_path / "out.zarr", workers=ONE)
    info = segprep.preprocess(refs, tmp_path / "out.zarr", workers=ONE, on_error="skip-mask")
    assert (info.masks, [problem.key for problem in info.problems]) == (1, ["bad"])
    assert "bad" in {problem.key for problem in segprep.check(refs, workers=ONE).problems}
