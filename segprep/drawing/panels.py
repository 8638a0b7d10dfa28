"""Arrays of a mask as small images with a palette and a legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segprep.drawing.colours import INSTANCES, STEPS, WHITE, Table, class_colours, colour_map, instance_colours
from segprep.kernels.boundaries import IGNORE

LARGEST = 1024
"""Pixels of the longest side of a panel."""
OUTLINE = (255, 221, 0)
"""Yellow, which is visible on grey and on most colours of tissue."""
PARTS = ("background", "interior", "border", "shared border")
"""Names of the codes of `Boundaries`."""
MOST_CHANNELS = 4
"""Channels of a target that are shown."""
MOST_OF_COLOUR = 3
"""Instances of one colour that are named."""
MAPS = {"weights": "inferno", "border": "inferno", "distance": "red-blue"}
"""Maps of targets; for others, viridis, or red-blue if some values are negative."""
UNITS = {"distance": "px"}
_THICKER = 400
"""Pixels of the longest side for each of which an outline gets one more pixel."""
_IGNORED = 255
"""Index of ignored pixels."""
_DARK = 128
"""Brightest grey value below which an image of 8 bits is stretched."""


@dataclass(frozen=True)
class Scale:
    """Legend of a panel of numbers: values of the first and the last colour of a map, and their unit.

    0 is the middle of a map from negative to positive values, whose halves have their own steps: the distances inside of cells
    are much smaller than those far from any.
    """

    map: str
    low: float
    high: float
    unit: str = ""

    @property
    def ticks(self) -> list[float]:
        """Values at the ends, and in the middle of a diverging map."""
        return [self.low, 0.0, self.high] if self.low < 0 else [self.low, self.high]

    def indices(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colour of each value.

        >>> Scale("red-blue", -2, 40).indices(np.array([-2, 0, 20, 40], np.float32)).tolist()
        [0, 127, 190, 254]
        """
        places = np.interp(values, self.ticks, np.linspace(0, STEPS - 1, len(self.ticks)))
        return np.rint(places).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Panel:
    """Image of one array.

    Attributes
    ----------
    title : str
        Name of the target, and of the channel, if it has several.
    pixels : (h, w) or (h, w, 3) uint8 array
        Indices in the palette, or RGB.
    palette : (n, 3) uint8 array or None
        RGB of each index.
    scale : Scale or None
        Legend of numbers.
    names : dict of int to str
        Text of each index that occurs, for codes.
    note : str
        Remark below the image.
    """

    title: str
    pixels: NDArray[np.uint8]
    palette: Table | None = None
    scale: Scale | None = None
    names: dict[int, str] = field(default_factory=dict)
    note: str = ""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """Colours, shape (h, w, 3)."""
        return self.pixels if self.palette is None else self.palette[self.pixels]

    @property
    def mime(self) -> str:
        """Type of `encoded`."""
        return "image/jpeg" if self.palette is None else "image/png"

    def encoded(self) -> bytes:
        """File of the image: PNG with a palette, from whose colours values can be read back, or JPEG."""
        image, file = Image.fromarray(self.pixels), BytesIO()
        if self.palette is None:
            image.save(file, "JPEG", quality=88)
        else:
            image.putpalette(self.palette.tobytes())
            image.save(file, "PNG", compress_level=9)
        return file.getvalue()

    def within(self, side: int) -> "Panel":
        """Panel whose sides are at most `side` pixels."""
        small = nearest(self.pixels, side) if self.names else mean(self.pixels, side)
        return replace(self, pixels=small.astype(np.uint8))


def number(value: float) -> str:
    """Number for a legend.

    >>> number(0.12345), number(1056.4)
    ('0.123', '1,056')
    """
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - where exponents begin


def size_within(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Height and width at which the longest side has at most `side` pixels.

    >>> size_within((3000, 1500), 1000), size_within((5, 9), 1000), size_within((1, 9000), 1000)
    ((1000, 500), (5, 9), (1, 1000))
    """
    height, width = shape[:2]
    share = min(1.0, side / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def nearest(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Every n-th pixel of codes, so that the longest side has at most `side`."""
    (height, width), (tall, wide) = values.shape[:2], size_within(values.shape, side)
    rows, columns = (np.arange(tall) * 2 + 1) * height // (2 * tall), (np.arange(wide) * 2 + 1) * width // (2 * wide)
    picked: NDArray[Any] = values[rows[:, None], columns]
    return picked


def mean(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Mean of the pixels that become one, so that the longest side has at most `side`."""
    tall, wide = size_within(values.shape, side)
    if (tall, wide) == values.shape[:2]:
        return values
    import cv2  # noqa: PLC0415 - slow to import

    small: NDArray[Any] = cv2.resize(np.ascontiguousarray(values), (wide, tall), interpolation=cv2.INTER_AREA)
    return small


def image_panel(image: NDArray[Any], labels: NDArray[Any]) -> Panel:
    """Image with the outlines of its instances, from labels that are within `LARGEST` pixels."""
    grey, note = _eight_bits(image)
    small = mean(grey, LARGEST)
    colours = np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small.copy()  # noqa: PLR2004
    colours[_outlines(labels)] = OUTLINE
    return Panel("image", colours, note=note)


def target_panels(name: str, values: NDArray[Any], classes: Sequence[str]) -> Iterator[Panel]:
    """Panels of the array of a target, shape (H, W) or (channels, H, W): one for each of the first channels that vary."""
    if values.ndim == 2:  # noqa: PLR2004
        yield _panel(name, name, values, classes)
        return
    channels = values.reshape(-1, *values.shape[-2:])
    varied = [index for index, channel in enumerate(channels) if channel.min() != channel.max()] or [0]
    for index in varied[:MOST_CHANNELS]:
        channel = classes[index] if len(channels) == len(classes) else f"channel {index}"
        yield _panel(name, f"{name}: {channel}", channels[index], classes)


def _panel(name: str, title: str, values: NDArray[Any], classes: Sequence[str]) -> Panel:
    """Panel of one (H, W) array."""
    if name == "labels":
        return _labels(title, values)
    if name == "classes":
        return _codes(title, values, classes, np.iinfo(values.dtype).max)
    if name == "boundaries":
        return _codes(title, values, PARTS, IGNORE)
    if values.dtype == np.bool_:
        return _codes(title, values.astype(np.uint8), ("False", "True"), _IGNORED)
    return _numbers(title, values.astype(np.float32), MAPS.get(name, "viridis"), UNITS.get(name, ""))


def _numbers(title: str, values: NDArray[np.float32], name: str, unit: str) -> Panel:
    """Panel of numbers, on a diverging map if some are negative, or the target is a distance."""
    least, most = float(values.min()), float(values.max())
    if least < 0 or name == "red-blue":
        low, high = least if least < 0 else -max(most, 1.0), most if most > 0 else max(-least, 1.0)
        scale = Scale("red-blue", low, high, unit)
    elif least == most:
        one = np.zeros(size_within(values.shape, LARGEST), np.uint8)
        return Panel(title, one, colour_map(name), names={0: number(least)}, note=f"{number(least)} everywhere")
    else:
        scale = Scale(name, least, most, unit)
    return Panel(title, scale.indices(mean(values, LARGEST)), colour_map(scale.map), scale, note=unit)


def _labels(title: str, labels: NDArray[Any]) -> Panel:
    """Panel of instances; beyond `INSTANCES` instances, several have the same colour."""
    small, there = nearest(labels, LARGEST), np.unique(labels)
    indices = np.where(small > 0, 1 + (small.astype(np.int64) - 1) % INSTANCES, 0)
    names: dict[int, str] = {0: "background"}
    for label in there[there > 0].tolist():
        index = 1 + (label - 1) % INSTANCES
        if label <= INSTANCES * MOST_OF_COLOUR:
            names[index] = f"{names[index]} or {label}" if index in names else f"instance {label}"
        else:
            names[index] = f"{names.get(index, 'instance')} or more".replace(" or more or more", " or more")
    count = np.count_nonzero(there)
    note = f"{count:,} visible instance{'' if count == 1 else 's'}"
    return Panel(title, indices.astype(np.uint8), instance_colours(), names=names, note=note)


def _codes(title: str, codes: NDArray[Any], names: Sequence[str], ignore: int) -> Panel:
    """Panel of codes with names, of which `ignore` has none; of many codes, several have the same colour."""
    small, there = nearest(codes, LARGEST), np.unique(codes).tolist()
    colours = class_colours(min(len(names), _IGNORED))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)], palette[_IGNORED] = colours, WHITE
    texts: dict[int, str] = {}
    for code in there:
        index, text = (_IGNORED, "ignored") if code == ignore else (_index(code), names[code])
        texts[index] = f"{texts[index]} or {text}" if index in texts else text
    indices = np.where(small == ignore, _IGNORED, _index(small.astype(np.int64)))
    return Panel(title, indices.astype(np.uint8), palette, names=texts)


def _index(code: Any) -> Any:
    """Index of a code in a palette of at most `_IGNORED` colours; 0 for the background alone."""
    return (code > 0) * (1 + (code - 1) % (_IGNORED - 1))


def _outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of instances beside a pixel of another instance or of the background; in large masks, lines of several pixels."""
    import cv2  # noqa: PLC0415 - slow to import

    edges = np.zeros(labels.shape, np.uint8)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = labels[one] != labels[other]
        edges[one] |= differs & (labels[one] > 0)
        edges[other] |= differs & (labels[other] > 0)
    width = 1 + max(labels.shape) // _THICKER
    lines: NDArray[np.uint8] = cv2.dilate(edges, np.ones((width, width), np.uint8))
    return lines > 0


def _eight_bits(image: NDArray[Any]) -> tuple[NDArray[np.uint8], str]:
    """Image as uint8, grey or RGB, and a note if its contrast was stretched."""
    if image.ndim == 3 and image.shape[2] != 3:  # noqa: PLR2004
        image = image[..., :3] if image.shape[2] > 3 else image[..., 0]  # noqa: PLR2004
    low, high = (float(value) for value in np.percentile(image[:: max(1, len(image) // 512)], (0.2, 99.8)))
    if image.dtype == np.uint8 and high >= _DARK:
        return image, ""
    low = min(low, 0.0) if image.dtype == np.uint8 else low
    shares = (image.astype(np.float32) - low) / max(high - low, 1e-6)
    return np.rint(np.clip(np.nan_to_num(shares), 0, 1) * 255).astype(np.uint8), "contrast stretched"
