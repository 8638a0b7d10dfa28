"""Choice of crops: pure functions of the size of a mask, its classes and a generator of random numbers."""

from collections.abc import Mapping
from operator import index as as_integer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.errors import OptionError, check_choice

Size = tuple[int, int]
"""Height and width in pixels."""
Window = tuple[int, int, int, int]
"""y and x of the upper left pixel, height and width in pixels."""

FOREGROUND = "foreground"


def crop_size(crop: int | Size) -> Size:
    """Height and width of crops, which a single number makes square.

    Raises
    ------
    OptionError
        If it is neither an integer nor a pair of integers, of at least 1 pixel.

    Examples
    --------
    >>> crop_size(256), crop_size((128, 192))
    ((256, 256), (128, 192))
    """
    try:
        height, width = map(as_integer, crop if isinstance(crop, tuple | list) else (crop, crop))
    except (TypeError, ValueError):
        raise OptionError(f"crop={crop!r}: must be an integer, a pair (height, width), 'bucket' or None") from None
    if min(height, width) < 1:
        raise OptionError(f"crop={crop!r}: must be at least 1 pixel")
    return height, width


def crop_random(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers of one mask in one epoch, whichever process reads it and in whichever order.

    Parameters
    ----------
    seed, epoch, index : int
        At least 0.

    Examples
    --------
    >>> [int(crop_random(seed=0, epoch=epoch, index=3).integers(1000)) for epoch in (0, 1, 0)]
    [725, 122, 725]
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch, index))))


def random_window(size: Size, crop: Size, random: np.random.Generator) -> Window:
    """Window of a crop, with all places within the image equally likely.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    crop : (int, int)
        Height and width of the crop. Along an axis where the image is smaller, the window is the length of the image.
    random : numpy.random.Generator
        Source of the place.

    Examples
    --------
    >>> random_window((5, 100), (20, 20), np.random.default_rng(0))
    (0, 68, 5, 20)
    """
    return window_with((None, None), size, crop, random)


def window_with(pixel: tuple[int | None, int | None], size: Size, crop: Size, random: np.random.Generator) -> Window:
    """Window of a crop that holds a pixel, with all such places within the image equally likely.

    Parameters
    ----------
    pixel : (int or None, int or None)
        y and x of a pixel of the image; None allows any place along that axis.
    size, crop, random
        As in `random_window`.

    Examples
    --------
    >>> y, x, height, width = window_with((99, 0), (100, 100), (20, 30), np.random.default_rng(0))
    >>> (y, x, height, width)
    (80, 0, 20, 30)
    """
    starts, lengths = [], []
    for place, side, length in zip(pixel, size, crop, strict=True):
        first, last = (0, side) if place is None else (place - length + 1, place)
        last = max(0, min(last, side - length))
        starts.append(int(random.integers(max(0, min(first, last)), last + 1)))
        lengths.append(min(side, length))
    return starts[0], starts[1], lengths[0], lengths[1]


def class_shares(bias: str | Mapping[str | int, float] | None, names: list[str]) -> dict[int | None, float]:
    """Share of the crops that must hold a pixel of each class code; None stands for any class but the background.

    Parameters
    ----------
    bias : 'foreground', mapping of str or int to float, or None
        ``"foreground"`` is ``{"foreground": 1}``; the keys of a mapping are names of classes, codes, or ``"foreground"``.
    names : list of str
        Name of each class, in the order of the codes.

    Raises
    ------
    OptionError
        If there is no such class, or the shares are negative or exceed 1 in all.

    Examples
    --------
    >>> class_shares({"mitosis": 0.25, "foreground": 0.5}, ["background", "cell", "mitosis"])
    {2: 0.25, None: 0.5}
    """
    if bias is None or isinstance(bias, str):
        bias = {} if bias is None else {bias: 1.0}
    if not isinstance(bias, Mapping):
        raise OptionError(f"bias={bias!r}: must be 'foreground', a class, a mapping of classes to shares, or None")
    codes: dict[str | int, int | None] = {code: code for code in range(len(names))}
    codes |= {name: code for code, name in enumerate(names)}
    codes.setdefault(FOREGROUND, None)
    for name in bias:
        check_choice("bias", name, codes)
    shares = {codes[name]: float(share) for name, share in bias.items()}
    if min(shares.values(), default=0) < 0 or not sum(shares.values()) <= 1 + 1e-9:
        raise OptionError(f"bias={bias!r}: the shares must be at least 0, and at most 1 in all")
    return shares


def chosen_class(
    shares: Mapping[int | None, float], present: NDArray[Any], random: np.random.Generator
) -> tuple[int, int] | None:
    """First and last of the codes of which the crop must hold a pixel; None where it may lie anywhere.

    Parameters
    ----------
    shares : mapping of int or None to float
        As from `class_shares`.
    present : (C,) array
        True, or any number but 0, for the classes that the mask has. Crops of a class that it lacks may lie anywhere.
    random : numpy.random.Generator
        Source of the choice.

    Examples
    --------
    >>> chosen_class({None: 1.0}, np.array([90, 5, 0, 5]), np.random.default_rng(0))
    (1, 3)
    """
    left = random.random()
    for code, share in shares.items():
        left -= share
        if left < 0:
            first, last = (1, len(present) - 1) if code is None else (code, code)
            return (first, last) if present[first : last + 1].any() else None
    return None


def pixel_of(
    classes: NDArray[Any], first: int, last: int, random: np.random.Generator
) -> tuple[int | None, int | None]:
    """Random pixel of the classes from `first` to `last`, y and x, all equally likely; (None, None) if there is none.

    Examples
    --------
    >>> pixel_of(np.array([[0, 0, 0], [0, 2, 0]]), 1, 2, np.random.default_rng(0))
    (1, 1)
    """
    places = np.flatnonzero((classes >= first) & (classes <= last))
    if not places.size:
        return None, None
    y, x = divmod(int(places[random.integers(places.size)]), classes.shape[1])
    return y, x
