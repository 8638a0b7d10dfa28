"""Flips, quarter turns, crops and rescaling of stored arrays.

The last two axes of an array are y and x, whatever comes before them: (H, W) classes, (C, H, W) images and distances, or a
batch. A dictionary of arrays, such as a sample of a data set, is changed alike in all of its arrays; values of fewer than two
dimensions, such as its key, are kept.

What is exact, and what must be computed again:

- Flips, quarter turns and crops of all targets are exact: the values move and do not change. A crop keeps the distances and
  weights of the complete image, which is what training needs: instances beyond the crop still count.
- Scaling: `rescale` for `distance`. Resize `labels`, `classes` and `boundaries` by nearest neighbour; 1-pixel borders may
  vanish. `weights` and `border` depend on sigma in pixels, so that they must be computed again from the scaled masks.
- Elastic deformation and shear change distances differently at every pixel: deform the labels, and compute `distance`,
  `weights` and `border` from these (`segprep.signed_distance`, `segprep.border_weights`).
- Changes of brightness, noise and blur of the image concern no target.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np

from segprep.errors import OptionError, check_choice

A = TypeVar("A")
"""Array of NumPy, PyTorch or JAX; or a dictionary of such arrays."""

Axis = Literal["y", "x"]


def flip(arrays: A, axis: Axis) -> A:
    """Arrays mirrored along an axis.

    Parameters
    ----------
    arrays : (..., H, W) array, or a dictionary of arrays
        Of NumPy, PyTorch or JAX, of any type.
    axis : {'y', 'x'}
        ``y`` swaps top and bottom, ``x`` swaps left and right.

    Returns
    -------
    (..., H, W) array, or a dictionary of arrays
        Of the same kind and type. A view of NumPy's with negative strides, which `numpy.ascontiguousarray` copies.

    Raises
    ------
    OptionError
        If there is no such axis.

    Examples
    --------
    >>> flip(np.array([[1, 2, 3], [4, 5, 6]]), "x")
    array([[3, 2, 1],
           [6, 5, 4]])
    """
    check_choice("axis", axis, ("y", "x"))
    return _each(arrays, lambda array: _reversed(array, -2 if axis == "y" else -1))


def turn(arrays: A, quarters: int = 1) -> A:
    """Arrays turned by quarters of a circle, counter-clockwise as shown, as by `numpy.rot90`.

    Parameters
    ----------
    arrays : (..., H, W) array, or a dictionary of arrays
        Of NumPy, PyTorch or JAX, of any type.
    quarters : int
        Number of quarter turns; negative ones are clockwise.

    Returns
    -------
    (..., H, W) or (..., W, H) array, or a dictionary of arrays
        Of the same kind and type; odd turns exchange height and width. See `flip` for views.

    Examples
    --------
    >>> turn(np.array([[1, 2, 3], [4, 5, 6]]))
    array([[3, 6],
           [2, 5],
           [1, 4]])
    """

    def turned(array: Any) -> Any:
        if quarters % 2:
            array = _reversed(array.swapaxes(-2, -1), -2)
        return _reversed(_reversed(array, -1), -2) if quarters % 4 >= 2 else array  # noqa: PLR2004 - half a turn

    return _each(arrays, turned)


def symmetry(arrays: A, number: int) -> A:
    """One of the eight arrays that flips and quarter turns make.

    Parameters
    ----------
    arrays : (..., H, W) array, or a dictionary of arrays
        Of NumPy, PyTorch or JAX, of any type.
    number : int
        0 to 7; 0 changes nothing. The remainder by 4 is the number of quarter turns, and from 4 on, a flip along x follows.

    Returns
    -------
    (..., H, W) or (..., W, H) array, or a dictionary of arrays
        Of the same kind and type; odd numbers exchange height and width.

    Raises
    ------
    OptionError
        If there is no such symmetry.

    Examples
    --------
    >>> symmetry({"key": "a.png", "labels": np.array([[1, 2]])}, 4)
    {'key': 'a.png', 'labels': array([[2, 1]])}
    """
    check_choice("number", number, range(8))
    turned = turn(arrays, number % 4)
    return flip(turned, "x") if number >= 4 else turned  # noqa: PLR2004 - the half with a flip


def crop(arrays: A, window: tuple[int, int, int, int]) -> A:
    """Part of arrays.

    The values are those of the complete image: a distance is that to the nearest boundary of the image, also to one beyond the
    crop, and so differs from `segprep.signed_distance` of the cropped labels.

    Parameters
    ----------
    arrays : (..., H, W) array, or a dictionary of arrays
        Of NumPy, PyTorch or JAX, of any type.
    window : (int, int, int, int)
        y and x of the upper left pixel, height and width in pixels, within the arrays.

    Returns
    -------
    (..., height, width) array, or a dictionary of arrays
        Of the same kind and type; a view where the library has views.

    Raises
    ------
    OptionError
        If the window does not lie within an array.

    Examples
    --------
    >>> crop(np.arange(12).reshape(3, 4), (1, 1, 2, 3))
    array([[ 5,  6,  7],
           [ 9, 10, 11]])
    """
    y, x, height, width = window

    def part(array: Any) -> Any:
        tall, wide = array.shape[-2:]
        if not (0 <= y < y + height <= tall and 0 <= x < x + width <= wide):
            raise OptionError(f"window={window}: must be (y, x, height, width) within {tall} x {wide} pixels")
        return array[..., y : y + height, x : x + width]

    return _each(arrays, part)


def rescale(distance: A, scale: float) -> A:
    """Signed distance of an image that is resized by a factor.

    Between two pixels on either side of a boundary, a stored distance is 0 and 1, so that the boundary lies at 1/2. It is
    ``(distance - 1/2) scale + 1/2``, interpolated bilinearly: exact along straight
    boundaries; elsewhere, and at the edges of the image, off by less than a pixel of the image before.

    Parameters
    ----------
    distance : (..., H, W) float array
        Of NumPy, or of PyTorch in the memory of the CPU: signed distance in pixels, as `segprep.signed_distance` computes it.
    scale : float
        Factor of height and width, greater than 0. Resize the image in the same way: bilinearly, with aligned edges
        (``cv2.resize``; ``align_corners=False`` in PyTorch).

    Returns
    -------
    (..., round(scale H), round(scale W)) float array
        Of the same kind and type, in pixels of the resized image. A map that is 0 everywhere, of a class that does not occur,
        stays 0.

    Raises
    ------
    OptionError
        If the scale is not a positive number, or leaves no pixel.

    Examples
    --------
    >>> rescale(np.array([[2, 1, 0, -1]], np.float32), 2)[0]
    array([ 3.5,  3. ,  2. ,  1. ,  0. , -1. , -2. , -2.5], dtype=float32)
    """
    array: Any = distance
    tall, wide = array.shape[-2:]
    if not 0 < scale < float("inf") or not (round(scale * tall) and round(scale * wide)):
        raise OptionError(f"scale={scale!r}: must be a number greater than 0, and leave a pixel of {tall} x {wide}")
    size = round(scale * wide), round(scale * tall)
    maps = np.asarray(array, np.float32).reshape(-1, tall, wide)
    resized = np.stack([_rescaled(each, size, scale) for each in maps])
    resized = resized.reshape(*array.shape[:-2], *resized.shape[-2:])
    scaled: Any = array.new_tensor(resized) if hasattr(array, "new_tensor") else resized.astype(array.dtype, copy=False)
    return cast(A, scaled)


def _rescaled(distance: Any, size: tuple[int, int], scale: float) -> Any:
    """One map, resized to this width and height."""
    resized = cv2.resize(distance, size, interpolation=cv2.INTER_LINEAR)
    return (resized - 0.5) * scale + 0.5 if distance.any() else resized


def _each(arrays: A, change: Callable[[Any], Any]) -> A:
    """Array with a change, or a dictionary with that change in all of its images and maps."""
    result: Any = {}
    if not isinstance(arrays, Mapping):
        result = change(arrays)
    else:
        for name, value in arrays.items():
            result[name] = change(value) if getattr(value, "ndim", 0) >= 2 else value  # noqa: PLR2004 - y and x
    return cast(A, result)


def _reversed(array: Any, axis: int) -> Any:
    """Array reversed along its last axis or the one before; PyTorch has no negative strides."""
    if hasattr(array, "flip"):
        return array.flip((axis,))
    return array[..., ::-1] if axis == -1 else array[..., ::-1, :]
