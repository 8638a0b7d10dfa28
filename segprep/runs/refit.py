"""Weights of a row from its stored border terms and classes, where only the class weights have changed.

This takes neither the data nor a distance transform. It is done where it gives the very values that computing them again
would: border terms in float32 are those that `Weights.compute` adds, but float16 has lost digits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segprep.runs.former import Stored
from segprep.store.chunks import decode_row
from segprep.store.shards import Chunks, TargetShard
from segprep.store.values import class_weighted
from segprep.targets import Border, Classes, Target, Weights
from segprep.targets.target import rounded


def serves(weights: Target | None, targets: Iterable[Target | None]) -> bool:
    """True if the border terms that are stored are those of the weights, without rounding."""
    border = next((target for target in targets if isinstance(target, Border)), None)
    if not isinstance(weights, Weights) or not weights.vector or border is None:
        return False
    return border == replace(weights.border_target(), dtype="float32", mantissa_bits=None)


def refitted(
    shard: TargetShard, stored: Mapping[str, Stored], rows: Mapping[str, Mapping[int, Chunks]], row: int
) -> NDArray[Any] | None:
    """Weights of a row on its canvas, from the encoded chunks of the rows that stay; None if they lack it.

    The canvas has the padding of the weights, since that of the classes is ignored.
    """
    names = (Border.name, Classes.name)
    if not isinstance(shard.target, Weights) or any(row not in rows.get(name, {}) for name in names):
        return None
    border, codes = (decode_row(stored[name].shards[0].spec, rows[name][row]) for name in names)
    weights = class_weighted(border, codes, np.array(shard.target.vector, np.float32))
    return rounded(weights, shard.target.dtype, "weights", shard.target.mantissa_bits)
