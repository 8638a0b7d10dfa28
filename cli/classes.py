"""`segprep classes`: class weights for a loss."""

import click

from segprep.paths.anypath import AnyPath

from . import options
from .output import print_message, print_result


@click.command()
@options.store
@options.choice("--formula", *options.FORMULAS, text="How weights follow from the counts of the train split.")
@options.choice("--absent-class", "zero", "cap", "error", text="Weight of a class without a pixel.")
@click.option("--normalise", is_flag=True, help="Scale to a mean of 1 over the pixels.")
@click.option("--clip-class-weights", type=options.Numbers("LO", "HI"), help="Least and largest class weight.")
@options.as_json
@options.debug
def classes(
    store: AnyPath,
    formula: str,
    absent_class: str,
    normalise: bool,
    clip_class_weights: tuple[float, float] | None,
    as_json: bool,
) -> None:
    """Print the class weights of STORE, ready for a loss, in the order of the class codes."""
    from segprep.store.metadata import read_info  # noqa: PLC0415
    from segprep.targets.class_weights import Shaping  # noqa: PLC0415 - half a second, not for --help

    from . import summary  # noqa: PLC0415

    info = read_info(store)
    found = summary.class_vector(info, formula, Shaping(absent_class, normalise, clip_class_weights))  # type: ignore[arg-type]
    for line in summary.class_warnings(info, found):
        print_message(f"warning: {line}")
    print_result(summary.vector_json(info, formula, found) if as_json else summary.vector_text(info, found))
