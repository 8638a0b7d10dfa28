"""`segprep weights`: the main job."""

from pathlib import Path
from typing import Any

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_message, print_result


@click.command()
@options.data
@options.store
@click.option(
    "--targets",
    default="weights",
    show_default=True,
    help=f"What to write besides labels and classes, of {', '.join(options.TARGETS)}, with commas between.",
)
@click.option("--preset", type=click.Choice(options.PRESETS), help="Parameters of the weights as published.")
@options.border
@options.class_weighting
@options.choice("--dtype", "float16", "float32", text="Type of weights, border and distance.")
@options.choice("--distance-per", "foreground", "class", "instance", text="What a distance is taken to.")
@click.option("--distance-clip", type=float, help="Largest distance either way, in pixels.")
@click.option("--boundary-width", default=1, show_default=True, help="Width of boundaries, in pixels.")
@options.instances
@options.splitting
@click.option("--canvas", type=options.Canvas(), help="Pad all masks to one size.  [default: a few sizes that fit]")
@options.reading
@options.choice(
    "--on-error",
    *("skip-annotation", "skip-mask", "fail"),
    text="Leave out what is bad within a mask; masks that cannot be read too (then the exit code is 1); or nothing.",
)
@click.option(
    "--problems",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all that was left out there, as JSON lines.",
)
@click.option("--overwrite", is_flag=True, help="Replace what STORE has of other masks or settings, not refuse it.")
@click.option(
    "--part",
    type=options.Part(),
    help="Write only this part of the shards, for runs side by side; once all have ended, a run without it completes STORE.",
)
@click.option(
    "--reread",
    is_flag=True,
    help="Compare the contents of DATA with STORE too, rather than the names, sizes and times of its files alone.",
)
@options.running
@options.as_json
@options.debug
def weights(data: AnyPath, store: AnyPath, as_json: bool, problems: Path | None, **chosen: Any) -> int:
    """Write U-Net weights and other maps of all masks in DATA to STORE.

    DATA is a COCO JSON file, a label image, or a folder of masks in one of 14 formats. STORE is a folder: a new one, or a
    store of the same masks, to which targets are added. Any Zarr v3 reader opens it.

    \b
    weights = class weight + w0 exp(-(d1 + d2)^2 / (2 sigma^2))
    d1, d2: distances to the nearest two instances     (Ronneberger et al. 2015, eq. 2)
    """  # noqa: D301 - click takes a real backspace for "keep these lines"
    from segprep import preprocess  # noqa: PLC0415 - half a second, not for --help
    from segprep.runs.scan import LEFT_OUT  # noqa: PLC0415

    from . import choices, summary  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    choices.check_used(click.get_current_context(), chosen)
    settings = choices.with_preset(click.get_current_context(), chosen)
    with ProgressBar() as progress:
        info = preprocess(
            data,
            store,
            targets=choices.targets(settings),
            rules=choices.rules(settings),
            workers=choices.workers(settings),
            overwrite=settings["overwrite"],
            part=choices.part(settings),
            reread=settings["reread"],
            progress=progress,
        )
    for line in summary.warnings(info):
        print_message(f"warning: {line}")
    if info.status != "complete":
        print_message("once all parts are written, the same command without --part completes it")
    if problems is not None:
        summary.write_problems(problems, info)
    print_result(summary.as_json(store, info) if as_json else summary.one_line(store, info))
    return int(any(problem.kind == LEFT_OUT for problem in info.problems))
