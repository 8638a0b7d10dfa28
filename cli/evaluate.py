"""`segprep evaluate`: scores of predictions."""

from pathlib import Path
from typing import Any

import click

import segprep
from segprep.masks.splits import SPLITS
from segprep.paths.anypath import AnyPath

from . import options
from .documents import as_document
from .output import print_result, print_warning


@click.command(cls=options.Command)
@click.argument("predictions", type=options.PathType())
@click.argument("truth", type=options.PathType())
@options.option(
    "--threshold",
    "Scores",
    "IoU above which instances match, for precision, recall, F1 and AP.",
    default=0.5,
    show_default=True,
    metavar="SHARE",
)
@options.option("--tolerance", "Scores", "Tolerance of the boundary F, in pixels.", default=2.0, show_default=True)
@options.option("--per-class", "Scores", "Match only instances of one class, and score every class.", is_flag=True)
@options.choice("--split", "Input", "Compare only the masks of this split of TRUTH.", SPLITS)
@options.option(
    "--min-score",
    "Input",
    "Leave out COCO results with a lower score.",
    default=0.0,
    show_default=True,
    metavar="SHARE",
)
@options.option(
    "--annotations",
    "Input",
    "COCO file that TRUTH was made from, for the image ids of COCO results, if TRUTH is a store.",
    metavar="FILE",
    type=options.PathType(),
)
@options.option(
    "--per-image",
    "Output",
    "Write the scores of each image to a CSV file.",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
)
@options.running
@options.output
def evaluate(
    predictions: AnyPath, truth: AnyPath, as_json: bool = False, per_image: Path | None = None, **chosen: Any
) -> None:
    """Compare the instances in PREDICTIONS with those in TRUTH.

    Each is a store or a data set; PREDICTIONS may also be a list of COCO results. Images pair by their names; one without a
    prediction counts as an image in which nothing was found.
    """
    from . import contents, render, scores  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    if per_image is not None:
        render.check_writable(per_image, "per_image")
    with ProgressBar() as progress:
        found = segprep.evaluate(predictions, truth, workers=options.workers(chosen), progress=progress, **chosen)
    if per_image is not None:
        scores.write_rows(per_image, found)
    print_result(as_document("evaluate", contents.scores(found)) if as_json else scores.scores_text(found))
    for warned in scores.warnings(found):
        print_warning(*warned)
