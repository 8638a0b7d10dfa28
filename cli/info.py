"""`segprep info`: contents of a store."""

import click

import segprep
from segprep.errors import OptionError
from segprep.paths.anypath import AnyPath

from . import options
from .documents import as_document
from .output import print_result


@click.command(cls=options.Command)
@options.store
@options.option(
    "--command",
    "Output",
    "Print the command that makes STORE again, with the options that are not the defaults.",
    parameter="as_command",
    is_flag=True,
)
@options.option(
    "--config",
    "Output",
    "Print the same settings as a TOML file for --config of segprep weights.",
    parameter="as_config",
    is_flag=True,
)
@options.output
def info(store: AnyPath, as_command: bool = False, as_config: bool = False, as_json: bool = False) -> None:
    """Summarise STORE: masks, classes, splits, targets."""
    from . import problems, render  # noqa: PLC0415 - half a second, not for --help
    from .contents import Recipe, store_contents  # noqa: PLC0415

    found = segprep.describe(store)
    if as_command and as_config:
        raise OptionError("--command and --config: give one of them")
    if as_command or as_config:
        from segprep.runs.recipe import recipe  # noqa: PLC0415

        from . import recipes  # noqa: PLC0415
        from .weights import weights  # noqa: PLC0415

        made = recipe(store, found)
        text = (recipes.command_text if as_command else recipes.config_text)(made, found, store, weights)
        given = Recipe(command=text if as_command else None, config=text if as_config else None)
        print_result(as_document("recipe", given) if as_json else text)
    elif as_json:
        print_result(as_document("info", store_contents(store, found)))
    else:
        print_result(render.store_text(store, found, problems.store_warnings(store, found)))
