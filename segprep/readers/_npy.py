"""Arrays of NumPy's NPY as label images, without executing anything in them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import InputError
from segprep.paths.anypath import AnyPath
from segprep.readers._arrays import NPY, npy_header
from segprep.readers._image import check_size, require_not_negative


def npy_values(path: AnyPath, *, max_pixels: int) -> NDArray[Any]:
    """Values of an NPY label image, shape (H, W), of any integer type or bool, none negative.

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
    return require_not_negative(path, values)


def _array(path: AnyPath) -> NDArray[Any]:
    with path.open("rb") as file:
        return np.asarray(np.load(file, allow_pickle=False))


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
    is_volume = len(shape) > 2 and min(shape) > 1  # noqa: PLR2004 - height and width
    if len(shape) == 2 and dtype.kind in "bui":  # noqa: PLR2004
        return ""
    volume = "; volumes are not supported yet, and a stack of masks is masks.npy beside images.npy of as many images"
    return f"an array of shape {shape} and type {dtype}{volume * is_volume}"
