"""`segprep weights`: the main command."""

from pathlib import Path
from typing import Any

import click

import segprep
from segprep.masks.instances import InstanceRule
from segprep.masks.splits import SplitRule
from segprep.paths.anypath import AnyPath
from segprep.readers import READERS, ReadOptions
from segprep.runs.settings import Rules, target_kinds
from segprep.targets import TARGETS
from segprep.targets.weights import PRESETS

from . import options
from .output import print_message, print_result
from .spelling import in_options


@click.command(
    cls=options.Command,
    help=f"""Write U-Net weights, distances and other maps of all masks in DATA to STORE.

    DATA is a COCO JSON file, a label image, or a folder of masks in one of {len(READERS)} formats. STORE is a folder: a new
    one, or a store of the same masks, to which targets are added. Any Zarr v3 reader opens it.

    \b
    weights = class weight + w0 exp(-(d1 + d2)^2 / (2 sigma^2))
    d1, d2: distances to the nearest two instances     (Ronneberger et al. 2015, eq. 2)
    """,
)
@options.data
@options.store
@options.option(
    "--targets",
    "Targets",
    f"Arrays to write besides labels and classes: {', '.join(target_kinds())}.",
    metavar="NAME,...",
    default="weights,distance",
    show_default=True,
)
@options.option(
    "--preset",
    "Targets",
    "Parameters of the weights and the separation, for the options that are not given: as published, or for instances that "
    "touch (crowded: --separate 1 --sigma 2.5; mean AP 0.59 on nuclei, 0.55 with plain cross-entropy; docs/does-it-help.md).",
    type=click.Choice(list(PRESETS)),
)
@options.settings("Targets", *TARGETS)
@options.settings("Instances", InstanceRule)
@options.split("train/ val/ test/ folders or splits.json|csv in DATA, or all train")
@options.settings("Splits", SplitRule)
@options.settings("Input", Rules, ReadOptions)
@options.option(
    "--problems",
    "Input",
    "Write all problems of DATA to this file, as JSON lines.",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
)
@options.option(
    "--images",
    "Input",
    "Folder of the images that the masks belong to, if they are not in DATA.",
    metavar="DIR",
    type=options.PathType(),
)
@options.option(
    "--overwrite", "Running", "Replace a STORE made from other masks or settings (default: refuse).", is_flag=True
)
@options.option(
    "--update",
    "Running",
    "Let STORE follow DATA: compute masks that are new or have changed, leave out those that are gone, and keep all else.",
    is_flag=True,
)
@options.option(
    "--keep-class-weights",
    "Running",
    "With --update, keep the class weights, which are otherwise fitted to the new train split.",
    is_flag=True,
)
@options.option(
    "--compact",
    "Running",
    "With --update, fill the rows of masks that are gone, which otherwise stay in the arrays.",
    is_flag=True,
)
@options.option(
    "--part",
    "Running",
    "Write only part I of N, in one of N runs side by side; when all have ended, run once without --part.",
    metavar="I/N",
)
@options.option(
    "--reread",
    "Running",
    "Read all masks again, to detect files edited in place without a change of size or time.",
    is_flag=True,
)
@options.running
@options.output
def weights(data: AnyPath, store: AnyPath, as_json: bool = False, problems: Path | None = None, **chosen: Any) -> int:
    """Write a store."""
    from segprep.runs.scan import LEFT_OUT  # noqa: PLC0415 - half a second, not for --help

    from . import render  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    if problems is not None:
        render.check_writable(problems)
    with ProgressBar() as progress:
        info = segprep.preprocess(data, store, workers=options.workers(chosen), progress=progress, **chosen)
    for line in (*render.warnings(info), *render.split_warnings(store, info)):
        print_message(f"warning: {in_options(line)}")
    if info.status != "complete":
        print_message("once all parts are written, run the same command without --part to complete the store")
    if problems is not None:
        render.write_problems(problems, info)
    if as_json:
        print_result(render.store_json(store, info))
    else:
        print_result(render.one_line(store, info, has_written="write" in progress.stages))
        for line in render.advice(info):
            print_message(in_options(line))
    return int(any(problem.kind == LEFT_OUT for problem in info.problems))
