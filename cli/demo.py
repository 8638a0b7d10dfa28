"""`segprep demo`: a data set to try segprep with."""

from pathlib import Path
from typing import Any

import click

import segprep

from . import options
from .documents import as_document
from .output import print_result

LAYOUTS = ("labels", "instances", "masks", "coco")


def number(name: str, default: int, text: str, metavar: str) -> options.Decorator:
    """Option for an integer."""
    return options.option(name, "Data", text, type=int, default=default, show_default=True, metavar=metavar)


@click.command(cls=options.Command)
@click.argument("folder", metavar="DIR", type=options.PathType())
@options.choice(
    "--as",
    "Data",
    "Label images, one PNG per instance in folders of the classes, foreground masks (0 and 255), or COCO.",
    LAYOUTS,
    parameter="layout",  # `as` is a keyword of Python
    default="labels",
)
@number("--images", 24, "Number of images.", "N")
@number("--size", 256, "Height of most images, in pixels.", "PX")
@number("--seed", 0, "Random seed; the same seed gives the same files.", "N")
@options.option("--with-problems", "Data", "Add images with mistakes, and list these.", is_flag=True, default=False)
@options.config
@options.output
def demo(folder: Path, as_json: bool = False, **chosen: Any) -> None:
    """Write drawn images of cells and their masks to DIR, to try segprep without data.

    The cells look like nuclei in fluorescence microscopy; many touch, and a few images are empty. DIR is new or empty:
    nothing is overwritten.
    """
    from . import last_lines, render  # noqa: PLC0415 - half a second, not for --help
    from .progress import ProgressBar  # noqa: PLC0415

    with ProgressBar() as progress:
        info = segprep.demo(folder, progress=progress, **chosen)
    print_result(as_document("demo", info) if as_json else render.demo_text(info))
    if not as_json:
        last_lines.print_demo(info)
