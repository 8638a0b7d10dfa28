"""`segprep weights`: the main job."""

from pathlib import Path
from typing import Any

import click

from . import options


@click.command()
@options.data
@options.store
@click.option("--w0", default=10.0, show_default=True, help="Height of the border term.")
@click.option("--sigma", default=5.0, show_default=True, help="Width of the border term, in pixels.")
@click.option(
    "--class-weights",
    type=click.Choice(["inverse", "none", "per-image"]),
    default="inverse",
    show_default=True,
    help="Weight of each class: inverse to its pixels in all masks, 1, or inverse to its pixels in each mask.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Type of the stored weights.",
)
@click.option("--canvas", type=options.Canvas(), help="Pad all masks to one size.  [default: a few sizes that fit]")
@options.reading
@options.running
@options.as_json
@options.debug
def weights(data: Path, store: Path, as_json: bool, **chosen: Any) -> None:
    r"""Write U-Net weights, labels and classes of all masks in DATA to STORE.

    DATA is a COCO JSON file, a label image (PNG, TIFF), or a folder of masks. STORE is a folder that is not there yet;
    any Zarr v3 reader opens it.

    \b
    weights = class weight + w0 exp(-(d1 + d2)^2 / (2 sigma^2))
    d1, d2: distances to the nearest two instances     (Ronneberger et al. 2015, eq. 2)
    """
    from segprep import Classes, Labels, Weights, Workers, preprocess  # noqa: PLC0415 - half a second, not for --help
    from segprep.readers import ReadOptions  # noqa: PLC0415

    from . import summary  # noqa: PLC0415
    from .progress import Bars  # noqa: PLC0415

    product = Weights(chosen["w0"], chosen["sigma"], chosen["class_weights"], chosen["dtype"])
    with Bars() as progress:
        info = preprocess(
            data,
            store,
            products=(Labels(), Classes(), product),
            format=chosen["format"],
            reading=ReadOptions(crowd=chosen["crowd"], max_pixels=chosen["max_pixels"]),
            canvas=chosen["canvas"],
            workers=Workers(chosen["workers"], chosen["scheduler"]),
            progress=progress,
        )
    for line in summary.warnings(info):
        click.echo(f"segprep: warning: {line}", err=True)
    click.echo(summary.as_json(store, info) if as_json else summary.one_line(store, info))
