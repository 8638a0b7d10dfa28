"""Draw the images of the documentation from the coins, from discs that touch, and from drawn nuclei.

Usage: python draw_maps.py [FOLDER]

FOLDER (default: docs/images of the repository) gets one PNG file per image.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import segprep
from segprep import PRESETS, Border, Boundaries, Distance, Weights

HERE = Path(__file__).parent
COINS = HERE / "coins"
ROW = np.s_[232:296, 84:384]  # the coins 20 to 24, which lie close together
CLOSE = np.s_[232:296, 212:384]  # the coins 22 to 24
GREY = [(0, 0, 0), (255, 255, 255)]
LIGHT = [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)]  # dark is low
SIGNED = [(5, 48, 97), (67, 147, 195), (255, 255, 255), (214, 96, 77), (103, 0, 31)]  # blue is negative, white is 0
DISCS = [(28, 26, 18.4), (28, 58, 18.4), (62, 44, 14.4)]  # y, x and radius of the discs
STEPS, PAPER, INK = 254, 254, 255  # palette: size of the colour maps, then white and black
GAP, STRIP, LINE = 12, 8, 12  # pixels: between maps; height of the colour scale and of its numbers, before doubling


def discs():
    """(84, 84) uint8 labels of three discs: the first two touch, and the third is close to them."""
    y, x = np.mgrid[:84, :84]
    distances = np.array([np.hypot(y - cy, x - cx) - r for cy, cx, r in DISCS])
    return np.where(distances.min(axis=0) <= 0, distances.argmin(axis=0) + 1, 0).astype(np.uint8)


def maps(data, *targets, **settings):
    """Arrays that `segprep weights` writes for one mask; `data` is a file, a folder, or a label image as an array."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(data, np.ndarray):
            source = Path(folder) / "labels.png"
            Image.fromarray(data).save(source)
            return maps(source, *targets, **settings)
        store = Path(folder) / "maps.zarr"
        segprep.preprocess(data, store, targets=targets, workers=1, **settings)
        return segprep.open(store)[0]


def colour_map(anchors, steps):
    """Colours interpolated between the anchors, (steps, 3)."""
    positions = np.linspace(0, len(anchors) - 1, steps)
    colours = [np.interp(positions, range(len(anchors)), channel) for channel in zip(*anchors, strict=True)]
    return np.rint(np.transpose(colours)).astype(int)


def palette(*colour_maps):
    """Palette of an image: the colour maps, then white and black."""
    colours = [
        *np.concatenate(colour_maps),
        *[(255, 255, 255)] * (STEPS - sum(map(len, colour_maps))),
        (255, 255, 255),
        (0, 0, 0),
    ]
    return np.ravel(colours).tolist()


def shades(values, low, high, steps=STEPS):
    """Indices of values in a colour map; integers above 0 are set apart from 0."""
    share = np.clip((values.astype(float) - low) / (high - low), 0, 1)
    if values.dtype.kind == "u":
        share = np.where(values > 0, 0.2 + 0.8 * share, 0)
    return np.rint(share * (steps - 1)).astype(np.uint8)


def bounds(panels, anchors):
    """Values at the ends of the colour map: from 0 on, or symmetric for signed values."""
    low, high = min(float(panel.min()) for panel in panels), max(float(panel.max()) for panel in panels)
    return (-max(-low, high), max(-low, high)) if anchors is SIGNED else (0.0, high)


def side_by_side(panels, zoom):
    """Panels in a row, enlarged, with gaps between them."""
    large = [np.kron(panel, np.ones((zoom, zoom), np.uint8)) for panel in panels]
    gap = np.full((len(large[0]), GAP), PAPER, np.uint8)
    return np.hstack([part for panel in large for part in (panel, gap)][:-1])


def save(path, pixels, colours):
    """Write an image with a palette."""
    image = Image.fromarray(pixels)
    image.putpalette(colours)
    image.save(path, optimize=True)


def colour_scale(width, low, high, dtype):
    """Bar of the colours from low to high, with the numbers at its ends; each integer has a separate field."""
    bar = np.linspace(low, high + 1 if dtype.kind == "u" else high, width, endpoint=dtype.kind != "u").astype(dtype)
    strip = np.full((STRIP + LINE, width), PAPER, np.uint8)
    strip[:STRIP] = shades(bar, low, high)
    image, font = Image.fromarray(strip), ImageFont.load_default_imagefont()
    ink = ImageDraw.Draw(image)
    ink.text((0, STRIP), f"{low:.3g}", INK, font)
    ink.text((width - font.getlength(f"{high:.3g}"), STRIP), f"{high:.3g}", INK, font)
    return np.array(image)


def draw(path, *panels, anchors=LIGHT, zoom=2):
    """Maps beside each other with one colour scale below."""
    low, high = bounds(panels, anchors)
    row = side_by_side([shades(panel, low, high) for panel in panels], zoom)
    scale = colour_scale(row.shape[1] // 2, low, high, panels[0].dtype)
    space = np.full((GAP // 2, row.shape[1]), PAPER, np.uint8)
    pixels = np.vstack([row, space, np.kron(scale, np.ones((2, 2), np.uint8))])
    save(path, pixels, palette(colour_map(anchors, STEPS)))


def draw_overview(path):
    """Image, labels, weights and distance of nuclei that touch, drawn by `segprep demo`."""
    with tempfile.TemporaryDirectory() as folder:
        segprep.demo(f"{folder}/nuclei", images=3)
        settings = {"preset": "crowded", "distance_clip": 16, "workers": 1}
        segprep.preprocess(f"{folder}/nuclei", f"{folder}/nuclei.zarr", **settings)
        masks = segprep.open(f"{folder}/nuclei.zarr")
        fullest = max(range(len(masks)), key=lambda index: masks[index]["labels"].max())
        image, mask = masks.image(fullest).astype(float), masks[fullest]
    image = np.minimum(image * 255 / np.quantile(image, 0.995), 255)  # brighter, as a viewer shows it
    panels = [(image, GREY), (mask["labels"], LIGHT), (mask["weights"], LIGHT), (mask["distance"], SIGNED)]
    anchors = [GREY, LIGHT, SIGNED]
    steps = STEPS // len(anchors)
    indices = []
    for values, colours in panels:
        low, high = (0, 255) if colours is GREY else bounds([values], colours)
        indices.append(shades(values, low, high, steps) + np.uint8(steps * anchors.index(colours)))
    save(path, side_by_side(indices, 2), palette(*(colour_map(colours, steps) for colours in anchors)))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    coins, disc = maps(COINS, Weights(), Distance()), discs()
    draw_overview(folder / "overview.png")
    draw(folder / "labels.png", coins["labels"])
    draw(folder / "classes.png", coins["classes"][ROW])
    draw(folder / "weights.png", coins["weights"])
    draw(folder / "distance.png", coins["distance"], anchors=SIGNED)
    draw(folder / "border.png", *(maps(COINS, Border(sigma=sigma))["border"][CLOSE] for sigma in (5, 10)))
    draw(
        folder / "border_on.png", *(maps(disc, Border(border_on=on))["border"] for on in ("background", "all")), zoom=3
    )
    draw(folder / "preset_paper.png", maps(COINS, PRESETS["paper"])["weights"][ROW])
    draw(folder / "preset_crowded.png", maps(disc, PRESETS["crowded"], separate=1)["weights"], zoom=3)
    draw(folder / "preset_deshpande2018.png", maps(COINS, PRESETS["deshpande2018"])["weights"][ROW])
    falk = maps(COINS, PRESETS["falk2019"], separate="falk2019")["weights"]
    draw(folder / "preset_falk2019.png", np.minimum(falk, 2))  # higher values would hide the rest
    draw(folder / "separate.png", *(maps(disc, Weights(), separate=px)["weights"] for px in (0, 1, 2)), zoom=3)
    draw(folder / "boundaries.png", *(maps(disc, Boundaries(px))["boundaries"] for px in (1, 3)), zoom=3)
    fields = [maps(disc, Distance(per))["distance"] for per in ("foreground", "instance")]
    draw(folder / "distance_per.png", *fields, anchors=SIGNED, zoom=3)
    found = [
        maps((disc > 0).astype(np.uint8), instances_from=origin)["labels"] for origin in ("components", "watershed")
    ]
    draw(folder / "instances.png", *found, zoom=3)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "images")
