"""Report as one page of HTML that opens offline: no outside reference, and no text of the data is taken as HTML."""

import hashlib
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from segprep.drawing.colours import colour_map
from segprep.drawing.panels import Panel
from segprep.drawing.panels import number as _number
from segprep.errors import escape_controls
from segprep.report.samples import Sample
from segprep.report.subject import Subject
from segprep.store.schema import ProblemInfo, StoreInfo

MARK = "segprep preview"
"""Text by which a file is recognised as a report."""
MOST_CLASSES, MOST_PROBLEMS, MOST_SIZES, MOST_CHIPS, BINS = 200, 5, 12, 8, 12
"""Classes, problems of a kind, sizes, and classes in a legend that are listed; bars of a histogram."""
_SIDE = 240
"""Pixels of the screen of the longest side of a panel in the grid."""
_STOPS = 12
"""Colours of the gradient of a scale."""


def text(value: object) -> str:
    """Text of the data as HTML.

    >>> text("<script>")
    '&lt;script&gt;'
    """
    return escape(escape_controls(str(value)))


def page(subject: Subject, samples: Sequence[Sample]) -> str:
    """The page."""
    info, script = subject.info, _resource("page.js")
    body = "\n".join(
        [
            _head(subject),
            _cards(subject),
            _problems(subject),
            _grid(samples),
            _classes(info),
            _splits(subject),
            _sizes(subject),
            '<dialog aria-label="Enlarged panel"><header><span></span><button>Close</button></header><img alt=""></dialog>',
            '<div id="value" hidden></div>',
        ]
    )
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{MARK}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{text(info.source)}: {MARK}</title>
<style>
{_resource("page.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="facts">{_facts(samples)}</script>
<script>{script}</script>
</body>
</html>
"""


@cache
def _resource(name: str) -> str:
    """Text of a file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _facts(samples: Sequence[Sample]) -> str:
    """Legends of all panels as JSON, in which nothing ends the element."""
    panels = [(sample, panel) for sample in samples for panel in sample.panels]
    maps = {panel.scale.map for _, panel in panels if panel.scale is not None}
    facts = {
        "maps": {name: colour_map(name).tobytes().hex() for name in sorted(maps)},
        "panels": [_fact(sample, panel) for sample, panel in panels],
    }
    return json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")


def _fact(sample: Sample, panel: Panel) -> dict[str, Any]:
    """Legend of one panel: its true size, and its scale or the text of each colour."""
    height, width = sample.shape
    fact = {"label": f"{panel.title} of {escape_controls(sample.key)}", "height": height, "width": width, "names": {}}
    if panel.scale is not None:
        scale = panel.scale
        fact["scale"] = {"map": scale.map, "ticks": scale.ticks, "unit": scale.unit}
    elif panel.palette is not None:
        names = {index: escape_controls(name) for index, name in panel.names.items()}
        fact["names"] = {panel.palette[index].tobytes().hex(): name for index, name in names.items()}
    return fact


# --- sections --------------------------------------------------------------------------------------------------------


def _head(subject: Subject) -> str:
    info = subject.info
    kind, version = text(info.source_format), text(info.segprep)
    what = (
        f"Store, made by segprep {version} from {kind}" if subject.is_stored else f"Data set ({kind}), without a store"
    )
    names = ", ".join(target.name for target in info.targets)
    targets = "".join(f"<p>{text(_target(target.name, target.parameters))}</p>" for target in info.targets)
    return (
        f"<h1>{text(info.source)}</h1>\n<p class=soft>{what}</p>\n"
        f"<details class=soft><summary>Targets: {text(names)}</summary>{targets}</details>"
    )


def _target(name: str, parameters: dict[str, Any]) -> str:
    """Name of a target and its parameters that are numbers or texts."""
    shown = [
        f"{field}={value:g}" if isinstance(value, float) else f"{field}={value}"
        for field, value in parameters.items()
        if isinstance(value, int | float | str)
    ]
    return f"{name} ({', '.join(shown)})" if shown else name


def _cards(subject: Subject) -> str:
    info, counts = subject.info, subject.tables["instance_count"]
    pixels = int((subject.tables["height"].astype(np.int64) * subject.tables["width"]).sum())
    pairs = "not counted" if info.touching_pairs is None else f"{info.touching_pairs:,}"
    cards = [
        (f"{info.masks:,}", "mask" if info.masks == 1 else "masks"),
        (f"{info.instances:,}", "instance" if info.instances == 1 else "instances"),
        (f"{len(info.classes) - 1:,}", "class" if len(info.classes) == 2 else "classes"),  # noqa: PLR2004 - with background
        (f"{np.median(counts):g}", f"instances per mask (median; {counts.min():,} to {counts.max():,})"),
        (pairs, "touching pairs"),
        (_percent(info.ignored_pixels, pixels), "of the pixels ignored"),
        (_percent(info.hidden_pixels, pixels), "hidden by overlap"),
        (f"{len(subject.problems):,}", "problems"),
    ]
    return f'<div class="cards">{"".join(f"<div class=card><b>{n}</b><span>{what}</span></div>" for n, what in cards)}</div>'


def _problems(subject: Subject) -> str:
    notices = [f'<p class="warn">{text(line)}</p>' for line in subject.notices]
    kinds: dict[str, list[ProblemInfo]] = {}
    for problem in subject.problems:
        kinds.setdefault(problem.kind, []).append(problem)
    rows = []
    for kind, found in kinds.items():
        shown = [f"{problem.key}: {problem.where}" for problem in found[:MOST_PROBLEMS]]
        more = [f"and {len(found) - MOST_PROBLEMS:,} more"] * (len(found) > MOST_PROBLEMS)
        rows.append([f"{len(found):,}", _Text(kind), _Text("\n".join([*shown, *more]))])
    table = _table(["number", _Text("problem"), _Text("where")], rows)
    return "\n".join(
        [*(["<h2>Problems and remarks</h2>"] if rows or notices else []), *notices, *([table] * bool(rows))]
    )


def _classes(info: StoreInfo) -> str:
    entries = sorted(info.classes, key=lambda entry: -entry.all.pixels)
    total = sum(entry.all.pixels for entry in entries)
    formulas = list(info.classes[0].weights)
    rows = [
        [
            _Text(entry.name),
            f"{entry.all.instances:,}" if entry.code else "",
            f"{entry.all.images:,}",
            f"{entry.all.pixels:,}",
            _meter(entry.all.pixels, total),
            *(f"{entry.weights[formula]:.4g}" for formula in formulas),
        ]
        for entry in entries[:MOST_CLASSES]
    ]
    more = f"<p class=soft>and {len(entries) - MOST_CLASSES:,} more classes</p>" if len(entries) > MOST_CLASSES else ""
    header = [_Text("class"), "instances", "masks", "pixels", "share", *formulas]
    return (
        "<h2>Classes, and their weights by each formula</h2>\n<p class=soft>Counts are of all masks; the weights are computed "
        f"from the train split. Ignored pixels do not count.</p>\n{_table(header, rows)}{more}"
    )


def _splits(subject: Subject) -> str:
    split, counts = subject.tables["split"], subject.tables["instance_count"].astype(np.int64)
    rows = []
    for code, name in enumerate(subject.info.splits):
        own = split == code
        number, instances = int(own.sum()), int(counts[own].sum())
        rows.append([_Text(name), f"{number:,}", _meter(number, len(split)), f"{instances:,}"])
    return f"<h2>Splits</h2>\n{_table([_Text('split'), 'masks', 'share', 'instances'], rows)}"


def _sizes(subject: Subject) -> str:
    """Sizes of the masks, and a histogram of their instances."""
    sizes = Counter(zip(subject.tables["height"].tolist(), subject.tables["width"].tolist(), strict=True))
    total = len(subject.keys)
    rows = [
        [_Text(f"{height:,} x {width:,}"), f"{count:,}", _meter(count, total)]
        for (height, width), count in sizes.most_common(MOST_SIZES)
    ]
    more = f"<p class=soft>and {len(sizes) - MOST_SIZES:,} more sizes</p>" if len(sizes) > MOST_SIZES else ""
    header = ["masks", "share"]
    return (
        f"<h2>Sizes</h2>\n{_table([_Text('height x width'), *header], rows)}{more}\n"
        f"<h2>Instances per mask</h2>\n{_table([_Text('instances'), *header], _histogram(subject.tables['instance_count']))}"
    )


def _histogram(counts: Any) -> list[list[str]]:
    """Rows of masks by their number of instances, in bins of equal width."""
    width = max(1, -(-int(counts.max() + 1) // BINS))
    numbers = np.bincount(counts.astype(np.int64) // width)
    return [
        [_Text(f"{start:,}" if width == 1 else f"{start:,} to {start + width - 1:,}"), f"{n:,}", _meter(n, len(counts))]
        for start, n in zip(range(0, width * len(numbers), width), numbers.tolist(), strict=True)
    ]


# --- grid ------------------------------------------------------------------------------------------------------------


def _grid(samples: Sequence[Sample]) -> str:
    parts, number = ["<h2>Masks</h2>", "<p class=soft>Click to enlarge; point at a pixel for its value.</p>"], 0
    if any(panel.pixels.shape[:2] != sample.shape for sample in samples for panel in sample.panels):
        parts.append(
            "<p class=soft>Larger masks are shown reduced: numbers are means of the pixels that become one, codes are of the "
            "pixel in their middle. Ranges below the panels are of all pixels.</p>"
        )
    if missing := next((sample.without_image for sample in samples if sample.without_image), ""):
        count = sum(bool(sample.without_image) for sample in samples)
        parts.append(f'<p class="warn">No image for {count} of {len(samples)} masks: {text(missing)}</p>')
    for sample in samples:
        parts.append(_sample_head(sample))
        figures = [_figure(sample, panel, number + index) for index, panel in enumerate(sample.panels)]
        parts.append(f'<div class="panels" style="--count:{len(figures)}">{"".join(figures)}</div>')
        number += len(figures)
    return "\n".join(parts)


def _sample_head(sample: Sample) -> str:
    height, width = sample.shape
    facts = (
        f"{height:,} x {width:,}, {sample.instances:,} instance{'s' * (sample.instances != 1)}, {text(sample.split)}"
    )
    problems = "".join(f'<p class="warn">{text(line)}</p>' for line in sample.problems[:MOST_PROBLEMS])
    return f"<h3>{text(sample.key)}</h3>\n<p class=soft>{text(sample.reason)}; {facts}</p>{problems}"


def _figure(sample: Sample, panel: Panel, number: int) -> str:
    height, width = sample.shape
    share = _SIDE / max(height, width)
    tall, wide = max(1, round(height * share)), max(1, round(width * share))
    small = ' class="small"' if max(panel.pixels.shape[:2]) < _SIDE else ""
    source = f"data:{panel.mime};base64,{b64encode(panel.encoded()).decode()}"
    label = text(f"{panel.title} of {sample.key}")
    image = f'<img{small} data-panel="{number}" width="{wide}" height="{tall}" alt="{label}" src="{source}">'
    caption = f"<figcaption><b>{text(panel.title)}</b> {_legend(panel, wide)}</figcaption>"
    return f'<figure><button aria-label="enlarge {label}">{image}</button>{caption}</figure>'


def _legend(panel: Panel, width: int) -> str:
    """Scale with its ends, names of the codes, or the note."""
    note = f'<span class="soft">{text(panel.note)}</span>'
    if panel.scale is not None:
        places = np.linspace(0, len(colour_map(panel.scale.map)) - 1, _STOPS).astype(np.intp)
        stops = ",".join(f"#{colour.tobytes().hex()}" for colour in colour_map(panel.scale.map)[places])
        ticks = [f"<span>{_number(tick)}</span>" for tick in panel.scale.ticks]
        bar = f'<div class="scale" style="background:linear-gradient(to right,{stops})"></div>'
        return f'{note}<div style="max-width:{width}px">{bar}<div class="ticks">{"".join(ticks)}</div></div>'
    if panel.palette is None or panel.note:
        return note
    chips = [
        f'<span><i style="background:#{panel.palette[index].tobytes().hex()}"></i>{text(name)}</span>'
        for index, name in list(panel.names.items())[:MOST_CHIPS]
    ]
    more = [f"<span>and {len(panel.names) - MOST_CHIPS} more</span>"] * (len(panel.names) > MOST_CHIPS)
    return f'<div class="chips">{"".join([*chips, *more])}</div>'


# --- tables ----------------------------------------------------------------------------------------------------------


class _Text(str):
    """Cell of text, which is escaped and left aligned; every other cell is a number, or HTML of this module."""

    __slots__ = ()


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(_cell(cell, "th") for cell in header)
    body = "\n".join(f"<tr>{''.join(_cell(cell, 'td') for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _cell(cell: str, tag: str) -> str:
    if isinstance(cell, _Text):
        lines = "<br>".join(text(line) for line in cell.split("\n"))
        return f'<{tag} class="text">{lines}</{tag}>'
    return f"<{tag}>{cell}</{tag}>"


def _percent(part: int, total: int) -> str:
    """Share in percent; a share that is not 0 is never shown as 0."""
    share = part / total if total else 0.0
    return "0 %" if part == 0 else f"{100 * share:.3g} %" if share >= 0.0001 else "&lt; 0.01 %"  # noqa: PLR2004


def _meter(part: int, total: int) -> str:
    """Bar, and the share in percent."""
    share = 100 * part / total if total else 0.0
    bar = f'<i style="width:max(1px,{share:.2f}%)"></i>' if part else ""
    return f'<span class="meter">{bar}</span><span class="share">{_percent(part, total)}</span>'
