"""`segprep preview`: page or image of a store or of a data set."""

from pathlib import Path
from typing import Any

import click

import segprep
from segprep.masks.downsampling import Downsampling
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import RegionRule
from segprep.masks.tiles import Tiling
from segprep.paths.anypath import AnyPath
from segprep.readers import ReadOptions
from segprep.runs.settings import Rules, target_kinds
from segprep.targets import TARGETS
from segprep.targets.weights import PRESETS

from . import fields, options
from .documents import as_document
from .output import print_advice, print_result
from .values import completed_names


@click.command(cls=options.Command)
@options.data
@options.option(
    "--output",
    "Output",
    "File to write: .html, or .png for one mask. An earlier report is replaced, any other file is not.",
    short="-o",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default="preview.html",
    show_default=True,
)
@options.option("--key", "Output", "Show only the mask of this name.", metavar="NAME")
@options.option("--count", "Output", "Number of masks to show.", default=12, show_default=True)
@options.option("--choice-seed", "Output", "Random seed of the choice of masks.", default=0, show_default=True)
@options.option(
    "--images",
    "Input",
    "Folder of the images that the masks belong to, if they are not found.",
    metavar="DIR",
    type=options.PathType(),
)
@options.option(
    "--targets",
    "Targets",
    f"Arrays of a data set to show besides labels and classes: {', '.join(target_kinds())}.  [default: weights,distance]",
    metavar="NAME,...",
    shell_complete=completed_names([*target_kinds()]),
)
@options.choice("--preset", "Targets", "As in segprep weights.", list(PRESETS))
@fields.settings("Targets", *TARGETS)
@fields.settings("Instances", InstanceRule, Downsampling)
@fields.settings("Tiles", Tiling)
@fields.settings("Input", Rules, ReadOptions, RegionRule, without=("canvas", "on_error"))
@options.running
@options.output
def preview(data: AnyPath, output: Path = Path("preview.html"), as_json: bool = False, **chosen: Any) -> None:
    """Write a page of HTML, or a PNG, that shows masks and targets of a store or data set.

    DATA is a store, or a data set as for segprep weights, whose targets are computed for the masks that are shown. The page
    opens without a network. Options of targets, instances and formats are for a data set alone.
    """
    from . import render  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        made = segprep.preview(data, output, workers=options.workers(chosen), progress=progress, **chosen)
    if as_json:
        print_result(as_document("preview", made))
    else:
        print_result(render.preview_text(made))
        print_advice(f"look: open {made.output.absolute().as_uri()} in a browser", prefix="")
