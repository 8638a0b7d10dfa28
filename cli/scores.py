"""Scores of predictions as text, and as CSV."""

import csv
from collections.abc import Iterator
from pathlib import Path

import msgspec

from segprep.errors import escape_controls, some
from segprep.runs.evaluate import Evaluation
from segprep.training.evaluation import ImageScore

from . import render
from .problems import Warned, problem_warnings

NAMED = 3
"""Items that a warning names."""


def scores_text(found: Evaluation) -> str:
    """Scores of a data set in a few lines, and a line for each class if classes count."""
    at, panoptic = found.at_threshold, found.panoptic["all"]
    share = f" ({found.separated_pairs / found.touching_pairs:.0%})" if found.touching_pairs else ""
    lines = [
        f"{found.predictions} against {found.truth}: {render.counted(found.images, 'image')}, "
        f"{found.true_instances:,} true and {found.predicted_instances:,} predicted instances",
        f"mean AP 0.50:0.95   {found.mean_ap:.4f}",
        f"at IoU {at.threshold:<12g} precision {at.precision:.4f}, recall {at.recall:.4f}, F1 {at.f1:.4f}, AP {at.ap:.4f}",
        f"panoptic quality    {panoptic.pq:.4f} (SQ {panoptic.sq:.4f}, RQ {panoptic.rq:.4f})",
        f"boundary F          {found.boundary_f:.4f} (within {found.tolerance:g} pixels)",
        f"touching pairs      {found.touching_pairs:,}, separated {found.separated_pairs:,}{share}",
    ]
    if found.per_class:
        lines += ["", f"{'class':<24}{'TP':>9}{'FP':>9}{'FN':>9}{'F1':>8}{'PQ':>8}{'SQ':>8}{'RQ':>8}"]
    for each in found.classes:
        counts = f"{each.tp:>9,}{each.fp:>9,}{each.fn:>9,}"
        lines.append(f"{render.cell(each.name)}{counts}{each.f1:>8.4f}{each.pq:>8.4f}{each.sq:>8.4f}{each.rq:>8.4f}")
    return "\n".join(map(escape_controls, lines))


def write_rows(path: Path, found: Evaluation) -> None:
    """Write a line of CSV for each image, after one with the names of the columns."""
    with render.written(path, "per_image"), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(ImageScore.__struct_fields__)
        writer.writerows(msgspec.structs.astuple(row) for row in found.rows)


def warnings(found: Evaluation) -> Iterator[Warned]:
    """A warning for the images without a prediction, and one for each kind of problem."""
    if found.missing:
        names = some(found.missing, most=NAMED)
        images = render.counted(len(found.missing), "image")
        yield Warned(f"{images} without a prediction, in which nothing was found: {names}")
    yield from problem_warnings(found.problems, "--json has all")
