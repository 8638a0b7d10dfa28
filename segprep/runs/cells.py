"""Drawn images of cells that look like fluorescence microscopy of nuclei, with their exact labels.

A cell is a star-shaped outline filled with a texture. The signal of all cells passes a model of a microscope: blur of the
optics (more for cells out of focus), glow and uneven light of the background, shot noise and read noise of the camera.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segprep.arrays import BoolArray, LabelArray

CLASSES = ("interphase", "mitotic", "debris")
"""Names of the classes, in the order of their codes 1, 2, 3."""
_SHARES = (0.84, 0.08, 0.08)
"""Share of each class among the cells."""
_CLUSTERED = 0.7
"""Share of the cells that are placed beside another one."""
_HIDDEN = 0.15
"""Largest share of a cell that may lie behind others."""
_TRIES = 12
"""Places that are tried for each cell, on average."""
_SMALLEST = 25
"""Pixels that are visible of every cell."""
_OUT_OF_FOCUS = 0.12
"""Share of the cells in interphase that are out of focus."""

Signal = NDArray[np.float64]
"""(H, W) light of each pixel, 1 for a cell of normal brightness."""


class CellImage(NamedTuple):
    """Drawn image of cells and its ground truth.

    Attributes
    ----------
    pixels : (H, W) uint8 array
        Grey values.
    labels : (H, W) int32 array
        Cells ``1..N``, each connected; 0 is background.
    classes : (N,) int64 array
        Code of each cell's class, from 1 on, as in `CLASSES`.
    """

    pixels: NDArray[np.uint8]
    labels: LabelArray
    classes: NDArray[np.int64]


class _Cell(NamedTuple):
    """Outline of a cell around its centre: an ellipse with waves, given by amplitude and phase, of the orders 2, 3, ...

    `code` is the class, `axes` are the long and the short semi-axis in pixels, and `angle` in radians is that of the long one.
    """

    code: int
    axes: tuple[float, float]
    angle: float
    waves: tuple[tuple[float, float], ...]

    def radius(self, angle: Signal) -> Signal:
        """Distance in pixels from the centre to the outline, in each direction in radians."""
        along, across = np.cos(angle - self.angle) / self.axes[0], np.sin(angle - self.angle) / self.axes[1]
        waves = [size * np.cos(order * angle + phase) for order, (size, phase) in enumerate(self.waves, start=2)]
        return np.asarray((1 + np.sum(waves, axis=0)) / np.hypot(along, across))


def draw_cells(seed: Sequence[int], shape: tuple[int, int], *, is_empty: bool = False) -> CellImage:
    """Image of cells, many of which touch.

    Parameters
    ----------
    seed : sequence of int
        Random seed; the same seed and shape give the same image.
    shape : (int, int)
        Height and width in pixels.
    is_empty : bool
        True for background without cells.

    Examples
    --------
    >>> image = draw_cells((0, 1), (96, 128))
    >>> image.pixels.shape, image.pixels.dtype, int(image.labels.max()) == len(image.classes)
    ((96, 128), dtype('uint8'), True)
    """
    random = np.random.default_rng(seed)
    labels, sharp, blurred = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
    scale, filled = random.uniform(0.8, 1.3), random.uniform(0.2, 0.5)
    count = 0 if is_empty else max(4, round(filled * shape[0] * shape[1] / (430 * scale**2)))
    placed: list[tuple[_Cell, float, float]] = []
    for _ in range(count * _TRIES):
        if len(placed) == count:
            break
        cell = _random_cell(random, scale)
        y, x = _place(random, cell, placed, shape)
        box, radii = _radii(cell, y, x, shape)
        inside = _visible(radii, labels[box])
        if inside is not None:
            placed.append((cell, y, x))
            labels[box][inside] = len(placed)
            signal = blurred if random.random() < _OUT_OF_FOCUS and cell.code == 1 else sharp
            signal[box][inside] = _texture(random, cell, radii)[inside]
    pixels = _photograph(random, sharp, blurred)
    return CellImage(pixels, labels, np.array([cell.code for cell, _, _ in placed], np.int64))


def _random_cell(random: np.random.Generator, scale: float) -> _Cell:
    """Cell of a random class, size and form."""
    code = 1 + int(random.choice(len(CLASSES), p=_SHARES))
    long, ratio, wave = {
        1: (random.uniform(10.5, 15), random.uniform(0.66, 0.98), 0.045),  # oval nucleus
        2: (random.uniform(10, 13), random.uniform(0.32, 0.45), 0.06),  # metaphase plate
        3: (random.uniform(4.5, 6.5), random.uniform(0.75, 1), 0.09),  # fragmented nucleus
    }[code]
    waves = [(wave * random.normal() / order, random.uniform(0, 2 * np.pi)) for order in (1, 1, 1.5, 2)]
    waves = [(float(np.clip(size, -0.15, 0.15)), phase) for size, phase in waves]
    return _Cell(code, (long * scale, long * ratio * scale), random.uniform(0, np.pi), tuple(waves))


def _place(
    random: np.random.Generator, cell: _Cell, placed: Sequence[tuple[_Cell, float, float]], shape: tuple[int, int]
) -> tuple[float, float]:
    """Centre of a cell: against one that is placed already, or anywhere."""
    if not placed or random.random() > _CLUSTERED:
        return random.uniform(0, shape[0]), random.uniform(0, shape[1])
    other, y, x = placed[int(random.integers(len(placed)))]
    angle = np.asarray(random.uniform(-np.pi, np.pi))
    distance = float(other.radius(angle) + cell.radius(angle + np.pi)) * random.uniform(0.86, 1.04)
    return y + distance * float(np.sin(angle)), x + distance * float(np.cos(angle))


def _radii(cell: _Cell, y: float, x: float, shape: tuple[int, int]) -> tuple[tuple[slice, slice], Signal]:
    """Box of a cell in the image, and for each of its pixels the distance to the centre; 1 is the outline."""
    reach = 2 * max(cell.axes)
    rows, columns = (
        slice(*(min(side, max(0, round(centre + end))) for end in (-reach, reach)))
        for centre, side in ((y, shape[0]), (x, shape[1]))
    )
    dy, dx = np.mgrid[rows, columns]
    dy, dx = dy - y, dx - x
    return (rows, columns), np.asarray(np.hypot(dy, dx) / cell.radius(np.arctan2(dy, dx)))


def _visible(radii: Signal, labels: LabelArray) -> BoolArray | None:
    """Pixels of a cell behind others, in one piece; None if others hide too much, or the image's edge cuts it off."""
    inside = radii <= 1
    free = inside & (labels == 0)
    if np.count_nonzero(free) < max(_SMALLEST, (1 - _HIDDEN) * np.count_nonzero(inside)):
        return None
    _, pieces = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
    sizes = np.bincount(pieces[free])
    largest = np.asarray(pieces == sizes.argmax())
    return largest if sizes.max() >= _SMALLEST else None


def _texture(random: np.random.Generator, cell: _Cell, radii: Signal) -> Signal:
    """Light of the pixels of a cell: brighter in the middle, grainy, and in interphase with dark nucleoli."""
    brightness = {1: 0.75, 2: 1.5, 3: 1.25}[cell.code] * random.lognormal(0, 0.22)
    grain, depth = {1: (2.0, 0.16), 2: (1.2, 0.1), 3: (1.5, 0.3)}[cell.code]
    noise = random.standard_normal(radii.shape)
    texture = sum(share * _unit(cv2.GaussianBlur(noise, (0, 0), width)) for share, width in ((0.7, grain), (0.5, 4.5)))
    light = (0.55 + 0.45 * np.sqrt(np.clip(1 - radii**2, 0, 1))) * np.clip(1 + depth * texture, 0.2, None)
    for _ in range(random.integers(1, 5) if cell.code == 1 else 0):
        y, x = (random.uniform(0.3, 0.7) * side for side in radii.shape)
        dy, dx = np.ogrid[: radii.shape[0], : radii.shape[1]]
        size = random.uniform(0.1, 0.18) * cell.axes[0]
        light *= 1 - random.uniform(0.3, 0.6) * np.exp(-((dy - y) ** 2 + (dx - x) ** 2) / (2 * size**2))
    return np.asarray(brightness * light)


def _unit(values: Signal) -> Signal:
    """Values with the standard deviation 1."""
    return np.asarray(values / (values.std() or 1))


def _photograph(random: np.random.Generator, sharp: Signal, blurred: Signal) -> NDArray[np.uint8]:
    """Image that a microscope's camera takes of the signal of cells in focus and out of focus."""
    height, width = sharp.shape
    optics = random.uniform(0.8, 1.2)
    light = cv2.GaussianBlur(sharp, (0, 0), optics) + 0.8 * cv2.GaussianBlur(blurred, (0, 0), random.uniform(2.5, 3.5))
    glow = cv2.GaussianBlur(sharp + blurred, (0, 0), 14)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    tilt = random.uniform(-1, 1, 2)
    background = 0.09 * (1 + 0.45 * (tilt[0] * y + tilt[1] * x)) + 0.14 * glow
    falloff = 1 - 0.16 * (y**2 + x**2)  # of the lamp, towards the corners
    photons = random.uniform(90, 260)
    exposed = random.poisson(photons * np.clip((light + background) * falloff, 0, None)) / photons
    grey = 8 + 160 * random.uniform(0.75, 1.1) * (exposed + random.normal(0, 0.008, exposed.shape))
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)
