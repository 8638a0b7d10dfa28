"""Draw the pictures of docs/formulas.md from the coins and from discs that touch.

Usage: python draw_maps.py [FOLDER]

FOLDER (default: docs/images beside this folder) gets one PNG file per picture.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import segprep
from segprep.masks.instances import InstanceRule
from segprep.runs.preprocess import Rules
from segprep.targets import Border, Boundaries, Distance, Weights
from segprep.targets.weights import PRESETS

HERE = Path(__file__).parent
ONE = segprep.Workers(1)  # process
COINS = HERE / "coins"
ROW = np.s_[232:296, 84:384]  # the coins 20 to 24, which lie close together
CLOSE = np.s_[232:296, 212:384]  # the coins 22 to 24
LIGHT = [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)]  # dark is little
SIGNED = [(5, 48, 97), (67, 147, 195), (255, 255, 255), (214, 96, 77), (103, 0, 31)]  # blue is negative, white is 0
CENTRES = [(28, 26, 18.4), (28, 58, 18.4), (62, 44, 14.4)]  # y, x and radius of the discs
STEPS, PAPER, INK = 254, 254, 255  # entries of the palette: the colour map, then white and black
GAP, STRIP, LINE = 12, 8, 12  # pixels: between maps; height of the colour scale and of its numbers, before doubling


def discs():
    """(84, 84) uint8 labels of three discs: the first two touch, and the third lies near to the first."""
    y, x = np.mgrid[:84, :84]
    distances = np.array([np.hypot(y - cy, x - cx) - r for cy, cx, r in CENTRES])
    return np.where(distances.min(axis=0) <= 0, distances.argmin(axis=0) + 1, 0).astype(np.uint8)


def maps(data, *targets, **rule):
    """Arrays of a label image, as `segprep weights` writes them; `data` is a file, a folder, or the labels."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(data, np.ndarray):
            source = Path(folder) / "labels.png"
            Image.fromarray(data).save(source)
            return maps(source, *targets, **rule)
        store = Path(folder) / "maps.zarr"
        segprep.preprocess(data, store, targets=targets, rules=Rules(instances=InstanceRule(**rule)), workers=ONE)
        return segprep.open(store)[0]


def palette(anchors):
    """Colours between the anchors, then white and black, as PIL has them in a palette."""
    places = np.linspace(0, len(anchors) - 1, STEPS)
    colours = [np.interp(places, range(len(anchors)), channel) for channel in zip(*anchors, strict=True)]
    return [*np.rint(np.transpose(colours)).astype(int).ravel().tolist(), 255, 255, 255, 0, 0, 0]


def shades(values, low, high):
    """Values as entries of the colour map; integers above 0 stand out from it."""
    share = np.clip((values.astype(float) - low) / (high - low), 0, 1)
    if values.dtype.kind == "u":
        share = np.where(values > 0, 0.2 + 0.8 * share, 0)
    return np.rint(share * (STEPS - 1)).astype(np.uint8)


def colour_scale(width, low, high, dtype):
    """Bar of the colours from low to high, and the numbers at its ends; integers are separate fields."""
    bar = np.linspace(low, high + 1 if dtype.kind == "u" else high, width, endpoint=dtype.kind != "u").astype(dtype)
    strip = np.full((STRIP + LINE, width), PAPER, np.uint8)
    strip[:STRIP] = shades(bar, low, high)
    image, font = Image.fromarray(strip), ImageFont.load_default_imagefont()
    ink = ImageDraw.Draw(image)
    ink.text((0, STRIP), f"{low:.3g}", INK, font)
    ink.text((width - font.getlength(f"{high:.3g}"), STRIP), f"{high:.3g}", INK, font)
    return np.array(image)


def draw(path, *panels, anchors=LIGHT, zoom=2):
    """Maps beside each other, enlarged, with one colour scale below; signed ones go as far either way."""
    low, high = min(float(panel.min()) for panel in panels), max(float(panel.max()) for panel in panels)
    low, high = (-max(-low, high), max(-low, high)) if anchors is SIGNED else (0.0, high)
    large = [np.kron(shades(panel, low, high), np.ones((zoom, zoom), np.uint8)) for panel in panels]
    gap = np.full((len(large[0]), GAP), PAPER, np.uint8)
    row = np.hstack([part for panel in large for part in (panel, gap)][:-1])
    scale = colour_scale(row.shape[1] // 2, low, high, panels[0].dtype)
    space = np.full((GAP // 2, row.shape[1]), PAPER, np.uint8)
    image = Image.fromarray(np.vstack([row, space, np.kron(scale, np.ones((2, 2), np.uint8))]))
    image.putpalette(palette(anchors))
    image.save(path, optimize=True)


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    coins, disc = maps(COINS, Weights(), Distance()), discs()
    draw(folder / "labels.png", coins["labels"])
    draw(folder / "classes.png", coins["classes"][ROW])
    draw(folder / "weights.png", coins["weights"])
    draw(folder / "distance.png", coins["distance"], anchors=SIGNED)
    draw(folder / "border.png", *(maps(COINS, Border(sigma=sigma))["border"][CLOSE] for sigma in (5, 10)))
    draw(
        folder / "border_on.png", *(maps(disc, Border(border_on=on))["border"] for on in ("background", "all")), zoom=3
    )
    draw(folder / "preset_paper.png", coins["weights"][ROW])
    draw(folder / "preset_deshpande2018.png", maps(COINS, PRESETS["deshpande2018"])["weights"][ROW])
    falk = maps(COINS, PRESETS["falk2019"], separate="falk2019")["weights"]
    draw(folder / "preset_falk2019.png", np.minimum(falk, 2))  # what is above hides the rest
    draw(folder / "separate.png", *(maps(disc, Weights(), separate=px)["weights"] for px in (0, 1, 2)), zoom=3)
    draw(folder / "boundaries.png", *(maps(disc, Boundaries(px))["boundaries"] for px in (1, 3)), zoom=3)
    fields = [maps(disc, Distance(per))["distance"] for per in ("foreground", "instance")]
    draw(folder / "distance_per.png", *fields, anchors=SIGNED, zoom=3)
    found = [maps((disc > 0).astype(np.uint8), instances_from=origin)["labels"] for origin in ("components", "watershed")]
    draw(folder / "instances.png", *found, zoom=3)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "images")
