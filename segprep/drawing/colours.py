"""Colour maps that are perceptually uniform and safe for colour-blind people, as tables of RGB."""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Table: TypeAlias = NDArray[np.uint8]
"""RGB of each index, shape (n, 3)."""

STEPS = 255
"""Colours of a map; odd, so that 0 is the middle of a diverging map."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
INSTANCES = 215
"""Colours of instances: those of a map but the darkest, which would be lost beside black."""
_STRIDE = 97
"""Step from one instance to the next among `INSTANCES` colours, to which it is coprime, so that neighbours differ."""
MOST_EVEN = 12
"""Classes, with the background, whose colours differ visibly if they are even."""
_RED_BLUE = [
    *[(5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247)],
    *[(253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)],
]
"""Diverging map of C. Brewer (ColorBrewer 2.0, RdBu), blue first."""


@cache
def colour_map(name: str) -> Table:
    """Map of `STEPS` colours: ``viridis``, ``inferno``, or ``red-blue``, whose middle is almost white.

    Examples
    --------
    >>> colour_map("red-blue")[[0, 127, 254]]
    array([[  5,  48,  97],
           [247, 247, 247],
           [103,   0,  31]], dtype=uint8)
    """
    if name == "red-blue":
        places = np.linspace(0, len(_RED_BLUE) - 1, STEPS)
        channels = [np.interp(places, range(len(_RED_BLUE)), channel) for channel in zip(*_RED_BLUE, strict=True)]
        mixed: Table = np.rint(np.transpose(channels)).astype(np.uint8)
        return mixed
    import cv2  # noqa: PLC0415 - slow to import

    shades = np.rint(np.linspace(0, 255, STEPS)).astype(np.uint8)
    number = {"viridis": cv2.COLORMAP_VIRIDIS, "inferno": cv2.COLORMAP_INFERNO}[name]
    colours: Table = cv2.applyColorMap(shades, number).reshape(-1, 3)[:, ::-1]
    return colours


def instance_colours() -> Table:
    """Black for the background, then `INSTANCES` colours of which each differs clearly from the next."""
    order = (_STRIDE * (1 + np.arange(INSTANCES))) % INSTANCES
    return np.vstack([np.array([BLACK], np.uint8), colour_map("viridis")[STEPS - INSTANCES + order]])


def class_colours(count: int) -> Table:
    """Colours of `count` classes: black for the background; the others evenly from dark to light, or, if many, as instances.

    Examples
    --------
    >>> class_colours(3).tolist()
    [[0, 0, 0], [48, 105, 142], [110, 206, 88]]
    """
    if count > MOST_EVEN:
        many: Table = instance_colours()[np.append(0, 1 + np.arange(count - 1) % INSTANCES)]
        return many
    shares = (np.arange(1, count) - 0.5) / max(1, count - 1)
    places = np.rint(30 + (STEPS - 31) * shares).astype(np.intp)  # the darkest would be lost beside black
    return np.vstack([np.array([BLACK], np.uint8), colour_map("viridis")[places]])
