"""`segprep weights`: the main command."""

from pathlib import Path
from shlex import quote
from typing import Any

import click

import segprep
from segprep.errors import OptionError
from segprep.masks.downsampling import Downsampling
from segprep.masks.instances import InstanceRule
from segprep.masks.regions import RegionRule
from segprep.masks.splits import SplitRule
from segprep.masks.tiles import Tiling
from segprep.paths.anypath import AnyPath
from segprep.readers import READERS, ReadOptions
from segprep.runs.settings import Rules, target_kinds
from segprep.targets import TARGETS
from segprep.targets.weights import PRESETS

from . import fields, options
from .documents import as_document
from .output import print_advice, print_result, print_warning
from .spelling import in_options
from .values import completed_names

UPDATING = ("update", "keep_class_weights", "compact")
"""Parameters of an update."""


@click.command(
    cls=options.Command,
    help=f"""Write U-Net weights, distances and other maps of all masks in DATA to STORE.

    DATA is a COCO JSON file, a label image, or a folder of masks in one of {len(READERS)} formats. STORE is a folder: a new
    one, or a store of the same masks, to which targets are added. Any Zarr v3 reader opens it.

    \b
    weights = class weight +
      w0 exp(-(d1 + d2)^2 / (2 sigma^2))

    d1, d2: distances to the nearest two instances (Ronneberger et al. 2015, eq. 2).
    """,
)
@options.data
@options.store
@options.option(
    "--targets",
    "Targets",
    f"Arrays to write besides labels and classes: {', '.join(target_kinds())}.",
    metavar="NAME,...",
    shell_complete=completed_names([*target_kinds()]),
    default="weights,distance",
    show_default=True,
)
@options.choice(
    "--preset",
    "Targets",
    "Parameters of the weights and the separation, for the options that are not given: as published, or for instances that "
    "touch (crowded: --separate 1 --sigma 2.5; mean AP 0.59 on nuclei, 0.55 with plain cross-entropy; docs/does-it-help.md).",
    list(PRESETS),
)
@fields.settings("Targets", *TARGETS)
@fields.settings("Instances", InstanceRule, Downsampling)
@options.split("train/ val/ test/ folders or splits.json|csv in DATA, or all train")
@fields.settings("Splits", SplitRule)
@fields.settings("Tiles", Tiling)
@fields.settings("Input", Rules, ReadOptions, RegionRule)
@options.option(
    "--problems",
    "Output",
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
    "--overwrite",
    "Output",
    "Replace a STORE made from other masks or settings (default: refuse).",
    short="-w",
    is_flag=True,
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
@options.option(
    "--dry-run",
    "Running",
    "Write nothing: print what the run would write, and the bytes, memory and time that it needs, from a sample of the masks.",
    is_flag=True,
)
@options.running
@options.output
def weights(data: AnyPath, store: AnyPath, as_json: bool = False, problems: Path | None = None, **chosen: Any) -> int:
    """Write a store."""
    from segprep.runs.scan import LEFT_OUT  # noqa: PLC0415 - half a second, not for --help

    from . import contents, last_lines, render, updated  # noqa: PLC0415
    from . import problems as facts  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    if chosen.pop("dry_run", False):
        return _dry_run(data, store, as_json, problems, chosen)
    former = updated.former_in(store) if chosen.get("update") else None
    if problems is not None:
        render.check_writable(problems)
    with ProgressBar(None if former else str(store)) as progress:
        info = segprep.preprocess(data, store, workers=options.workers(chosen), progress=progress, **chosen)
    if problems is not None:
        render.write_problems(problems, info)
    update = updated.update_in(store, info, former)
    print_result(
        as_document("weights", contents.run_contents(store, info, update))
        if as_json
        else last_lines.written(store, info, progress, chosen.get("part"), update)
    )
    listed = f"segprep info {quote(str(store))}, or --problems FILE" if problems is None else str(problems)
    for warned in (*facts.warnings(info, listed), *map(facts.Warned, render.split_warnings(store, info))):
        print_warning(in_options(warned.line), warned.details)
    if not as_json:
        for line in facts.advice(info):
            print_advice(in_options(line))
        last_lines.print_next(store, info)
    return int(any(problem.kind == LEFT_OUT for problem in info.problems))


def _dry_run(data: AnyPath, store: AnyPath, as_json: bool, problems: Path | None, chosen: dict[str, Any]) -> int:
    """Print an estimate of the run; the exit code is that of the run."""
    from . import dry_run  # noqa: PLC0415
    from .progress import ProgressBar  # noqa: PLC0415

    if problems is not None:
        raise OptionError(f"dry_run=True and problems={str(problems)!r} exclude each other: nothing is written")
    updating = [chosen.pop(name, False) for name in UPDATING]
    if any(updating):
        raise OptionError(
            "dry_run=True: an update is not estimated; leave out both: a run without update=True writes nothing if masks have "
            "changed, and counts the shards that an update would write"
        )
    with ProgressBar() as progress:
        found = segprep.estimate(data, store, workers=options.workers(chosen), progress=progress, **chosen)
    print_result(as_document("estimate", found) if as_json else dry_run.estimate_text(found))
    return int(bool(found.left_out))
