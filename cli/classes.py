"""`segprep classes`: class weights for a loss."""

from typing import Any

import click

import segprep
from segprep.paths.anypath import AnyPath
from segprep.targets.class_weights import FORMULAS, Shaping

from . import fields, options
from .documents import as_document
from .output import print_result, print_warning


@click.command(cls=options.Command)
@options.store
@options.choice(
    "--formula",
    "Class weights",
    "Formula of the weights, applied to the counts of the train split.",
    list(FORMULAS),
    default=next(iter(FORMULAS)),
)
@fields.settings("Class weights", Shaping)
@options.config
@options.output
def classes(store: AnyPath, formula: str = next(iter(FORMULAS)), as_json: bool = False, **shaping: Any) -> None:
    """Print the class weights of STORE for a loss.

    They are in the order of the class codes.
    """
    from . import contents, render  # noqa: PLC0415 - half a second, not for --help

    info = segprep.describe(store)
    vector = segprep.class_weights(info, formula, **shaping).tolist()
    for line in render.class_warnings(info, vector, "--formula"):
        print_warning(line)
    print_result(
        as_document("classes", contents.class_weights(info, formula, vector))
        if as_json
        else render.vector_text(info, vector)
    )
