"""Masks joined from their tiles."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segprep.kernels.lookup import lookup
from segprep.store.selection import Tile
from segprep.store.values import pad_value, padded
from segprep.targets import Labels


class ReadTile(NamedTuple):
    """A tile that was read: its place, its arrays by the names of the targets, and its `OpenTables.source_numbers`."""

    place: Tile
    arrays: dict[str, NDArray[Any]]
    numbers: NDArray[np.uint64]


def joined(tiles: Iterable[ReadTile], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a complete mask by the names of the targets, shape (..., H, W), with padding where there is no tile.

    Where tiles overlap, they are equal. Labels are of the smallest type that holds all numbers, but not of a smaller one
    than those of the tiles.
    """
    complete: dict[str, NDArray[Any]] = {}
    for place, arrays, numbers in tiles:
        for name in names:
            values = arrays[name]
            if name == Labels.name:
                values = lookup(numbers.astype(np.result_type(values.dtype, np.min_scalar_type(numbers.max()))), values)
            if name not in complete:
                complete[name] = padded(values[..., :0, :0], place.shape, pad_value(name, values.dtype))
            complete[name] = complete[name].astype(np.result_type(complete[name], values), copy=False)
            height, width = values.shape[-2:]
            complete[name][..., place.y : place.y + height, place.x : place.x + width] = values
    return complete
