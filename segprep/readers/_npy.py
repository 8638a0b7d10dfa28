"""Arrays of NumPy's NPY as label images, without executing anything in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.readers._image import check_size

NPY = (".npy",)

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""Functions that read NPY headers, by version; the third is for arrays with named fields, which are not labels."""


def npy_values(path: AnyPath, *, max_pixels: int) -> NDArray[Any]:
    """Values of an NPY label image, shape (H, W), of any integer type or bool, none negative; a view of the file.

    Raises
    ------
    InputError
        If the file is damaged, too large, or not a 2-D array of integers.
    """
    shape, dtype = npy_header(path)
    if len(shape) != 2 or dtype.kind not in "bui":  # noqa: PLR2004 - height and width
        raise InputError(f"{path}: an array of {_described(shape, dtype)}; labels are integers in two dimensions")
    check_size(str(path), (shape[0], shape[1]), max_pixels)
    try:
        values = _array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as NPY: {error}; save it again") from error
    if values.dtype.kind == "i" and values.min() < 0:
        raise InputError(f"{path}: the value {values.min()}; labels are not negative, and 0 is the background")
    return values


def _array(path: AnyPath) -> NDArray[Any]:
    with path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False))


def npy_header(path: AnyPath) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, by its header."""
    try:
        with path.open("rb") as file:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise InputError(f"{path}: NPY of version {error}, for arrays with named fields; labels are integers") from None
    except Exception as error:  # the header is Python code, whose parser raises errors of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as NPY: {reason[:200]}; save it again") from error
    return shape, dtype


def _described(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Shape and type of an array, for a message."""
    return f"{' x '.join(map(str, shape)) or 'no'} numbers of type {dtype}"


def is_npy(file: AnyPath) -> bool:
    """True if a file is an array by its name."""
    return file.suffix.lower() in NPY


def is_pickled(file: AnyPath) -> bool:
    """True if a file is an array of Python objects, which cannot be read safely."""
    try:
        return is_npy(file) and npy_header(file)[1].hasobject
    except InputError:  # loading the file raises it again
        return False


def unlike_labels(file: AnyPath) -> str:
    """Description of an array that cannot be a label image; empty if it can."""
    try:
        shape, dtype = npy_header(file)
    except InputError:  # loading the file raises it again
        return ""
    is_other = len(shape) != 2 or dtype.kind not in "bui"  # noqa: PLR2004 - height and width
    return f"an array of shape {shape} and type {dtype}" if is_other else ""
