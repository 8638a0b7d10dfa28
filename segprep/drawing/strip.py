"""Panels of one mask in a row, as one image with titles and legends."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segprep.drawing.colours import colour_map
from segprep.drawing.panels import Panel, number

SIDE = 512
"""Pixels of the longest side of a panel; smaller ones are enlarged by an integer factor."""
GAP, TITLE, LEGEND = 16, 32, 40
"""Pixels between panels, and of the lines above and below them."""
NARROWEST = 180
"""Pixels of the narrowest column, in which titles and legends have room."""
_BAR = 10
_INK = (20, 20, 20)


def strip(panels: Sequence[Panel]) -> NDArray[np.uint8]:
    """Panels side by side on white, (H, W, 3) uint8."""
    columns = [_column(panel) for panel in panels]
    height = max(len(column) for column in columns)
    canvas = np.full((height + 2 * GAP, sum(c.shape[1] + GAP for c in columns) + GAP, 3), 255, np.uint8)
    x = GAP
    for column in columns:
        canvas[GAP : GAP + len(column), x : x + column.shape[1]] = column
        x += column.shape[1] + GAP
    return canvas


def _column(panel: Panel) -> NDArray[np.uint8]:
    """Title, image and legend of a panel."""
    pixels = _scaled(panel.within(SIDE).rgb)
    height, width = pixels.shape[:2]
    column = np.full((TITLE + height + LEGEND, max(width, NARROWEST), 3), 255, np.uint8)
    column[TITLE : TITLE + height, :width] = pixels
    _write(column, panel.title, 0, TITLE - 12)
    below = TITLE + height + 6
    if panel.scale is None:
        _write(column, panel.note or ", ".join(panel.names.values()), 0, below + 18)
        return column
    shades = np.rint(np.linspace(0, 254, column.shape[1])).astype(np.intp)
    column[below : below + _BAR] = colour_map(panel.scale.map)[shades]
    ends = [number(tick) for tick in panel.scale.ticks]
    ends[-1] = f"{ends[-1]} {panel.scale.unit}".rstrip()
    for index, text in enumerate(ends):
        room = column.shape[1] - _width(text)
        _write(column, text, room * index // (len(ends) - 1), below + _BAR + 18)
    return column


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels, enlarged by an integer factor to at most `SIDE` pixels."""
    factor = max(1, SIDE // max(pixels.shape[:2]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _width(text: str) -> int:
    import cv2  # noqa: PLC0415 - slow to import

    return int(cv2.getTextSize(_ascii(text), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0])


def _write(canvas: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    """Write text with its baseline at y."""
    import cv2  # noqa: PLC0415 - slow to import

    cv2.putText(canvas, _ascii(text), (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """Text in the characters that OpenCV draws."""
    return text.encode("ascii", "replace").decode()
