"""An open store as notebooks show it: a summary with some masks, and one mask with its targets."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segprep.drawing.masks import mask_panels
from segprep.drawing.panels import nearest, target_panels
from segprep.drawing.strip import strip
from segprep.errors import SegprepError, some
from segprep.targets import Labels

if TYPE_CHECKING:
    from segprep.store.dataset import Dataset

THUMBNAILS, SIDE = 6, 128
"""Masks of a summary, and the pixels of the longest side of each."""
MOST_PIXELS = 2**24
"""Pixels of the largest mask that a summary reads: it appears wherever the name of a data set is the last line of a cell."""
_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_LONGEST_KEY = 18


def mask_image(dataset: "Dataset", index: int | str, targets: Sequence[str] | None) -> Image.Image:
    """Image, labels and other targets of a mask side by side, as RGB."""
    names = _targets(dataset) if targets is None else dict.fromkeys([Labels.name, *targets])
    arrays = ((name, dataset.array(index, name)) for name in names)
    panels, _ = mask_panels(arrays, [entry.name for entry in dataset.info.classes], lambda: dataset.image(index))
    return Image.fromarray(strip(panels))


def _targets(dataset: "Dataset") -> list[str]:
    return [target.name for target in dataset.info.targets]


def summary_html(dataset: "Dataset") -> str:
    """Table of what a store contains, with thumbnails of the labels of some masks; one piece of HTML of less than 200 kB."""
    sizes = [f"{height:,} x {width:,}" for height, width in np.unique(dataset.sizes, axis=0).tolist()]
    splits = dataset.splits
    rows = {
        "masks": f"{len(dataset):,}" + ("" if len(dataset) == dataset.info.masks else f" of {dataset.info.masks:,}"),
        "instances": f"{_instances(dataset):,}",
        "classes": some([entry.name for entry in dataset.info.classes[1:]], most=8),
        "targets": ", ".join(_targets(dataset)),
        "splits": ", ".join(f"{name} {splits.count(name):,}" for name in dataset.info.splits),
        "sizes": some(sizes, most=4),
    }
    cells = "".join(
        f'<tr><th style="{_CELL}">{name}</th><td style="{_CELL}">{escape(text)}</td></tr>'
        for name, text in rows.items()
    )
    name = escape(dataset.root.name)
    status = "" if dataset.info.status == "complete" else f" ({escape(dataset.info.status)})"
    return f"<div><b>segprep store {name}</b>{status}<table>{cells}</table>{_thumbnails(dataset)}</div>"


def _instances(dataset: "Dataset") -> int:
    """Instances of the selected masks."""
    return dataset.info.instances if len(dataset) == dataset.info.masks else int(dataset.class_instances.sum())


def _thumbnails(dataset: "Dataset") -> str:
    """Labels of some masks, evenly spaced among those that are not too large."""
    fit = np.flatnonzero(dataset.sizes.prod(axis=1) <= MOST_PIXELS)
    chosen = fit[np.linspace(0, len(fit) - 1, min(len(fit), THUMBNAILS)).astype(np.intp)] if len(fit) else fit
    return "".join(_thumbnail(dataset, int(index)) for index in chosen)


def _thumbnail(dataset: "Dataset", index: int) -> str:
    """Labels of one mask, with its key below; the reason instead if they cannot be read."""
    key = dataset.keys[index]
    short = key if len(key) <= _LONGEST_KEY else f"...{key[3 - _LONGEST_KEY :]}"
    try:
        (panel,) = target_panels(Labels.name, nearest(dataset.array(index, Labels.name), SIDE), ())
        source = f"data:image/png;base64,{b64encode(panel.encoded()).decode()}"
        shown = f'<img alt="" src="{source}" style="width:{SIDE}px;image-rendering:pixelated">'
    except SegprepError as error:
        shown = escape(str(error))
    style = f"display:inline-block;width:{SIDE}px;margin:0.3em;vertical-align:top;overflow-wrap:anywhere;font-size:80%"
    return f'<figure title="{escape(key)}" style="{style}">{shown}<figcaption>{escape(short)}</figcaption></figure>'
