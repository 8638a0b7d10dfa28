"""Samples of a store for training: a crop of an image and its targets, of one size and in the types that losses take.

The adapters for PyTorch, Grain and Keras are thin: what they hand out is made here, in NumPy.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import index as as_integer
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segprep.arrays import CountArray, FloatArray
from segprep.errors import OptionError, check_choice
from segprep.paths.anypath import AnyPath
from segprep.store.dataset import Dataset
from segprep.store.opening import open as open_store
from segprep.training.crops import (
    Size,
    Window,
    chosen_class,
    class_shares,
    crop_random,
    crop_size,
    pixel_of,
    random_window,
    window_with,
)
from segprep.training.samplers import require_at_least

IGNORE = -100
"""Value of pixels without ground truth in classes and boundaries: what PyTorch's ``cross_entropy`` ignores by default."""

ImageMode = Literal["grey", "rgb"] | bool
Bias = str | Mapping[str | int, float] | None
Store = str | os.PathLike[str] | AnyPath | Dataset

_WITH_IGNORE = ("classes", "boundaries")
"""Targets in which the maximum of the type means ignore."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey: ITU-R BT.601, as in Pillow and OpenCV."""


@dataclass(frozen=True)
class Samples:
    """Crops of the masks of a store, with their images, as NumPy arrays; see `make_samples` for the parameters.

    Pickled, it is a few kilobytes; another process reads the tables of the store again.

    Attributes
    ----------
    masks : Dataset
        The masks.
    targets : tuple of str
        Names of the targets.
    crop : (int, int), 'bucket' or None
        Height and width of a sample: of this size, of the canvas of the mask's bucket, or of the mask.
    image : 'grey', 'rgb' or bool
        Channels of the image; True takes those of the file, False no image.
    seed : int
        Random seed of the crops.
    shares : dict of int or None to float
        Share of the crops that hold a class, as from `segprep.training.crops.class_shares`.
    """

    masks: Dataset
    targets: tuple[str, ...]
    crop: Size | Literal["bucket"] | None
    image: ImageMode
    seed: int
    shares: dict[int | None, float]

    def __len__(self) -> int:
        return len(self.masks)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def window(self, index: int, epoch: int) -> Window:
        """Part of a mask that is its sample in an epoch: y, x, height and width in pixels."""
        size = self._size(index)
        if not isinstance(self.crop, tuple):
            return 0, 0, *size
        random = crop_random(self.seed, epoch, index)
        codes = chosen_class(self.shares, self._present[index], random) if self.shares else None
        if codes is None or (size[0] <= self.crop[0] and size[1] <= self.crop[1]):
            return random_window(size, self.crop, random)
        return window_with(pixel_of(self.masks.array(index, "classes"), *codes, random), size, self.crop, random)

    def read(self, index: int, epoch: int) -> dict[str, Any]:
        """Sample of a mask in an epoch.

        Parameters
        ----------
        index : int
            Index of the mask, which may be negative.
        epoch : int
            Number of the epoch, at least 0.

        Returns
        -------
        dict
            ``key``, a string; ``image``, (C, H, W) float32; and each target, (H, W) or (C, H, W): int64 if its type is an
            integer, otherwise float32. What the mask does not cover is padding at the lower right: `IGNORE` in classes and
            boundaries, elsewhere 0.
        """
        index = range(len(self))[as_integer(index)]
        window, size = self.window(index, epoch), self._sample_size(index)
        arrays = self.masks.read(index, window, self.targets)
        sample: dict[str, Any] = {"key": arrays["key"]}
        if self.image:
            sample["image"] = as_image(self.masks.image(index, window), self.image, size, sample["key"])
        return sample | {name: as_target(name, arrays[name], size) for name in self.targets}

    def _size(self, index: int) -> Size:
        height, width = self._sizes[index].tolist()
        return height, width

    def _sample_size(self, index: int) -> Size:
        """Height and width of a sample, with its padding."""
        if isinstance(self.crop, tuple):
            return self.crop
        if self.crop is None:
            return self._size(index)
        bucket = self.masks.info.buckets[self._buckets[index]]
        return bucket.height, bucket.width

    @cached_property
    def _sizes(self) -> CountArray:
        return self.masks.sizes

    @cached_property
    def _buckets(self) -> CountArray:
        return self.masks.buckets

    @cached_property
    def _present(self) -> NDArray[np.bool_]:
        """True for the classes that a mask has, shape (n, C)."""
        return self.masks.class_pixels > 0


def make_samples(
    store: Store,
    targets: Sequence[str] | None,
    *,
    crop: int | Size | Literal["bucket"] | None,
    image: ImageMode,
    seed: int,
    bias: Bias,
) -> Samples:
    """Samples of a store.

    Parameters
    ----------
    store : path or Dataset
        The store, or masks selected from it.
    targets : list of str or None
        Names of the targets; None takes all of the store.
    crop : int, (int, int), 'bucket' or None
        Size of the samples in pixels, a number for squares: each is a random part of its mask, padded where the mask is
        smaller. ``"bucket"`` pads complete masks to the canvas of their bucket, and None leaves them as they are.
    image : 'grey', 'rgb' or bool
        Read the image of each mask and convert it to one or three channels, or leave it as it is; False reads none.
    seed : int
        Random seed of the crops, at least 0.
    bias : str, mapping of str or int to float, or None
        Crops that hold a pixel of a class: its name, ``"foreground"`` for any class but the background, or a mapping of
        names or class codes to the shares of the crops, as ``{"mitosis": 0.25, "foreground": 0.5}``; the rest of the crops,
        and masks without the class, are not biased. To find a pixel, the classes of the complete mask are read.

    Raises
    ------
    OptionError
        If a parameter has no meaning, or the store has no such target or class.
    """
    masks = store if isinstance(store, Dataset) else open_store(store)
    names = [target.name for target in masks.info.targets]
    if isinstance(targets, str):
        raise OptionError(f"targets={targets!r}: must be a list of names, as targets=[{targets!r}]")
    chosen = tuple(names if targets is None else targets)
    for name in chosen:
        check_choice("targets", name, names)
    check_choice("image", image, (True, False, "grey", "rgb"))
    require_at_least(0, seed=seed)
    size = crop if crop is None or crop == "bucket" else crop_size(crop)
    return Samples(masks, chosen, size, image, seed, class_shares(bias, [each.name for each in masks.info.classes]))


def as_target(name: str, stored: NDArray[Any], size: Size) -> NDArray[Any]:
    """Stored target in the type that losses take, padded to a size at the lower right.

    Examples
    --------
    >>> as_target("classes", np.array([[1, 255]], np.uint8), (1, 3))
    array([[   1, -100, -100]])
    >>> as_target("weights", np.array([[1.5]], np.float16), (1, 2))
    array([[1.5, 0. ]], dtype=float32)
    """
    dtype = np.float32 if stored.dtype.kind == "f" else np.int64
    if name not in _WITH_IGNORE:
        return _padded(stored, size, dtype, 0)
    values = _padded(stored, size, dtype, IGNORE)
    ignored = stored == np.iinfo(stored.dtype).max
    if ignored.any():
        values[..., : stored.shape[-2], : stored.shape[-1]][ignored] = IGNORE
    return values


def as_image(pixels: NDArray[Any], mode: ImageMode, size: Size, key: str) -> FloatArray:
    """Image with its channels first, padded with 0 to a size at the lower right.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) array
        Grey values, or colours without alpha, as from `Dataset.image`.
    mode : 'grey', 'rgb' or True
        One or three channels; True keeps those of `pixels`.
    size : (int, int)
        Height and width in pixels of the result, at least those of `pixels`.
    key : str
        Name of the mask, for messages.

    Returns
    -------
    (C, H, W) float32 array
        In [0, 1] if the type of `pixels` is an unsigned integer, of which the maximum is 1; otherwise the values of `pixels`.

    Raises
    ------
    OptionError
        If other channels than one or three are to be converted.

    Examples
    --------
    >>> as_image(np.array([[[255, 0, 51]]], np.uint8), "rgb", (1, 2), "a.png")[:, 0].tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.20000000298023224, 0.0]]
    """
    channels = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)  # noqa: PLR2004 - y and x
    if mode is not True and len(channels) not in (1, 3):
        raise OptionError(f"image={mode!r}: that of {key!r} has {len(channels)} channels; use image=True")
    if mode == "grey" and len(channels) == len(_LUMA):
        channels = np.tensordot(_LUMA, channels.astype(np.float32), 1)[np.newaxis]
    if mode == "rgb" and len(channels) == 1:
        channels = np.repeat(channels, 3, axis=0)
    image = _padded(channels, size, np.float32, 0)
    if pixels.dtype.kind == "u":
        image /= np.float32(np.iinfo(pixels.dtype).max)
    return image


def _padded(values: NDArray[Any], size: Size, dtype: Any, pad: float) -> NDArray[Any]:
    """Values in a type, at the upper left of an array of this size."""
    if values.shape[-2:] == size:
        return np.ascontiguousarray(values, dtype)
    padded = np.full((*values.shape[:-2], *size), pad, dtype)
    padded[..., : values.shape[-2], : values.shape[-1]] = values
    return padded


def channels_last(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Sample whose images and maps with channels are (H, W, C), as JAX and Keras take them.

    Examples
    --------
    >>> channels_last({"key": "a.png", "image": np.zeros((3, 4, 5))})["image"].shape
    (4, 5, 3)
    """
    return {
        name: np.ascontiguousarray(np.moveaxis(value, 0, -1)) if getattr(value, "ndim", 0) == 3 else value  # noqa: PLR2004
        for name, value in sample.items()
    }
