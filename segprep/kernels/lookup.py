"""Tables indexed by the numbers of an image, a part at a time: NumPy first copies all indices to 64 bits, twice their size."""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, CountArray

N = TypeVar("N", bound=np.generic)

_PART = 2**17
"""Pixels of a part: its indices fit the cache."""


def lookup(table: NDArray[N], numbers: NDArray[Any]) -> NDArray[N]:
    """Entry of a table, shape (N,), for each number of an array of any shape, all below N.

    Examples
    --------
    >>> lookup(np.array([7, 5]), np.array([[0, 1, 1]]))
    array([[7, 5, 5]])
    """
    found = np.empty(numbers.shape, table.dtype)
    flat = found.reshape(-1)
    for start, part in _parts(numbers):
        flat[start : start + part.size] = table.take(part)
    return found


def occurring(numbers: NDArray[Any]) -> BoolArray:
    """True for each number that occurs, shape (largest + 1,).

    Examples
    --------
    >>> occurring(np.array([[0, 3, 3]]))
    array([ True, False, False,  True])
    """
    occurs = np.zeros(int(numbers.max()) + 1, np.bool_)
    for _, part in _parts(numbers):
        occurs[part.astype(np.intp)] = True  # a bool array would select
    return occurs


def counts(numbers: NDArray[Any], least: int) -> CountArray:
    """Number of times that each number occurs, shape (n,): at least `least` entries, and up to the largest number.

    Examples
    --------
    >>> counts(np.array([[0, 3, 3]]), 5)
    array([1, 0, 0, 2, 0])
    """
    found = np.zeros(max(least, int(numbers.max(initial=0)) + 1), np.int64)
    for _, part in _parts(numbers):
        found += np.bincount(part, minlength=len(found))
    return found


def _parts(numbers: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Consecutive parts of all numbers, and the index of the first of each."""
    flat = numbers.reshape(-1)
    for start in range(0, flat.size, _PART):
        yield start, flat[start : start + _PART]
